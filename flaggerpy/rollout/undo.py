"""A promotion that a person aborts: the primary gets back what it ran before, and only then its users.

It can be done as long as users have not all returned, what the primary ran is kept, and its configs are what they were:
contents that were overwritten are not kept. Users stay where the analysis left them until the primary is ready again.
"""

from __future__ import annotations

from flaggerpy.api.status import Revision
from flaggerpy.rollout import audience, children, promote, revision, rollback, scaling
from flaggerpy.rollout.decision import ForgetPromoted, RestorePrimary
from flaggerpy.rollout.turn import Turn


def obstacle(turn: Turn) -> str:
    """Say why the primary cannot get back what it ran before; empty when it can."""
    before, applied = _before(turn), turn.status.rollout.applied
    if before is None or applied is None:
        return f"what {turn.primary_name} ran before is not kept"
    if before.configs != applied.configs:
        return f"the configs that {turn.primary_name} read before are overwritten"
    return ""


def run(turn: Turn) -> None:
    """Take the next step of giving the primary back what it ran before."""
    primary, before = turn.seen.primary, turn.seen.kept.revision
    turn.wait(turn.status.rollout.failing)
    if _is_undone(turn, before):
        turn.do(ForgetPromoted())
        turn.note(promoted=None)
        turn.wake_now()
        return
    if before is None:
        promote.fail(turn, f"what {turn.primary_name} ran before is not kept any more")
        return
    if primary is None or not revision.alike(turn.status.rollout.promoted, before):
        if primary is None or primary.template != before.template:
            turn.do(RestorePrimary())
        step = turn.status.rollout.step.model_copy(update={"started_at": turn.now})
        turn.note(promoted=before, step=step)
        turn.wake_now()
        return
    unchanged = revision.same(turn.status.rollout.applied, turn.seen, turn.target)
    if not unchanged and promote.leave_changed_canary(turn):
        return
    state = turn.primary_readiness()
    if scaling.enough(turn, state):
        # Wherever the route leads now: a crash may have kept it from being recorded that users have returned already.
        rollback.fail(turn, turn.status.rollout.failing, stay=False)
    elif not _route_stands(turn):
        return
    elif state.stuck:
        promote.fail(turn, state.message)
    else:
        scaling.wait(turn, state)


def _route_stands(turn: Turn) -> bool:
    """Whether the weights are the intended ones; users who returned before that was recorded stay on the primary."""
    live = turn.seen.route.routes
    if live is not None and audience.outgrown(turn.seen, turn.status):
        return True
    if live is None or live.canary >= turn.intended.canary or turn.only_canary_serves():
        return children.mend_route(turn)
    turn.begin_step(live.canary)
    return True


def _before(turn: Turn) -> Revision | None:
    kept = turn.seen.kept
    return kept.before if _is_undone(turn, kept.revision) else kept.revision


def _is_undone(turn: Turn, kept: Revision | None) -> bool:
    """Whether this is the revision whose promotion is aborted."""
    applied, target = turn.status.rollout.applied, turn.seen.target
    if kept is None or applied is None or kept.configs != applied.configs:
        return False
    shown = target.template if target is not None and revision.same(applied, turn.seen, target) else applied.template
    return kept.template in {applied.template, shown}
