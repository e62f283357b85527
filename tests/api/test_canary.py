"""Reading canaries: names, helpers, and how far a mistake reaches."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flaggerpy.api.analysis import HookType, Severity, Strategy
from flaggerpy.api.canary import Canary, parse_canary
from flaggerpy.api.errors import InvalidObject
from flaggerpy.api.templates import parse_alert_provider, parse_metric_template
from flaggerpy.api.validation import problems
from tests.api.fixtures import CANARIES, NONSENSE, OTHERS, SEED, JsonObject, title
from tests.builders import ab_test, blue_green, canary, canary_json, same_but, with_service


def test_the_seeds_canary_is_read_word_for_word() -> None:
    seed = parse_canary(SEED)
    assert seed.faults == ()
    assert seed.spec.service is not None
    assert seed.spec.service.port == 8080
    assert (seed.apex_name, seed.primary_service_name, seed.canary_service_name) == (
        "payment-service",
        "payment-service-primary",
        "payment-service-canary",
    )
    analysis = seed.spec.analysis
    assert (analysis.interval, analysis.threshold, analysis.steps) == (
        timedelta(seconds=30),
        5,
        (10, 20, 30, 40, 50),
    )
    assert [metric.interval for metric in analysis.metrics] == [timedelta(minutes=1)] * 2
    assert analysis.webhooks[0].metadata == {"cmd": "hey -z 1m -q 10 -c 2 http://payment-service-canary/"}
    assert analysis.webhooks[0].timeout == timedelta(seconds=5)


@pytest.mark.parametrize("obj", [*CANARIES, *NONSENSE], ids=title)
def test_nothing_that_a_user_wrote_is_lost(obj: JsonObject) -> None:
    read = parse_canary(obj)
    assert read.faults == ()
    assert read.key == (obj["metadata"]["namespace"], obj["metadata"]["name"])
    assert leaves(read.spec.as_written()) == leaves(obj["spec"])


@pytest.mark.parametrize("obj", OTHERS, ids=title)
def test_nothing_of_templates_and_receivers_is_lost(obj: JsonObject) -> None:
    read = (parse_metric_template if obj["kind"] == "MetricTemplate" else parse_alert_provider)(obj)
    assert read.faults == ()
    assert leaves(read.spec.as_written()) == leaves(obj["spec"])


def leaves(value: object, path: str = "") -> dict[str, object]:
    """Write JSON as paths and values; durations as seconds, because 1m is written back as 1m0s."""
    if isinstance(value, dict):
        return {key: leaf for name, item in value.items() for key, leaf in leaves(item, f"{path}.{name}").items()}
    if isinstance(value, list):
        return {key: leaf for i, item in enumerate(value) for key, leaf in leaves(item, f"{path}[{i}]").items()}
    if path.endswith("].timeout") or path == ".analysis.interval":
        return {path: str(value).replace("1m0s", "1m").replace("60s", "1m")}
    return {path: value}


def test_names_follow_the_services_name_and_the_target() -> None:
    renamed = canary(service={"name": "shop-front"})
    assert renamed.apex_name == "shop-front"
    assert renamed.primary_service_name == "shop-front-primary"
    assert renamed.canary_service_name == "shop-front-canary"
    assert (renamed.target_name, renamed.primary_name) == ("web", "web-primary")
    assert canary(service={"name": ""}).apex_name == "web"


@pytest.mark.parametrize(
    ("title", "analysis", "steps"),
    [
        ("even steps", {"stepWeight": 10, "maxWeight": 30}, (10, 20, 30)),
        ("the last step may overshoot", {"stepWeight": 20, "maxWeight": 50}, (20, 40, 60)),
        ("but never beyond all", {"stepWeight": 30, "maxWeight": 100}, (30, 60, 90, 100)),
        ("without maximum up to all", {"stepWeight": 40, "maxWeight": None}, (40, 80, 100)),
        ("a maximum of 0 is none", {"stepWeight": 50, "maxWeight": 0}, (50, 100)),
        ("one step", {"stepWeight": 100, "maxWeight": None}, (100,)),
        ("a step above the maximum", {"stepWeight": 50, "maxWeight": 20}, (50,)),
        ("a list, whatever the maximum", {"stepWeights": [5, 25, 60], "stepWeight": None}, (5, 25, 60)),
        ("no step", {"stepWeight": 0}, ()),
    ],
)
def test_steps(title: str, analysis: JsonObject, steps: tuple[int, ...]) -> None:
    assert canary(analysis=analysis).spec.analysis.steps == steps, title


@pytest.mark.parametrize(
    ("title", "read", "strategy"),
    [
        ("weights", canary(), Strategy.CANARY),
        ("iterations", blue_green(), Strategy.BLUE_GREEN),
        ("iterations for some users", ab_test(), Strategy.AB_TESTING),
        ("some users without iterations", ab_test(0), Strategy.CANARY),
    ],
)
def test_the_strategy_is_derived(title: str, read: Canary, strategy: Strategy) -> None:
    assert read.spec.analysis.strategy is strategy, title


def test_what_is_left_out_has_flaggers_defaults() -> None:
    read = canary(
        analysis={
            "threshold": 0,
            "metrics": [{"name": "latency"}],
            "webhooks": [
                {"name": "a", "url": "http://a.test"},
                {"name": "b", "url": "http://b.test", "type": "", "timeout": "0s"},
            ],
            "alerts": [
                {"name": "on-call", "providerRef": {"name": "pager"}},
                {"name": "team", "severity": "", "providerRef": {"name": "chat"}},
            ],
            "sessionAffinity": {"cookieName": "seen"},
        }
    )
    analysis = read.spec.analysis
    assert analysis.threshold == 1
    assert (analysis.primary_ready_threshold, analysis.canary_ready_threshold) == (100, 100)
    assert [metric.interval_text for metric in analysis.metrics] == ["1m"]
    assert [(hook.type, hook.timeout, hook.retries) for hook in analysis.webhooks] == [
        (HookType.ROLLOUT, timedelta(seconds=10), 0)
    ] * 2
    assert [alert.severity for alert in analysis.alerts] == [Severity.INFO] * 2
    assert analysis.session_affinity is not None
    assert analysis.session_affinity.max_age == 86400
    assert read.progress_deadline == timedelta(minutes=10)
    assert read.spec.service is not None
    assert (read.spec.service.port_name, read.spec.service.pod_port) == ("http", 80)
    assert (read.spec.skip_analysis, read.spec.suspend, read.spec.revert_on_deletion) == (False, False, False)


@pytest.mark.parametrize(("written", "port"), [(None, 80), (0, 80), ("0", 80), (9898, 9898), ("grpc", "grpc")])
def test_the_pods_port(written: object, port: object) -> None:
    service = canary(service={"targetPort": written}).spec.service
    assert service is not None
    assert service.pod_port == port


def test_hooks_of_a_type_keep_their_order() -> None:
    hooks = [
        {"name": name, "url": "http://hooks.test", "type": kind}
        for name, kind in [("one", "rollout"), ("gate", "confirm-rollout"), ("two", ""), ("three", "rollout")]
    ]
    analysis = canary(analysis={"webhooks": hooks}).spec.analysis
    assert [hook.name for hook in analysis.hooks(HookType.ROLLOUT)] == ["one", "two", "three"]
    assert [hook.name for hook in analysis.hooks(HookType.CONFIRM_ROLLOUT)] == ["gate"]
    assert analysis.hooks(HookType.ROLLBACK) == ()


def test_null_is_the_same_as_nothing() -> None:
    obj = canary_json()
    obj["spec"]["analysis"]["metrics"] = None
    obj["spec"]["service"]["hosts"] = None
    obj["status"] = None
    assert parse_canary(obj) == parse_canary(canary_json())


def test_fields_of_a_newer_schema_are_ignored() -> None:
    obj = canary_json(spec={"tomorrow": True}, analysis={"tomorrow": {"a": 1}})
    obj["status"] = {"tomorrow": "?", "rollout": {"tomorrow": 1}}
    assert parse_canary(obj) == canary()


@pytest.mark.parametrize(
    ("title", "parts", "fault"),
    [
        (
            "a number with decimals",
            {"analysis": {"stepWeight": 10.5}},
            "spec.analysis.stepWeight: 10.5 is not a whole number: write 10 or 11.",
        ),
        (
            "one weight with decimals",
            {"analysis": {"stepWeight": None, "stepWeights": [5, 7.5, 10]}},
            "spec.analysis.stepWeights[1]: 7.5 is not a whole number: write 7 or 8.",
        ),
        (
            "an interval that only begins like one",
            {"analysis": {"interval": "10mfoo"}},
            'spec.analysis.interval: "10mfoo" is not a duration: "mfoo" is no unit (h, m, s, ms, us, ns are).',
        ),
        (
            "a time limit that only begins like one",
            {"analysis": {"webhooks": [{"name": "a", "url": "http://a.test", "timeout": "5s5"}]}},
            'spec.analysis.webhooks[0].timeout: "5s5" is not a duration: write a number and a unit, like "30s" or'
            ' "1m30s".',
        ),
        (
            "a metric's interval that only begins like one",
            {"analysis": {"metrics": [{"name": "latency", "interval": "1mx"}]}},
            'spec.analysis.metrics[0].interval: "1mx" is not a duration: "mx" is no unit (h, m, s, ms, us, ns are).',
        ),
        (
            "a number in quotes",
            {"service": {"port": 80, "targetPort": 80}, "spec": {"progressDeadlineSeconds": "60"}},
            "spec.progressDeadlineSeconds: '60' is not a number: write a whole number without quotes.",
        ),
        (
            "an unknown choice",
            {"service": {"trafficDistribution": "PreferMars"}},
            "spec.service.trafficDistribution: 'PreferMars' is not known: write 'PreferClose', 'PreferSameZone' or"
            " 'PreferSameNode'.",
        ),
        (
            "a port with decimals, which takes its service along",
            {"service": {"port": 80.5}},
            "spec.service.port: 80.5 is not a whole number: write 80 or 81.",
        ),
        ("a service without port", {"service": {"port": None}}, "spec.service.port is missing: add it."),
        (
            "a webhook without address",
            {"analysis": {"webhooks": [{"name": "gate"}]}},
            "spec.analysis.webhooks[0].url is missing: add it.",
        ),
        (
            "a word for a switch",
            {"spec": {"suspend": "perhaps"}},
            "spec.suspend: 'perhaps' cannot be used: it should be a valid boolean, unable to interpret it.",
        ),
    ],
)
def test_a_mistake_is_named_and_leaves_the_canary_readable(
    title: str, parts: dict[str, JsonObject], fault: str
) -> None:
    read = parse_canary(canary_json(**parts))  # type: ignore[arg-type]  # the table mixes keyword arguments
    assert read.faults == (fault,), title
    assert read.target_name == "web"


def test_every_mistake_is_named_at_once() -> None:
    read = canary(
        analysis={"interval": "1sx", "stepWeight": None, "stepWeights": [1.5, 2, 3.5], "threshold": 2.5},
        service={"port": 80.0},
    )
    assert [fault.split(": ")[0] for fault in read.faults] == [
        "spec.analysis.interval",
        "spec.analysis.threshold",
        "spec.analysis.stepWeights[0]",
        "spec.analysis.stepWeights[2]",
    ]
    analysis = read.spec.analysis
    assert (analysis.interval, analysis.threshold, analysis.step_weights) == (timedelta(seconds=60), 1, (2,))


@pytest.mark.parametrize(
    ("title", "obj", "sentences"),
    [
        ("nothing", {}, ("metadata is missing: add it.", "spec is missing: add it.")),
        (
            "a spec without content",
            {"metadata": {"name": "web"}, "spec": {}},
            ("spec.targetRef is missing: add it.", "spec.analysis is missing: add it."),
        ),
        (
            "a target of an unknown kind",
            canary_json(spec={"targetRef": {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "web"}}),
            ("spec.targetRef.kind: 'StatefulSet' is not known: write 'DaemonSet', 'Deployment' or 'Service'.",),
        ),
    ],
)
def test_without_a_target_or_an_analysis_there_is_no_canary(
    title: str, obj: JsonObject, sentences: tuple[str, ...]
) -> None:
    with pytest.raises(InvalidObject) as caught:
        parse_canary(obj)
    assert caught.value.sentences == sentences, title


def test_models_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        canary().spec.suspend = True  # type: ignore[misc]  # that mypy refuses it too is the point


def test_the_builders_refuse_fields_that_do_not_exist() -> None:
    with pytest.raises(TypeError, match="CanaryService has no colour"):
        with_service(canary(), colour="red")
    assert same_but(canary().spec, suspend=True).suspend


def every_place(value: Any, way: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Go to everything inside of JSON."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield (*way, key)
        yield from every_place(item, (*way, key))


ANYTHING = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**6), 10**6),
    st.floats(allow_nan=True, allow_infinity=True),
    st.text(max_size=5),
    st.just([]),
    st.just({}),
    st.just([{}]),
    st.just({"a": 1}),
)


@settings(max_examples=50, deadline=None)
@given(st.sampled_from([SEED, *CANARIES]), st.data(), ANYTHING)
def test_whatever_stands_anywhere_a_canary_is_read_or_refused_with_sentences(
    obj: JsonObject, data: st.DataObject, anything: object
) -> None:
    broken = copy.deepcopy(obj)
    *way, last = data.draw(st.sampled_from(list(every_place(broken["spec"]))))
    parent = broken["spec"]
    for part in way:
        parent = parent[part]
    parent[last] = anything
    try:
        said = problems(parse_canary(broken))
    except InvalidObject as refused:
        said = refused.sentences
        assert said
    assert all(sentence.startswith("spec.") and sentence.endswith(".") for sentence in said), said
