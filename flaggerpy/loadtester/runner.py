"""Running tasks: in the background without duplicates, or while the caller waits. No HTTP.

Children do the processes; here is who may start, what the log and the series say, and what a caller is told.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import assert_never

import structlog

from flaggerpy.loadtester.children import Children, Finished, Interrupted, NotStarted, Outcome, TimedOut
from flaggerpy.loadtester.series import Series
from flaggerpy.loadtester.tasks import Task

_REMEMBERED_FAILURES = 1000

_log: structlog.typing.FilteringBoundLogger = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Done:
    """A task that did what it should: ended with 0, or runs in the background now."""

    output: str = ""


@dataclass(frozen=True, slots=True)
class Failed:
    """A task that did not; the sentence says how."""

    sentence: str


@dataclass(frozen=True, slots=True)
class Busy:
    """Nothing was started: there is too much to do, or the load tester is going away."""

    sentence: str


Report = Done | Failed | Busy


@dataclass(frozen=True, slots=True)
class Limits:
    """How long one task may run, and how many at the same time."""

    seconds: float
    tasks: int


class Runner:
    """Runs tasks; an async context manager that ends with all of them."""

    def __init__(self, children: Children, series: Series, limits: Limits, monotonic: Callable[[], float]) -> None:
        self._children = children
        self._series = series
        self._limits = limits
        self._monotonic = monotonic
        self._running = 0
        self._background: set[tuple[str, str]] = set()
        self._failures: OrderedDict[tuple[str, str], str] = OrderedDict()
        self._waited_for = 0
        self._nobody_waits = asyncio.Event()
        self._nobody_waits.set()
        self._closing = False
        self._group = asyncio.TaskGroup()

    async def __aenter__(self) -> Runner:
        await self._group.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing = True
        self._children.close()
        await self._group.__aexit__(kind, error, trace)

    async def drain(self, grace: float) -> None:
        """Start nothing more, and give the tasks that a caller waits for some time to end."""
        self._closing = True
        try:
            async with asyncio.timeout(grace):
                await self._nobody_waits.wait()
        except TimeoutError:
            _log.warning("tasks are interrupted, the grace period is over", tasks=self._waited_for)
        self._children.close()

    async def submit(self, task: Task) -> Report:
        """Start a task; returns at once for one in the background, else when it has ended."""
        if task.in_background and task.key in self._background:
            _log.info("command skipped, it is already running", canary=task.canary, command=task.command)
            self._series.count(task.kind, "skipped")
            return Done()
        if refusal := self._refusal():
            self._series.count(task.kind, "refused")
            return Busy(refusal)
        # From here on to the first await nothing else runs: looking and starting are one step.
        self._running += 1
        if task.in_background:
            self._background.add(task.key)
            self._group.create_task(self._run_in_background(task))
            earlier = self._failures.pop(task.key, None)
            return Failed(f"the previous run failed: {earlier}") if earlier and task.fail_on_error else Done()
        return await self._run_for_caller(task)

    def _refusal(self) -> str | None:
        if self._closing:
            return "the load tester is shutting down"
        if self._running >= self._limits.tasks:
            return f"{self._running} tasks are running, which is the most that is allowed"
        return None

    async def _run_for_caller(self, task: Task) -> Report:
        self._waited_for += 1
        self._nobody_waits.clear()
        try:
            return await self._run(task)
        finally:
            self._waited_for -= 1
            if not self._waited_for:
                self._nobody_waits.set()

    async def _run_in_background(self, task: Task) -> None:
        try:
            report = await self._run(task)
        except Exception:
            _log.exception("command could not be run", canary=task.canary, command=task.command)
            return
        finally:
            self._background.discard(task.key)
        if isinstance(report, Failed):
            self._failures[task.key] = report.sentence
            while len(self._failures) > _REMEMBERED_FAILURES:
                self._failures.popitem(last=False)

    async def _run(self, task: Task) -> Report:
        log = _log.bind(canary=task.canary, command=task.command)
        log.info("command starting", type=task.kind.value)
        self._series.started(task.kind)
        began = self._monotonic()
        result = "interrupted"  # what it is when this task is cancelled
        try:
            outcome = await self._children.run(task.argv, self._limits.seconds)
            result = _result(outcome)
            return _report(task, outcome, log)
        finally:
            self._running -= 1
            self._series.ended(task.kind, result, self._monotonic() - began)


def _result(outcome: Outcome) -> str:
    match outcome:
        case Finished(code=0):
            return "succeeded"
        case Finished() | NotStarted():
            return "failed"
        case TimedOut():
            return "timed_out"
        case Interrupted():
            return "interrupted"
        case _:
            assert_never(outcome)


def _report(task: Task, outcome: Outcome, log: structlog.typing.FilteringBoundLogger) -> Report:
    match outcome:
        case Finished(code=0, output=output):
            if task.log_output:
                log.info("command finished", output=output)
            else:
                log.info("command finished")
            return Done(output=output if task.return_output else "")
        case Finished(code=code, output=output):
            fault = f"exit status {code}" if code >= 0 else f"killed by signal {-code}"
        case TimedOut(limit=limit, output=output):
            fault = f"not finished after {limit:g} seconds, killed"
        case NotStarted(reason=reason):
            output, fault = "", f"cannot start {task.argv[0]}: {reason}"
        case Interrupted(output=output):
            fault = "interrupted, the load tester is shutting down"
        case _:
            assert_never(outcome)
    log.error("command failed", error=fault, output=output)
    return Failed(f"command {task.command} failed: {output}: {fault}")
