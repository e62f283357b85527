"""Which object of the input another one means, and what is not looked at."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import yaml

from flaggerpy.lint.faults import Rule
from flaggerpy.lint.inventory import Options
from flaggerpy.lint.run import lint
from flaggerpy.lint.source import Source
from tests.builders import canary_json
from tests.targets.objects import deployment

JsonObject = dict[str, Any]
UNLABELLED = deployment(selector={"matchLabels": {"tier": "front"}})


def serving(name: str = "web", **spec: Any) -> JsonObject:
    return canary_json(name, service={"targetPort": "http"}, spec=spec)


def rules(files: dict[str, list[JsonObject]], options: Options | None = None) -> list[tuple[str, Rule]]:
    sources = [Source(name, yaml.safe_dump_all(objects).encode()) for name, objects in files.items()]
    return [(fault.file, fault.rule) for fault in lint(sources, options or Options()).faults]


def placed(obj: JsonObject, namespace: str | None) -> JsonObject:
    return {**obj, "metadata": {**obj["metadata"], "namespace": namespace}}


def template(name: str, namespace: str | None = "shop") -> JsonObject:
    return {
        "apiVersion": "flagger.app/v1beta1",
        "kind": "MetricTemplate",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"provider": {"type": "prometheus", "address": "http://prometheus:9090"}, "query": "up"},
    }


def measuring(name: str, **ref: str) -> JsonObject:
    return canary_json(analysis={"metrics": [{"name": "errors", "templateRef": {"name": name, **ref}, "threshold": 1}]})


def test_the_workload_of_the_same_file_then_of_the_same_folder_is_meant() -> None:
    here, there = serving(), deployment()
    assert rules({"a/c.yaml": [here, there], "a/d.yaml": [UNLABELLED]}) == []
    assert rules({"a/c.yaml": [here], "a/d.yaml": [there], "b/d.yaml": [UNLABELLED]}) == []
    assert rules({"a/c.yaml": [here], "b/d.yaml": [UNLABELLED]}) == [("b/d.yaml", Rule.WORKLOAD)]
    assert rules({"a/c.yaml": [here], "b/d.yaml": [UNLABELLED], "c/d.yaml": [UNLABELLED]}) == [], "which is not clear"


@pytest.mark.parametrize("matches", ["x", ["x"], [{"headers": "x"}], [{"headers": ["x"]}], [{"queryParams": [1]}]])
def test_a_route_that_no_api_server_takes_is_not_looked_at(matches: Any) -> None:
    route: JsonObject = {"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute"}
    spec = {"rules": [{"matches": matches, "backendRefs": [{"name": "web", "port": 80}]}]}
    named = {"provider": "gatewayapi:v1", "routeRef": {**route, "name": "way"}}
    audience = {"match": [{"headers": {"x": {"exact": "1"}}}], "iterations": 3, "stepWeight": None, "maxWeight": None}
    objects = [canary_json(spec=named, analysis=audience), {**route, "metadata": {"name": "way"}, "spec": spec}]
    assert rules({"c.yaml": objects}) == []


def test_a_knative_service_is_no_service_of_the_core() -> None:
    named = {"apiVersion": "v1", "kind": "Service", "name": "web"}
    other = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "lb", "namespace": "shop"}, "spec": {}}
    plain = canary_json(spec={"targetRef": named})
    assert rules({"c.yaml": [plain, other]}) == [("c.yaml", Rule.TARGET)]
    knative = {**named, "apiVersion": "serving.knative.dev/v1"}
    assert (
        rules({"c.yaml": [canary_json(spec={"targetRef": knative, "provider": "knative", "service": None}), other]})
        == []
    )


def test_a_workload_of_another_namespace_is_not_meant() -> None:
    assert rules({"a.yaml": [serving(), placed(UNLABELLED, "stage")]}) == []
    assert rules({"a.yaml": [serving(), placed(UNLABELLED, None)]}) == [("a.yaml", Rule.WORKLOAD)]
    options = Options(namespace="stage")
    assert rules({"a.yaml": [serving(), placed(UNLABELLED, None)]}, options) == []


@pytest.mark.parametrize(
    ("title", "input_has", "faults"),
    [
        ("no MetricTemplate at all", [], []),
        ("the one that is named", [template("errors")], []),
        ("another of the namespace", [template("hits")], [Rule.METRIC_TEMPLATE]),
        ("others elsewhere", [template("hits", "monitoring")], []),
        ("the one that is named, elsewhere", [template("errors", "monitoring")], [Rule.METRIC_TEMPLATE]),
        ("others of a namespace that is not known", [template("hits", None)], [Rule.METRIC_TEMPLATE]),
    ],
)
def test_a_template_is_missed_only_where_the_input_has_those_of_its_namespace(
    title: str, input_has: list[JsonObject], faults: list[Rule]
) -> None:
    assert [rule for _, rule in rules({"a.yaml": [measuring("errors"), *input_has]})] == faults, title


def test_a_template_in_several_folders_is_not_missed() -> None:
    files = {"a.yaml": [measuring("errors")], "b/t.yaml": [template("errors")], "c/t.yaml": [template("errors")]}
    assert rules(files) == []


@pytest.mark.parametrize(
    "broken",
    [
        {"spec": None},
        {"spec": {"selector": [], "template": {}}},
        {"spec": {"selector": {}, "template": {"spec": {"containers": [None]}}}},
        {"spec": {"selector": {}, "template": {"spec": {"containers": [{"ports": [{"containerPort": "http"}]}]}}}},
        {"apiVersion": "example.com/v1"},
    ],
)
def test_a_foreign_object_of_another_shape_is_the_api_servers_business(broken: JsonObject) -> None:
    assert rules({"a.yaml": [serving(), {**copy.deepcopy(UNLABELLED), **broken}]}) == []


@pytest.mark.parametrize("metadata", ["oops", {"labels": "oops"}, {"labels": ["oops"]}])
def test_labels_of_another_shape_are_read_by_nobody(metadata: Any) -> None:
    shared = {"trafficByReplicas": {"label": "serves"}}
    split = canary_json(spec={"provider": "kubernetes"}, analysis=shared)
    target = deployment(pod={"metadata": {"labels": {"app": "web", "serves": "web"}}, "spec": {"containers": []}})
    for pod in ("web", "other"):
        broken = deployment(name=pod, pod={"metadata": metadata, "spec": {"containers": []}})
        assert rules({"a.yaml": [split, broken] if pod == "web" else [split, target, broken]}) == []


def test_variants_of_one_canary_for_several_clusters_do_not_share_a_workload() -> None:
    assert rules({"a/c.yaml": [serving()], "b/c.yaml": [serving()]}) == []


def test_canaries_of_two_namespaces_do_not_share_a_workload() -> None:
    ref = {"targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}}
    one, other = serving(), serving("other", **ref)
    assert rules({"a.yaml": [one, other]}) == [("a.yaml", Rule.SHARED)]
    assert rules({"a.yaml": [one, placed(other, "stage")]}) == []
    assert rules({"a.yaml": [one, placed(other, None)]}) == [("a.yaml", Rule.SHARED)]


def test_the_controllers_own_selector_labels_can_be_told() -> None:
    files = {"a.yaml": [serving(), UNLABELLED]}
    from_flags = Options().labels.from_flags("tier", "")
    assert rules(files, Options(labels=from_flags)) == []


def test_a_config_that_is_not_tracked_may_stand_beside_its_namesake() -> None:
    pod = {
        "spec": {
            "containers": [
                {
                    "name": "a",
                    "envFrom": [{"configMapRef": {"name": name}} for name in ("settings", "settings-primary")],
                }
            ]
        }
    }
    config = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "settings", "annotations": {"flagger.app/config-tracking": "disabled"}},
    }
    reading = [canary_json(), deployment(pod=pod)]
    assert rules({"a.yaml": reading}) == [("a.yaml", Rule.WORKLOAD)]
    assert rules({"a.yaml": [*reading, config]}) == []
