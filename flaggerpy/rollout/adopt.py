"""A status that Flagger left: fill in what we would have recorded, without moving traffic or starting a rollout.

Flagger's hashes depend on the Go structs it was built with, so they are not compared with anything. What the primary
runs is read from the primary, where users are from the route, and whether somebody changed the target after Flagger's
last word from the target's ReplicaSets or ControllerRevisions. Nothing else is written in that tick, so one that a
crash cuts short is decided anew. See docs/takeover.md.
"""

from __future__ import annotations

from flaggerpy.api.analysis import Strategy
from flaggerpy.api.status import Phase, Revision, Step
from flaggerpy.rollout import initialize, pausing, revision, strategy
from flaggerpy.rollout.decision import ScaleTarget
from flaggerpy.rollout.observation import Observation
from flaggerpy.rollout.transition import ANALYSIS
from flaggerpy.rollout.turn import Turn

GONE = Revision(template="flagger")
"""What Flagger rolled out last, where the target asks for something else by now; equal to nothing."""
OTHER_CONFIGS = {"flagger": ""}
"""Configs that differ from any that there are."""
ONLY_COPIES = (0, True)
"""Traffic of a canary that users do not meet while it gets copies of their requests."""


def depends_on_history(seen: Observation) -> bool:
    """Whether it matters for taking this canary over since when its target has its pod template."""
    status = seen.canary.status
    if status.rollout.applied is not None or seen.target is None or seen.primary is None:
        return False
    failed_for_good = status.phase is Phase.FAILED and seen.primary.template != seen.target.template
    return status.phase in ANALYSIS or failed_for_good


def run(turn: Turn) -> bool:
    """Take over a canary that has a phase but none of our records; True when that is all for this tick."""
    if turn.status.rollout.applied is not None:
        return False
    running = revision.of_primary(turn.seen, turn.target)
    if running is None:
        return False
    match turn.status.phase:
        case Phase.INITIALIZING:
            _keep_new_primary(turn, running)
            return False
        case Phase.FAILED if not turn.status.last_promoted_spec and turn.seen.services.apex_released:
            _go_on_with_bootstrap(turn)
            return True
        case phase if depends_on_history(turn.seen) and _history_is_to_come(turn):
            turn.wait_for_controller()
            return True
        case phase if phase in ANALYSIS:
            _take_analysis(turn, running)
        case Phase.PROMOTING | Phase.FINALISING:
            _take_promotion(turn, running)
        case Phase.FAILED:
            applied = running if _changed(turn) else turn.current_revision()
            _take_stable(turn, applied, running)
        case _:
            # What the primary does not run is new.
            _take_stable(turn, running, running)
    turn.wake_now()
    return True


def _keep_new_primary(turn: Turn, running: Revision) -> None:
    """Do not restart a primary that Flagger made from what the target asks for; configs are copied once more."""
    ours = turn.seen.primary_is_owned and not turn.seen.configs.ours
    if ours and running == turn.current_revision():
        turn.note(applied=running, step=Step(started_at=turn.now))


def _go_on_with_bootstrap(turn: Turn) -> None:
    """Flagger gives a bootstrap up after a while and puts the target to sleep, though users are still on it."""
    initialize.enter(turn)
    if turn.target.replicas == 0:
        size = max(turn.seen.primary.replicas if turn.seen.primary else 1, 1)
        pausing.resume(turn)
        turn.do(ScaleTarget(size))
        turn.note(scaled_at=turn.now)
        turn.warn(f"Flagger gave the bootstrap of {turn.name} up: {turn.target_name} is scaled up to serve its users")
    turn.say(f"Taken over from Flagger: the bootstrap of {turn.name} goes on")
    turn.wake_now()


def _take_analysis(turn: Turn, running: Revision) -> None:
    history = turn.seen.history
    if running == turn.current_revision():
        if _changed(turn) or (history is not None and history.put_back):
            _record(turn, GONE, running, "the promoted revision was put back, so the rollout is cancelled")
        else:
            # Flagger had written the primary and died before it could say so; users return when it is ready.
            turn.set(phase=Phase.PROMOTING)
            _take_promotion(turn, running)
    elif _changed(turn):
        _record(turn, _rolled_out(turn), running, f"{turn.target_name} was changed since, so its analysis begins anew")
    else:
        turn.set(iterations=_iterations(turn))
        copies = ", and the canary still gets copies of requests" if _gets_copies(turn) else ""
        _record(turn, turn.current_revision(), running, f"the rollout goes on at {_live_weight(turn)}%{copies}")


