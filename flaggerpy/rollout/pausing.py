"""The target's autoscaler while the target sleeps: paused where it would wake it, resumed before pods are wanted.

An autoscaler that is paused at zero pods takes away pods that serve users. So it is paused only where the target may be
scaled to zero, right before that, and resumed before the target is scaled up. A crash between the two writes leaves a
target that nobody uses: asleep, or awake too early.
"""

from __future__ import annotations

from flaggerpy.api.constants import KEDA_PAUSED_REPLICAS
from flaggerpy.api.status import Phase
from flaggerpy.rollout import children
from flaggerpy.rollout.decision import PauseScaler, ResumeScaler, ScaleTarget
from flaggerpy.rollout.transition import ANALYSIS
from flaggerpy.rollout.turn import Turn


def missing(turn: Turn) -> bool:
    """Whether the target's autoscaler may wake a sleeping target, and we can prevent it."""
    scaler = turn.seen.scaler
    return scaler is not None and scaler.pausable and scaler.source not in turn.seen.paused


def awake(turn: Turn) -> bool:
    """Whether the target can be put to sleep and does not sleep, or its autoscaler may wake it."""
    return turn.target.sleeps and (turn.target.replicas > 0 or missing(turn))


def sleep(turn: Turn) -> None:
    """Put a target to sleep that nobody uses; its autoscaler is paused first, or it would wake it again."""
    if turn.seen.scaler is not None and missing(turn):
        turn.do(PauseScaler(turn.seen.scaler.source))
    if turn.target.replicas > 0:
        turn.do(ScaleTarget(0))


def resume(turn: Turn) -> None:
    """Resume whatever is paused at zero pods; comes before pods of the target are asked for."""
    turn.do(*(action for action in map(ResumeScaler, turn.seen.paused) if not turn.does(action)))


def keep(turn: Turn) -> None:
    """Resume an autoscaler that somebody paused at zero pods while users are on the target, or on their way to it."""
    phases = {*ANALYSIS, Phase.PROMOTING}
    awake = turn.status.rollout.serving_canary or (turn.before.phase in phases and turn.status.phase in phases)
    if not awake or all(turn.does(ResumeScaler(name)) for name in turn.seen.paused):
        return
    if children.may_mend(turn, "the autoscaler's pause"):
        resume(turn)
        names = ", ".join(turn.seen.paused)
        turn.warn(f"{names} was paused at zero pods while {turn.target_name} is in use: resumed")


def fight(turn: Turn) -> str:
    """Say that the autoscaler is not paused though the target sleeps."""
    scaler = turn.seen.scaler
    what = f"{scaler.kind} {scaler.source}" if scaler is not None else "its autoscaler"
    return (
        f"{what} is not paused while {turn.target_name} sleeps, and may wake it: paused at most once an interval; "
        f"leave its annotation {KEDA_PAUSED_REPLICAS} to flaggerpy"
    )
