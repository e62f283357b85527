"""Which kinds of workload can be targets."""

from __future__ import annotations

from flaggerpy.api.canary import Canary
from flaggerpy.rollout.errors import UserError
from flaggerpy.targets.base import Target
from flaggerpy.targets.daemonset import DaemonSetTarget
from flaggerpy.targets.deployment import DeploymentTarget

TARGETS: dict[str, Target] = {"Deployment": DeploymentTarget(), "DaemonSet": DaemonSetTarget()}


def target_for(canary: Canary) -> Target:
    """Return the translator for the canary's kind of target.

    Raises:
        UserError: there is none.

    """
    kind = canary.spec.target_ref.kind
    if kind in TARGETS:
        return TARGETS[kind]
    raise UserError(
        f"spec.targetRef.kind is {kind}, which this version of flaggerpy cannot roll out; it can: {', '.join(TARGETS)}."
    )
