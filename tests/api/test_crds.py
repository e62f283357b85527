"""The CRDs: current, complete, and admitting whatever Flagger's admit."""

from __future__ import annotations

import hashlib
import inspect
import json
import typing
from collections.abc import Iterator
from pathlib import Path

import jsonschema_rs
import pytest
import yaml

from flaggerpy.api import crds
from flaggerpy.api.base import ApiModel
from flaggerpy.api.constants import SCHEMA_VERSION, SCHEMA_VERSION_ANNOTATION
from flaggerpy.api.schema import example, structural
from flaggerpy.api.status import CanaryStatus
from tests.api.fixtures import CANARIES, NONSENSE, OTHERS, ROOT, SCHEMAS, SEED, STATUSES, JsonObject, refusals, title
from tests.builders import canary_json, flagger_crd, kept

CHART = ROOT / "charts" / "flaggerpy" / "crds"


def test_the_charts_files_are_current() -> None:
    stored = {path.name: path.read_text(encoding="utf-8") for path in CHART.iterdir()}
    assert stored == crds.files(), "run: python -m flaggerpy.api.crds charts/flaggerpy/crds"


def test_the_files_say_what_was_generated() -> None:
    assert tuple(yaml.safe_load(content) for content in crds.files().values()) == crds.definitions()


def test_the_command_writes_the_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert crds.main([str(tmp_path / "new")]) == 0
    assert {path.name for path in (tmp_path / "new").iterdir()} == set(crds.files())
    assert len(capsys.readouterr().out.splitlines()) == 3


def test_the_command_says_how_it_is_used(capsys: pytest.CaptureFixture[str]) -> None:
    assert crds.main([]) == 2
    assert "DIR" in capsys.readouterr().err


def model_fields(model: type[ApiModel], path: str) -> Iterator[str]:
    for name, field in model.model_fields.items():
        here = f"{path}.{field.alias or name}"
        yield here
        for inner in models_in(field.annotation):
            yield from model_fields(inner, here)


def models_in(annotation: object) -> Iterator[type[ApiModel]]:
    if inspect.isclass(annotation) and not typing.get_args(annotation) and issubclass(annotation, ApiModel):
        yield annotation
    for argument in typing.get_args(annotation):
        yield from models_in(argument)


def schema_fields(schema: JsonObject, path: str) -> Iterator[tuple[str, JsonObject]]:
    for name, inner in schema.get("properties", {}).items():
        yield f"{path}.{name}", inner
        yield from schema_fields(inner, f"{path}.{name}")
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            yield from schema_fields(schema[key], path)


def stored_schema(kind: crds.Kind) -> JsonObject:
    crd = yaml.safe_load((CHART / f"{kind.crd_name}.yaml").read_text(encoding="utf-8"))
    schema: JsonObject = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return schema


def ours(kind: crds.Kind) -> list[tuple[str, type[ApiModel]]]:
    parts = [("spec", kind.spec)]
    return [*parts, ("status", kind.status)] if kind.status else parts


@pytest.mark.parametrize("kind", crds.KINDS, ids=lambda kind: kind.kind)
def test_every_model_field_is_in_the_schema_and_the_reverse(kind: crds.Kind) -> None:
    schema = stored_schema(kind)
    models = [path for part, model in ours(kind) for path in model_fields(model, part)]
    fields = [path for part, _ in ours(kind) for path, _ in schema_fields(schema["properties"][part], part)]
    assert sorted(models) == sorted(fields)
    assert schema["properties"].keys() - {"apiVersion", "kind", "metadata"} == {part for part, _ in ours(kind)}


@pytest.mark.parametrize("kind", crds.KINDS, ids=lambda kind: kind.kind)
def test_every_field_says_what_it_means(kind: crds.Kind) -> None:
    silent = [path for path, inner in schema_fields(stored_schema(kind), "") if not inner.get("description")]
    assert silent == [".metadata"]


def nodes(schema: JsonObject, path: str = "") -> Iterator[tuple[str, JsonObject]]:
    yield path, schema
    for name, inner in schema.get("properties", {}).items():
        yield from nodes(inner, f"{path}.{name}")
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            yield from nodes(schema[key], f"{path}[]")


