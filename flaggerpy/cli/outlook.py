"""What would become of a canary that Flagger left: the controller's own decisions, put into words.

Pure: an observation goes in, as in every tick of the controller, and its first two ticks are decided and told. The
first records, the second acts on it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from flaggerpy.api.status import Phase
from flaggerpy.rollout import revision
from flaggerpy.rollout.checks import HookCheck
from flaggerpy.rollout.decide import decide
from flaggerpy.rollout.decision import (
    Action,
    AddFinalizer,
    CreatePrimary,
    Decision,
    DisownPrimary,
    NeedChecks,
    ScalePrimary,
    ScaleTarget,
    SetRoutes,
    UpdatePrimary,
    WriteScaler,
    WriteService,
)
from flaggerpy.rollout.observation import Observation
from flaggerpy.rollout.transition import to_mend

GAP = 3


@dataclass(frozen=True, slots=True)
class Outlook:
    """What would happen to one canary.

    Attributes:
        name: namespace and name.
        phase: as Flagger left it.
        words: what would happen, and why.
        quiet: nobody would notice: no rollout begins, none begins anew, and nothing keeps the canary from going on.

    """

    name: str
    phase: str
    words: str
    quiet: bool = True


def outlook(seen: Observation, now: datetime) -> Outlook:
    """Say what would become of a canary if the controller started now."""
    canary = seen.canary
    name, phase = f"{canary.namespace}/{canary.name}", canary.status.phase.value or "New"
    if canary.status.rollout.applied is not None:
        return Outlook(name, phase, "has been taken over already")
    first = decide(seen, now)
    status = canary.status if isinstance(first, NeedChecks) or first.status is None else first.status
    if problem := to_mend(status):
        return Outlook(name, phase, f"cannot go on: {problem}", quiet=False)
    news = [] if isinstance(first, NeedChecks) else [event.message for event in first.events]
    told = [text.partition(": ")[2] for text in news if text.startswith("Taken over from Flagger")]
    if status.rollout.applied is None:
        words = [*(told or [status.rollout.reason or "begins with its bootstrap"]), *_tell(first, seen)]
        return Outlook(name, phase, "; ".join(words))
    after = replace(seen, canary=canary.model_copy(update={"status": status}))
    words = list(dict.fromkeys([*told, *_tell(first, seen), *_tell(decide(after, now), after)]))
    return Outlook(name, phase, "; ".join(words), quiet=not _moves(after))


def table(rows: Sequence[Outlook]) -> list[str]:
    """Write one line a canary."""
    cells = [("CANARY", "PHASE", "WHAT WOULD HAPPEN"), *((row.name, row.phase, row.words) for row in rows)]
    widths = [max(len(cell[n]) for cell in cells) + GAP for n in range(2)]
    return [f"{name.ljust(widths[0])}{phase.ljust(widths[1])}{words}" for name, phase, words in cells]


def _moves(seen: Observation) -> bool:
    """Whether a rollout would begin, or one that runs would begin anew."""
    status, target = seen.canary.status, seen.target
    if target is None or status.phase is Phase.WAITING or revision.same(status.rollout.applied, seen, target):
        return False
    running = status.phase in {Phase.PROGRESSING, Phase.WAITING_PROMOTION}
    return running or not revision.promoted(seen, target)


def _tell(decision: Decision, seen: Observation) -> Iterator[str]:
    """Say what would be written or asked next."""
    if isinstance(decision, NeedChecks):
        hooks = any(isinstance(check, HookCheck) for check in decision.checks)
        yield "asks its webhooks" if hooks else "measures its metrics"
        return
    yield from (text for action in decision.actions if (text := _write(action, seen)))


def _write(action: Action, seen: Observation) -> str:
    canary = seen.canary
    match action:
        case AddFinalizer():
            return "adds its finalizer"
        case DisownPrimary():
            return f"takes Flagger's ownerReference off {canary.primary_name}"
        case WriteService(role):
            return f"writes the {role.value} Service"
        case SetRoutes(routes):
            live = seen.route.routes
            moved = live is None or live.canary != routes.canary
            return f"sends {routes.canary}% of users to {canary.target_name}" if moved else "marks the route as its own"
        case ScaleTarget(replicas):
            return f"scales {canary.target_name} to {replicas}"
        case ScalePrimary(replicas):
            return f"scales {canary.primary_name} to {replicas}"
        case CreatePrimary() | UpdatePrimary():
            return f"writes {canary.primary_name}"
        case WriteScaler():
            return "writes the primary's autoscaler"
        case _:
            return ""
