from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from flaggerpy.rollout.errors import UserError
from flaggerpy.targets.configs import config_refs, refuse_collisions
from flaggerpy.targets.identity import template_identity
from flaggerpy.targets.template import Translation
from tests.targets.objects import template, vectors

TRANSLATION = Translation(
    label="app",
    value="blue",
    workload="web",
    affinity_labels=("app", "name"),
    tracked=("configmap/a", "configmap/b", "secret/a", "secret/web"),
)

NAMES = st.sampled_from(["a", "b", "web", "other", "web-primary", "x-canary"])
WORKLOADS = st.sampled_from(["web", "web-primary", "blue", "blue-primary", "other"])
KEYS = st.sampled_from(["app", "name", "tier"])


def _optionally(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=fields)


SELECTORS = _optionally(
    matchLabels=st.dictionaries(KEYS, WORKLOADS, max_size=3),
    matchExpressions=st.lists(
        st.fixed_dictionaries({"key": KEYS, "operator": st.just("In"), "values": st.lists(WORKLOADS, unique=True)}),
        max_size=2,
    ),
)
TERMS = st.lists(_optionally(labelSelector=SELECTORS), max_size=2)
AFFINITY = _optionally(
    podAntiAffinity=_optionally(
        requiredDuringSchedulingIgnoredDuringExecution=TERMS,
        preferredDuringSchedulingIgnoredDuringExecution=st.lists(
            _optionally(podAffinityTerm=_optionally(labelSelector=SELECTORS)), max_size=2
        ),
    ),
    podAffinity=_optionally(requiredDuringSchedulingIgnoredDuringExecution=TERMS),
)
NAMED = st.fixed_dictionaries({"name": NAMES}, optional={"optional": st.booleans()})
ENV = st.lists(
    st.one_of(
        st.just({"name": "E", "value": "a"}),
        st.builds(lambda ref: {"name": "E", "valueFrom": {"configMapKeyRef": ref}}, NAMED),
        st.builds(lambda ref: {"name": "E", "valueFrom": {"secretKeyRef": ref}}, NAMED),
    ),
    max_size=2,
)
ENV_FROM = st.lists(_optionally(configMapRef=NAMED, secretRef=NAMED), max_size=2)
CONTAINERS = st.lists(_optionally(name=NAMES, env=ENV, envFrom=ENV_FROM), max_size=2)
VOLUMES = st.lists(
    _optionally(
        configMap=NAMED,
        secret=st.fixed_dictionaries({"secretName": NAMES}),
        projected=_optionally(sources=st.lists(_optionally(configMap=NAMED, secret=NAMED), max_size=2)),
        emptyDir=st.just({}),
    ),
    max_size=2,
)
EXTRA = st.dictionaries(
    st.sampled_from(["tier", "own", "kustomize.toolkit.fluxcd.io/x", "flagger-id"]), NAMES, max_size=3
)
TEMPLATES = st.builds(
    lambda labels, annotations, spec: {
        "metadata": {"labels": {**labels, "app": "blue"}, **annotations},
        "spec": spec,
    },
    EXTRA,
    _optionally(annotations=EXTRA, creationTimestamp=st.none(), finalizers=st.just(["a.example/f"])),
    _optionally(
        volumes=VOLUMES,
        containers=CONTAINERS,
        initContainers=CONTAINERS,
        affinity=AFFINITY,
        topologySpreadConstraints=TERMS,
        nodeSelector=st.just({"app": "web"}),
    ),
)


@pytest.mark.laws
@settings(max_examples=150, deadline=None)
@given(TEMPLATES, st.data())
def test_the_way_back_gives_the_identity_of_the_original(original: dict[str, Any], data: st.DataObject) -> None:
    """Whatever is tracked of what the template reads, as long as the template is not refused."""
    refs = config_refs(original)
    tracked = data.draw(st.frozensets(st.sampled_from([ref.key for ref in refs]))) if refs else frozenset()
    try:
        refuse_collisions(refs, tracked)
    except UserError:
        reject()
    translation = replace(TRANSLATION, tracked=tracked)

    there = translation.to_primary(original, "promotion-7")

    assert template_identity(translation.to_target(there)) == template_identity(original)


@pytest.mark.laws
@settings(max_examples=60, deadline=None)
@given(TEMPLATES)
def test_a_translation_never_changes_its_input(original: dict[str, Any]) -> None:
    before = repr(original)

    TRANSLATION.to_target(TRANSLATION.to_primary(original, "promotion-7"))

    assert repr(original) == before


