"""Leader election against a fake API server, with clocks that the tests move."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from flaggerpy.kube.client import Client
from flaggerpy.kube.errors import Fenced
from flaggerpy.kube.lease import Elector, LeaseTiming, new_identity
from flaggerpy.kube.objects import JsonObject
from flaggerpy.kube.resources import LEASES, Ref
from flaggerpy.kube.sessions import HttpTransport, Server
from tests.kube.clocks import ManualClock, eventually, settle
from tests.kube.fake_apiserver import FakeApiServer, Fault

LEASE = Ref(LEASES, "flagger-system", "flagger-leader-election")


class Candidate:
    """One process: its own connections, its own clock, and whether it leads."""

    def __init__(self, transport: HttpTransport, identity: str) -> None:
        self.clock = ManualClock()
        client = Client(transport, session="lease", timeout=3)
        self.elector = Elector(client, "flagger-system", self.clock, identity=identity)
        self.leading = False
        self.terms = 0
        self.enough = asyncio.Event()
        self.crash: Exception | None = None
        self.task: asyncio.Future[None] | None = None

    def start(self) -> None:
        self.task = asyncio.ensure_future(self.elector.run(self._lead))

    async def stop(self) -> None:
        if self.task is not None:
            self.task.cancel()
            await asyncio.wait({self.task})

    async def _lead(self) -> None:
        self.leading = True
        self.terms += 1
        try:
            await self.enough.wait()
            if self.crash:
                raise self.crash
        finally:
            self.leading = False

    async def tick(self, seconds: float) -> None:
        """Let time pass for this process, with time for its requests in between."""
        while seconds > 0:
            step = min(0.5, seconds)
            self.clock.jump(step)
            await self.quiet()
            seconds -= step

    async def quiet(self) -> None:
        """Wait until the process only waits for its clock."""
        await settle()
        await eventually(lambda: self.clock.sleepers or (self.task is not None and self.task.done()))
        await settle()


@pytest.fixture
async def one(server: FakeApiServer) -> AsyncIterator[Candidate]:
    async with HttpTransport(Server(server.url)) as transport:
        candidate = Candidate(transport, "one")
        yield candidate
        await candidate.stop()


@pytest.fixture
async def two(server: FakeApiServer) -> AsyncIterator[Candidate]:
    async with HttpTransport(Server(server.url)) as transport:
        candidate = Candidate(transport, "two")
        yield candidate
        await candidate.stop()


def spec(server: FakeApiServer) -> JsonObject:
    found: JsonObject = server.objects[LEASE]["spec"]
    return found


async def test_the_first_takes_the_lease_and_renews_it(server: FakeApiServer, one: Candidate) -> None:
    one.start()
    await eventually(lambda: one.leading)
    first = dict(spec(server))
    assert first == {
        "holderIdentity": "one",
        "leaseDurationSeconds": 15,
        "acquireTime": "2031-05-17T08:30:15.250009Z",
        "renewTime": "2031-05-17T08:30:15.250009Z",
        "leaseTransitions": 0,
    }

    await one.tick(2.5)

    assert spec(server) == {**first, "renewTime": "2031-05-17T08:30:17.250009Z"}
    assert [s.method for s in server.requests] == ["GET", "POST", "PUT"], "one request a renewal"
    assert one.elector.is_leader
    assert one.elector.holder == "one"


async def test_while_one_renews_the_other_waits(server: FakeApiServer, one: Candidate, two: Candidate) -> None:
    one.start()
    await eventually(lambda: one.leading)
    two.start()
    for _ in range(20):
        await one.tick(2)
        await two.tick(2)
    assert one.leading
    assert not two.leading
    assert two.elector.holder == "one"


async def test_a_lease_that_stands_still_is_taken_after_its_whole_duration(
    server: FakeApiServer, one: Candidate, two: Candidate
) -> None:
    one.start()
    await eventually(lambda: one.leading)
    two.start()
    await two.quiet()
    await two.tick(15)
    assert not two.leading

    await two.tick(5)

    assert two.leading
    assert (spec(server)["holderIdentity"], spec(server)["leaseTransitions"]) == ("two", 1)
    assert spec(server)["acquireTime"] > "2031-05-17T08:30:30"


@pytest.mark.parametrize("seed", range(8))
async def test_a_dead_leader_is_followed_as_soon_as_its_lease_has_run_out(
    server: FakeApiServer, one: Candidate, two: Candidate, seed: int
) -> None:
    two.elector._rng.seed(seed)
    one.start()
    await eventually(lambda: one.leading)
    two.start()
    await two.quiet()
    for _ in range(seed):
        await one.tick(2)
        await two.tick(2)
    # The last renewal is seen within 2.4 s, and the lease looked at within 0.25 s of its end.
    await two.tick(2.5 + 15 + 0.5)
    assert two.leading


async def test_clocks_that_differ_by_hours_change_nothing(
    server: FakeApiServer, one: Candidate, two: Candidate
) -> None:
    one.start()
    await eventually(lambda: one.leading)
    two.clock.jump(10 * 3600)
    two.start()
    await two.quiet()
    await two.tick(14)
    assert not two.leading


async def test_a_paused_leader_can_write_nothing_when_it_wakes_and_steps_down(
    server: FakeApiServer, one: Candidate, two: Candidate, transport: HttpTransport
) -> None:
    fenced = Client(transport, fence=one.elector.fence)
    one.start()
    await eventually(lambda: one.leading)
    await fenced.create(LEASES, {"metadata": {"name": "before", "namespace": "test"}})
    two.start()
    await two.quiet()
    await two.tick(20)
    assert two.leading
    sent = len(server.requests)

    one.clock._elapsed += 20
    with pytest.raises(Fenced):
        await fenced.create(LEASES, {"metadata": {"name": "after", "namespace": "test"}})
    assert len(server.requests) == sent

    one.clock.jump(0)
    await eventually(lambda: not one.leading)
    assert two.leading
    assert spec(server)["holderIdentity"] == "two"


async def test_who_lost_may_lead_again(server: FakeApiServer, one: Candidate) -> None:
    one.start()
    await eventually(lambda: one.leading)
    server.change(LEASE, lambda o: o["spec"].update(holderIdentity="thief", leaseDurationSeconds=15))
    await one.tick(2)
    await eventually(lambda: not one.leading)
    assert not one.elector.is_leader
    assert one.elector.holder == "thief"

    await one.tick(25)

    assert one.leading
    assert one.terms == 2
    assert spec(server)["leaseTransitions"] == 1


async def test_without_the_server_the_leader_stops_at_the_renew_deadline(server: FakeApiServer, one: Candidate) -> None:
    one.start()
    await eventually(lambda: one.leading)
    server.fail(Fault("status", status=503, times=99))
    await one.tick(9.5)
    assert one.leading
    await one.tick(3)
    assert not one.elector.is_leader
    await eventually(lambda: not one.leading)


@pytest.mark.parametrize("then", ["reset", "status"])
async def test_a_renewal_whose_answer_is_lost_is_no_loss(server: FakeApiServer, one: Candidate, then: str) -> None:
    one.start()
    await eventually(lambda: one.leading)
    server.fail(Fault("reset" if then == "reset" else "status", method="PUT", applied=True))
    await one.tick(2)
    await one.tick(8)
    assert one.leading
    assert one.terms == 1
    assert spec(server)["leaseTransitions"] == 0


async def test_a_clean_end_gives_the_lease_back_and_the_next_need_not_wait(
    server: FakeApiServer, one: Candidate, two: Candidate
) -> None:
    one.start()
    await eventually(lambda: one.leading)
    await one.stop()
    assert spec(server)["holderIdentity"] == ""
    assert not one.elector.is_leader

    two.start()
    await eventually(lambda: two.leading)
    assert spec(server)["leaseTransitions"] == 1


async def test_leading_that_ends_by_itself_ends_the_run(server: FakeApiServer, one: Candidate) -> None:
    one.start()
    await eventually(lambda: one.leading)
    one.enough.set()
    assert one.task is not None
    await one.task
    assert spec(server)["holderIdentity"] == ""


async def test_a_crash_of_the_leading_part_is_raised_and_the_lease_given_back(
    server: FakeApiServer, one: Candidate
) -> None:
    one.start()
    await eventually(lambda: one.leading)
    one.crash = RuntimeError("bug")
    one.enough.set()
    assert one.task is not None
    with pytest.raises(RuntimeError, match="bug"):
        await one.task
    assert spec(server)["holderIdentity"] == ""


async def test_the_lease_is_renewed_while_the_leader_finishes_its_last_write(
    server: FakeApiServer, one: Candidate
) -> None:
    finishing, finished = asyncio.Event(), asyncio.Event()

    async def lead() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            finishing.set()
            await finished.wait()
            assert one.elector.is_leader
            raise

    one.task = asyncio.ensure_future(one.elector.run(lead))
    await eventually(lambda: one.elector.is_leader)
    await one.quiet()
    one.task.cancel()
    await finishing.wait()
    await one.tick(12)
    finished.set()
    await asyncio.wait({one.task})
    assert one.task.cancelled()
    assert spec(server)["holderIdentity"] == ""


async def test_a_lease_left_by_flagger_is_respected_and_its_transitions_go_on(
    server: FakeApiServer, one: Candidate
) -> None:
    server.put(
        LEASES,
        {
            "metadata": {"name": LEASE.name, "namespace": LEASE.namespace, "labels": {"theirs": "1"}},
            "spec": {"holderIdentity": "flagger-1", "leaseDurationSeconds": 15, "leaseTransitions": 7},
        },
    )
    one.start()
    await one.quiet()
    await one.tick(14)
    assert not one.leading
    await one.tick(6)
    assert one.leading
    assert spec(server)["leaseTransitions"] == 8
    assert server.objects[LEASE]["metadata"]["labels"] == {"theirs": "1"}


def test_every_process_has_its_own_identity() -> None:
    assert new_identity() != new_identity()


@pytest.mark.parametrize("timing", [(15, 10, 2), (60, 40, 5), (15, 14, 2)])
def test_calls_about_the_lease_end_before_anybody_else_may_write(timing: tuple[float, float, float]) -> None:
    chosen = LeaseTiming(*timing)
    assert 0 < chosen.request_timeout < chosen.duration - chosen.renew_deadline


def test_times_that_cannot_work_are_refused() -> None:
    with pytest.raises(ValueError, match="retry < renew deadline < duration"):
        LeaseTiming(duration=10, renew_deadline=15)