def _iterations(turn: Turn) -> int:
    """How many iterations are done: Flagger counts back while it waits for the promotion to be approved."""
    analysis = turn.canary.analysis
    if strategy.is_progressive(analysis, routed=turn.seen.routed):
        return 0
    if turn.status.phase is not Phase.WAITING_PROMOTION:
        return turn.status.iterations
    total = strategy.iterations(analysis, routed=turn.seen.routed)
    everybody = turn.seen.routed and analysis.strategy is Strategy.BLUE_GREEN and _live_weight(turn) == 100
    return total + everybody


def _take_promotion(turn: Turn, running: Revision) -> None:
    """Go on with a promotion: the primary has been written, and users are where the route says."""
    if turn.status.phase is Phase.FINALISING:
        _record(turn, running, running, "the rollout is finished", weight=0)
        turn.moved()
        return
    _record(turn, running, running, f"the promotion goes on at {_live_weight(turn)}%")
    if turn.canary.analysis.step_weight_promotion > 0:
        turn.judged()  # the share that users have now lasts an interval, whenever Flagger gave it to them


def _take_stable(turn: Turn, applied: Revision, running: Revision) -> None:
    # After a failed promotion Flagger leaves all users on the target.
    serving = turn.seen.routed and turn.status.phase in {Phase.FAILED, Phase.WAITING} and _everybody_on_target(turn)
    new = not revision.same(applied, turn.seen, turn.target) and not revision.alike(running, turn.current_revision())
    waits = turn.status.phase is Phase.WAITING and new
    news = "its new revision waits for approval" if waits else "a new revision was pushed since"
    _record(turn, applied, running, news if new else "nothing to roll out", weight=100 if serving else 0)
    turn.note(serving_canary=serving, scaled_at=turn.now if turn.target.replicas == 0 else None)


def _everybody_on_target(turn: Turn) -> bool:
    live = turn.seen.route.routes
    return live.canary == 100 if live is not None else turn.status.canary_weight == 100


def _record(turn: Turn, applied: Revision, running: Revision, news: str, *, weight: int | None = None) -> None:
    """Record what runs and where users are; a share that they have now is kept for a whole interval."""
    share = _live_weight(turn) if weight is None else weight
    phase = turn.before.phase.value
    turn.begin_step(share, mirrored=_gets_copies(turn))
    turn.note(applied=applied, promoted=running)
    turn.say(f"Taken over from Flagger in phase {phase}: {news}")


def _live_weight(turn: Turn) -> int:
    live = turn.seen.route.routes if turn.seen.routed else None
    return live.canary if live is not None else 0


def _gets_copies(turn: Turn) -> bool:
    """Whether Flagger copies requests to the canary, as it does during the iterations of Blue/Green."""
    live = turn.seen.route.routes if turn.seen.routed else None
    return turn.status.phase in ANALYSIS and live is not None and live.traffic == ONLY_COPIES


def _history_is_to_come(turn: Turn) -> bool:
    """Whether the workload's controller has yet to give the template an object of its own."""
    return turn.target.observed_generation < turn.target.generation


def _changed(turn: Turn) -> bool:
    """Whether the template or a config changed after Flagger's last word.

    Times have a resolution of a second; a change in the very second of Flagger's last word counts as seen by it.
    """
    recorded = turn.status.tracked_configs
    return _template_changed(turn) or (recorded is not None and recorded != dict(turn.seen.configs.flagger))


def _template_changed(turn: Turn) -> bool:
    last, history = turn.status.last_transition_time, turn.seen.history
    return history is not None and last is not None and history.since > last


def _rolled_out(turn: Turn) -> Revision:
    """What Flagger rolled out last, where it is not what the target asks for now.

    With the same template it had other configs, so the pods that read those are started again.
    """
    return GONE if _template_changed(turn) else turn.current_revision().model_copy(update={"configs": OTHER_CONFIGS})
