import copy
from typing import Any

import pytest

from flaggerpy.kube.objects import JsonObject
from flaggerpy.kube.resources import TRAEFIK_SERVICES, Ref
from flaggerpy.rollout.errors import UserError
from flaggerpy.rollout.traffic import ALL_TO_CANARY, ALL_TO_PRIMARY, Acceptance, Routes, RouteState
from flaggerpy.routers.traefik import TraefikRouter
from tests.builders import canary
from tests.routers.server import Server

ROUTER = TraefikRouter()
SHARES = Routes(80, 20)
REF = Ref(TRAEFIK_SERVICES, "shop", "web")
OWNER = canary()


def written(routes: Routes = SHARES) -> JsonObject:
    """Build the TraefikService as it is right after we wrote it."""
    server = Server(ROUTER, OWNER)
    server.write(ROUTER.render(OWNER, {}, routes))
    return copy.deepcopy(server.live[REF])


def state(obj: JsonObject) -> RouteState:
    return ROUTER.state(OWNER, {REF: obj})


def services(obj: JsonObject) -> list[JsonObject]:
    found: list[JsonObject] = obj["spec"]["weighted"]["services"]
    return found


def test_without_one_nothing_is_known_and_one_that_is_there_counts_as_served() -> None:
    assert ROUTER.state(OWNER, {}) == RouteState(routes=None)
    assert state(written()) == RouteState(SHARES, accepted=Acceptance.YES)


@pytest.mark.parametrize(
    ("routes", "names"),
    [
        (ALL_TO_PRIMARY, ["web-primary"]),
        (SHARES, ["web-primary", "web-canary"]),
        (ALL_TO_CANARY, ["web-canary"]),
    ],
)
def test_only_services_with_users_are_named_because_one_without_pods_takes_all_others_along(
    routes: Routes, names: list[str]
) -> None:
    assert [one["name"] for one in services(written(routes))] == names


@pytest.mark.parametrize(
    ("title", "found", "routes"),
    [
        ("other sums", [("web-primary", 3), ("web-canary", 1)], Routes(75, 25)),
        ("without a weight it is 1", [("web-primary", None), ("web-canary", None)], Routes(50, 50)),
        ("as Flagger leaves a finished test (W-90)", [("web-primary", 0), ("web-canary", 100)], ALL_TO_CANARY),
        ("nobody gets anything", [("web-primary", 0)], None),
        ("somebody else's Service", [("other", 1)], None),
    ],
)
def test_weights_are_read_as_traefik_reads_them(
    title: str, found: list[tuple[str, int | None]], routes: Routes | None
) -> None:
    obj = written()
    obj["spec"]["weighted"]["services"] = [
        {"name": name, "port": 80} | ({} if weight is None else {"weight": weight}) for name, weight in found
    ]
    assert state(obj).routes == routes, title


def test_a_service_of_another_namespace_or_kind_is_not_ours() -> None:
    for change in ({"namespace": "other"}, {"kind": "TraefikService"}):
        obj = written(ALL_TO_PRIMARY)
        services(obj)[0].update(change)
        assert state(obj).routes is None


@pytest.mark.parametrize(
    ("title", "change", "drifted"),
    [
        ("as written", lambda obj: None, False),
        ("another order", lambda obj: services(obj).reverse(), False),
        ("sticky sessions", lambda obj: obj["spec"]["weighted"].update(sticky={"cookie": {"name": "x"}}), False),
        ("a label of ours gone", lambda obj: obj["metadata"]["labels"].clear(), True),
        ("another port", lambda obj: services(obj)[0].update(port=81), True),
        ("a service added", lambda obj: services(obj).append({"name": "x", "port": 1}), True),
        ("one without users", lambda obj: services(obj).append({"name": "web", "port": 80, "weight": 0}), True),
    ],
)
def test_drift_is_anything_of_ours_but_weights_and_never_changes_them(title: str, change: Any, drifted: bool) -> None:
    obj = written()
    change(obj)

    assert state(obj) == RouteState(SHARES, drifted=drifted, accepted=Acceptance.YES), title
    [mended] = ROUTER.render(OWNER, {REF: obj}, SHARES)
    assert mended["spec"] == written()["spec"]


def test_a_setting_that_cannot_be_written_is_no_drift() -> None:
    owner = canary(service={"port": 80}, analysis={"sessionAffinity": {"cookieName": "c"}})
    assert ROUTER.state(owner, {REF: written()}) == RouteState(SHARES, accepted=Acceptance.YES)


@pytest.mark.parametrize(
    ("title", "analysis", "said"),
    [
        ("an audience", {"match": [{"headers": {"a": {"exact": "1"}}}], "iterations": 2}, "spec.analysis.match cannot"),
        ("cookies", {"sessionAffinity": {"cookieName": "c"}}, "spec.analysis.sessionAffinity cannot be served"),
        ("cookies that mean nothing", {"sessionAffinity": {"cookieName": "c"}, "iterations": 2}, ""),
        ("copies, which an event tells of", {"mirror": True}, ""),
    ],
)
def test_what_would_reach_other_users_than_it_says_is_refused(title: str, analysis: JsonObject, said: str) -> None:
    problems = ROUTER.problems(canary(analysis=analysis))
    assert [problem[: len(said)] for problem in problems] == ([said] if said else []), title


def test_without_a_service_there_is_no_port() -> None:
    [problem] = ROUTER.problems(canary(spec={"service": None}))
    assert problem.startswith("spec.service is missing")


def test_giving_back_works_on_what_others_made_of_it() -> None:
    obj = written()
    services(obj).extend([{"name": "other", "port": 8080}, {"name": "web", "port": 80, "weight": 5}])
    obj["spec"]["weighted"]["sticky"] = {"cookie": {}}

    [body] = ROUTER.restore(OWNER, {REF: obj})

    assert body["spec"] == {
        "weighted": {
            "services": [
                {"name": "web", "namespace": "shop", "port": 80, "weight": 100},
                {"name": "other", "port": 8080, "weight": 1},
            ],
            "sticky": {"cookie": {}},
        }
    }
    services(obj)[:] = [{"name": "other", "port": 8080}]
    [body] = ROUTER.restore(OWNER, {REF: obj})
    assert body["spec"] == obj["spec"], "where nobody is sent to us, there is nothing to take over"


def test_one_of_another_canary_is_not_taken() -> None:
    obj = written()
    obj["metadata"]["annotations"] = {"flaggerpy.dev/canary": "shop/other"}
    with pytest.raises(UserError, match="TraefikService web belongs to canary shop/other"):
        ROUTER.render(OWNER, {REF: obj}, SHARES)
