"""The second Ingress of provider nginx: what is in it, what is read from it, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from flaggerpy.kube.resources import Ref
from flaggerpy.rollout.errors import UserError
from flaggerpy.rollout.traffic import ALL_TO_CANARY, ALL_TO_PRIMARY, Acceptance, Routes
from flaggerpy.routers.registry import router_for
from tests.builders import canary
from tests.routers.ingresses import COPY, OWN, ab_test_behind, behind, front, path, stored

JsonObject = dict[str, Any]
NGINX = router_for("nginx")
PREFIX = "nginx.ingress.kubernetes.io"
THIRD = Routes(70, 30)


def test_rules_and_annotations_of_others_are_not_in_the_copy() -> None:
    resource = {"path": "/r", "pathType": "Exact", "backend": {"resource": {"kind": "Bucket", "name": "b"}}}
    own = front(
        path("web"),
        path("other", at="/other"),
        resource,
        annotations={
            f"{PREFIX}/proxy-body-size": "8m",
            f"{PREFIX}/canary-weight-total": "1000",
            "kubectl.kubernetes.io/last-applied-configuration": "{}",
        },
        tls=[{"hosts": ["a.example.com"]}],
        defaultBackend={"service": {"name": "other", "port": {"number": 80}}},
        ingressClassName="inside",
    )
    own["spec"]["rules"] += [{"host": "nobody.example.com"}, {"http": {"paths": [path("other")]}}]

    [body] = NGINX.render(behind("nginx"), {OWN: own}, THIRD)

    assert body["spec"] == {
        "rules": [{"host": "a.example.com", "http": {"paths": [path("web-canary")]}}],
        "tls": [{"hosts": ["a.example.com"]}],
        "ingressClassName": "inside",
    }
    assert {key for key in body["metadata"]["annotations"] if key.startswith(PREFIX)} == {
        f"{PREFIX}/proxy-body-size",
        f"{PREFIX}/canary",
        f"{PREFIX}/canary-weight",
    }
    assert "kubectl.kubernetes.io/last-applied-configuration" not in body["metadata"]["annotations"]


def test_what_nginx_reads_follows_the_users_ingress_and_the_rest_is_copied_once() -> None:
    one, before = behind("nginx"), {f"{PREFIX}/affinity": "cookie", f"{PREFIX}/gone": "1", "of/another": "own"}
    [made] = NGINX.render(one, {OWN: front(path("web"), annotations=before)}, THIRD)
    live = {COPY: stored(made, **{"of/another": "on the copy"})}
    assert not NGINX.state(one, {**live, OWN: front(path("web"), annotations=before)}).drifted

    after = front(path("web", at="/new"), annotations={f"{PREFIX}/affinity": "none", "of/another": "changed"})
    assert NGINX.state(one, {**live, OWN: after}).drifted
    [body] = NGINX.render(one, {**live, OWN: after}, THIRD)

    assert body["metadata"]["resourceVersion"] == "1", "it takes the whole place of what was there"
    annotations = body["metadata"]["annotations"]
    assert (annotations[f"{PREFIX}/affinity"], annotations["of/another"]) == ("none", "on the copy")
    assert f"{PREFIX}/gone" not in annotations
    assert body["spec"]["rules"][0]["http"]["paths"] == [path("web-canary", at="/new")]


@pytest.mark.parametrize(
    ("changed", "weight"),
    [
        ({f"{PREFIX}/canary-weight": "45"}, 45),
        ({f"{PREFIX}/canary-weight": "45", f"{PREFIX}/canary-weight-total": "90"}, 50),
        ({f"{PREFIX}/canary-weight": None}, 0),
        ({f"{PREFIX}/canary-weight": "101"}, None),
        ({f"{PREFIX}/canary-weight": "half"}, None),
        ({f"{PREFIX}/canary-weight-total": "0"}, None),
        ({f"{PREFIX}/canary": "false"}, None),
        ({f"{PREFIX}/canary": None}, None),
    ],
)
def test_what_is_read_is_what_nginx_does(changed: dict[str, str | None], weight: int | None) -> None:
    one, own = behind("nginx"), front(path("web"))
    [made] = NGINX.render(one, {OWN: own}, THIRD)

    state = NGINX.state(one, {OWN: own, COPY: stored(made, **changed)})

    assert (state.routes and state.routes.canary) == weight
    assert state.accepted is (Acceptance.UNKNOWN if weight is None else Acceptance.YES)


@pytest.mark.parametrize("key", ["canary-by-header", "canary-weight-total", "canary-by-cookie"])
def test_an_annotation_that_chooses_users_and_is_not_ours_is_drift(key: str) -> None:
    one, own = behind("nginx"), front(path("web"))
    [made] = NGINX.render(one, {OWN: own}, THIRD)
    live = {OWN: own, COPY: stored(made, **{f"{PREFIX}/{key}": "100"})}
    assert NGINX.state(one, live).drifted

    [mended] = NGINX.render(one, live, THIRD)

    assert f"{PREFIX}/{key}" not in mended["metadata"]["annotations"]


@pytest.mark.parametrize(
    ("match", "wanted"),
    [
        ([{"headers": {"x-a": {"exact": "1"}}}], {"canary-by-header": "x-a", "canary-by-header-value": "1"}),
        ([{"headers": {"x-a": {"regex": "1.*"}}}], {"canary-by-header": "x-a", "canary-by-header-pattern": "1.*"}),
        ([{"headers": {"Cookie": {"exact": "beta"}}}], {"canary-by-cookie": "beta"}),
        (
            [{"headers": {"cookie": {"exact": "beta"}}}, {"headers": {"x-a": {"exact": "1"}}}],
            {"canary-by-cookie": "beta", "canary-by-header": "x-a", "canary-by-header-value": "1"},
        ),
    ],
)
def test_an_audience_is_annotations(match: list[JsonObject], wanted: dict[str, str]) -> None:
    one, own = ab_test_behind("nginx", *match), front(path("web"))
    assert NGINX.problems(one) == ()
    [body] = NGINX.render(one, {OWN: own}, ALL_TO_CANARY)
    given = {key.removeprefix(f"{PREFIX}/"): value for key, value in body["metadata"]["annotations"].items()}
    assert {key: value for key, value in given.items() if key.startswith("canary-by")} == wanted
    assert given["canary-weight"] == "0", "nobody else gets there"

    [after] = NGINX.render(one, {OWN: own, COPY: stored(body)}, ALL_TO_PRIMARY)
    assert "canary-by" not in str(after["metadata"]["annotations"])


@pytest.mark.parametrize(
    ("match", "says"),
    [
        ([{"headers": {"a": {"exact": "1"}, "b": {"exact": "2"}}}], "must have exactly one header and nothing else"),
        ([{"queryParams": {"a": {"exact": "1"}}}], "must have exactly one header and nothing else"),
        ([{"sourceLabels": {"a": "1"}}], "must have exactly one header and nothing else"),
        (
            [{"headers": {"a": {"exact": "1"}}}, {"headers": {"b": {"exact": "2"}}}],
            "spec.analysis.match[1] asks for another header",
        ),
        (
            [{"headers": {"a": {"exact": "1"}}}, {"headers": {"a": {"exact": "2"}}}],
            "spec.analysis.match[1] asks for another header",
        ),
        ([{"headers": {"a": {"prefix": "1"}}}], "spec.analysis.match[0].headers.a is compared by NGINX as a whole"),
        ([{"headers": {"a": {"exact": ""}}}], "spec.analysis.match[0].headers.a is compared by NGINX as a whole"),
        ([{"headers": {"cookie": {"regex": "1"}}}], "spec.analysis.match[0].headers.cookie must be exact"),
    ],
)
def test_w95_an_audience_that_nginx_cannot_choose_is_refused(match: list[JsonObject], says: str) -> None:
    one = ab_test_behind("nginx", *match)
    [problem] = NGINX.problems(one)
    assert says in problem
    with pytest.raises(UserError, match=r"spec\.analysis\.match"):
        NGINX.render(one, {OWN: front(path("web"))}, ALL_TO_CANARY)


def test_a_growing_share_of_an_audience_is_refused() -> None:
    [problem] = NGINX.problems(behind("nginx", match=[{"headers": {"a": {"exact": "1"}}}]))
    assert problem.startswith("spec.analysis.match without iterations cannot be served by provider nginx")


@pytest.mark.parametrize("provider", ["nginx", "skipper", "alb"])
def test_what_is_missing_is_said(provider: str) -> None:
    router = router_for(provider)
    [problem] = router.problems(canary(spec={"provider": provider}))
    assert problem.startswith("spec.ingressRef is missing: name the Ingress that leads to Service web")
    [problem] = router.problems(canary(spec={"provider": provider, "service": None}))
    assert problem.startswith("spec.service is missing")
    with pytest.raises(UserError, match="Ingress front does not exist in namespace shop"):
        router.render(behind(provider), {}, ALL_TO_PRIMARY)


@pytest.mark.parametrize("provider", ["nginx", "skipper"])
@pytest.mark.parametrize("spec", [{}, {"rules": []}, {"rules": [{"http": {"paths": [path("other")]}}]}])
def test_w100_an_ingress_that_leads_nobody_to_the_canary_is_said_to_be_so(provider: str, spec: JsonObject) -> None:
    own = {**front(), "spec": spec}
    with pytest.raises(UserError, match="Ingress front leads nobody to Service web: name this Service"):
        router_for(provider).render(behind(provider), {OWN: own}, THIRD)


@pytest.mark.parametrize("provider", ["nginx", "skipper"])
@pytest.mark.parametrize(
    "rule",
    [
        {"host": "b.example.com"},
        {"http": None},
        {"http": {"paths": None}},
        {"http": {"paths": [{"backend": {"resource": {"kind": "Bucket", "name": "b"}}}]}},
    ],
)
def test_w101_rules_without_paths_or_services_are_passed_over(provider: str, rule: JsonObject) -> None:
    own = front(path("web"))
    own["spec"]["rules"].insert(0, rule)
    [body] = router_for(provider).render(behind(provider), {OWN: own}, THIRD)
    assert [one["host"] for one in body["spec"]["rules"]] == ["a.example.com"]


@pytest.mark.parametrize("provider", ["nginx", "skipper"])
def test_an_ingress_of_somebody_else_under_the_name_of_the_copy_is_left_alone(provider: str) -> None:
    router, one, own = router_for(provider), behind(provider), front(path("web"))
    theirs = {**own, "metadata": {**own["metadata"], "name": "front-canary"}}
    live = {OWN: own, COPY: theirs}
    assert router.state(one, live).routes is None
    assert router.restore(one, live) == ()
    with pytest.raises(UserError, match="Ingress front-canary is in the way"):
        router.render(one, live, THIRD)
    [made] = router.render(one, {OWN: own}, THIRD)
    with pytest.raises(UserError, match="Ingress front-canary belongs to canary shop/other"):
        router.render(one, {OWN: own, COPY: stored(made, **{"flaggerpy.dev/canary": "shop/other"})}, THIRD)


@pytest.mark.parametrize("provider", ["nginx", "skipper"])
@pytest.mark.parametrize(
    ("own", "says"),
    [
        ({}, "Ingress front does not exist"),
        ({OWN: front(path("maintenance"))}, "Ingress front leads nobody to Service web"),
        ({OWN: {**front(), "spec": {}}}, "Ingress front leads nobody to Service web"),
    ],
    ids=["gone", "leads elsewhere", "leads nowhere"],
)
def test_users_come_back_also_when_their_ingress_is_gone_or_leads_elsewhere(
    provider: str, own: dict[Ref, JsonObject], says: str
) -> None:
    router, one = router_for(provider), behind(provider)
    [made] = router.render(one, {OWN: front(path("web"))}, THIRD)
    live = {**own, COPY: stored(made)}
    state = router.state(one, live)
    assert (state.routes, state.drifted) == (THIRD, False)

    [back] = router.render(one, live, ALL_TO_PRIMARY)

    after = router.state(one, {**live, COPY: back})
    assert (after.routes, after.drifted) == (ALL_TO_PRIMARY, False)
    assert back["spec"] == made["spec"]
    with pytest.raises(UserError, match=says):
        router.render(one, live, ALL_TO_CANARY)
    if own:
        with pytest.raises(UserError, match=says):
            router.render(one, own, ALL_TO_PRIMARY)


@pytest.mark.parametrize("provider", ["nginx", "skipper"])
def test_a_path_that_changes_is_drift_with_the_shares_as_they_are(provider: str) -> None:
    router, one = router_for(provider), behind(provider)
    [made] = router.render(one, {OWN: front(path("web"))}, THIRD)
    live = {OWN: front(path("web", at="/new")), COPY: stored(made)}

    state = router.state(one, live)

    assert (state.routes, state.drifted) == (THIRD, True)
    [body] = router.render(one, live, THIRD)
    assert not router.state(one, {**live, COPY: body}).drifted


@pytest.mark.parametrize("provider", ["nginx", "skipper"])
def test_nobody_is_left_on_a_copy_before_it_goes(provider: str) -> None:
    router, one, own = router_for(provider), behind(provider), front(path("web"))
    [made] = router.render(one, {OWN: own}, THIRD)

    [left] = router.restore(one, {OWN: own, COPY: stored(made)})

    assert router.state(one, {OWN: own, COPY: left}).routes == ALL_TO_PRIMARY
    assert router.restore(one, {OWN: own, COPY: left}) == ()


ELSEWHERE: list[tuple[JsonObject, str]] = [
    ({"number": 9090}, "leads to port 9090 of Service web, which Services web-primary and web-canary will not have"),
    ({"name": "admin"}, "leads to port admin of Service web, .* set spec.service.portName: admin, if it is the name"),
]


@pytest.mark.parametrize("provider", ["nginx", "skipper"])
@pytest.mark.parametrize(("port", "says"), ELSEWHERE, ids=["number", "name"])
def test_a_path_to_a_port_that_primary_and_canary_lack_is_served_by_the_users_ingress_alone(
    provider: str, port: JsonObject, says: str
) -> None:
    router, one = router_for(provider), behind(provider)
    shared = [path("web"), path("web", port={"name": "http"}, at="/named")]
    [made] = router.render(one, {OWN: front(*shared)}, THIRD)

    own = front(*shared, path("web", port=port, at="/admin"))
    own["spec"]["rules"].append({"http": {"paths": [path("web", port=port)]}})
    [body] = router.render(one, {OWN: own}, THIRD)

    assert body["spec"] == made["spec"]
    with pytest.raises(UserError, match=says):
        router.render(one, {OWN: front(path("web", port=port))}, ALL_TO_CANARY)


@pytest.mark.parametrize("provider", ["nginx", "skipper"])
@pytest.mark.parametrize("port", [{"number": 9090}, {"name": "admin"}])
def test_a_port_of_the_pods_may_be_one_of_their_services(provider: str, port: JsonObject) -> None:
    spec = behind(provider).spec
    one = canary(
        spec={"provider": provider, "ingressRef": spec.ingress_ref and spec.ingress_ref.to_json()},
        service={"portDiscovery": True},
    )
    [body] = router_for(provider).render(one, {OWN: front(path("web", port=port))}, ALL_TO_CANARY)
    assert path("web-canary", port=port) in body["spec"]["rules"][0]["http"]["paths"]


LABELS_OF_TOOLS = {
    "app.kubernetes.io/instance": "shop",
    "argocd.argoproj.io/instance": "shop",
    "kustomize.toolkit.fluxcd.io/name": "shop",
    "applyset.kubernetes.io/part-of": "shop",
    "kapp.k14s.io/app": "1",
}
ANNOTATIONS_OF_TOOLS = {
    "argocd.argoproj.io/tracking-id": "shop:networking.k8s.io/Ingress:shop/front",
    "kustomize.toolkit.fluxcd.io/checksum": "1",
    "kubectl.kubernetes.io/last-applied-configuration": "{}",
}


@pytest.mark.parametrize("provider", ["nginx", "skipper"])
def test_marks_of_tools_that_delete_what_they_did_not_apply_are_on_no_copy(provider: str) -> None:
    router, one, own = router_for(provider), behind(provider), front(path("web"), annotations=ANNOTATIONS_OF_TOOLS)
    own["metadata"]["labels"] |= LABELS_OF_TOOLS

    [made] = router.render(one, {OWN: own}, THIRD)

    assert made["metadata"]["labels"] == {"team": "a", "app.kubernetes.io/managed-by": "flaggerpy"}
    assert made["metadata"]["annotations"].keys().isdisjoint(ANNOTATIONS_OF_TOOLS)

    marked = stored(made, **ANNOTATIONS_OF_TOOLS)
    marked["metadata"]["labels"] = {**made["metadata"]["labels"], **LABELS_OF_TOOLS}
    assert not router.state(one, {OWN: own, COPY: marked}).drifted, "they go with the next write, and cost no step"
    [cleaned] = router.render(one, {OWN: own, COPY: marked}, THIRD)
    assert [cleaned["metadata"][field] for field in ("labels", "annotations")] == [
        made["metadata"][field] for field in ("labels", "annotations")
    ]
