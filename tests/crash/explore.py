"""Every write of a flow, disturbed in every way: runs it once in peace, then once for each crash, many side by side."""

from __future__ import annotations

import asyncio
import time
import traceback
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from flaggerpy.kube.wire import Transport
from tests.crash.ears import listen
from tests.crash.ends import End, difference, end_of
from tests.crash.flows import Flow
from tests.crash.journal import Origin
from tests.crash.laws import violations
from tests.crash.mortal import EVERY_WAY, Crash, Mode, Trap, lacking, ways
from tests.crash.scene import Scene, scene

SIDE_BY_SIDE = 8
PATIENCE = 45.0
LOOKS = 50
"""How many changes an end may take to become the wanted one."""
ROUNDS_BEYOND = 5
"""How often writes are looked for that only recoveries or chance make; none disturbs what the last round shows."""
ATTEMPTS = 3
"""How often a crash that never struck is tried again: a write that depends on timing may be missing in a run."""


@dataclass(slots=True)
class Run:
    """One run and what was wrong with it."""

    flow: str
    wanted: tuple[Crash, ...]
    struck: tuple[Crash, ...] = ()
    writes: tuple[str, ...] = ()
    origins: tuple[tuple[Origin, Mode], ...] = ()
    wrong: list[str] = field(default_factory=list)
    story: str = ""
    end: End = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def title(self) -> str:
        """What was disturbed, for people."""
        return f"{self.flow}: " + (", then ".join(str(crash) for crash in self.wanted) or "undisturbed")

    @property
    def whole(self) -> bool:
        """Whether every crash struck that was wanted."""
        return self.struck == self.wanted


@dataclass(slots=True)
class Exploration:
    """All runs of a flow; the first is the undisturbed one."""

    flow: Flow
    runs: list[Run] = field(default_factory=list)

    @property
    def figures(self) -> str:
        """How much was disturbed."""
        seconds = sum(run.seconds for run in self.runs) / len(self.runs)
        wrong = sum(bool(run.wrong) for run in self.runs)
        return f"{len(self.runs[0].writes)} writes, {len(self.runs)} runs of {seconds:.1f} s, {wrong} break a law"

    async def run(self, plans: Iterable[tuple[Crash, ...]], wire: Transport, slots: asyncio.Semaphore) -> None:
        """Run the flow once for each plan, side by side."""
        async with asyncio.TaskGroup() as group:
            for crashes in plans:
                group.create_task(self._until_it_strikes(crashes, wire, slots))

    async def _until_it_strikes(self, crashes: tuple[Crash, ...], wire: Transport, slots: asyncio.Semaphore) -> None:
        for _ in range(ATTEMPTS):
            async with slots:
                run = await perform(self.flow, crashes, wire, self.runs[0].end if self.runs else None)
            self.runs.append(run)
            if run.whole or run.wrong:
                return


def uncovered(
    explorations: Iterable[Exploration], *, every: bool = EVERY_WAY, in_vain: Iterable[tuple[str, Mode]] = ()
) -> dict[str, tuple[Mode, ...]]:
    """Writes that some run of a flow that is there for them made, and the ways in which none was disturbed.

    What was tried in vain, of a write that only chance makes, counts as if it had been done.
    """
    all_of_them = list(explorations)
    struck: defaultdict[str, set[Mode]] = defaultdict(set)
    done = ((crash.title, crash.mode) for one in all_of_them for run in one.runs for crash in run.struck)
    for title, mode in (*done, *in_vain):
        struck[title].add(mode)
    seen = dict.fromkeys(
        title for one in all_of_them for run in one.runs for title in run.writes if one.flow.is_about(title)
    )
    missing = {title: lacking(struck[title], every=every) for title in seen}
    return {title: modes for title, modes in missing.items() if modes}


