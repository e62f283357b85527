"""Whether a run was good: its outcome, and what it measured held against the bounds of its task. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, assert_never

from flaggerpy.loadtester.outcomes import Broken, Finished, Interrupted, NotStarted, Outcome, TimedOut
from flaggerpy.loadtester.summary import Summary, summaries
from flaggerpy.loadtester.tasks import Command, Task

Label = Literal["succeeded", "failed", "missed", "timed_out", "interrupted"]
"""How a run is counted; missed: it ended well, but a bound was not kept."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a run is judged; no fault is a pass.

    Attributes:
        measured: what load generators said, as far as somebody asked for bounds.

    """

    label: Label
    fault: str
    output: str
    measured: tuple[Summary, ...] = ()

    @property
    def counts(self) -> bool:
        """Whether it says something about the canary; an interrupted run does not."""
        return self.label != "interrupted"


def judge(task: Task, outcome: Outcome) -> Verdict:
    """Judge a run."""
    match outcome:
        case Finished(code=0, output=output):
            return _measured(task, output)
        case Finished(code=code, output=output):
            return Verdict("failed", f"exit status {code}" if code >= 0 else f"killed by signal {-code}", output)
        case Broken(reason=reason, output=output):
            return Verdict("failed", reason, output)
        case TimedOut(limit=limit, output=output):
            return Verdict("timed_out", f"not finished after {limit:g} seconds, killed", output)
        case NotStarted(reason=reason):
            what = task.work.argv[0] if isinstance(task.work, Command) else task.command
            return Verdict("failed", f"cannot start {what}: {reason}", "")
        case Interrupted(output=output):
            return Verdict("interrupted", "interrupted, the load tester is shutting down", output)
        case _:
            assert_never(outcome)


def _measured(task: Task, output: str) -> Verdict:
    if task.thresholds is None:
        return Verdict("succeeded", "", output)
    found = summaries(output)
    fault = "; ".join(task.thresholds.breaches(found))
    return Verdict("missed" if fault else "succeeded", fault, output, found)
