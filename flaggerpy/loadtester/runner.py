"""Running tasks: in the background without duplicates, or while the caller waits. No HTTP.

Hands do the work; here is who may start, what the log and the series say, and what a caller is told.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from types import TracebackType
from typing import TypeVar

import structlog

from flaggerpy.loadtester.hands import Hands
from flaggerpy.loadtester.results import Results
from flaggerpy.loadtester.series import Series
from flaggerpy.loadtester.tasks import Task
from flaggerpy.loadtester.verdict import Verdict, judge

_REMEMBERED = 1000
"""As many failures and answers are remembered, the newest ones."""
_LONGEST_MEMORY = 4096
"""Characters of each; an event shows the first 512 of them."""

_LONGEST_COMMAND = 200

_log: structlog.typing.FilteringBoundLogger = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Done:
    """A task that did what it should: ended with success, or runs in the background now."""

    output: str = ""


@dataclass(frozen=True, slots=True)
class Failed:
    """A task that did not; the sentence says how."""

    sentence: str


@dataclass(frozen=True, slots=True)
class FailedBefore:
    """A task that runs now, and whose run before did not do what it should."""

    sentence: str


@dataclass(frozen=True, slots=True)
class Busy:
    """Nothing was started: there is too much to do, or the load tester is going away."""

    sentence: str


Report = Done | Failed | FailedBefore | Busy
_Key = tuple[str, str]
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Limits:
    """How long one task may run, and how many at the same time."""

    seconds: float
    tasks: int


@dataclass(frozen=True, slots=True)
class Journal:
    """Where is written how tasks went."""

    series: Series
    results: Results


class Runner:
    """Runs tasks; an async context manager that ends with all of them."""

    def __init__(self, hands: Hands, journal: Journal, limits: Limits, monotonic: Callable[[], float]) -> None:
        self._hands = hands
        self._journal = journal
        self._limits = limits
        self._monotonic = monotonic
        self._running = 0
        self._background: set[_Key] = set()
        self._failures: OrderedDict[tuple[_Key, str], str] = OrderedDict()
        self._answers: OrderedDict[tuple[_Key, str], Report] = OrderedDict()
        self._waited_for: dict[tuple[_Key, str], asyncio.Task[Report]] = {}
        self._nobody_waits = asyncio.Event()
        self._nobody_waits.set()
        self._waiting = 0
        self._closing = False
        self._group = asyncio.TaskGroup()

    async def __aenter__(self) -> Runner:
        await self._group.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing = True
        self._hands.close()
        await self._group.__aexit__(kind, error, trace)

    async def drain(self, grace: float) -> None:
        """Start nothing more, and give the tasks that a caller waits for some time to end."""
        self._closing = True
        try:
            async with asyncio.timeout(grace):
                await self._nobody_waits.wait()
        except TimeoutError:
            _log.warning("tasks are interrupted, the grace period is over", tasks=self._waiting)
        self._hands.close()

    async def submit(self, task: Task, question: str = "") -> Report:
        """Start a task; returns at once for one in the background, else when it has ended.

        The same question (an idempotency key) is not taken for another one: it gets the answer that was given, or waits
        for the run that it started. What failed while its caller waited is run again, as whoever asks again wants.
        """
        asked = (task.key, question)
        if question and (earlier := self._waited_for.get(asked)):
            self._skip(task)
            return await asyncio.shield(earlier)
        if question and (answer := self._answers.get(asked)):
            self._skip(task)
            return answer
        if task.in_background and task.key in self._background:
            self._skip(task)
            return Done()
        if refusal := self._refusal():
            self._journal.series.count(task.kind, "refused")
            return Busy(refusal)
        # From here on to the first await nothing else runs: looking and starting are one step.
        self._running += 1
        if not task.in_background:
            return await self._run_for_caller(task, asked)
        self._background.add(task.key)
        self._group.create_task(self._run_in_background(task))
        report = self._before(task)
        if question:
            _remember(self._answers, asked, report)
        return report

    def _skip(self, task: Task) -> None:
        _log.info("command skipped, it is already running", canary=task.canary, command=task.command)
        self._journal.series.count(task.kind, "skipped")

    def _refusal(self) -> str | None:
        if self._closing:
            return "the load tester is shutting down"
        if self._running >= self._limits.tasks:
            return f"{self._running} tasks are running, which is the most that is allowed"
        return None

    def _before(self, task: Task) -> Report:
        """Return how the run before went, once, and only of the same revision."""
        failure = self._failures.pop((task.key, task.revision), None)
        return FailedBefore(f"the previous run failed: {failure}") if failure and task.fail_on_error else Done()

    async def _run_for_caller(self, task: Task, asked: tuple[_Key, str]) -> Report:
        self._waiting += 1
        self._nobody_waits.clear()
        # A task of its own: it goes on when this caller hangs up, and others may join.
        run = self._group.create_task(self._run(task))
        if asked[1]:
            self._waited_for[asked] = run
        run.add_done_callback(partial(self._caller_is_answered, asked))
        return await asyncio.shield(run)

    def _caller_is_answered(self, asked: tuple[_Key, str], run: asyncio.Task[Report]) -> None:
        self._waited_for.pop(asked, None)
        if asked[1] and not run.cancelled() and isinstance(done := run.result(), Done):
            _remember(self._answers, asked, replace(done, output=done.output[:_LONGEST_MEMORY]))
        self._waiting -= 1
        if not self._waiting:
            self._nobody_waits.set()

    async def _run_in_background(self, task: Task) -> None:
        try:
            report = await self._run(task)
        finally:
            self._background.discard(task.key)
        if isinstance(report, Failed) and task.fail_on_error:
            _remember(self._failures, (task.key, task.revision), report.sentence[:_LONGEST_MEMORY])

    async def _run(self, task: Task) -> Report:
        """Run a task to its end; what nobody foresaw is a failure of this task and of no other."""
        log = _log.bind(canary=task.canary, command=task.command)
        try:
            verdict = await self._judged(task, log)
            if task.id and verdict.counts:
                fault = _sentence(task, verdict) if verdict.fault else ""
                await self._journal.results.file(task.canary, task.id, revision=task.revision, fault=fault)
        except Exception as error:
            log.exception("command could not be run")
            return Failed(f"command {task.command} could not be run: {type(error).__name__}")
        return _report(task, verdict, log)

    async def _judged(self, task: Task, log: structlog.typing.FilteringBoundLogger) -> Verdict:
        log.info("command starting", type=task.kind.value)
        self._journal.series.started(task.kind)
        began = self._monotonic()
        label = "failed"  # what it is when something breaks that nobody foresaw
        try:
            verdict = judge(task, await self._hands.run(task.work, self._limits.seconds))
            label = verdict.label
        finally:
            self._running -= 1
            self._journal.series.ended(task.kind, label, self._monotonic() - began)
        return verdict


def _report(task: Task, verdict: Verdict, log: structlog.typing.FilteringBoundLogger) -> Report:
    for one in verdict.measured:
        rate = round(one.error_rate, 3)
        log.info("load test measured", tool=one.tool, requests=one.requests, error_rate=rate, rate=one.rate)
    if verdict.fault:
        log.error("command failed", error=verdict.fault, output=verdict.output)
        output = f": {verdict.output}" if verdict.output else ""
        return Failed(f"{_sentence(task, verdict)}{output}")
    if task.log_output:
        log.info("command finished", output=verdict.output)
    else:
        log.info("command finished")
    return Done(output=verdict.output if task.return_output else "")


def _sentence(task: Task, verdict: Verdict) -> str:
    """Say what is wrong in so few words that it is seen in an event, whatever the command and its output are."""
    command = task.command if len(task.command) <= _LONGEST_COMMAND else f"{task.command[:_LONGEST_COMMAND]}…"
    return f"command {command} failed: {verdict.fault}"


def _remember(memory: OrderedDict[tuple[_Key, str], _T], key: tuple[_Key, str], value: _T) -> None:
    memory[key] = value
    while len(memory) > _REMEMBERED:
        memory.popitem(last=False)
