import copy
from typing import Any

import pytest

from flaggerpy.api.canary import Canary, ObjectMeta
from flaggerpy.kube.resources import TRAFFIC_ROUTES, Ref
from flaggerpy.rollout.errors import UserError
from flaggerpy.rollout.traffic import Acceptance, Routes, RouteState
from flaggerpy.routers.trafficroute import KumaRouter
from tests.builders import canary
from tests.routers.server import Server

ROUTER = KumaRouter()
OWNER = canary()
SHARES = Routes(80, 20)
REF = Ref(TRAFFIC_ROUTES, "", "web")


def written(owner: Canary = OWNER, routes: Routes = SHARES) -> dict[str, Any]:
    """Build the TrafficRoute as it is right after we wrote it."""
    server = Server(ROUTER, owner)
    server.write(ROUTER.render(owner, {}, routes))
    return copy.deepcopy(server.live[REF])


def in_mesh(name: str) -> Canary:
    return OWNER.model_copy(
        update={"metadata": ObjectMeta(name="web", namespace="shop", annotations={"kuma.io/mesh": name})}
    )


def state(route: dict[str, Any], owner: Canary = OWNER) -> RouteState:
    return ROUTER.state(owner, {REF: route})


def destination(service: str, weight: int, **tags: str) -> dict[str, Any]:
    return {"destination": {"kuma.io/service": service, **tags}, "weight": weight}


def test_the_route_is_of_the_cluster_and_of_the_mesh_that_the_canary_names() -> None:
    assert REF.path() == "/apis/kuma.io/v1alpha1/trafficroutes/web"
    assert "namespace" not in written()["metadata"]
    assert written()["mesh"] == "default"
    assert written(in_mesh("blue"))["mesh"] == "blue"


@pytest.mark.parametrize(
    ("split", "routes"),
    [
        ([destination("web-primary_shop_svc_80", 1), destination("web-canary_shop_svc_80", 1)], Routes(50, 50)),
        ([destination("web-primary_shop_svc_9", 3), destination("web-canary_shop_svc_80", 1)], Routes(75, 25)),
        ([destination("web-canary_shop_svc_80", 5)], Routes(0, 100)),
        ([destination("web-canary_other_svc_80", 5)], None),
        ([destination("web-canary_shop_svc_80", 5, version="1")], None),
        ([destination("web-canary_shop_svc_80", 0)], None),
    ],
)
def test_splits_that_others_wrote_are_read_as_shares(split: list[dict[str, Any]], routes: Routes | None) -> None:
    route = written()
    route["spec"]["conf"]["split"] = split

    assert state(route).routes == routes
    assert state(route).drifted is (routes is not None)


@pytest.mark.parametrize("field", ["sources", "destinations"])
def test_other_sources_and_destinations_are_drift(field: str) -> None:
    route = written()
    assert state(route) == RouteState(SHARES, accepted=Acceptance.YES)

    route["spec"][field] = [{"match": {"kuma.io/service": "other"}}]

    assert state(route) == RouteState(SHARES, drifted=True, accepted=Acceptance.YES)


def test_what_others_say_of_load_balancing_is_no_drift() -> None:
    route = written()
    route["spec"]["conf"]["loadBalancer"] = {"random": {}}
    assert not state(route).drifted


def test_a_route_of_another_mesh_is_drift_and_is_told() -> None:
    assert state(written(), in_mesh("blue")).drifted

    with pytest.raises(UserError, match="TrafficRoute web is of mesh default, but the canary of mesh blue: correct"):
        ROUTER.render(in_mesh("blue"), {REF: written()}, SHARES)


def test_w96_a_route_of_a_canary_in_another_namespace_is_left_alone() -> None:
    elsewhere = canary(namespace="bank")
    live = {REF: written(elsewhere)}
    before = copy.deepcopy(live)

    with pytest.raises(UserError, match="TrafficRoute web belongs to canary bank/web, and TrafficRoutes have no name"):
        ROUTER.render(OWNER, live, SHARES)
    assert ROUTER.state(OWNER, live).routes is None
    assert ROUTER.restore(OWNER, live) == ()
    assert live == before


def test_w96_so_is_one_that_flagger_made_for_another_namespace() -> None:
    route = written(canary(namespace="bank"))
    route["metadata"] = {"name": "web", "generation": 1, "resourceVersion": "1"}

    with pytest.raises(UserError, match="TrafficRoute web is for web_bank_svc_80, not for web_shop_svc, and Traff"):
        ROUTER.render(OWNER, {REF: route}, SHARES)
    assert ROUTER.restore(OWNER, {REF: route}) == ()


def test_one_that_flagger_made_for_this_canary_is_taken_over() -> None:
    route = written()
    route["metadata"] = {"name": "web", "generation": 1, "resourceVersion": "1"}
    assert state(route).routes == SHARES

    [body] = ROUTER.render(OWNER, {REF: route}, SHARES)

    assert "flaggerpy.dev/original-route" not in body["metadata"]["annotations"], "it is no user's own"


def test_a_users_own_route_without_a_split_is_refused() -> None:
    route = written()
    route["spec"]["conf"] = {"destination": {"kuma.io/service": "web_shop_svc_80"}}

    with pytest.raises(UserError, match=r"TrafficRoute web sends everyone to conf\.destination, and Kuma takes no"):
        ROUTER.render(OWNER, {REF: route}, SHARES)


def test_nobody_can_choose_users() -> None:
    tester = canary(analysis={"match": [{"headers": {"a": {"exact": "1"}}}], "iterations": 2, "stepWeight": None})
    [problem] = ROUTER.problems(tester)
    assert "spec.analysis.match cannot be served, because a TrafficRoute does not look at requests" in problem


def test_without_a_service_there_is_no_port() -> None:
    [problem] = ROUTER.problems(canary(spec={"service": None}))
    assert "spec.service is missing" in problem
