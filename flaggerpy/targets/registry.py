"""Which kinds of workload can be targets."""

from __future__ import annotations

from flaggerpy.api.canary import Canary
from flaggerpy.rollout.errors import UserError
from flaggerpy.targets.base import Target
from flaggerpy.targets.daemonset import DaemonSetTarget
from flaggerpy.targets.deployment import DeploymentTarget
from flaggerpy.targets.service import ServiceTarget

TARGETS: dict[str, Target] = {
    "Deployment": DeploymentTarget(),
    "DaemonSet": DaemonSetTarget(),
    "Service": ServiceTarget(),
}


def target_for(canary: Canary) -> Target:
    """Return the translator for the canary's kind of target.

    Raises:
        UserError: there is none.

    """
    kind = canary.spec.target_ref.kind
    if kind in TARGETS and not canary.spec.target_ref.is_knative:
        return TARGETS[kind]
    which = f"{kind} of {canary.spec.target_ref.api_version}" if kind in TARGETS else kind
    raise UserError(
        f"spec.targetRef.kind is {which}, which this version of flaggerpy cannot roll out; it can: "
        f"{', '.join(TARGETS)}."
    )