def beyond(
    explorations: Sequence[Exploration], *, every: bool = EVERY_WAY
) -> Iterator[tuple[Exploration, list[tuple[Crash, ...]]]]:
    """Plan crashes at writes that only a recovery makes: first what led there, then the write itself."""
    for place, (title, missing) in enumerate(uncovered(explorations, every=every).items()):
        modes = missing if every else ways(place, every=False)
        runs = [
            (len(run.struck), index)
            for index, one in enumerate(explorations)
            for run in one.runs
            if title in run.writes and one.flow.is_about(title)
        ]
        exploration = explorations[min(runs)[1]]
        led = min((run for run in exploration.runs if title in run.writes), key=lambda run: len(run.struck))
        yield exploration, [(*led.struck, Crash(title, 1, mode)) for mode in modes]


def plan(
    writes: Iterable[str], wanted: Callable[[str], bool] = bool, *, every: bool = EVERY_WAY
) -> list[tuple[Crash, ...]]:
    """One crash for each wanted write, its place among equal ones, and each way to die that is asked for."""
    counts: Counter[str] = Counter()
    plans: list[tuple[Crash, ...]] = []
    for title in writes:
        counts[title] += 1
        if not wanted(title):
            continue
        plans += [(Crash(title, counts[title], mode),) for mode in ways(len(plans), every=every)]
    return plans


async def explore(flows: Iterable[Flow], wire: Transport) -> list[Exploration]:
    """Run flows in peace, then with every crash, then with crashes at what recoveries wrote beyond that."""
    slots = asyncio.Semaphore(SIDE_BY_SIDE)
    found = [Exploration(flow) for flow in flows]

    async def first(exploration: Exploration) -> None:
        await exploration.run([()], wire, slots)
        if not exploration.runs[0].wrong:
            await exploration.run(plan(exploration.runs[0].writes, exploration.flow.is_about), wire, slots)

    async with asyncio.TaskGroup() as group:
        for exploration in found:
            group.create_task(first(exploration))
    for _ in range(ROUNDS_BEYOND):
        for exploration, plans in list(beyond(found)):
            await exploration.run(plans, wire, slots)
    return found


async def perform(flow: Flow, crashes: tuple[Crash, ...], wire: Transport, wanted: End | None = None) -> Run:
    """Play a flow to its end and hold it against the laws, and its end against the undisturbed one."""
    trap = Trap(list(crashes))
    run = Run(flow.name, crashes)
    heard = listen()
    began = time.monotonic()
    async with scene(trap, wire, flow.also) as stage:
        try:
            await flow.prepare(stage)
            await flow.act(stage)
            await stage.watcher.until(flow.over, f"end of {flow.name}", patience=PATIENCE)
            run.end = await _end(stage, wanted)
            if wanted is not None and (unlike := difference(wanted, run.end)):
                run.wrong.append(f"it ends otherwise than undisturbed:\n{unlike}")
        except AssertionError as error:
            run.wrong.append(str(error))
        except Exception:
            run.wrong.append(f"the run broke:\n{traceback.format_exc()}")
        run.wrong += [*violations(flow, stage.journal, stage.watcher), *heard]
        run.struck, run.writes, run.origins = tuple(trap.struck), tuple(trap.seen), tuple(trap.origins)
        run.story = stage.journal.story()
    run.seconds = time.monotonic() - began
    return run


async def _end(stage: Scene, wanted: End | None) -> End:
    """Read the end; one that is not the wanted one may still come to it, also while it is read."""
    if wanted is None:
        # What all other runs are held against: watches of several kinds have no order, so there may be more to come.
        with suppress(AssertionError):
            while True:
                await stage.watcher.change_beyond(len(stage.watcher.changes))
    seen = len(stage.watcher.changes)
    end = await end_of(stage)
    with suppress(AssertionError):
        for _ in range(LOOKS):
            if wanted is None or not difference(wanted, end):
                break
            await stage.watcher.change_beyond(seen)
            seen = len(stage.watcher.changes)
            end = await end_of(stage)
    return end
