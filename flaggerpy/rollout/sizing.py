"""A canary with as many pods as its share of the users needs, where the Canary asks for that.

The reasons are told in docs/design/0006-sized-by-its-share.md.

Pods come before users: what the next share needs is asked for when that share is earned, and the share follows when
enough of the pods are ready. What is asked for is in the status before it is written, and whoever runs the next tick
makes it so. The primary keeps all its pods meanwhile, so users can return to it at any moment.
"""

from __future__ import annotations

import math
from datetime import datetime
from fractions import Fraction

from flaggerpy.api.analysis import Strategy
from flaggerpy.api.status import Growth, Phase
from flaggerpy.rollout import audience, failfast, strategy
from flaggerpy.rollout.decision import ScalePrimary, ScaleTarget
from flaggerpy.rollout.readiness import Readiness, enough
from flaggerpy.rollout.traffic import Acceptance
from flaggerpy.rollout.transition import ANALYSIS, IDLE
from flaggerpy.rollout.turn import Turn

_ALL = 100
"""Percent of the users."""
_HALF = 50
"""Percent of the users that a canary can have whose pods are its share; it may begin with more than it can have."""


def applies(turn: Turn) -> bool:
    """Whether the canary is to be as large as its share; a DaemonSet or a Service has no size to choose."""
    target = turn.seen.target
    sizable = target is not None and target.sleeps and not target.per_node
    wanted = turn.canary.analysis.sized_by_share or by_replicas(turn)
    return sizable and turn.canary.spec.autoscaler_ref is None and wanted


def by_replicas(turn: Turn) -> bool:
    """Whether users are spread over pods evenly, so that the numbers of pods are the shares."""
    analysis = turn.canary.analysis
    progressive = strategy.is_progressive(analysis, routed=turn.seen.routed)
    return progressive and turn.seen.capabilities.by_replicas and analysis.traffic_by_replicas is not None


def size(turn: Turn, share: int) -> int:
    """Return the pods that so many percent of the users need; all of them where the canary is not sized any more.

    An audience that comes first is there with any share, and nobody knows how many users it is.
    """
    whole, scale, primary = full_size(turn), turn.canary.analysis.canary_scale, turn.seen.primary
    if not applies(turn):
        return whole
    if by_replicas(turn):
        return nearest(primary.replicas, min(share, _HALF)) if primary is not None and share < _ALL else whole
    if share > 0 and audience.whose(turn.seen) == "audienceFirst":
        return whole
    least = scale.min_replicas if scale is not None else 1
    return min(max(math.ceil(whole * share / _ALL), least, 1), whole)


def nearest(primary: int, share: int) -> int:
    """Return the pods of a canary whose part of all pods is nearest to a share in percent, one at least.

    The primary keeps its own, so a share of half of the users needs as many again. Of two that are as near it is the
    smaller one.
    """
    fewer = primary * share // (_ALL - share)
    return min(max(fewer, 1), fewer + 1, key=lambda pods: abs(Fraction(pods, pods + primary) - Fraction(share, _ALL)))


def full_size(turn: Turn) -> int:
    """Return the pods that all users need: what the primary has, or had when it was lost."""
    primary = turn.seen.primary
    return turn.status.rollout.full_size or max(primary.replicas if primary is not None else 1, 1)


def first_share(turn: Turn) -> int:
    """Return the percentage of the requests that comes to a canary first, be they copies."""
    analysis = turn.canary.analysis
    if turn.status.rollout.serving_canary:
        return _ALL
    if not turn.seen.routed or turn.canary.spec.skip_analysis:
        return 0
    if strategy.is_mirrored(analysis, turn.seen.capabilities):
        return copies(turn)
    if strategy.is_progressive(analysis, routed=True):
        return strategy.next_weight(analysis, 0) or _ALL
    # Nobody knows how many users the audience of an A/B test is; Blue/Green begins without any.
    return _ALL if analysis.strategy is Strategy.AB_TESTING else 0


def copies(turn: Turn) -> int:
    """Return the percentage of the requests that are copied."""
    share = turn.canary.analysis.mirror_weight if turn.seen.capabilities.mirror_weight else 0
    return share or _ALL


def _fits(turn: Turn, share: int) -> bool:
    """Whether the canary has the ready pods that a share needs."""
    if not _is_sized(turn):
        return True
    needed = enough(size(turn, share), turn.canary.analysis.canary_ready_threshold)
    return turn.target.available_replicas >= needed


def readiness(turn: Turn) -> Readiness:
    """Whether the canary is ready for the users that it has; pods for more of them are waited for elsewhere."""
    return turn.target_readiness(size(turn, _share(turn)) if _is_sized(turn) else None)


