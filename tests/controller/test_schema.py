"""The guard of the CRD's schema: nothing is done while the API server would drop what we write."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import pytest

from flaggerpy.api.crds import KINDS, definition
from flaggerpy.controller.errors import SchemaTooOld
from flaggerpy.controller.schema import SECONDS_BETWEEN_LOOKS, SchemaGuard, dropped
from flaggerpy.kube.cache import Caches
from flaggerpy.kube.client import Client
from flaggerpy.kube.controller import Result
from flaggerpy.kube.resources import CANARIES, CRDS, Ref
from flaggerpy.kube.sessions import HttpTransport, Server
from flaggerpy.kube.workqueue import Key
from tests.builders import canary_json, flagger_crd, kept
from tests.kube.clocks import ManualClock, eventually
from tests.kube.fake_apiserver import FakeApiServer, Fault

KEY = ("shop", "web")
CANARY = Ref(CANARIES, *KEY)


async def ended(task: asyncio.Task[None]) -> None:
    """End what would go on for ever."""
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


class Stage:
    """A guard over an API server whose CRD tests choose."""

    def __init__(self, server: FakeApiServer, client: Client) -> None:
        self.server = server
        self.clock = ManualClock()
        self.caches = Caches(client, clock=self.clock)
        self.told: list[str] = []
        self.ticks = 0
        self.error: Exception | None = None
        self.guard = SchemaGuard(client, self.caches, self.clock, self.told.append)
        self.tick = self.guard.guarded(self._reconcile)

    async def _reconcile(self, _: Key) -> Result:
        self.ticks += 1
        if self.error is not None:
            raise self.error
        return Result()

    def install(self, crd: dict[str, Any]) -> None:
        self.server.put(CRDS, crd)

    def looks(self) -> int:
        return len(self.server.seen("GET"))


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    async with FakeApiServer() as server, HttpTransport(Server(server.url)) as transport:
        yield Stage(server, Client(transport))


def ours() -> dict[str, Any]:
    return definition(KINDS[0])


async def test_an_older_schema_is_told_and_looked_at_again_until_it_is_current(stage: Stage) -> None:
    stage.install(flagger_crd())
    waiting = asyncio.create_task(stage.guard.wait_until_current())
    async with asyncio.timeout(5):
        while not stage.told:  # noqa: ASYNC110 -- what is waited for happens elsewhere
            await asyncio.sleep(0.001)
    assert "run `flaggerpy crds apply`" in stage.told[0]
    assert not waiting.done()

    stage.install(ours())
    async with asyncio.timeout(5):
        while not waiting.done():
            await stage.clock.advance(SECONDS_BETWEEN_LOOKS)
    assert stage.told[-1] == ""


async def test_a_write_that_was_pruned_stops_every_canary_until_the_schema_is_mended(stage: Stage) -> None:
    stage.install(flagger_crd())
    stage.error = SchemaTooOld("status.rollout")
    await stage.tick(KEY)
    assert "flaggerpy crds apply" in stage.told[0]
    await stage.tick(("shop", "another"))
    assert stage.ticks == 1

    stage.error = None
    healed = asyncio.Event()
    mending = asyncio.create_task(stage.guard.run(healed.set))
    stage.install(ours())
    async with asyncio.timeout(5):
        while not healed.is_set():
            await stage.clock.advance(SECONDS_BETWEEN_LOOKS)
    await stage.tick(KEY)
    assert stage.ticks == 2
    await ended(mending)


@pytest.mark.parametrize(
    ("title", "status", "looks"),
    [
        ("a canary that we know", {"phase": "Progressing", "rollout": {}}, 0),
        ("a new canary", {}, 0),
        ("a canary without any record of ours", {"phase": "Progressing"}, 1),
    ],
)
async def test_the_schema_is_looked_at_only_when_a_record_is_missing(
    stage: Stage, title: str, status: dict[str, Any], looks: int
) -> None:
    stage.install(ours())
    stage.caches.record(CANARY, {**canary_json(), "status": status})
    await stage.tick(KEY)
    assert stage.looks() == looks, title
    assert stage.ticks == 1


async def test_a_canary_whose_record_was_pruned_is_not_touched(stage: Stage) -> None:
    stage.install(flagger_crd())
    stage.caches.record(CANARY, {**canary_json(), "status": {"phase": "Progressing"}})
    await stage.tick(KEY)
    assert stage.ticks == 0
    assert stage.told


async def test_a_schema_that_looks_well_and_loses_what_is_written_is_no_hot_loop(stage: Stage) -> None:
    stage.install(ours())
    stage.error = SchemaTooOld("status.rollout.step.readyAt")
    healed: list[float] = []
    mending = asyncio.create_task(stage.guard.run(lambda: healed.append(stage.clock.monotonic())))
    for turn in range(3):
        await stage.tick(KEY)
        await eventually(lambda: stage.clock.sleepers, what="a pause")
        await stage.clock.advance(SECONDS_BETWEEN_LOOKS)
        async with asyncio.timeout(5):
            while len(healed) == turn:  # noqa: ASYNC110 -- what is waited for happens elsewhere
                await asyncio.sleep(0.001)
    assert stage.ticks == 3
    assert healed[-1] - healed[0] == 2 * SECONDS_BETWEEN_LOOKS
    await ended(mending)


# Without the right to read CRDs


class Confined:
    """The server of a controller that may not read CRDs: it keeps what a CRD of canaries names."""

    def __init__(self, stage: Stage, crd: dict[str, Any]) -> None:
        self.server = stage.server
        self.server.forbidden.add(CRDS)
        self.server.put(CANARIES, canary_json())
        stage.caches.record(CANARY, self.server.get(CANARY))
        self.keeps(crd)

    def keeps(self, crd: dict[str, Any]) -> None:
        schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"]
        self.server.pruned = lambda obj: {**obj, "status": kept(schema, obj["status"])}

    def tries(self) -> int:
        return len([seen for seen in self.server.seen("PUT") if seen.query.get("dryRun") == "All"])


def older() -> dict[str, Any]:
    crd = ours()
    schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    del schema["properties"]["status"]["properties"]["rollout"]["properties"]["step"]["properties"]["readyAt"]
    return crd


@pytest.mark.parametrize(
    ("crd", "field"),
    [(flagger_crd(), "status.observedGeneration"), (older(), "status.rollout.step.readyAt")],
    ids=["Flagger's", "an older one of ours"],
)
async def test_who_may_not_read_crds_does_nothing_on_an_older_schema(
    stage: Stage, crd: dict[str, Any], field: str
) -> None:
    stage.server.forbidden.add(CRDS)
    await stage.guard.wait_until_current()
    server = Confined(stage, crd)
    before = server.server.get(CANARY)
    mending = asyncio.create_task(stage.guard.run(lambda: None))
    for _ in range(3):
        await stage.tick(KEY)
        await stage.clock.advance(SECONDS_BETWEEN_LOOKS)
    assert stage.ticks == 0
    assert f"drops {field}, which it relies on: run `flaggerpy crds apply`" in stage.told[-1]
    assert server.server.get(CANARY) == before

    server.keeps(ours())
    async with asyncio.timeout(5):
        while stage.told[-1]:
            await stage.clock.advance(SECONDS_BETWEEN_LOOKS)
    await stage.tick(KEY)
    assert stage.ticks == 1
    await ended(mending)


async def test_who_may_not_read_crds_tries_a_status_once(stage: Stage) -> None:
    server = Confined(stage, ours())
    await stage.guard.wait_until_current()
    for _ in range(3):
        await stage.tick(KEY)
    assert (stage.ticks, server.tries()) == (3, 1)


async def test_without_any_canary_the_first_one_is_tried_before_anything_is_done_for_it(stage: Stage) -> None:
    stage.server.forbidden.add(CRDS)
    await stage.guard.wait_until_current()
    assert stage.told == [""]
    Confined(stage, flagger_crd())
    await stage.tick(KEY)
    assert stage.ticks == 0
    assert "flaggerpy crds apply" in stage.told[-1]


async def test_nobody_acts_while_another_still_tries(stage: Stage) -> None:
    stage.server.forbidden.add(CRDS)
    await stage.guard.wait_until_current()
    Confined(stage, flagger_crd())
    await asyncio.gather(*(stage.tick(KEY) for _ in range(3)))
    assert stage.ticks == 0


async def test_a_canary_that_is_gone_leaves_the_question_to_the_next_one(stage: Stage) -> None:
    server = Confined(stage, ours())
    server.server.remove(CANARY)
    await stage.guard.wait_until_current()
    assert server.tries() == 0
    await stage.tick(KEY)
    server.server.put(CANARIES, canary_json())
    await stage.tick(KEY)
    assert (stage.ticks, server.tries()) == (2, 1)


@pytest.mark.parametrize("status", [400, 403])
async def test_where_no_status_can_be_tried_the_first_write_tells(stage: Stage, status: int) -> None:
    server = Confined(stage, flagger_crd())
    server.server.fail(Fault("status", "PUT", status=status, reason=""))
    await stage.guard.wait_until_current()
    await stage.tick(KEY)
    assert (stage.ticks, stage.told) == (1, [""])


async def test_nothing_is_done_while_no_answer_tells_what_is_kept(stage: Stage) -> None:
    stage.server.forbidden.add(CRDS)
    await stage.guard.wait_until_current()
    server = Confined(stage, ours())
    server.server.fail(Fault("status", "PUT", status=500))
    await stage.tick(KEY)
    assert stage.ticks == 0
    assert "cannot be found out: 500" in stage.told[-1]


@pytest.mark.parametrize(
    ("title", "kept", "lost"),
    [
        ("all of it", {"rollout": {"step": {"weight": 7}, "checks": [{"name": "b"}], "gates": ["b"]}, "more": 1}, ""),
        ("nothing", None, "status.rollout"),
        ("no record", {}, "status.rollout"),
        ("a part", {"rollout": {"step": {}, "checks": [{"name": "a"}], "gates": []}}, "status.rollout.step.weight"),
        (
            "a part of an entry",
            {"rollout": {"step": {"weight": 7}, "checks": [{}], "gates": []}},
            "status.rollout.checks.name",
        ),
    ],
)
def test_what_was_sent_and_is_not_there_is_named(title: str, kept: object, lost: str) -> None:
    sent = {"rollout": {"step": {"weight": 5}, "checks": [{"name": "a"}], "gates": ["a"]}}
    assert dropped(sent, kept) == lost, title