@pytest.mark.parametrize("kind", crds.KINDS, ids=lambda kind: kind.kind)
def test_the_schema_is_structural(kind: crds.Kind) -> None:
    for path, node in nodes(stored_schema(kind)):
        assert "type" in node or node.get("x-kubernetes-int-or-string"), f"{path} has no type"
        forbidden = {"$ref", "$defs", "definitions", "title", "nullable", "const", "exclusiveMinimum"}
        assert not forbidden & node.keys(), path
        assert "anyOf" not in node, path


def test_the_api_server_writes_the_same_defaults_as_with_flagger() -> None:
    defaults = {path: node["default"] for path, node in nodes(stored_schema(crds.KINDS[0])) if "default" in node}
    assert defaults == {
        ".spec.service.gatewayRefs[].group": "gateway.networking.k8s.io",
        ".spec.service.gatewayRefs[].kind": "Gateway",
        ".spec.service.mirror[].backendRef.group": "",
        ".spec.service.mirror[].backendRef.kind": "Service",
        ".spec.analysis.sessionAffinity.maxAge": 86400,
    }


def test_kubectl_get_shows_flaggers_columns() -> None:
    columns = {
        kind.kind: [
            (column["name"], column["jsonPath"], column["type"], column.get("priority", 0))
            for column in crds.definition(kind)["spec"]["versions"][0]["additionalPrinterColumns"]
        ]
        for kind in crds.KINDS
    }
    assert columns == {
        "Canary": [
            ("Status", ".status.phase", "string", 0),
            ("Weight", ".status.canaryWeight", "string", 0),
            ("Suspended", ".spec.suspend", "boolean", 1),
            ("FailedChecks", ".status.failedChecks", "string", 1),
            ("Interval", ".spec.analysis.interval", "string", 1),
            ("Mirror", ".spec.analysis.mirror", "boolean", 1),
            ("StepWeight", ".spec.analysis.stepWeight", "string", 1),
            ("StepWeights", ".spec.analysis.stepWeights", "string", 1),
            ("MaxWeight", ".spec.analysis.maxWeight", "string", 1),
            ("LastTransitionTime", ".status.lastTransitionTime", "string", 0),
        ],
        "MetricTemplate": [("Provider", ".spec.provider.type", "string", 0)],
        "AlertProvider": [("Type", ".spec.type", "string", 0)],
    }


def test_helm_keeps_the_crds_and_our_version_is_on_them() -> None:
    for crd in crds.definitions():
        assert crd["metadata"]["annotations"] == {
            "helm.sh/resource-policy": "keep",
            "flaggerpy.dev/schema-version": str(SCHEMA_VERSION),
        }
        assert crd["spec"]["scope"] == "Namespaced"
        assert crd["spec"]["names"]["categories"] == ["all"]
        assert [version["name"] for version in crd["spec"]["versions"]] == ["v1beta1"]


PINNED = (7, "cb379f37d9c00506")
"""The schema version, and the digest of the schemas that belong to it."""


def test_what_the_crds_keep_changes_only_with_their_version() -> None:
    schemas = [undescribed(crds.object_schema(kind)) for kind in crds.KINDS]
    digest = hashlib.sha256(json.dumps(schemas, sort_keys=True).encode()).hexdigest()[:16]
    assert (SCHEMA_VERSION, digest) == PINNED, (
        "the schemas have changed: count SCHEMA_VERSION up in flaggerpy/api/constants.py, generate the CRDs anew, "
        f'and pin the new digest here: PINNED = ({PINNED[0] + 1}, "{digest}")'
    )


def undescribed(node: typing.Any) -> typing.Any:
    """Return a schema without its texts for people."""
    if isinstance(node, list):
        return [undescribed(child) for child in node]
    if not isinstance(node, dict):
        return node
    # A field may be called description; then a schema stands there.
    return {
        name: undescribed(child) for name, child in node.items() if name != "description" or isinstance(child, dict)
    }


@pytest.mark.parametrize("obj", [SEED, *CANARIES, *NONSENSE, *OTHERS], ids=title)
def test_what_flagger_admits_is_admitted_and_nothing_of_it_pruned(obj: JsonObject) -> None:
    assert refusals(obj) == []
    assert kept(SCHEMAS[obj["kind"]]["properties"]["spec"], obj["spec"]) == obj["spec"]


