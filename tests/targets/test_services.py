import copy
import json
from typing import Any

import pytest

from flaggerpy.api.canary import Canary
from flaggerpy.kube.resources import SERVICES, Ref
from flaggerpy.rollout.decision import ServiceRole
from flaggerpy.rollout.errors import UserError
from flaggerpy.targets.base import PodPort, TargetFacts
from flaggerpy.targets.services import desired_service, released_service, service_ref
from tests.builders import canary
from tests.targets.objects import stored, user_service

APEX, PRIMARY, CANARY = ServiceRole.APEX, ServiceRole.PRIMARY, ServiceRole.CANARY
FACTS = TargetFacts("app", "web", "web-primary")
FLAGGER_OWNER = {"apiVersion": "flagger.app/v1beta1", "kind": "Canary", "name": "web", "uid": "1", "controller": True}
HANDS_OFF = {
    "kustomize.toolkit.fluxcd.io/reconcile": "disabled",
    "helm.toolkit.fluxcd.io/driftDetection": "disabled",
}
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


def write(owner: Canary, role: ServiceRole, live: dict[str, Any] | None, facts: TargetFacts = FACTS) -> dict[str, Any]:
    """Write what is wanted, as the API server then serves it; the next look must find nothing to do."""
    body = desired_service(owner, role, facts, live)
    assert body is not None
    served = body if live is not None else stored(body)
    served = copy.deepcopy(served)
    for address in ("clusterIP",):
        served["spec"].setdefault(address, "10.0.0.1")
    assert desired_service(owner, role, facts, served) is None
    return served


@pytest.mark.parametrize(
    ("role", "name", "value"),
    [(APEX, "web", "web-primary"), (PRIMARY, "web-primary", "web-primary"), (CANARY, "web-canary", "web")],
)
def test_a_new_service(role: ServiceRole, name: str, value: str) -> None:
    assert service_ref(canary(), role) == Ref(SERVICES, "shop", name)
    assert desired_service(canary(service={"targetPort": 8080}), role, FACTS, None) == {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": name,
            "namespace": "shop",
            "labels": {"app": name, "app.kubernetes.io/managed-by": "flaggerpy"},
            "annotations": {**HANDS_OFF, "flaggerpy.dev/canary": "shop/web"},
        },
        "spec": {
            "type": "ClusterIP",
            "selector": {"app": value},
            "ports": [{"name": "http", "protocol": "TCP", "port": 80, "targetPort": 8080}],
        },
    }


def test_a_new_service_can_be_headless_and_prefer_near_pods() -> None:
    body = desired_service(
        canary(service={"headless": True, "trafficDistribution": "PreferClose"}), CANARY, FACTS, None
    )
    assert body is not None
    assert (body["spec"]["clusterIP"], body["spec"]["trafficDistribution"]) == ("None", "PreferClose")


def test_selector_and_ports_are_mended_and_the_rest_of_a_service_stays() -> None:
    live = write(canary(), CANARY, None)
    live["spec"] |= {
        "type": "NodePort",
        "sessionAffinity": "ClientIP",
        "unheardOf": {"a": 1},
        "selector": {"app": "x", "stranger": "y"},
        "ports": [{"name": "http", "port": 8081, "targetPort": 1, "nodePort": 30081}, {"name": "more", "port": 2}],
    }

    mended = write(canary(), CANARY, live)["spec"]

    assert mended["selector"] == {"app": "web"}
    assert mended["ports"] == [{"name": "http", "protocol": "TCP", "port": 80, "targetPort": 80, "nodePort": 30081}]
    assert (mended["type"], mended["sessionAffinity"], mended["unheardOf"]) == ("NodePort", "ClientIP", {"a": 1})
    assert mended["clusterIP"] == "10.0.0.1"


def test_each_service_discovers_the_ports_of_the_pods_behind_it() -> None:
    facts = TargetFacts("app", "web", "web-primary", (PodPort("web", 0, "new", 1),), (PodPort("web", 0, "old", 2),))
    names = {}
    for role in ServiceRole:
        body = desired_service(canary(service={"portDiscovery": True}), role, facts, None)
        assert body is not None
        names[role] = body["spec"]["ports"][1]["name"]
    assert names == {APEX: "old", PRIMARY: "old", CANARY: "new"}


def test_metadata_from_the_canary_is_put_on_corrected_and_taken_away_and_strangers_stay() -> None:
    extra = {"apex": {"labels": {"team": "a", "tier": "x"}, "annotations": {"note": "1"}}}
    live = write(canary(service=extra), APEX, None)
    live["metadata"]["labels"] |= {"team": "changed by hand", "stranger": "s"}
    live["metadata"]["annotations"]["cloud.example.com/status"] = "{}"

    corrected = write(canary(service=extra), APEX, live)["metadata"]
    assert (corrected["labels"]["team"], corrected["labels"]["stranger"]) == ("a", "s")
    assert corrected["annotations"]["cloud.example.com/status"] == "{}"

    left = write(canary(service={"apex": {"labels": {"tier": "x"}}}), APEX, {**live, "metadata": corrected})["metadata"]
    assert left["labels"] == {"tier": "x", "stranger": "s", "app": "web", "app.kubernetes.io/managed-by": "flaggerpy"}
    assert "note" not in left["annotations"]


def test_unmanaged_metadata_is_left_as_it_is() -> None:
    settings = {
        "apex": {"labels": {"team": "a"}, "annotations": {"note": "1"}},
        "unmanagedMetadata": {"labels": ["team"], "annotations": ["note"]},
    }
    live = write(canary(service=settings), APEX, None)
    live["metadata"]["labels"]["team"] = "somebody else's"
    del live["metadata"]["annotations"]["note"]

    assert write(canary(service=settings), APEX, live)["metadata"]["labels"]["team"] == "somebody else's"


