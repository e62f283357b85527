"""A route that its user brings along in the simulated world, also beside a tool that puts the user's manifest back.

The world's laws hold at every instant, so users are served whatever the tool does.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from flaggerpy.api.canary import Canary
from flaggerpy.api.marks import owner_annotation
from flaggerpy.api.status import Phase
from flaggerpy.kube.objects import JsonObject
from flaggerpy.kube.resources import SERVICES, Ref
from flaggerpy.rollout.traffic import Acceptance, Routes, RouteState
from flaggerpy.routers.brought import BroughtRouter
from tests.builders import canary
from tests.rollout.simulation import NAME
from tests.rollout.workloads import Route
from tests.rollout.world import World, spec
from tests.routers.cases import brought
from tests.routers.server import Server

ROUTER = BroughtRouter("HTTPRoute")
OWNER = canary(NAME, spec={"provider": "gatewayapi:v1", **brought("HTTPRoute")})
Weights = dict[str, int]


def manifest(owner: Canary = OWNER) -> JsonObject:
    """Write the user's route, which names the apex Service and no weight."""
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {"name": "way", "namespace": owner.namespace},
        "spec": {"rules": [{"backendRefs": [{"name": owner.apex_name, "port": 80}]}]},
    }


@dataclass
class Shop(World):
    """A canary whose route is a real one of the router's."""

    server: Server = field(default_factory=lambda: Server(ROUTER, OWNER))
    writes: list[Weights] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.server.put(manifest())

    def put_back(self) -> None:
        """A tool applies the user's manifest."""
        self.server.put(manifest())
        self._seen_by_users()
        self.touch()

    def sync_every(self, seconds: float, rounds: int) -> None:
        """Let the tool come again and again."""
        for _ in range(rounds):
            self.run_for(seconds)
            self.put_back()

    def _live(self) -> dict[Ref, JsonObject]:
        annotations = owner_annotation(OWNER) if self.apex == "primary" else {}
        apex = {"metadata": {"name": NAME, "annotations": annotations}}
        return {**self.server.live, Ref(SERVICES, OWNER.namespace, NAME): apex}

    def _route_state(self) -> RouteState:
        state = ROUTER.state(OWNER, self._live())
        return RouteState(state.routes, state.drifted, Acceptance.YES)

    def _set_routes(self, routes: Routes) -> None:
        bodies = ROUTER.render(OWNER, self._live(), routes)
        self.server.write(ROUTER.ahead(OWNER, self._live(), bodies) or bodies)
        [route] = self.server.live.values()
        backends = route["spec"]["rules"][0]["backendRefs"]
        self.writes.append({one["name"].removeprefix(f"{NAME}-"): one.get("weight", 1) for one in backends})
        self._seen_by_users()

    def _seen_by_users(self) -> None:
        """Tell the world where the route leads; through the apex Service users come without one."""
        live = ROUTER.state(OWNER, self._live()).routes
        self.route = None if live is None else Route(live, live, self.now, accepted=True)


def shop() -> Shop:
    return Shop(spec=spec(interval="5s", stepWeight=25, maxWeight=50), routed=True)


NAMED = [{NAME: 1, "primary": 0}, {"primary": 100, "canary": 0, NAME: 0}, {"primary": 100, "canary": 0}]
"""The bootstrap: the primary is named before anybody is sent to it, and the apex Service until nobody is."""


def test_a_rollout_changes_weights_once_a_step() -> None:
    world = shop().run(Phase.INITIALIZED)
    assert world.writes == NAMED

    world.push("v2").run(Phase.SUCCEEDED)

    steps = [{"primary": 75, "canary": 25}, {"primary": 50, "canary": 50}, {"primary": 100, "canary": 0}]
    assert world.writes == [*NAMED, *steps]


def test_between_rollouts_there_is_nothing_to_fight_about() -> None:
    world = shop()
    world.sync_every(3, rounds=10)
    assert world.phase is Phase.INITIALIZED

    written = len(world.writes)
    world.sync_every(3, rounds=10)

    assert world.writes[written:] == []


def test_a_tool_that_comes_more_often_than_once_an_interval_holds_a_rollout_up_and_is_named() -> None:
    world = shop()
    world.run(Phase.INITIALIZED)
    world.put_back()
    world.push("v2")
    written = len(world.writes)

    world.sync_every(3, rounds=20)

    assert world.phase is Phase.PROGRESSING
    assert "something else keeps changing the route of payment.shop" in world.status.rollout.reason
    assert len(world.writes) - written <= 60 / 5 + 1

    world.run(Phase.SUCCEEDED)
    assert world.writes[-1] == {"primary": 100, "canary": 0}
