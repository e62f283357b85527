"""How many pods target and primary get, and the primary's autoscaler, which is looked at in every tick.

The reasons are told in docs/design/0004-autoscalers.md.

Where users come to the primary in numbers that its autoscaler cannot know of, it gets a floor: the pods that have
served them until now. The floor is written into the status in one tick and acted on from the next one on, so that a
crash in between does not count the pods that were added as pods that had been needed.
"""

from __future__ import annotations

import math
from datetime import datetime

from flaggerpy.api.status import Phase, PrimaryScaler
from flaggerpy.rollout import audience, pausing, reload, sizing, strategy
from flaggerpy.rollout.decision import DeleteScaler, ResumeScaler, ScalePrimary, WriteScaler
from flaggerpy.rollout.observation import ScalerSeen
from flaggerpy.rollout.readiness import Readiness
from flaggerpy.rollout.transition import ANALYSIS
from flaggerpy.rollout.turn import Turn

_MOVING = frozenset({Phase.INITIALIZING, Phase.PROMOTING, Phase.FINALISING})
"""Phases in which users are on their way to the primary."""


# The primary's autoscaler


def keep(turn: Turn) -> None:
    """Keep the primary's autoscaler as the target's is; last in a tick, when it is known what the phase asks for."""
    scaler, record = turn.seen.scaler, turn.status.rollout.scaler
    if scaler is None and turn.canary.spec.autoscaler_ref is not None:
        return
    if not reload.needed(turn):
        pausing.keep(turn)
    if _identity(record) != _identity(scaler):
        _exchange(turn, record, scaler)
        return
    if scaler is None or record is None or turn.seen.primary is None:
        return
    _give_up_floor(turn, scaler, record)
    if turn.status.rollout.scaler == turn.before.rollout.scaler:
        _mend(turn, scaler, record)
    else:
        turn.wake_now()


def _identity(scaler: PrimaryScaler | ScalerSeen | None) -> tuple[str, str] | None:
    return (scaler.kind, scaler.name) if scaler is not None else None


def _exchange(turn: Turn, record: PrimaryScaler | None, scaler: ScalerSeen | None) -> None:
    """Begin or end to look after an autoscaler; its name is known before it is made, so that none is forgotten."""
    if record is not None:
        if record.kind == "ScaledObject" and record.source in turn.seen.paused:
            turn.do(ResumeScaler(record.source))
        turn.do(DeleteScaler(record.name, record.kind))
    floor = record.floor if record is not None else 0
    turn.note(scaler=_record(scaler, floor, turn.now) if scaler else None)
    turn.wake_now()


def _record(scaler: ScalerSeen, floor: int, now: datetime) -> PrimaryScaler:
    return PrimaryScaler(name=scaler.name, kind=scaler.kind, source=scaler.source, floor=floor, since=now)


def _mend(turn: Turn, scaler: ScalerSeen, record: PrimaryScaler) -> None:
    """Write what is not as it should be: at once when the floor moved, else at most once an interval."""
    minimum = _minimum(turn, scaler, record)
    if scaler.minimum == minimum and not scaler.drifted:
        return
    last, since = turn.before.rollout.mended_at, record.since
    if last is not None and (since is None or since < last) and not turn.passed(last + turn.interval):
        return
    primary = turn.seen.primary
    if record.floor and primary is not None and primary.replicas < minimum:
        turn.do(ScalePrimary(minimum))
    turn.do(WriteScaler(minimum))
    turn.note(mended_at=turn.now)


def _minimum(turn: Turn, scaler: ScalerSeen, record: PrimaryScaler) -> int:
    """The least that the primary's admits: a floor, and during an analysis a pod for those who have to come back."""
    analysed = turn.status.phase in ANALYSIS or turn.status.rollout.serving_canary
    return scaler.least(max(record.floor, 1 if analysed else 0))


# The floor


def forget(turn: Turn) -> None:
    """Begin without a floor: a promotion finds out by itself how many pods serve users."""
    record = turn.status.rollout.scaler
    if record is not None and record.floor:
        _set_floor(turn, record, 0, since=turn.now)


def hurry(turn: Turn) -> None:
    """Users go back to the primary at once: ask for the pods that served them, and wait for none."""
    record = turn.status.rollout.scaler
    serving = _serving(turn)
    if record is not None and serving > record.floor:
        _set_floor(turn, record, serving, since=turn.now)


def has_size(turn: Turn, replicas: int) -> bool:
    """Whether the primary is this large, or as large as its autoscaler admits; if not, it is asked for."""
    primary, scaler, record = turn.seen.primary, turn.seen.scaler, turn.status.rollout.scaler
    if primary is None:
        return False
    if primary.per_node:
        return True
    if scaler is None:
        if primary.replicas < replicas:
            turn.do(ScalePrimary(replicas))
        return primary.replicas >= replicas
    wanted = min(replicas, scaler.primary.high)
    if record is not None and wanted > record.floor:
        _set_floor(turn, record, wanted, since=turn.now)
    return primary.replicas >= wanted


