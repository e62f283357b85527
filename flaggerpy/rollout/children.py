"""The objects around a canary that must be right in every phase: Services, the route, disruption budgets.

Somebody else may change them again and again (a GitOps tool that heals its own copy): what they changed is put back at
once, the same thing at most once an interval, and the status names the fight. A route that goes missing again, through
which users come, is written again after min(interval, 30 s).
"""

from __future__ import annotations

from typing import Final

from flaggerpy.api.status import Phase
from flaggerpy.rollout.decision import CopyConfigs, CreatePrimary, ServiceRole, SetRoutes, WriteBudgets, WriteService
from flaggerpy.rollout.traffic import Routes
from flaggerpy.rollout.turn import Turn

ROUTE: Final = "the route"


def mend_services(turn: Turn) -> None:
    """Mend the canary's and the primary's Service, and the apex once the primary has taken over.

    As long as only the target can serve, nobody is led away from it.
    """
    services = turn.seen.services
    bootstrap = turn.status.phase is Phase.INITIALIZING
    needed = services.apex_elsewhere and turn.only_target_serves()
    wrong = [
        role
        for role, right in (
            (ServiceRole.CANARY, services.canary),
            (ServiceRole.PRIMARY, services.primary),
            (ServiceRole.APEX, services.apex or bootstrap or needed),
        )
        if not right
    ]
    mended = [role for role in wrong if bootstrap or may_mend(turn, "the Services", f"{role.value} Service")]
    if mended:
        turn.do(*map(WriteService, mended))
        _look_again(turn)


def mend_route(turn: Turn) -> bool:
    """Put the intended weights back when the live ones differ; True when the route is as intended.

    The step clock starts anew then: users had something else in between. A route that drifted otherwise is rewritten
    with the weights it has, so drift never moves traffic; so is one with other cookies than it should have.
    """
    if not turn.seen.routed:
        return True
    live, wanted = turn.seen.route.routes, turn.intended
    if live is not None and live.traffic == wanted.traffic:
        if (turn.seen.route.drifted or live != wanted) and may_mend(turn, ROUTE):
            turn.do(SetRoutes(wanted))
        return True
    if live is None:
        if _was_mended(turn, ROUTE) and not may_write_again(turn):
            turn.wait(f"something else keeps taking the route of {turn.name} away")
            return False
        _note_mended(turn, ROUTE)
        turn.warn(f"The route of {turn.name} is missing or unreadable: written again at {wanted.canary}%")
    elif may_mend(turn, ROUTE):
        turn.warn(_changed(turn, live, wanted))
    else:
        return False
    turn.do(SetRoutes(wanted))
    if wanted.canary == 0:
        # Who got the cookie of a share that does not count must not be among the first of the one that will.
        turn.end_cookie()
    step = turn.status.rollout.step
    turn.note(step=step.model_copy(update={"started_at": turn.now}))
    turn.moved()
    turn.wake_now()
    return False


def mend_budgets(turn: Turn) -> None:
    """Keep the primary's PodDisruptionBudgets as the target's are, at most once an interval.

    Not before the bootstrap is over: until then the primary serves nobody, and its clocks are others'.
    """
    if turn.seen.budgets or turn.seen.primary is None or turn.status.phase is Phase.INITIALIZING:
        return
    last = turn.before.rollout.mended_at
    if last is None or turn.passed(last + turn.interval):
        turn.do(WriteBudgets())
        turn.note(mended_at=turn.now)


def _changed(turn: Turn, live: Routes, wanted: Routes) -> str:
    if live.canary == wanted.canary:
        copies = "gets copies of requests again" if wanted.mirrored else "gets no copies of requests any more"
        return f"The copies for {turn.name} were not what is asked for: the canary {copies}"
    return f"The weights of {turn.name} were changed from outside to {live.canary}%: put back to {wanted.canary}%"


def may_mend(turn: Turn, what: str, one: str = "") -> bool:
    """Whether it is time to put something back that somebody else changed: at once, if it was not put back lately.

    Args:
        turn: the turn.
        what: what the status calls it while it waits.
        one: its name where there are several of them.

    """
    one = one or what
    if _was_mended(turn, one):
        turn.wait(f"something else keeps changing {what} of {turn.name}: put back at most once an interval")
        return False
    _note_mended(turn, one)
    return True


def _was_mended(turn: Turn, one: str) -> bool:
    """Whether this was put back less than an interval ago; asks for another look when that is over."""
    rollout = turn.before.rollout
    lately = rollout.mended_at is not None and not turn.passed(rollout.mended_at + turn.interval)
    return lately and one in rollout.mended


def _note_mended(turn: Turn, one: str) -> None:
    last = turn.before.rollout.mended_at
    over = last is None or turn.now >= last + turn.interval
    before = [] if over else turn.before.rollout.mended
    now = turn.status.rollout.mended if turn.status.rollout.mended_at == turn.now else before
    turn.note(mended_at=turn.now, mended=sorted({*now, one}))


def may_write_again(turn: Turn) -> bool:
    """Whether it is time to write again what did not come about."""
    last = turn.before.rollout.mended_at
    return last is None or turn.passed(last + turn.settle)


def clone_target(turn: Turn) -> None:
    """Create the primary from the target, with its configs first."""
    turn.do(CopyConfigs(dict(turn.seen.configs.ours)), CreatePrimary())
    turn.wait_for_new_pods()
    _look_again(turn)


def _look_again(turn: Turn) -> None:
    """Where the target is a Service, what was written is ready at once, and nothing else will tell."""
    if not turn.target.sleeps:
        turn.wake_now()