# Before a share grows


def approved(turn: Turn, share: int | None = None) -> bool:
    """Whether a larger share, or this one, only waits for its pods."""
    growth = turn.status.rollout.step.growth
    return growth is not None and growth.approved and share in {None, growth.share}


def ready_for(turn: Turn, share: int) -> bool:
    """Whether the canary has the pods of a share that is earned; until then they are asked for and waited for."""
    if _fits(turn, share):
        return True
    _ask(turn, share)
    return False


def _ask(turn: Turn, share: int) -> None:
    """Ask for pods once, and judge the canary on while they come."""
    step, wanted = turn.status.rollout.step, Growth(share=share, since=turn.now)
    pods = size(turn, share)
    if step.growth is None or step.growth.share != share:
        turn.say(f"Scaling up {turn.target_name} to {pods} pods before {share}% of the users come to it")
        turn.wake_now()
    else:
        wanted = step.growth.model_copy(update={"approved": True})
    turn.note(step=step.model_copy(update={"growth": wanted}))
    if turn.analysed:
        turn.judged()
        turn.wake(turn.now + turn.interval)
    turn.wait(f"waiting for {turn.target_name} to have the {pods} pods that {share}% of the users need")


def disapprove(turn: Turn) -> None:
    """Let the pods come, but no users with them: the canary was judged badly, or could not be judged, since.

    Where users come with every pod, none may come.
    """
    step = turn.status.rollout.step
    if by_replicas(turn):
        _take_back(turn)
    elif step.growth is not None and step.growth.approved:
        turn.note(step=step.model_copy(update={"growth": step.growth.model_copy(update={"approved": False})}))


def _take_back(turn: Turn) -> bool:
    """Want no more than the pods of the present share, at once; whether more were wanted."""
    step = turn.status.rollout.step
    if step.growth is None:
        return False
    turn.note(step=step.model_copy(update={"growth": None}), scaled_at=None)
    turn.wake_now()
    return True


def trouble(turn: Turn) -> str:
    """Say why the pods of the next share do not come; empty while there is hope."""
    growth = turn.status.rollout.step.growth
    if growth is None or turn.advance == "full" or _fits(turn, growth.share):
        return ""
    if hopeless := failfast.why(turn, turn.target, turn.canary.analysis.canary_ready_threshold):
        return f"{turn.target_name} cannot become ready: {hopeless}"
    if not turn.passed(growth.since + turn.deadline):
        return ""
    pods, there = size(turn, growth.share), turn.target.available_replicas
    return f"{turn.target_name} has {there} of the {pods} pods that {growth.share}% of the users need"


def takes_everybody(turn: Turn) -> bool:
    """Whether users can come to the canary whom the primary cannot serve; its pods are asked for, and not for ever."""
    if _fits(turn, _ALL) or turn.only_canary_serves():
        return True
    growth = turn.status.rollout.step.growth
    if growth is not None and growth.share == _ALL and turn.passed(growth.since + turn.deadline):
        pods, there = size(turn, _ALL), turn.target.available_replicas
        turn.warn(f"{turn.target_name} has {there} of the {pods} pods that all users need: going on with these")
        return True
    return ready_for(turn, _ALL)


# Where pods are shares


def tell(turn: Turn) -> None:
    """Say what share the pods really make; nothing is told while some of them come or go."""
    step, workloads = turn.status.rollout.step, (turn.seen.target, turn.seen.primary)
    pods = [one.available_replicas for one in workloads if one is not None and one.available_replicas == one.replicas]
    if not by_replicas(turn) or turn.status.phase not in ANALYSIS or not 0 < step.weight < _ALL:
        share = ""
    elif step.growth is not None or len(pods) < len(workloads):
        return
    else:
        share = in_words(step.weight, *pods)
    if share != turn.status.rollout.share:
        turn.note(share=share)
        if share:
            turn.say(f"Share of {turn.target_name}: {share}")


def in_words(asked: int, canary: int, primary: int) -> str:
    """Compare the share that was asked for with the one that pods make, to a tenth of a percent."""
    pods = canary + primary
    return f"asked {asked} %, {canary} of {pods} pods = {_ALL * canary / max(pods, 1):.1f} %".replace(".0 %", " %")


# After it was lost


