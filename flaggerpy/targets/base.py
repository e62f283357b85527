"""What the rest of the program may ask of a kind of workload: the protocol, its arguments and its answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from flaggerpy.api.canary import Canary
from flaggerpy.kube.objects import JsonObject
from flaggerpy.kube.resources import Ref
from flaggerpy.rollout.observation import ServicesSeen
from flaggerpy.rollout.workload import Workload
from flaggerpy.targets.configs import TrackedConfigs
from flaggerpy.targets.labels import LabelRules


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a primary is made with, besides the target.

    Attributes:
        tracked: keys of the configs that the primary reads as copies (``ConfigsSeen.ours`` will do).
        promotion_id: becomes the primary's ``flagger-id``, so that a promotion always restarts its pods.

    """

    rules: LabelRules = field(default_factory=LabelRules)
    tracked: TrackedConfigs = ()
    promotion_id: str = ""


@dataclass(frozen=True, slots=True)
class PodPort:
    """A port that a container declares; ``index`` is its place within the container."""

    container: str
    index: int
    name: str
    number: int
    protocol: str = "TCP"


@dataclass(frozen=True, slots=True)
class TargetFacts:
    """What Services need to know of a target and its primary.

    Attributes:
        clone: where the target is a Service itself, the spec of the one that the canary's users come through.
        served: whether there are to be Services at all; a Knative service has its own.
        looked_at: whether what the target runs is known to be of its template, whatever else of it was just written.

    """

    selector_label: str
    selector_value: str
    primary_value: str
    ports: tuple[PodPort, ...] = ()
    primary_ports: tuple[PodPort, ...] = ()
    clone: JsonObject | None = None
    served: bool = True
    looked_at: bool = False


class Target(Protocol):
    """A kind of workload, as pure translations between its objects and what the core knows.

    Attributes:
        copied: whether a primary is a copy of its pod template, which reads copies of its configs.

    """

    copied: bool

    def ref(self, canary: Canary) -> Ref:
        """Return the reference to the user's workload."""

    def primary_ref(self, canary: Canary) -> Ref:
        """Return the reference to our copy of it."""

    def state(self, target: Mapping[str, Any]) -> Workload:
        """Say what the target runs and how far it is."""

    def primary_state(self, canary: Canary, primary: Mapping[str, Any], recipe: Recipe) -> Workload | None:
        """Say what the primary runs, translated back, and how far it is; never raises.

        None where the object is there and says that there is no primary yet.
        """

    def facts(self, canary: Canary, target: JsonObject, rules: LabelRules, primary: JsonObject | None) -> TargetFacts:
        """Return what Services need to know.

        Raises:
            UserError: the target's labels cannot be served, or no longer fit its primary.

        """

    def check(self, canary: Canary, target: JsonObject) -> None:
        """Look for settings of the target with which it and a primary could not work.

        Raises:
            UserError: there are some.

        """

    def size_patch(self, live: JsonObject, replicas: int) -> list[JsonObject] | None:
        """Return the change that gives a live object this size; None where its scale subresource does that."""

    def make_primary(
        self, canary: Canary, target: JsonObject, primary: JsonObject | None, recipe: Recipe
    ) -> JsonObject:
        """Return the primary to create, or the whole body to put in the place of the live one.

        Raises:
            UserError: the target's labels or configs cannot be served.

        """


def target_state(
    target: Target | None, obj: JsonObject | None, facts: TargetFacts | None, services: ServicesSeen
) -> Workload | None:
    """The target's state; one that is a Service is ready when the canary's Service is as it is."""
    if target is None or obj is None:
        return None
    state = target.state(obj)
    if facts is not None and facts.looked_at:
        state = replace(state, observed_generation=state.generation)
    behind = facts is not None and facts.clone is not None and not services.canary
    return replace(state, updated_replicas=0) if behind else state
