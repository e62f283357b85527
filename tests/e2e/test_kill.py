"""The leader's process is killed, again and again: every rollout ends where an undisturbed one ends, users unharmed."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

import pytest

from flaggerpy.kube.objects import JsonObject, name_of
from flaggerpy.kube.resources import PODS
from tests.cluster import api
from tests.e2e import own
from tests.e2e.conftest import Figures
from tests.e2e.held import Door, Held, door, is_repetition
from tests.e2e.own import OwnController
from tests.e2e.place import End, Place, assert_served, new_place, tally
from tests.e2e.workloads import progressive
from tests.traffic.client import SteadyClient

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

SEED = 20_261_125
LANES = 3
"""Namespaces in which rollouts are disturbed at the same time: a takeover waits up to 15 s for the dead one's lease."""
RATE = 15.0
"""Requests a second in each lane: more of them, in all lanes together, starve two cores and then count as lost."""
INSTANTS = 12
TAGS = ("6.0.1", "6.0.2", "6.0.3", "6.0.0")
PATIENCE = 150.0


@dataclass(slots=True)
class Lane:
    """One namespace with its controllers, its users, and one rollout after the other."""

    place: Place
    controller: OwnController
    users: SteadyClient
    door: Door
    _rollouts: int = 0
    notes: list[str] = field(default_factory=list)

    async def push(self) -> str:
        """Push the next revision and return its tag."""
        tag = TAGS[self._rollouts % len(TAGS)]
        self._rollouts += 1
        await self.place.roll_out(tag)
        return tag

    async def undisturbed(self) -> tuple[End, float, list[str]]:
        """Run a rollout that nobody disturbs: where it ends, how long it takes, and what it writes.

        It is the second one: the first has to tell that it begins as Initialized, and no other does.
        """
        await self.ended(await self.push())
        self.door.begin()
        began = time.monotonic()
        tag = await self.push()
        end = await self.ended(tag)
        return end, time.monotonic() - began, list(self.door.passed)

    async def ended(self, tag: str) -> End:
        """Wait until the rollout of a revision is over and all is quiet; return where everything stands."""
        await self.place.until(lambda: self.over(tag), f"end of {tag}", patience=PATIENCE)
        await self.place.settled(quiet=1.5)
        end = await self.place.end()
        # What differs between rollouts by itself is the version.
        return replace(end, images={name: "new" if image == tag else image for name, image in end.images.items()})

    async def over(self, tag: str) -> bool:
        """Tell whether the rollout of a revision has ended and its pods were told to go."""
        if await self.place.image("podinfo-primary") != tag or await self.place.replicas("podinfo") > 0:
            return False
        return await self.place.phase() in {"Succeeded", "Failed"}

    async def standing(self) -> str:
        """Say where the rollout is."""
        status = (await self.place.canary())["status"]
        return f"{status['phase']} at {status.get('canaryWeight', 0)} %"

    async def both_ready(self) -> None:
        """Wait until a follower stands by."""
        await self.place.available(own.RELEASE, patience=120)


@asynccontextmanager
async def lane(name: str, folder: Path) -> AsyncIterator[Lane]:
    """Set up a namespace whose controllers may be killed."""
    async with new_place(name, own_controller=True) as place:
        controller = await own.install(place)
        await place.set_up()
        async with place.users(rate=RATE) as users:
            await place.bootstrap(progressive(place.host, step=25, most=50, interval="1s"))
            await asyncio.to_thread(folder.mkdir)
            async with door(place.client, name, controller.account, folder) as passing:
                yield Lane(place, controller, users, passing)


@asynccontextmanager
async def lanes(name: str, folder: Path) -> AsyncIterator[list[Lane]]:
    """Set up all lanes at the same time."""
    async with AsyncExitStack() as stack:
        entering = [stack.enter_async_context(lane(f"{name}-{i}", folder / str(i))) for i in range(LANES)]
        yield await asyncio.gather(*entering)


def check(lanes: Sequence[Lane], figures: Figures) -> None:
    """No user of any lane noticed anything."""
    for one in lanes:
        for note in one.notes:
            figures(note)
        figures(f"{one.place.namespace}: {tally(one.users.summary())}")
    for one in lanes:
        assert_served(one.users.summary())


async def kill_at(one: Lane, instant: float, undisturbed: End) -> bool:
    """Kill the leader at this many seconds into a rollout; False when that was over by then."""
    await one.both_ready()
    leader = await one.controller.leader()
    pid = own.process_of(leader)
    tag = await one.push()
    await asyncio.sleep(instant)
    if await one.over(tag):
        assert await one.ended(tag) == undisturbed
        return False
    standing = await one.standing()
    own.kill(pid)
    killed = time.monotonic()
    await one.controller.remove(leader)
    end = await one.ended(tag)
    one.notes.append(
        f"{one.place.namespace}: killed {name_of(leader)} (pid {pid}) at {instant:6.3f} s, {standing}; "
        f"over {time.monotonic() - killed:5.1f} s later"
    )
    assert end == undisturbed
    return True