def enough(turn: Turn, state: Readiness) -> bool:
    """Whether the primary can take all users: it is ready, and has as many pods as have served them until now.

    These are asked for once it is ready without them, so that no pod of an old template is started. A promotion waits
    for progressDeadlineSeconds and goes on with what there is then: the canary may hold the room that pods need.
    """
    primary, scaler, record = turn.seen.primary, turn.seen.scaler, turn.status.rollout.scaler
    if scaler is None or record is None or primary is None:
        return state.ready and sizing.is_whole(turn)
    if not record.floor and not state.ready:
        return False
    record = _serving_floor(turn, scaler, record)
    there = primary.available_replicas if primary.runs_one_template else 0
    needed = min(record.floor, scaler.primary.high)
    if there >= needed:
        return True
    promoting = turn.status.phase is Phase.PROMOTING
    if not promoting or there < max(scaler.primary.low, 1) or not _late(turn, record):
        return False
    turn.warn(f"{turn.primary_name} has {there} of the {needed} pods that served users: going on with these")
    _set_floor(turn, record, there, since=record.since)
    return True


def wait(turn: Turn, state: Readiness, reason: str = "") -> None:
    """Say what the primary lacks before it can take all users, or the ``reason`` why it lacks readiness."""
    record = turn.status.rollout.scaler
    if (record is None or not record.floor) and not state.ready:
        turn.wait_until_ready(turn.primary_name, state, reason)
        return
    turn.wait(f"waiting for {turn.primary_name} to have as many pods as have served users until now")
    if state.stuck_at and not state.stuck:
        turn.wake(state.stuck_at)


def _serving_floor(turn: Turn, scaler: ScalerSeen, record: PrimaryScaler) -> PrimaryScaler:
    """Ask for the pods that serve users now, once; after that the canary may grow, and nothing is counted twice."""
    primary = turn.seen.primary
    if record.floor:
        grown = turn.seen.target.available_replicas if turn.seen.target and turn.status.rollout.step.weight > 0 else 0
        if _late(turn, record) or grown <= record.floor:
            return record
        return _set_floor(turn, record, grown, since=record.since)
    asked = _set_floor(turn, record, _serving(turn), since=turn.now)
    needed = min(asked.floor, scaler.primary.high)
    if primary is not None and primary.available_replicas < needed:
        turn.say(f"Scaling up {turn.primary_name} to {needed} before all users return to it")
    return asked


def _late(turn: Turn, record: PrimaryScaler) -> bool:
    return record.since is not None and turn.passed(record.since + turn.deadline)


def _give_up_floor(turn: Turn, scaler: ScalerSeen, record: PrimaryScaler) -> None:
    """Leave the primary to its autoscaler once that has seen the users for as long as it looks back."""
    rollout = turn.status.rollout
    if not record.floor or turn.status.phase in _MOVING or rollout.serving_canary:
        return
    if rollout.moved_at is None or turn.passed(rollout.moved_at + scaler.memory):
        _set_floor(turn, record, 0, since=turn.now)


def _set_floor(turn: Turn, record: PrimaryScaler, floor: int, *, since: datetime | None) -> PrimaryScaler:
    if floor == record.floor:
        return record
    changed = record.model_copy(update={"floor": floor, "since": since})
    turn.note(scaler=changed)
    return changed


def _serving(turn: Turn) -> int:
    """How many pods users are spread over now; none is needed for users who are on the primary alone."""
    step, target, primary = turn.status.rollout.step, turn.seen.target, turn.seen.primary
    if not turn.seen.routed or step.weight == 0 or target is None:
        return 0
    # Of an audience nobody else is on the canary.
    idle = step.weight == 100 and (step.whose or audience.whose(turn.seen)) != "audience"
    return target.available_replicas + (0 if idle or primary is None else primary.available_replicas)


# The target


def first_size(turn: Turn) -> int:
    """How many pods a canary begins with.

    Without an autoscaler as many as the primary, or what its first share needs; with one, what the first users need of
    these, within its bounds.
    """
    primary, scaler = turn.seen.primary, turn.seen.scaler
    if sizing.applies(turn):
        return sizing.size(turn, sizing.first_share(turn))
    size = max(primary.replicas if primary else 1, 1)
    return size if scaler is None else max(scaler.target.clamp(math.ceil(size * _first_share(turn) / 100)), 1)


def _first_share(turn: Turn) -> int:
    """The share of requests, in percent, that is sent to a canary first, be they copies."""
    analysis = turn.canary.analysis
    if turn.status.rollout.serving_canary:
        return 100
    if not turn.seen.routed or turn.canary.spec.skip_analysis:
        return 0
    whole = strategy.is_mirrored(analysis, turn.seen.capabilities) or analysis.audience_first
    if strategy.is_progressive(analysis, routed=True) and not whole:
        return strategy.next_weight(analysis, 0) or 100
    return 100


def released_size(turn: Turn) -> int:
    """How many pods the target needs before it takes over from the primary for good."""
    primary, scaler = turn.seen.primary, turn.seen.scaler
    if turn.target.per_node:
        return 1
    size = max(primary.replicas if primary else 1, turn.status.rollout.full_size, 1)
    return size if scaler is None else scaler.target.clamp(size)