def test_a_service_that_flagger_made_becomes_ours_and_can_no_longer_be_collected() -> None:
    live = write(canary(), PRIMARY, None)
    live["metadata"] |= {
        "labels": {"app": "web-primary"},
        "annotations": dict(HANDS_OFF),
        "ownerReferences": [FLAGGER_OWNER],
    }

    ours = write(canary(), PRIMARY, live)

    assert "ownerReferences" not in ours["metadata"]
    assert ours["metadata"]["annotations"]["flaggerpy.dev/canary"] == "shop/web"


def test_a_users_service_is_taken_over_and_given_back_exactly() -> None:
    before = user_service()

    taken = write(canary(service={"port": 8080}), APEX, before)

    assert taken["spec"]["selector"] == {"app": "web-primary"}
    assert [(port["name"], port["port"], port.get("nodePort")) for port in taken["spec"]["ports"]] == [
        ("http", 8080, None),
        ("http-80", 80, 30080),
        ("metrics", 9797, 30097),
    ]
    assert taken["metadata"]["labels"] == {"mine": "1"}, "its own metadata stays"
    assert released_service(canary(), taken) == before
    assert released_service(canary(), before) is None, "what was given back is not touched again"


@pytest.mark.parametrize(("said", "name"), [({}, "web"), ({"portName": "http"}, "http")])
def test_the_port_of_a_users_service_is_renamed_only_if_the_canary_names_it(said: dict[str, str], name: str) -> None:
    before = user_service()
    before["spec"]["ports"] = [{"name": "web", "protocol": "TCP", "port": 80, "targetPort": 9898}]

    taken = write(canary(service={"targetPort": 9898, **said}), APEX, before)

    assert [(port["name"], port["port"]) for port in taken["spec"]["ports"]] == [(name, 80)]
    assert released_service(canary(), taken) == before


def test_the_first_backup_is_the_one_that_counts() -> None:
    taken = write(canary(), APEX, user_service())
    taken["spec"]["selector"] = {"app": "edited"}

    mended = write(canary(), APEX, taken)

    original = json.loads(mended["metadata"]["annotations"]["flaggerpy.dev/original-service"])
    assert original["selector"] == {"app": "web"}


def test_annotations_for_flux_that_a_user_had_before_stay_with_them() -> None:
    own = {"kustomize.toolkit.fluxcd.io/reconcile": "disabled", "helm.toolkit.fluxcd.io/driftDetection": "warn"}
    before = user_service(annotations=own)
    released = released_service(canary(), write(canary(), APEX, before))
    assert released is not None
    assert released["metadata"]["annotations"] == own


def test_a_service_that_its_user_hid_from_flux_is_not_in_our_hands_for_that() -> None:
    assert released_service(canary(), user_service(annotations=dict(HANDS_OFF))) is None


def test_our_own_apex_is_left_to_the_user_selecting_the_users_pods() -> None:
    live = write(canary(), APEX, None)

    released = released_service(canary(), live)

    assert released is not None
    assert released["spec"] == {**live["spec"], "selector": {"app": "web"}}
    assert released["metadata"]["labels"] == {"app": "web"}
    assert released["metadata"]["annotations"] == {}
    assert released_service(canary(), released) is None


@pytest.mark.parametrize(
    ("title", "applied", "selector", "ports"),
    [
        (
            "kubectl's copy says what it was",
            {"spec": {"selector": {"app": "web", "tier": "x"}, "ports": [{"name": "old", "port": 8}]}},
            {"app": "web", "tier": "x"},
            ["old"],
        ),
        ("without one the selector is the target's", None, {"app": "web"}, ["http"]),
        (
            "a copy that leads to the primary is no way back",
            {"spec": {"selector": {"app": "web-primary"}}},
            {"app": "web"},
            ["http"],
        ),
        ("nor is one that cannot be read", [], {"app": "web"}, ["http"]),
    ],
)
def test_a_service_that_flagger_took_over_is_given_back(
    title: str, applied: Any, selector: dict[str, str], ports: list[str]
) -> None:
    live = user_service(annotations=dict(HANDS_OFF))
    live["spec"] |= {
        "selector": {"app": "web-primary"},
        "ports": [{"name": "http", "protocol": "TCP", "port": 80, "targetPort": 80}],
    }
    if applied is not None:
        live["metadata"]["annotations"][LAST_APPLIED] = json.dumps(applied)

    assert desired_service(canary(), APEX, FACTS, live) is None, "it is right as it is"
    released = released_service(canary(), live)

    assert released is not None
    assert released["spec"]["selector"] == selector, title
    assert [port["name"] for port in released["spec"]["ports"]] == ports
    assert not HANDS_OFF.keys() & released["metadata"]["annotations"].keys()


def test_nothing_is_given_back_that_is_not_there_or_never_was_ours() -> None:
    assert released_service(canary(), None) is None
    assert released_service(canary(), user_service()) is None
    assert released_service(canary("other"), write(canary(), APEX, None)) is None


def test_a_service_of_another_canary_is_not_taken() -> None:
    theirs = write(canary("other", service={"name": "web"}), APEX, None)
    with pytest.raises(UserError, match="Service web belongs to canary shop/other: let only one of the two"):
        desired_service(canary(), APEX, FACTS, theirs)


def test_a_canary_without_a_service_is_the_users_mistake() -> None:
    with pytest.raises(UserError, match=r"spec\.service is missing"):
        desired_service(canary(spec={"service": None}), APEX, FACTS, None)