@pytest.mark.parametrize("status", STATUSES, ids=lambda status: status["phase"])
def test_what_flagger_wrote_into_a_status_is_admitted(status: JsonObject) -> None:
    assert refusals(canary_json() | {"status": status}) == []
    assert kept(SCHEMAS["Canary"]["properties"]["status"], status) == status


@pytest.mark.parametrize(
    ("title", "analysis", "admitted"),
    [
        ("steps", {"stepWeight": 10}, True),
        ("a list of steps", {"stepWeights": [1, 10, 50]}, True),
        ("iterations", {"iterations": 5}, True),
        ("decimals that are whole", {"stepWeight": 10.0}, True),
        ("decimals, which become a sentence", {"stepWeight": 10.5}, True),
        ("minutes and seconds", {"stepWeight": 10, "interval": "1m30s"}, True),
        ("a tail that Go refuses, which becomes a sentence", {"stepWeight": 10, "interval": "10mfoo"}, True),
        ("a step of nothing, which becomes a sentence", {"stepWeight": 0}, True),
        ("neither steps nor iterations", {}, False),
        ("steps and a list of steps", {"stepWeight": 10, "stepWeights": [10]}, False),
        ("steps and iterations", {"stepWeight": 10, "iterations": 5}, False),
        ("a list of steps and iterations", {"stepWeights": [10], "iterations": 5}, False),
        ("no threshold", {"stepWeight": 10, "threshold": None}, False),
        ("no interval", {"stepWeight": 10, "interval": None}, False),
        ("hours", {"stepWeight": 10, "interval": "1h"}, False),
        ("a number in quotes", {"stepWeight": "10"}, False),
    ],
)
def test_an_analysis_has_exactly_one_plan(title: str, analysis: JsonObject, admitted: bool) -> None:
    plan = {"stepWeight": None, "maxWeight": None, **analysis}
    assert (refusals(canary_json(analysis=plan)) == []) is admitted, title


@pytest.mark.parametrize(
    ("title", "spec", "admitted"),
    [
        ("an address", {"type": "slack", "address": "https://hooks.test"}, True),
        ("a Secret", {"type": "slack", "secretRef": {"name": "hook"}}, True),
        ("both", {"type": "slack", "address": "https://hooks.test", "secretRef": {"name": "hook"}}, False),
        ("neither", {"type": "slack"}, False),
        ("no type", {"address": "https://hooks.test"}, False),
        ("a Secret without name", {"type": "slack", "secretRef": {}}, False),
        ("an unknown type", {"type": "pager", "address": "https://hooks.test"}, False),
    ],
)
def test_an_alert_provider_has_one_address(title: str, spec: JsonObject, admitted: bool) -> None:
    assert (refusals({"kind": "AlertProvider", "metadata": {}, "spec": spec}) == []) is admitted, title


@pytest.mark.parametrize(
    ("title", "part", "value", "admitted"),
    [
        ("one way to match a path", "match", [{"uri": {"prefix": "/"}}], True),
        ("no way to match a path", "match", [{"uri": {}}], True),
        ("two ways to match a path", "match", [{"uri": {"prefix": "/", "exact": "/a"}}], False),
        ("two ways to match a header", "match", [{"headers": {"a": {"prefix": "/", "regex": "/a"}}}], False),
        ("an origin without a way", "corsPolicy", {"allowOrigins": [{}]}, False),
        ("an origin", "corsPolicy", {"allowOrigins": [{"exact": "https://shop.test"}]}, True),
        ("a number as target port", "targetPort", 9898, True),
        ("a name as target port", "targetPort", "http", True),
        ("a gateway by name", "gatewayRefs", [{"name": "public"}], True),
        ("a gateway without name", "gatewayRefs", [{"namespace": "infra"}], False),
        ("a rule without memory", "trafficPolicy", {"loadBalancer": {"simple": "RANDOM"}}, True),
        ("a hash", "trafficPolicy", {"loadBalancer": {"consistentHash": {"useSourceIp": True}}}, True),
        (
            "a rule and a hash",
            "trafficPolicy",
            {"loadBalancer": {"simple": "RANDOM", "consistentHash": {"useSourceIp": True}}},
            False,
        ),
        ("an unknown rule", "trafficPolicy", {"loadBalancer": {"simple": "BEST"}}, False),
        ("an unknown distribution", "trafficDistribution", "PreferMars", False),
        ("no port", "port", None, False),
    ],
)
def test_a_service_is_checked_as_flagger_does(title: str, part: str, value: object, admitted: bool) -> None:
    assert (refusals(canary_json(service={part: value})) == []) is admitted, title


