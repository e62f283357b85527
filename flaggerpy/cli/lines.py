"""What changed from one look to the next, one line a change: for logs of CI and everywhere that is no terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from flaggerpy.api.status import CheckResult, Phase
from flaggerpy.cli.progress import finding, progress, untold, why
from flaggerpy.cli.snapshot import Pods, Snapshot
from flaggerpy.rollout.pods import PULLS
from flaggerpy.rollout.transition import ANALYSIS

VERDICTS = {
    "Passed": "passed",
    "Failed": "failed",
    "Inconclusive": "not judged yet",
    "Error": "could not be measured",
}


class Teller:
    """Tells what changed since it was last asked."""

    def __init__(self, say: Callable[[str], None], *, events: bool) -> None:
        self._say = say
        self._events = events
        self._before: Snapshot | None = None

    def tell(self, seen: Snapshot) -> None:
        """Say what is new in this look."""
        for line in changes(self._before, seen, events=self._events):
            self._say(line)
        self._before = seen


def changes(before: Snapshot | None, after: Snapshot, *, events: bool = False) -> Iterator[str]:
    """Say what is new, each line with the time of the look.

    Args:
        before: the look before; None begins with how everything stands.
        after: the look now.
        events: whether to tell events of the Canary that came after the first look.

    """
    clock = f"{after.now:%H:%M:%S}"
    for line in _news(before, after, events=events):
        yield f"{clock}  {line}"


def _news(before: Snapshot | None, after: Snapshot, *, events: bool) -> Iterator[str]:
    happened = list(_events(before, after)) if before is not None and events else []
    yield from happened
    yield from _checks(before, after)
    reason, said = _reason(after), "\n".join(happened)
    if before is None or (_state(before), _reason(before)) != (_state(after), reason):
        again = reason in said or (before is not None and reason == _reason(before))
        yield _state(after) if again else f"{_state(after)}  {reason}"
    told = {row.role: _gist(row) for row in before.pods} if before is not None else {}
    changed = (row for row in after.pods if told.get(row.role) != _gist(row) and _matters(row))
    yield from (_pods(row, said=f"{said}\n{reason}") for row in changed)
    known = before.notes if before is not None else ()
    yield from (note for note in after.notes if note not in known)


def _state(seen: Snapshot) -> str:
    status, now = seen.canary.status, progress(seen.canary)
    parts = [f"{status.phase or 'New':<16} {status.canary_weight:3d} %"]
    if status.phase in ANALYSIS:
        parts += [now.words, *([status.rollout.share] if status.rollout.share else [])]
    if status.failed_checks:
        parts.append(f"{status.failed_checks} of {seen.canary.analysis.threshold} failed checks")
    return "  ".join(parts)


def _reason(seen: Snapshot) -> str:
    status = seen.canary.status
    wanted = status.phase is not Phase.NEW and (status.rollout.reason or status.rollout.paused)
    return why(seen.canary) if wanted else ""


def _checks(before: Snapshot | None, after: Snapshot) -> Iterator[str]:
    told = {check.name: check.at for check in before.canary.status.rollout.checks} if before is not None else {}
    for check in after.canary.status.rollout.checks:
        if check.name not in told or told[check.name] != check.at:
            yield f"check {_check(check)}"


def _check(check: CheckResult) -> str:
    """Say how a metric was judged: ``success-rate 97.20%, accepted is >= 99%: failed``."""
    value = check.value if check.value is not None else "has no value"
    accepted = f", accepted is {check.bound}" if check.bound else ""
    told = check.verdict == "Inconclusive" or (check.sequential is not None and check.reason)
    why = f" ({finding(check)})" if told else ""
    dry = ", dry run" if check.dry_run else ""
    return f"{check.name} {value}{accepted}: {VERDICTS[check.verdict]}{why}{dry}"


def _gist(row: Pods) -> tuple[str, frozenset[str]]:
    """What makes a line about pods news: the kubelet speaks of one image that does not come in two ways, in turn."""
    pulled = (any(reason in trouble for reason in PULLS) for trouble in row.troubles)
    return _counts(row), frozenset("" if one else told for one, told in zip(pulled, row.troubles, strict=True))


def _counts(row: Pods) -> str:
    workload = row.workload
    if not workload.sleeps:  # its pods are not ours to count
        return f"{row.role} {row.name}: {'ready' if workload.available_replicas else 'not ready'}"
    return f"{row.role} {row.name}: {workload.available_replicas} of {workload.replicas} pods available"


def _pods(row: Pods, *, said: str) -> str:
    return "; ".join((_counts(row), *(untold(trouble, said) for trouble in row.troubles)))


def _matters(row: Pods) -> bool:
    return row.workload.replicas > 0 or bool(row.troubles)


def _events(before: Snapshot, after: Snapshot) -> Iterator[str]:
    told = {event.mark for event in before.events}
    yield from (f"{event.type:<8} {event.message}" for event in after.events if event.mark not in told)
