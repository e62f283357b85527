"""The world that tests speak of: the simulation, strangers who edit it, and what a test wants to know."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import Any

from flaggerpy.api.canary import CanarySpec
from flaggerpy.api.places import RoutePlace
from flaggerpy.api.status import CanaryStatus, Phase
from flaggerpy.rollout.observation import Observation
from flaggerpy.rollout.traffic import Routes
from tests.rollout.simulation import NAME, START, Simulation
from tests.rollout.workloads import NODES, Autoscaler, DaemonSet, Deployment, PlainService


def spec(**analysis: Any) -> CanarySpec:
    """A valid spec; keyword arguments go to the analysis, those with a leading underscore to the spec itself."""
    above = {key[1:]: value for key, value in analysis.items() if key.startswith("_")}
    wanted = {"interval": "10s", "threshold": 2, "stepWeight": 10, "maxWeight": 30}
    if "stepWeights" in analysis or "iterations" in analysis:
        del wanted["stepWeight"], wanted["maxWeight"]
    wanted |= {key: value for key, value in analysis.items() if not key.startswith("_")}
    return CanarySpec.model_validate(
        {
            "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": NAME},
            "progressDeadlineSeconds": 60,
            "service": {"port": 80},
            "analysis": wanted,
        }
        | above
    )


DAEMON_SET = {"apiVersion": "apps/v1", "kind": "DaemonSet", "name": NAME}
SIZED: dict[str, Any] = {"canaryScale": {"matchTrafficWeight": True}}
BY_REPLICAS: dict[str, Any] = {"trafficByReplicas": {"label": "serves"}}
COOKIES = {"cookieName": "seen", "primaryCookieName": "old"}
SCALER = {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "name": "payment"}

SCALED_OBJECT = SCALER | {"apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject"}


def hook(kind: str, name: str = "", **more: Any) -> dict[str, Any]:
    return {"type": kind, "name": name or f"the-{kind}", "url": "http://hooks/", **more}


@dataclass
class World(Simulation):
    """A canary, its cluster, and everybody who can touch them."""

    spec: CanarySpec = field(default_factory=spec)
    routable: bool = True
    """Whether a mistake leaves it clear what the route is meant to be."""
    returnable: bool = True
    """Whether it can be written as one to the primary alone."""
    asks: int = 0

    def observe(self) -> Observation:
        return replace(super().observe(), routable=self.routable, returnable=self.returnable)

    # Strangers

    def touch(self) -> World:
        """Something changed from outside: the core looks."""
        self.dirty = True
        self.laws.ticks = 0
        return self

    def edit(self, **analysis: Any) -> World:
        self.spec = spec(**analysis)
        self.generation += 1
        return self.touch()

    def err(self, *problems: str, routable: bool = True, returnable: bool = True) -> World:
        """Somebody makes these mistakes, or mends all of them."""
        self.problems, self.routable = problems, routable or not problems
        self.returnable = returnable or not problems
        return self.touch()

    def suspend(self, suspended: bool = True) -> World:
        self.spec = self.spec.model_copy(update={"suspend": suspended})
        self.generation += 1
        return self.touch()

    def push(self, template: str) -> World:
        """Somebody writes a new pod template into the target."""
        assert self.target
        self.target.edit(template)
        self._settle()
        return self.touch()

    def configure(self, **configs: str) -> World:
        self.configs = {f"configmap/{name}": value for name, value in configs.items()}
        self.config_writes += 1
        self.reread()
        return self.touch()

    def load(self, *, target: int = 0, primary: int = 0) -> World:
        """Metrics ask for so many pods from now on; 0 says nothing about one of the two."""
        if self.autoscaler is not None and target:
            self.autoscaler.wants = target
        if self.primary_autoscaler is not None and primary:
            self.primary_autoscaler.wants = primary
        self._settle()
        return self.touch()

    def scale(self, replicas: int) -> World:
        assert self.target
        self.target.edit(replicas=replicas)
        self.laws.sabotaged = True
        return self.touch()

    def go_down(self) -> World:
        """No pod of the target that is there, or comes, is ready any more."""
        assert self.target
        self.target.broken = self.target.broken | {self.target.template}
        self.laws.sabotaged = True
        self._settle()
        return self.touch()

    def come_back(self) -> World:
        """They are ready again."""
        assert self.target
        self.target.broken = set()
        self._settle()
        return self.touch()

    def turn_route(self, weight: int) -> World:
        assert self.route
        self.laws.sabotaged = True
        self.laws.route_turned(self)
        self._set_routes(Routes(100 - weight, weight))
        return self.touch()

    def delete_route(self) -> World:
        self.laws.sabotaged = True
        self.laws.route_turned(self)
        self.route = None
        return self.touch()

    def lead(self, place: RoutePlace | None) -> World:
        """Somebody edits the Canary so that its route is another object, or none."""
        self.former, self.route, self.place = self.route, None, place
        self.routed = place is not None
        self.generation += 1
        return self.touch()

    def delete_target(self) -> World:
        self.laws.sabotaged = True
        self.target = None
        return self.touch()

    def delete_primary(self) -> World:
        self.laws.sabotaged = True
        self.primary = None
        return self.touch()

    def rebuild(self, template: str = "v1") -> World:
        """Everything is applied to a new cluster at once; of this canary nothing but what is kept came along."""
        self.laws.sabotaged = True
        self.status, self.finalizer, self.primary, self.route = CanaryStatus(), False, None, None
        self.primary_autoscaler, self.apex = None, None
        if self.autoscaler is not None:
            self.autoscaler.paused = False
        self.services.clear()
        self.announced.clear()
        kind = Deployment if self.target is None else type(self.target)
        self.target = kind(NAME, template, 2, self.now, uid=f"uid-{self.ticks}")
        self.reread()
        self._settle()
        return self.touch()

    def forget(self) -> World:
        """Somebody deletes what is kept."""
        self.kept.clear()
        return self.touch()

    def delete(self) -> World:
        self.deleting = True
        self.gone = not self.finalizer
        return self.touch()

    def release(self, wanted: bool = True) -> World:
        self.annotations = {key: value for key, value in self.annotations.items() if key != "flaggerpy.dev/release"}
        if wanted:
            self.annotations["flaggerpy.dev/release"] = "true"
        return self.touch()

    def ask(self, verb: str, by: str = "alice", template: str | None = None) -> World:
        """Somebody asks with the command line, and perhaps has seen which template the target has."""
        self.asks += 1
        request = {"id": f"request-{self.asks}", "verb": verb, "by": by, "template": template}
        self.annotations = self.annotations | {"flaggerpy.dev/request": json.dumps(request)}
        return self.touch()

    # What a test wants to know

    @property
    def phase(self) -> Phase:
        return self.status.phase

    @property
    def weight(self) -> int:
        return self.route.written.canary if self.route else 0

    @property
    def texts(self) -> list[str]:
        return [event.message for event in self.events]

    @property
    def alerts(self) -> list[tuple[str, str]]:
        return [(item.severity, item.message) for item in self.sent if item.kind == "alert"]

    @property
    def sizes(self) -> tuple[int, int]:
        """Replicas of target and primary."""
        return self.target.replicas if self.target else 0, self.primary.replicas if self.primary else 0

    def condition(self, kind: str) -> str:
        return next(item.status for item in self.status.conditions if item.type == kind)


def initialized(**arguments: Any) -> World:
    """A world whose canary is bootstrapped and at rest."""
    return World(**arguments).run()


def daemon_set(*, routed: bool = True, configs: dict[str, str] | None = None, **analysis: Any) -> World:
    """A world whose target is a DaemonSet, not seen yet."""
    target = DaemonSet(NAME, "v1", NODES, START)
    return World(spec=spec(**analysis, _targetRef=DAEMON_SET), routed=routed, target=target, configs=configs or {})


def plain_service(**analysis: Any) -> World:
    """A world whose target is a Service, not seen yet."""
    named = {"apiVersion": "v1", "kind": "Service", "name": NAME}
    return World(spec=spec(**analysis, _targetRef=named), target=PlainService(NAME, "v1", 1, START))


def under_keda(low: int = 2, high: int = 20, **analysis: Any) -> World:
    """A world whose target has a ScaledObject that the Canary refers to."""
    return World(spec=spec(**analysis, _autoscalerRef=SCALED_OBJECT), autoscaler=Autoscaler(low, high, keda=True))


def autoscaled(low: int = 2, high: int = 20, *, overrides: dict[str, int] | None = None, **analysis: Any) -> World:
    """A world whose target has an autoscaler that the Canary refers to."""
    ref = SCALER | ({"primaryScalerReplicas": overrides} if overrides else {})
    return World(spec=spec(**analysis, _autoscalerRef=ref), autoscaler=Autoscaler(low, high))
