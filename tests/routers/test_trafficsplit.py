import copy
from typing import Any

import pytest

from flaggerpy.api.canary import Canary
from flaggerpy.kube.resources import TRAFFIC_SPLITS, Ref
from flaggerpy.rollout.errors import UserError
from flaggerpy.rollout.traffic import ALL_TO_PRIMARY, Acceptance, Routes, RouteState
from flaggerpy.routers.base import Router
from flaggerpy.routers.registry import router_for
from flaggerpy.routers.trafficsplit import GATEWAYS
from tests.builders import canary
from tests.routers.server import Server

OWNER = canary()
ROUTER = router_for("smi:v1alpha2")
SHARES = Routes(80, 20)
PUBLIC = {"gateways": ["istio-system/public", "mesh"], "hosts": ["shop.example.com", "other.example.com"]}


def written(router: Router = ROUTER, owner: Canary = OWNER, routes: Routes = SHARES) -> dict[str, Any]:
    """Build the TrafficSplit as it is right after we wrote it."""
    server = Server(router, owner)
    server.write(router.render(owner, {}, routes))
    return copy.deepcopy(server.live[router.refs(owner)[0]])


def state(split: dict[str, Any], router: Router = ROUTER, owner: Canary = OWNER) -> RouteState:
    return router.state(owner, {router.refs(owner)[0]: split})


def backends(**weights: Any) -> list[dict[str, Any]]:
    return [{"service": name.replace("_", "-"), "weight": weight} for name, weight in weights.items()]


@pytest.mark.parametrize(
    ("provider", "version", "weights"),
    [
        ("linkerd", "v1alpha1", ["20", "80"]),
        ("smi:v1alpha1", "v1alpha1", ["20", "80"]),
        ("smi:v1alpha2", "v1alpha2", [20, 80]),
        ("smi:v1alpha3", "v1alpha3", [20, 80]),
        ("smi:v1alpha3:istio", "v1alpha3", [20, 80]),
    ],
)
def test_each_provider_has_its_version_and_its_way_to_write_weights(
    provider: str, version: str, weights: list[Any]
) -> None:
    router = router_for(provider)
    split = written(router)

    assert router.refs(OWNER) == (Ref(TRAFFIC_SPLITS[version], "shop", "web"),)
    assert split["apiVersion"] == f"split.smi-spec.io/{version}"
    assert [backend["weight"] for backend in split["spec"]["backends"]] == weights
    assert state(split, router) == RouteState(SHARES, accepted=Acceptance.YES)


@pytest.mark.parametrize(
    ("primary", "share", "routes"),
    [
        ("600m", "400m", Routes(60, 40)),
        ("1", "1", Routes(50, 50)),
        ("1k", "1000", Routes(50, 50)),
        ("0.5", "500m", Routes(50, 50)),
        (2, 1, Routes(67, 33)),
        ("0", "0", None),
        ("much", "1", Routes(0, 100)),
    ],
)
def test_weights_that_others_wrote_are_read_as_shares(primary: Any, share: Any, routes: Routes | None) -> None:
    router = router_for("smi:v1alpha1")
    split = written(router)
    split["spec"]["backends"] = backends(web_primary=primary, web_canary=share)

    assert state(split, router).routes == routes
    assert state(split, router).drifted is (routes is not None)


def test_the_order_of_backends_means_nothing() -> None:
    split = written()
    split["spec"]["backends"].reverse()
    assert not state(split).drifted


@pytest.mark.parametrize(
    "change",
    [
        {"service": "other"},
        {"backends": backends(web_primary=80, web_canary=20, other=0)},
        {"backends": backends(web_primary=80, web_canary=20) + backends(web_canary=0)},
    ],
)
def test_what_others_changed_is_drift_and_the_shares_are_kept(change: dict[str, Any]) -> None:
    split = written()
    split["spec"] |= change
    assert state(split) == RouteState(SHARES, drifted=True, accepted=Acceptance.YES)


def test_the_first_host_is_what_clients_ask_for() -> None:
    assert written(owner=canary(service=PUBLIC))["spec"]["service"] == "shop.example.com"


@pytest.mark.parametrize(
    ("provider", "gateways"),
    [("smi:v1alpha1", None), ("smi:v1alpha1:linkerd", None), ("smi:v1alpha1:istio", '["istio-system/public","mesh"]')],
)
def test_gateways_are_told_to_istio_and_to_no_other_mesh(provider: str, gateways: str | None) -> None:
    router, owner = router_for(provider), canary(service=PUBLIC)
    split = written(router, owner)
    assert split["metadata"]["annotations"].get(GATEWAYS) == gateways

    split["metadata"]["annotations"].pop(GATEWAYS, None)
    assert state(split, router, owner).drifted is (gateways is not None)


def test_gateways_that_a_user_had_come_back() -> None:
    router, owner = router_for("smi:v1alpha2:istio"), canary(service=PUBLIC)
    server = Server(router, owner)
    metadata = {"name": "web", "namespace": "shop", "labels": {"a": "b"}, "annotations": {GATEWAYS: '["own"]'}}
    spec = {"service": "web", "backends": backends(web=1)}
    server.put({"apiVersion": "split.smi-spec.io/v1alpha2", "kind": "TrafficSplit", "metadata": metadata, "spec": spec})
    before = copy.deepcopy(server.live)

    server.write(router.render(owner, server.live, ALL_TO_PRIMARY))
    assert before != server.live
    server.write(router.restore(owner, server.live))

    assert server.live == before


def test_other_backends_of_a_user_stay_when_ours_go() -> None:
    split = written()
    split["spec"]["backends"] += backends(other=5)

    [released] = ROUTER.restore(OWNER, {ROUTER.refs(OWNER)[0]: split})

    assert released["spec"]["backends"] == backends(web=100, other=5)


def test_a_split_of_another_canary_is_not_touched() -> None:
    split = written()
    split["metadata"]["annotations"]["flaggerpy.dev/canary"] = "shop/front"
    live = {ROUTER.refs(OWNER)[0]: split}

    with pytest.raises(UserError, match="TrafficSplit web belongs to canary shop/front"):
        ROUTER.render(OWNER, live, SHARES)
    assert ROUTER.restore(OWNER, live) == ()