def is_whole(turn: Turn) -> bool:
    """Whether the primary is as large as it was when the rollout began; if not, it is asked for, and not for ever."""
    primary, rollout = turn.seen.primary, turn.status.rollout
    pods, since = rollout.full_size, rollout.asked_whole_at or turn.now
    if primary is None or primary.replicas >= pods:
        turn.note(asked_whole_at=None)
        return True
    if turn.passed(since + turn.deadline):
        there = f"{turn.primary_name} has {primary.replicas} of its {pods} pods"
        turn.warn(f"{there}, because something else scales it: going on with these")
        turn.note(full_size=primary.replicas, asked_whole_at=None)
        return True
    turn.note(asked_whole_at=since)
    turn.do(ScalePrimary(pods))
    return False


# In every tick


def keep(turn: Turn) -> None:
    """Give the canary the pods of its share, or of the next one; last in a tick, and not for what the tick decided."""
    if not _is_sized(turn):
        return
    rollout, phase = turn.status.rollout, turn.status.phase
    if phase in IDLE | {Phase.WAITING} and not rollout.serving_canary:
        if rollout.full_size and turn.seen.primary is not None and is_whole(turn):
            turn.note(full_size=0)
            turn.wake_now()
        return
    if phase in ANALYSIS and _note_full_size(turn):
        return
    if phase in ANALYSIS and turn.paused and by_replicas(turn) and _take_back(turn):
        return
    in_use = phase in ANALYSIS or phase is Phase.PROMOTING or rollout.serving_canary
    if in_use and turn.target.replicas > 0 and _decided_before(turn):
        _resize(turn)


def _is_sized(turn: Turn) -> bool:
    """Whether the canary has, or is to have, another size than the primary."""
    target = turn.seen.target
    return applies(turn) or (target is not None and turn.status.rollout.full_size > 0)


def _note_full_size(turn: Turn) -> bool:
    """Follow a primary that grows, or stop where the canary is not sized any more and has all its pods.

    One that somebody makes smaller has fewer users than before, and no canary has fewer for that.
    """
    primary = turn.seen.primary
    if primary is None:
        return False
    pods = max(primary.replicas, turn.status.rollout.full_size, 1)
    scaled_otherwise = turn.canary.spec.autoscaler_ref is not None
    if not applies(turn) and (turn.target.replicas >= pods or scaled_otherwise):
        pods = 0
    if turn.status.rollout.full_size == pods:
        return False
    turn.note(full_size=pods)
    turn.wake_now()
    return True


def _decided_before(turn: Turn) -> bool:
    """Whether what is wanted was in the status before this tick, so that a crash cannot make anybody forget it."""
    now, before = turn.status, turn.before
    return now.phase is before.phase and _wish(turn) == (
        before.rollout.serving_canary,
        before.rollout.step.started_at,
        before.rollout.step.growth,
        before.rollout.scaled_at,
    )


def _wish(turn: Turn) -> tuple[object, ...]:
    rollout = turn.status.rollout
    return rollout.serving_canary, rollout.step.started_at, rollout.step.growth, rollout.scaled_at


def _resize(turn: Turn) -> None:
    step, growth = turn.status.rollout.step, turn.status.rollout.step.growth
    wanted = size(turn, max(_share(turn), growth.share if growth is not None else 0))
    there, began = turn.target.replicas, step.started_at or turn.now
    spare = there > wanted and turn.status.phase in ANALYSIS and _is_served(turn, began)
    since = growth.since if growth is not None and there < wanted else began
    if (there < wanted or spare) and _may_scale(turn, since):
        turn.do(ScaleTarget(wanted))
        turn.note(scaled_at=turn.now)


def _may_scale(turn: Turn, since: datetime) -> bool:
    """Whether nobody has scaled for this wish yet; what somebody else undoes is written at most once an interval."""
    scaled = turn.before.rollout.scaled_at
    return scaled is None or scaled < since or turn.passed(scaled + turn.interval)


def _is_served(turn: Turn, began: datetime) -> bool:
    """Whether the data plane has the step that makes pods spare, and users who are to leave had time to do so.

    A data plane that says nothing is believed after a while.
    """
    step, silent = turn.status.rollout.step, turn.seen.routed and turn.seen.route.accepted is not Acceptance.YES
    if silent and not turn.passed(began + turn.seen.limits.accept_within):
        return False
    return step.weight > 0 or step.mirrored or turn.passed(began + turn.settle)


def _share(turn: Turn) -> int:
    """The percentage of the requests that the canary has to be able to answer now, or is about to get first."""
    status, step = turn.status, turn.status.rollout.step
    if status.rollout.serving_canary:
        return _ALL
    if step.mirrored:
        return max(copies(turn), step.weight)
    begun = step.weight > 0 or status.iterations > 0 or status.phase is Phase.PROMOTING
    return step.weight if begun else first_share(turn)
