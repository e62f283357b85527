"""Which kinds of workload can be targets: all that the CRD admits."""

from __future__ import annotations

from flaggerpy.api.canary import Canary
from flaggerpy.targets.base import Target
from flaggerpy.targets.daemonset import DaemonSetTarget
from flaggerpy.targets.deployment import DeploymentTarget
from flaggerpy.targets.knative import KnativeTarget
from flaggerpy.targets.service import ServiceTarget

TARGETS: dict[str, Target] = {
    "Deployment": DeploymentTarget(),
    "DaemonSet": DaemonSetTarget(),
    "Service": ServiceTarget(),
}
KNATIVE = KnativeTarget()
"""A Service as well, of another API."""


def target_for(canary: Canary) -> Target:
    """Return the translator for the canary's kind of target."""
    ref = canary.spec.target_ref
    return KNATIVE if ref.is_knative else TARGETS[ref.kind]
