"""What every kind of autoscaler tells about itself, and how the primary's is made after it; one module a kind.

A kind translates JSON and does nothing else: which objects there are, whose they are and what a user did wrong with
them is the same for all kinds, and in ``autoscaler``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from flaggerpy.api.canary import Canary
from flaggerpy.kube.objects import JsonObject
from flaggerpy.kube.resources import Resource
from flaggerpy.rollout.observation import Bounds

_WINDOW = 300
"""For how many seconds Kubernetes goes by the highest recommendation, where behavior.scaleDown says nothing."""
_METRICS_LATE = 60
"""In how many seconds metrics show a load that has come: the rate of two scrapes, and the autoscaler's next look."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What matters of one autoscaler.

    Attributes:
        bounds: how many pods it may ask for while anything is going on.
        scales: kind and name of the workload.
        memory: for how many seconds it goes by what pods did before.
        idle: how many pods it leaves while nothing is going on, None where that is the lower bound.
        pausable: whether it would wake a sleeping workload unless it is paused, and is nobody else's to pause.
        notes: what works and was probably meant differently.

    """

    bounds: Bounds
    scales: tuple[str, str]
    memory: int
    idle: int | None = None
    pausable: bool = False
    notes: tuple[str, ...] = ()


class Scaler(Protocol):
    """One kind of autoscaler.

    Attributes:
        resource: the kind.
        own: labels and annotations that belong to one object and never follow it to the primary's.

    """

    resource: Resource
    own: frozenset[str]

    def facts(self, canary: Canary, scaler: JsonObject) -> Facts:
        """Say what matters of an autoscaler."""
        ...

    def spec(self, canary: Canary, scaler: JsonObject, bounds: Bounds) -> JsonObject:
        """Return the spec of the primary's: the target's, with the primary to scale and other bounds."""
        ...


def memory(behavior: Mapping[str, Any], later: int = 0) -> int:
    """Return for how many seconds an autoscaler of Kubernetes goes by what pods did before; it looks ``later``."""
    window = (behavior.get("scaleDown") or {}).get("stabilizationWindowSeconds")
    return max(_WINDOW if window is None else int(window), _METRICS_LATE + later)
