"""Nonsense that the CRD admits becomes sentences for its author; what works is not disturbed."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest

from flaggerpy.api.canary import Canary, parse_canary
from flaggerpy.api.validation import cross_namespace, problems, raised_interval, remarks
from tests.api.fixtures import CANARIES, NONSENSE, SEED, JsonObject, refusals, title
from tests.builders import ab_test, blue_green, canary, canary_json

HOOK = {"name": "gate", "url": "http://gate.test/"}
KNATIVE = {"apiVersion": "serving.knative.dev/v1", "kind": "Service", "name": "web"}
SCALER = {"apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "name": "web"}


@pytest.mark.parametrize("obj", [SEED, *CANARIES], ids=title)
def test_what_works_with_flagger_has_no_problem(obj: JsonObject) -> None:
    assert problems(parse_canary(obj)) == ()


def test_of_flaggers_nonsense_only_what_needs_no_cluster_is_found_here() -> None:
    found = {obj["metadata"]["name"]: problems(parse_canary(obj)) for obj in NONSENSE}
    by_field = {name: [sentence.split(": ")[0] for sentence in said] for name, said in found.items() if said}
    assert by_field == {
        "no-service": ["spec.service is missing, so there is no port to serve on"],
        "same-cookie": ["spec.analysis.sessionAffinity"],
        "podinfo": ["spec.analysis.stepWeights"],
        "bad": ["spec.analysis.metrics[0]"],
    }


def with_hook(**fields: object) -> JsonObject:
    return canary_json(analysis={"webhooks": [HOOK | fields]})


def with_metric(**fields: object) -> JsonObject:
    return canary_json(analysis={"metrics": [{"name": "latency", "query": "up", **fields}]})


def compared(**analysis: Any) -> dict[str, Any]:
    metric = {"name": "request-duration", "compareTo": "primary", "ratio": {"max": 1.2}}
    return {"metrics": [metric], **analysis}


def with_affinity(**fields: object) -> JsonObject:
    return canary_json(analysis={"sessionAffinity": {"cookieName": "seen", **fields}})


def with_steps(*weights: float) -> JsonObject:
    return canary_json(analysis={"stepWeight": None, "stepWeights": list(weights)})


# (title, object, where, what to write instead)
NONSENSICAL = [
    ("a step of nothing", canary_json(analysis={"stepWeight": 0}), "stepWeight", "never advances: write stepWeight"),
    ("no steps in the list", with_steps(), "stepWeight", "never advances"),
    (
        "no iterations",
        canary_json(analysis={"stepWeight": None, "iterations": 0}),
        "stepWeight",
        "or iterations for Blue/Green or an A/B test",
    ),
    ("fewer than no iterations", canary_json(analysis={"stepWeight": None, "iterations": -1}), "iterations", "1 or"),
    ("descending weights", with_steps(50, 30), "stepWeights", "30 after 50 is not ascending"),
    ("a weight twice", with_steps(10, 10, 50), "stepWeights", "10 after 10 is not ascending"),
    ("a weight of nothing", with_steps(0, 50), "stepWeights", "0 is no share of traffic in percent: write 1 to 100"),
    ("more than all", with_steps(50, 101), "stepWeights", "101 is no share of traffic in percent"),
    ("a step of more than all", canary_json(analysis={"stepWeight": 101}), "stepWeight", "write 0 to 100"),
    ("a maximum of more than all", canary_json(analysis={"maxWeight": 150}), "maxWeight", "write 0 to 100"),
    ("a maximum of less than nothing", canary_json(analysis={"maxWeight": -1}), "maxWeight", "write 0 to 100"),
    ("promotion by too much", canary_json(analysis={"stepWeightPromotion": 200}), "stepWeightPromotion", "0 to 100"),
    ("a mirror of too much", canary_json(analysis={"mirrorWeight": 200, "mirror": True}), "mirrorWeight", "0 to 100"),
    ("pods above all", canary_json(analysis={"canaryReadyThreshold": 120}), "canaryReadyThreshold", "0 to 100"),
    ("pods below none", canary_json(analysis={"primaryReadyThreshold": -5}), "primaryReadyThreshold", "0 to 100"),
    ("decimals", canary_json(analysis={"stepWeight": 10.5}), "stepWeight", "write 10 or 11"),
    ("a broken interval", canary_json(analysis={"interval": "10mfoo"}), "interval", '"mfoo" is no unit'),
    ("a broken time limit", with_hook(timeout="5s5"), "webhooks[0].timeout", 'like "30s"'),
    (
        "a metric from nowhere",
        canary_json(analysis={"metrics": [{"name": "latency"}]}),
        "metrics[0]",
        'how to measure "latency": add templateRef',
    ),
    ("an empty query", with_metric(query=""), "metrics[0]", "add templateRef"),
    (
        "two metrics of one name with a limit",
        canary_json(
            analysis={"metrics": [{"name": "a", "query": q, "threshold": 1, "failureLimit": 2} for q in ("x", "y")]}
        ),
        "metrics[1].name",
        "give each a name of its own",
    ),
    (
        "a range that holds nothing",
        with_metric(thresholdRange={"min": 5, "max": 1.5}),
        "metrics[0].thresholdRange",
        "min 5 is above max 1.5",
    ),
    (
        "a rate that nobody has",
        with_metric(name="request-success-rate", thresholdRange={"min": 990}),
        "metrics[0].thresholdRange",
        "more than 100 %",
    ),
    (
        "the old bound of such",
        with_metric(name="request-success-rate", threshold=101),
        "metrics[0].threshold",
        "100 or",
    ),
    ("no bound for times", with_metric(name="request-duration"), "metrics[0]", "add thresholdRange.max in milli"),
    ("an address without scheme", with_hook(url="gate.test/open"), "webhooks[0].url", "write http:// or https://"),
    ("a scheme that is not http", with_hook(url="ftp://gate.test/"), "webhooks[0].url", "write http:// or https://"),
    ("an address without host", with_hook(url="http:///open"), "webhooks[0].url", "a host and a path"),
    ("a port that is none", with_hook(url="http://gate.test:99999/"), "webhooks[0].url", "no address"),
    ("a broken host", with_hook(url="http://[::1/"), "webhooks[0].url", "no address"),
    ("an address with blanks", with_hook(url="http://gate.test/a b"), "webhooks[0].url", "no address"),
    ("fewer than no retries", with_hook(retries=-1), "webhooks[0].retries", "write 0 or more"),
    ("one cookie for both", with_affinity(primaryCookieName="seen"), "sessionAffinity", "write two names"),
    ("a nameless cookie", with_affinity(cookieName=""), "sessionAffinity.cookieName", "letters, digits and dashes"),
    ("a cookie like a header", with_affinity(cookieName="a=b; c"), "sessionAffinity.cookieName", "cannot be the name"),
    ("cookies from the past", with_affinity(maxAge=-1), "sessionAffinity.maxAge", "how many seconds"),
]


@pytest.mark.parametrize(("title", "obj", "where", "says"), NONSENSICAL, ids=[case[0] for case in NONSENSICAL])
def test_a_mistake_in_the_analysis_says_where_and_what_to_write(
    title: str, obj: JsonObject, where: str, says: str
) -> None:
    found = problems(parse_canary(obj))
    assert any(said.startswith(f"spec.analysis.{where}") and says in said for said in found), (title, found)


@pytest.mark.parametrize(
    ("analysis", "says"),
    [
        ({"stepWeight": 0}, "with 0 the canary never advances"),
        ({"stepWeight": None}, "with 0 the canary never advances"),
        ({"stepWeight": None, "stepWeights": [50, 20]}, "20 after 50 is not ascending"),
        ({"stepWeight": None, "stepWeights": [10, 10, 50]}, "10 after 10 is not ascending"),
    ],
)
def test_w11_steps_that_lead_nowhere_are_refused_with_what_to_write(analysis: JsonObject, says: str) -> None:
    (sentence,) = problems(parse_canary(canary_json(analysis=analysis)))
    assert says in sentence


TARGETS_AND_SERVICES = [
    ("a Deployment without Service", canary_json(spec={"service": None}), "spec.service", "add spec.service.port"),
    ("a port of 0", canary_json(service={"port": 0}), "spec.service.port", "write 1 to 65535"),
    ("a port beyond the last", canary_json(service={"port": 65536}), "spec.service.port", "write 1 to 65535"),
    ("a port with decimals", canary_json(service={"port": 80.5}), "spec.service.port", "80 or 81"),
    ("a target port beyond", canary_json(service={"targetPort": 70000}), "spec.service.targetPort", "1 to 65535"),
    (
        "a quoted target port",
        canary_json(service={"targetPort": "8080"}),
        "spec.service.targetPort",
        "write 8080 without",
    ),
    ("a nameless target port", canary_json(service={"targetPort": "Web!"}), "spec.service.targetPort", "lower-case"),
    ("a long target port", canary_json(service={"targetPort": "a" * 16}), "spec.service.targetPort", "at most 15"),
    ("a bad port name", canary_json(service={"portName": "Web"}), "spec.service.portName", "lower-case letters"),
    ("a long Service name", canary_json(service={"name": "a" * 56}), "spec.service.name", "at most 55 characters"),
    ("a long target name", canary_json("a" * 56), "spec.targetRef.name", "write a spec.service.name"),
    ("no time", canary_json(spec={"progressDeadlineSeconds": 0}), "spec.progressDeadlineSeconds", "leaves no time"),
    ("Knative elsewhere", canary_json(spec={"targetRef": KNATIVE}), "spec.provider", "write provider: knative"),
    ("Knative only in name", canary_json(spec={"provider": "knative"}), "spec.targetRef", "serving.knative.dev/v1"),
    (
        "a scaler for Knative",
        canary_json(spec={"targetRef": KNATIVE, "provider": "knative", "autoscalerRef": SCALER}),
        "spec.autoscalerRef",
        "remove autoscalerRef",
    ),
    (
        "replicas upside down",
        canary_json(spec={"autoscalerRef": SCALER | {"primaryScalerReplicas": {"minReplicas": 5, "maxReplicas": 2}}}),
        "spec.autoscalerRef.primaryScalerReplicas",
        "minReplicas 5 is above maxReplicas 2",
    ),
    (
        "a canary of no pod",
        canary_json(analysis={"canaryScale": {"minReplicas": 0}}),
        "spec.analysis.canaryScale",
        "1 or more",
    ),
    (
        "a size that an autoscaler decides",
        canary_json(spec={"autoscalerRef": SCALER}, analysis={"canaryScale": {"matchTrafficWeight": True}}),
        "spec.analysis.canaryScale.matchTrafficWeight",
        "remove one of the two",
    ),
    (
        "a size that nodes decide",
        canary_json(
            spec={"targetRef": {"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "podinfo"}},
            analysis={"canaryScale": {"matchTrafficWeight": True}},
        ),
        "spec.analysis.canaryScale",
        "goes with no DaemonSet",
    ),
    ("a metrics server without scheme", canary_json(spec={"metricsServer": "prom:9090"}), "spec.metricsServer", "http"),
]


@pytest.mark.parametrize(
    ("title", "obj", "where", "says"), TARGETS_AND_SERVICES, ids=[case[0] for case in TARGETS_AND_SERVICES]
)
def test_a_mistake_in_target_or_service_says_where_and_what_to_write(
    title: str, obj: JsonObject, where: str, says: str
) -> None:
    found = problems(parse_canary(obj))
    assert any(said.startswith(where) and says in said for said in found), (title, found)


@pytest.mark.parametrize("obj", [case[1] for case in NONSENSICAL], ids=[case[0] for case in NONSENSICAL])
def test_sentences_are_for_people(obj: JsonObject) -> None:
    for sentence in problems(parse_canary(obj)):
        assert re.fullmatch(r"spec\..*[^.]\.", sentence), sentence
        assert not re.search(r"\bNone\b|Error|timedelta|Input", sentence), sentence


@pytest.mark.parametrize("obj", [case[1] for case in NONSENSICAL])
def test_the_mistakes_are_such_as_the_crd_admits(obj: JsonObject) -> None:
    assert refusals(obj) == []


@pytest.mark.parametrize(
    ("fields", "unbounded"),
    [
        ({}, True),
        ({"query": None, "templateRef": {"name": "t"}, "dryRun": True}, True),
        ({"name": "request-success-rate"}, True),
        ({"name": "request-success-rate", "query": None}, False),
        ({"threshold": 0}, False),
        ({"thresholdRange": {}}, False),
        ({"compareTo": "primary", "ratio": {"max": 2}}, False),
    ],
)
def test_w58_a_metric_without_a_bound_stops_the_canary(fields: JsonObject, unbounded: bool) -> None:
    found = problems(parse_canary(with_metric(**fields)))
    name = fields.get("name", "latency")
    said = f"spec.analysis.metrics[0]: {name} has no bound, so it could never pass: add thresholdRange with min or max."
    assert found == ((said,) if unbounded else ())


FINE = [
    ("a threshold of 0, which counts as 1", canary(analysis={"threshold": 0})),
    ("a maximum of 0, which counts as 100", canary(analysis={"maxWeight": 0})),
    ("all at once", canary(analysis={"stepWeight": 100, "maxWeight": None})),
    ("a share of pods", canary(analysis={"primaryReadyThreshold": 0, "canaryReadyThreshold": 50})),
    (
        "a custom metric that must be 0",
        canary(analysis={"metrics": [{"name": "errors", "query": "up", "threshold": 0}]}),
    ),
    ("a metric with an empty range", canary(analysis={"metrics": [{"name": "x", "query": "q", "thresholdRange": {}}]})),
    ("a metric with the old bound", canary(analysis={"metrics": [{"name": "request-duration", "threshold": 500}]})),
    (
        "equal bounds",
        canary(analysis={"metrics": [{"name": "x", "query": "q", "thresholdRange": {"min": 1, "max": 1}}]}),
    ),
    ("https and a port", canary(analysis={"webhooks": [HOOK | {"url": "https://gate.test:8443/open?x=1"}]})),
    ("an address by number", canary(analysis={"webhooks": [HOOK | {"url": "http://[::1]:8080/"}]})),
    ("a target port of 0, which counts as absent", canary(service={"targetPort": 0})),
    ("a named target port", canary(service={"targetPort": "http-metrics"})),
    ("the longest Service name", canary(service={"name": "a" * 55})),
    ("Knative without Service", canary(spec={"targetRef": KNATIVE, "provider": "knative", "service": None})),
    ("Blue/Green", blue_green()),
    ("an A/B test", ab_test()),
    ("an age of 0, which counts as a day", canary(analysis={"sessionAffinity": {"cookieName": "a", "maxAge": 0}})),
]


@pytest.mark.parametrize(("title", "read"), FINE, ids=[case[0] for case in FINE])
def test_what_works_is_no_problem(title: str, read: Canary) -> None:
    assert problems(read) == (), title


def test_without_analysis_nobody_minds_its_steps_but_its_hooks_are_still_called() -> None:
    analysis = {"stepWeight": 0, "metrics": [{"name": "latency"}], "webhooks": [HOOK | {"url": "gate"}]}
    assert [said.split(":")[0] for said in problems(canary(spec={"skipAnalysis": True}, analysis=analysis))] == [
        "spec.analysis.webhooks[0].url"
    ]


def test_all_mistakes_are_said_at_once_and_each_only_once() -> None:
    found = problems(canary(service={"port": 0}, analysis={"stepWeight": None, "stepWeights": [9, 5, 9, 5]}))
    assert [said.split(" is ")[0] for said in found] == ["spec.service.port: 0", "spec.analysis.stepWeights: 5 after 9"]


@pytest.mark.parametrize(
    ("title", "read", "says"),
    [
        (
            "a success rate without bound",
            canary(analysis={"metrics": [{"name": "request-success-rate"}]}),
            "always passes: add thresholdRange.min",
        ),
        (
            "an empty range",
            canary(analysis={"metrics": [{"name": "x", "query": "q", "thresholdRange": {}}]}),
            "add min",
        ),
        ("a comparison at the end of all steps", canary(analysis=compared(maxWeight=None)), "last share be below 100"),
        ("a comparison in Blue/Green", blue_green(**compared()), "the rollout waits there: add onNoData: pass"),
        ("a mirror in an A/B test", ab_test(mirror=True), "no effect in an A/B test"),
        ("cookies in Blue/Green", blue_green(sessionAffinity={"cookieName": "c"}), "no effect with iterations"),
        ("cookies in an A/B test", ab_test(sessionAffinity={"cookieName": "c"}), "no effect with iterations"),
        (
            "a gate that is never asked",
            blue_green(webhooks=[{**HOOK, "type": "confirm-traffic-increase"}]),
            "webhooks[0] is never called",
        ),
        (
            "an audience that gets weights",
            canary(analysis={"match": [{"headers": {"a": {"exact": "1"}}}]}),
            "match without iterations is no A/B test",
        ),
        (
            "a size of which only the floor is said",
            canary(analysis={"canaryScale": {"minReplicas": 2}}),
            "no effect without matchTrafficWeight: true",
        ),
        (
            "a size by an unknown share",
            blue_green(match=[{"headers": {"a": {"exact": "1"}}}], canaryScale={"matchTrafficWeight": True}),
            "canaryScale has no effect in an A/B test",
        ),
        (
            "a size by the share of all others",
            canary(
                analysis={
                    "match": [{"headers": {"a": {"exact": "1"}}}],
                    "matchFirst": True,
                    "canaryScale": {"matchTrafficWeight": True},
                }
            ),
            "canaryScale has no effect with matchFirst",
        ),
        (
            "a size by a share that grows",
            canary(
                analysis={
                    "sessionAffinity": {"cookieName": "seen"},
                    "canaryScale": {"matchTrafficWeight": True},
                }
            ),
            "spec.analysis.sessionAffinity without primaryCookieName",
        ),
        ("a mirror's weight without mirror", canary(analysis={"mirrorWeight": 50}), "without mirror: true"),
        ("a first step above the maximum", canary(analysis={"stepWeight": 60}), "above maxWeight 50"),
        ("a maximum beside a list", canary(analysis={"stepWeight": None, "stepWeights": [10, 50]}), "with stepWeights"),
        ("a maximum of iterations", blue_green(maxWeight=50), "no effect with iterations"),
        (
            "two bounds",
            canary(analysis={"metrics": [{"name": "x", "query": "q", "threshold": 1, "thresholdRange": {"max": 1}}]}),
            "metrics[0].threshold has no effect beside thresholdRange",
        ),
        (
            "queries for a scaler that asks none",
            canary(
                spec={"autoscalerRef": SCALER | {"kind": "HorizontalPodAutoscaler", "primaryScalerQueries": {"a": "b"}}}
            ),
            "no effect with kind HorizontalPodAutoscaler",
        ),
    ],
)
def test_what_works_and_was_hardly_meant_is_remarked(title: str, read: Canary, says: str) -> None:
    assert problems(read) == (), title
    assert len(remarks(read)) == 1, title
    assert says in remarks(read)[0]


@pytest.mark.parametrize("obj", [SEED, *CANARIES], ids=title)
def test_ordinary_canaries_get_no_remark(obj: JsonObject) -> None:
    assert remarks(parse_canary(obj)) == ()


def test_references_into_other_namespaces_are_named_for_a_controller_that_forbids_them() -> None:
    read = canary(
        spec={
            "upstreamRef": {"apiVersion": "gloo.solo.io/v1", "kind": "Upstream", "name": "u", "namespace": "gloo"},
        },
        analysis={
            "metrics": [
                {"name": "a", "templateRef": {"name": "here"}},
                {"name": "b", "templateRef": {"name": "there", "namespace": "monitoring"}},
            ],
            "alerts": [
                {"name": "c", "providerRef": {"name": "here", "namespace": "shop"}},
                {"name": "d", "providerRef": {"name": "there", "namespace": "alerts"}},
            ],
        },
    )
    assert [said.split(" is ")[0] for said in cross_namespace(read)] == [
        "spec.upstreamRef.namespace: gloo",
        "spec.analysis.metrics[1].templateRef.namespace: monitoring",
        "spec.analysis.alerts[1].providerRef.namespace: alerts",
    ]
    assert all("move the object to shop" in said for said in cross_namespace(read))
    assert cross_namespace(canary()) == ()


@pytest.mark.parametrize(("interval", "raised"), [("9s", True), ("9.999s", True), ("10s", False), ("1m", False)])
def test_an_interval_that_a_controller_raises_is_told(interval: str, raised: bool) -> None:
    said = raised_interval(canary(analysis={"interval": interval}), timedelta(seconds=10))
    assert (said is not None) == raised
    assert not raised or (said or "").endswith("so 10s is used instead: write 10s or more.")
