"""A rollout that begins again, because the target asks for something else in the middle of its analysis."""

from __future__ import annotations

from flaggerpy.api.status import Phase
from flaggerpy.rollout import audience, pausing, reload, revision, scaling, telling
from flaggerpy.rollout.decision import ScaleTarget, SetRoutes
from flaggerpy.rollout.turn import Turn


def started(turn: Turn) -> bool:
    """Whether the canary has had its first step."""
    return turn.status.canary_weight > 0 or turn.status.iterations > 0 or turn.status.rollout.step.mirrored


def change_of_mind(turn: Turn) -> None:
    """The target asks for something else: cancel when it is the promoted revision, else begin again."""
    now = turn.current_revision()
    serving = turn.status.rollout.serving_canary
    reloads = reload.needed(turn) and not revision.promoted(turn.seen, turn.target)
    if reloads and not _rid_of_older_configs(turn):
        return
    back_to_the_start(turn)
    if not revision.promoted(turn.seen, turn.target):
        pausing.resume(turn)
    if reloads:
        turn.do(ScaleTarget(scaling.first_size(turn)))
        turn.note(scaled_at=turn.now)
    turn.note(applied=now)
    turn.set(last_applied_spec=now.template, tracked_configs=dict(turn.seen.configs.flagger))
    turn.wake_now()
    if revision.promoted(turn.seen, turn.target):
        turn.set(phase=Phase.FAILED if serving else Phase.SUCCEEDED)
        cancelled = f"Rollout of {turn.target_name} cancelled: the promoted revision was put back"
        turn.say(cancelled)
        turn.alert("info", cancelled)
        return
    turn.note(change=telling.change(turn))
    turn.say(f"New revision detected! Restarting analysis for {turn.target_name}")


def _rid_of_older_configs(turn: Turn) -> bool:
    """Whether no pod is left that read the configs before they changed; users leave them first."""
    live = turn.seen.route.routes if turn.seen.routed else None
    if started(turn) or (live is not None and live.canary > 0):
        back_to_the_start(turn)
        turn.wake_now()
        return False
    return reload.emptied(turn)


def outgrown(turn: Turn) -> bool:
    """Take users off a canary whose share an edit made one of more users; its analysis starts again."""
    if not audience.outgrown(turn.seen, turn.status):
        return False
    step, nobody = turn.status.rollout.step, SetRoutes(turn.routes_at(0))
    former, now = audience.in_words(step.whose), audience.in_words(audience.whose(turn.seen))
    back_to_the_start(turn)
    if not turn.does(nobody):
        turn.do(nobody)  # what was written for an audience may read as nothing where there is none
    turn.warn(
        f"{step.weight}% {former} would be {step.weight}% {now} after an edit of spec.analysis: users of {turn.name} "
        "go back to the primary, and its analysis starts again"
    )
    turn.wake_now()
    return True


def forget(turn: Turn) -> None:
    """Forget what an analysis has counted and what was approved in it, so that it starts again."""
    turn.set(phase=Phase.PROGRESSING, failed_checks=0, iterations=0)
    turn.note(gates=[], checks=[], exposed_at=None)


def back_to_the_start(turn: Turn) -> None:
    """Take users off the canary (unless only the canary can serve them) and forget what was counted."""
    forget(turn)
    if turn.status.rollout.serving_canary:
        turn.begin_step(100)
        return
    if turn.seen.routed and turn.seen.route.routes != turn.routes_at(0):
        turn.do(SetRoutes(turn.routes_at(0)))
    scaling.hurry(turn)
    turn.begin_step(0)
    turn.moved()