@pytest.mark.parametrize(
    ("title", "match", "admitted"),
    [
        ("a header's end", {"suffix": "er"}, True),
        ("nothing about a header", {}, False),
        ("two things about a header", {"exact": "a", "suffix": "b"}, False),
    ],
)
def test_an_ab_test_says_exactly_one_thing_about_a_header(title: str, match: JsonObject, admitted: bool) -> None:
    analysis = {"stepWeight": None, "iterations": 3, "match": [{"headers": {"x-user": match}}]}
    assert (refusals(canary_json(analysis=analysis)) == []) is admitted, title


def test_an_unknown_provider_is_admitted_for_the_controller_to_answer() -> None:
    assert refusals(canary_json(spec={"provider": "smi:v1alpha2:istio"})) == []


def test_flaggers_schema_prunes_exactly_what_is_ours() -> None:
    status = CanaryStatus.model_validate(
        {
            "phase": "Progressing",
            "canaryWeight": 20,
            "observedGeneration": 7,
            "conditions": [{"type": "Ready", "status": "False", "reason": "Rolling", "observedGeneration": 7}],
            "rollout": {"step": {"weight": 20}},
        }
    ).to_json()
    schema = flagger_crd()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    pruned = kept(schema["properties"]["status"], status)
    assert status.keys() - pruned.keys() == {"observedGeneration", "rollout"}
    assert pruned["conditions"] == [{"type": "Ready", "status": "False", "reason": "Rolling", "message": ""}]


@pytest.mark.parametrize("crd", [crds.definition(crds.KINDS[0]), flagger_crd()], ids=["ours", "Flagger's"])
def test_an_example_of_a_status_is_admitted_and_has_every_field(crd: JsonObject) -> None:
    status = example(structural(CanaryStatus))
    schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"]
    assert [*jsonschema_rs.validator_for(schema).iter_errors(status)] == []
    assert list(without_value(schema, status)) == []


def without_value(schema: JsonObject, value: typing.Any) -> Iterator[str]:
    """Name the fields of a schema that a value does not have."""
    if "items" in schema:
        yield from without_value(schema["items"], value[0])
    for name, child in schema.get("properties", {}).items():
        if name in value:
            yield from without_value(child, value[name])
        else:
            yield name


def test_our_own_crd_has_no_problem() -> None:
    assert crds.schema_problem(crds.definition(crds.KINDS[0])) is None


def older() -> JsonObject:
    crd = crds.definition(crds.KINDS[0])
    crd["metadata"]["annotations"][SCHEMA_VERSION_ANNOTATION] = str(SCHEMA_VERSION - 1)
    return crd


def overwritten() -> JsonObject:
    crd = flagger_crd()
    crd["metadata"]["annotations"][SCHEMA_VERSION_ANNOTATION] = str(SCHEMA_VERSION)
    return crd


@pytest.mark.parametrize(
    ("title", "crd", "says"),
    [
        ("nothing is installed", None, "is not installed"),
        ("Flagger's CRD", flagger_crd(), "is not flaggerpy's"),
        ("a CRD without annotations", flagger_crd() | {"metadata": {}}, "is not flaggerpy's"),
        ("an older one of ours", older(), f"has schema version {SCHEMA_VERSION - 1}, {SCHEMA_VERSION} is needed"),
        ("Flagger's over ours", overwritten(), "lacks status.observedGeneration and status.rollout"),
        ("a CRD without our version", crds.definition(crds.KINDS[0]) | {"spec": {}}, "lacks status."),
    ],
)
def test_an_older_schema_is_refused_with_the_command_that_upgrades_it(
    title: str, crd: JsonObject | None, says: str
) -> None:
    problem = crds.schema_problem(crd)
    assert problem is not None, title
    assert says in problem
    assert "run `flaggerpy crds apply`" in problem