async def kill_within(one: Lane, fraction: float, seconds: float, undisturbed: End) -> float:
    """Kill the leader within a rollout that takes about so long; return how long it takes, as is known by then."""
    for _ in range(6):
        if await kill_at(one, fraction * seconds, undisturbed):
            return seconds
        seconds *= 0.75  # the machine was busier before
    raise AssertionError(f"{one.place.namespace}: no rollout lasted until {fraction:.2f} of its time")


async def test_rollouts_survive_kills_at_random_instants(figures: Figures, tmp_path: Path) -> None:
    figures(f"seed {SEED}")
    chance = random.Random(SEED)

    async def disturb(one: Lane, fractions: Sequence[float]) -> None:
        undisturbed, seconds, _ = await one.undisturbed()
        assert undisturbed.phase == "Succeeded"
        one.notes.append(f"{one.place.namespace}: undisturbed in {seconds:.1f} s")
        for fraction in fractions:
            seconds = await kill_within(one, fraction, seconds, undisturbed)

    fractions = [chance.random() for _ in range(INSTANTS)]
    async with lanes("killed-at-random", tmp_path) as all_lanes:
        try:
            await asyncio.gather(*(disturb(one, fractions[i::LANES]) for i, one in enumerate(all_lanes)))
        finally:
            check(all_lanes, figures)


async def kill_behind(one: Lane, held: Held, cluster: api.Cluster) -> bool:
    """Kill the author of a held write once it has landed and before its author can know; False when it is dead."""
    leader = await one.place.find(PODS, held.pod)
    if leader is None:
        held.landing.set()
        return False
    pid = own.process_of(leader)
    offset = cluster.audit_size()
    own.freeze(pid)
    held.landing.set()

    async def landed() -> bool:
        return any(is_record_of(event, held.request) for event in cluster.audit_events(offset))

    await one.place.until(landed, f"end of {held.label}", patience=10)
    own.kill(pid)
    await one.controller.remove(leader)
    one.notes.append(f"{one.place.namespace}: killed {held.pod} (pid {pid}) right after: {held.label}")
    return True


def is_record_of(event: JsonObject, request: JsonObject) -> bool:
    """Whether a line of the audit log tells of the success of this request."""
    about, code = event.get("objectRef") or {}, int((event.get("responseStatus") or {}).get("code") or 0)
    same = (
        about.get("namespace") == request["namespace"]
        and about.get("resource") == request["resource"]["resource"]
        and about.get("subresource") == request.get("subResource")
        and about.get("name", request["name"]) == request["name"]
        and event["user"].get("extra") == request["userInfo"].get("extra")
        and event["verb"] in {"create", "update", "patch", "delete"}
        and "dryRun=All" not in event["requestURI"]
    )
    return same and 200 <= code < 300


async def kill_between(one: Lane, wanted: set[str], undisturbed: End, cluster: api.Cluster) -> None:
    """Run rollouts until every wanted write was the last one of its author.

    How often a status is written again while pods are waited for is chance: a repetition that no rollout makes any
    more is wanted no longer.
    """
    made: set[str] = set()
    for _ in range(3):
        if not wanted:
            return
        await one.both_ready()
        one.door.begin(wanted.__contains__)
        tag = await one.push()
        ending = asyncio.create_task(one.ended(tag))
        while not ending.done():
            holding = asyncio.create_task(one.door.held.get())
            await asyncio.wait({ending, holding}, return_when=asyncio.FIRST_COMPLETED)
            if not holding.done():
                holding.cancel()
                break
            held = holding.result()
            if await kill_behind(one, held, cluster):
                wanted.discard(held.label)
        assert await ending == undisturbed
        made.update(one.door.passed)
        one.door.begin()
    wanted -= {label for label in wanted if is_repetition(label) and label not in made}


async def test_rollouts_survive_a_kill_between_every_two_writes(
    figures: Figures, tmp_path: Path, full_node: api.Cluster
) -> None:
    began = datetime.now()
    async with lanes("killed-between", tmp_path) as all_lanes:
        ends = await asyncio.gather(*(one.undisturbed() for one in all_lanes))
        # When pods become ready is chance, and with it how often the status tells of waiting for them.
        writes = [label for label in ends[0][2] if all(label in labels for _, _, labels in ends)]
        figures(f"an undisturbed rollout writes: {', '.join(ends[0][2])}")
        assert len(writes) >= 10, ends
        left = [set(writes[i::LANES]) for i in range(LANES)]
        try:
            await asyncio.gather(
                *(kill_between(one, left[i], ends[i][0], full_node) for i, one in enumerate(all_lanes))
            )
        finally:
            check(all_lanes, figures)
        assert not set().union(*left), f"never held: {left}"
    figures(f"{len(writes)} kills in {(datetime.now() - began).total_seconds():.0f} s")