@pytest.mark.parametrize("vector", vectors()["templates"], ids=lambda vector: vector["name"])
def test_the_way_back_for_templates_as_an_api_server_stores_them(vector: dict[str, Any]) -> None:
    label, value = next(iter(vector["template"]["metadata"]["labels"].items()))
    translation = Translation(label, value, vector["name"], (label,), tuple(vector["tracked"]))

    there = translation.to_primary(vector["template"], "promotion-7")

    assert template_identity(translation.to_target(there)) == template_identity(vector["template"])
    assert template_identity(there) != template_identity(vector["template"])


def test_identities_of_different_templates_differ() -> None:
    templates = [vector["template"] for vector in vectors()["templates"]]
    assert len({template_identity(one) for one in templates}) == len(templates)


@pytest.mark.parametrize(
    ("title", "change", "same"),
    [
        (
            "a null is nothing",
            {"metadata": {"labels": {"app": "web", "tier": "front"}, "creationTimestamp": None}},
            True,
        ),
        (
            "no annotations are like empty ones",
            {"metadata": {"labels": {"app": "web", "tier": "front"}, "annotations": {}}},
            True,
        ),
        (
            "the restart marker of a primary and Flux's keys do not count",
            {
                "metadata": {
                    "labels": {"app": "web", "tier": "front", "kustomize.toolkit.fluxcd.io/name": "x"},
                    "annotations": {"flagger-id": "1"},
                }
            },
            True,
        ),
        ("a label counts", {"metadata": {"labels": {"app": "web", "tier": "back"}}}, False),
        ("an empty object counts", {"spec": {**template()["spec"], "affinity": {}}}, False),
    ],
)
def test_what_an_identity_covers(title: str, change: dict[str, Any], same: bool) -> None:
    assert (template_identity({**template(), **change}) == template_identity(template())) is same, title


def test_an_identity_names_its_version_and_never_changes() -> None:
    assert template_identity(template()) == "v1-2fd80ae0f0ae8a95"


def test_w33_terms_about_the_targets_pods_speak_of_the_primarys_whatever_the_workload_is_called() -> None:
    spread = {"labelSelector": {"matchLabels": {"app": "blue", "name": "blue", "tier": "blue"}}}
    expressions = [{"key": "app", "operator": "In", "values": ["web", "other", "blue", "blue-primary"]}]
    anti = {
        "preferredDuringSchedulingIgnoredDuringExecution": [
            {"podAffinityTerm": {"labelSelector": {"matchExpressions": expressions}}}
        ],
        "requiredDuringSchedulingIgnoredDuringExecution": [spread],
    }
    near = {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [spread]}}
    original = {"spec": {"topologySpreadConstraints": [spread], "affinity": {"podAntiAffinity": anti, **near}}}

    spec = TRANSLATION.to_primary(original, "7")["spec"]

    # The primary's pods keep their other labels.
    moved = {"labelSelector": {"matchLabels": {"app": "blue-primary", "name": "blue", "tier": "blue"}}}
    away = spec["affinity"]["podAntiAffinity"]
    preferred = away["preferredDuringSchedulingIgnoredDuringExecution"][0]["podAffinityTerm"]["labelSelector"]
    assert spec["topologySpreadConstraints"] == [moved]
    assert away["requiredDuringSchedulingIgnoredDuringExecution"] == [moved]
    assert preferred["matchExpressions"][0]["values"] == ["web", "other", "blue-primary", "blue"]
    assert spec["affinity"]["podAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"] == [moved], (
        "or it could never be scheduled while the target sleeps"
    )


def test_w33_a_primary_that_flagger_wrote_is_read_by_its_rule() -> None:
    own = {"labelSelector": {"matchLabels": {"app": "web"}}}
    theirs = {"labelSelector": {"matchLabels": {"app": "web-primary"}}}
    near = {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [own]}}
    target = {"metadata": {"labels": {"app": "blue"}}, "spec": {"topologySpreadConstraints": [own], "affinity": near}}
    spec = {"topologySpreadConstraints": [theirs], "affinity": near}
    primary = {"metadata": {"labels": {"app": "blue-primary"}}, "spec": spec}

    read = replace(TRANSLATION, by_flagger=True).to_target(primary)

    assert template_identity(read) == template_identity(target)
