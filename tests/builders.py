"""Typed builders for tests: one healthy canary, and the same one but for what a test is about."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

from flaggerpy.api.analysis import CanaryAnalysis, CanaryMetric, CanaryWebhook, HookType, ThresholdRange
from flaggerpy.api.base import ApiModel
from flaggerpy.api.canary import Canary, CanarySpec, ObjectMeta, parse_canary
from flaggerpy.api.constants import FINALIZER, SCHEMA_VERSION_ANNOTATION
from flaggerpy.api.crds import KINDS, OUR_STATUS_FIELDS, definition
from flaggerpy.api.status import CanaryStatus, Phase, Revision, Step

JsonObject = dict[str, Any]
Model = TypeVar("Model", bound=ApiModel)


def canary_json(
    name: str = "web",
    namespace: str = "shop",
    *,
    spec: Mapping[str, Any] | None = None,
    service: Mapping[str, Any] | None = None,
    analysis: Mapping[str, Any] | None = None,
) -> JsonObject:
    """Write a progressive canary as the API server serves it: 10 % a step up to 50 %, every 30 s.

    ``spec``, ``service`` and ``analysis`` replace single fields, under their JSON names; None removes a field.
    """
    written: JsonObject = {
        "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
        "service": {"port": 80, **(service or {})},
        "analysis": {"interval": "30s", "threshold": 5, "stepWeight": 10, "maxWeight": 50, **(analysis or {})},
        **(spec or {}),
    }
    for part in (written, written.get("service") or {}, written.get("analysis") or {}):
        for field in [field for field, value in part.items() if value is None]:
            del part[field]
    return {
        "apiVersion": "flagger.app/v1beta1",
        "kind": "Canary",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "uid": f"uid-of-{name}",
            "generation": 2009,
            "resourceVersion": "2701",
            "finalizers": [FINALIZER],
        },
        "spec": copy.deepcopy(written),
    }


def canary(
    name: str = "web",
    namespace: str = "shop",
    *,
    spec: Mapping[str, Any] | None = None,
    service: Mapping[str, Any] | None = None,
    analysis: Mapping[str, Any] | None = None,
) -> Canary:
    """Read what ``canary_json`` writes."""
    return parse_canary(canary_json(name, namespace, spec=spec, service=service, analysis=analysis))


def blue_green(iterations: int = 3, **analysis: Any) -> Canary:
    """Build a Blue/Green canary of provider kubernetes; ``analysis`` is under JSON names."""
    plan = {"stepWeight": None, "maxWeight": None, "iterations": iterations, **analysis}
    return canary(spec={"provider": "kubernetes"}, analysis=plan)


def ab_test(iterations: int = 3, **analysis: Any) -> Canary:
    """Build an A/B test for users with the header ``x-canary: insider``; ``analysis`` is under JSON names."""
    plan = {
        "stepWeight": None,
        "maxWeight": None,
        "iterations": iterations,
        "match": [{"headers": {"x-canary": {"exact": "insider"}}}],
        **analysis,
    }
    return canary(spec={"provider": "gatewayapi:v1"}, analysis=plan)


def metric(
    name: str = "request-success-rate", *, low: float | None = None, high: float | None = None, **fields: Any
) -> CanaryMetric:
    """Build a metric that accepts ``low`` to ``high``; other fields are under their Python names."""
    accepted = None if low is None and high is None else ThresholdRange(min=low, max=high)
    return CanaryMetric(name=name, threshold_range=accepted, **fields)


def webhook(kind: HookType = HookType.ROLLOUT, name: str = "", **fields: Any) -> CanaryWebhook:
    """Build a webhook; other fields are under their Python names."""
    return CanaryWebhook(name=name or kind.value, type=kind, **{"url": "http://hooks.test/", **fields})


def same_but(model: Model, **changes: Any) -> Model:
    """Build the same model but for some fields, which are validated and named as in Python."""
    unknown = changes.keys() - type(model).model_fields.keys()
    if unknown:
        raise TypeError(f"{type(model).__name__} has no {', '.join(sorted(unknown))}")
    kept = {name: getattr(model, name) for name in model.model_fields_set}
    return type(model).model_validate({**kept, **changes}, by_name=True)


def with_metadata(base: Canary, **changes: Any) -> Canary:
    """Build the same canary but for some of its metadata."""
    metadata: ObjectMeta = same_but(base.metadata, **changes)
    return same_but(base, metadata=metadata)


def with_spec(base: Canary, **changes: Any) -> Canary:
    """Build the same canary but for some fields of its spec."""
    spec: CanarySpec = same_but(base.spec, **changes)
    return same_but(base, spec=spec)


def with_analysis(base: Canary, **changes: Any) -> Canary:
    """Build the same canary but for some fields of its analysis."""
    analysis: CanaryAnalysis = same_but(base.spec.analysis, **changes)
    return with_spec(base, analysis=analysis)


def with_service(base: Canary, **changes: Any) -> Canary:
    """Build the same canary but for some fields of its service."""
    if base.spec.service is None:
        raise TypeError("the canary has no service to change")
    return with_spec(base, service=same_but(base.spec.service, **changes))


def with_status(base: Canary, phase: Phase | None = None, **changes: Any) -> Canary:
    """Build the same canary but for its phase and some fields of its status."""
    if phase is not None:
        changes["phase"] = phase
    status: CanaryStatus = same_but(base.status, **changes)
    return same_but(base, status=status)


def with_rollout(base: Canary, **changes: Any) -> Canary:
    """Build the same canary but for some fields of ``status.rollout``."""
    return with_status(base, rollout=same_but(base.status.rollout, **changes))


def with_step(base: Canary, **changes: Any) -> Canary:
    """Build the same canary but for its step clock."""
    step: Step = same_but(base.status.rollout.step, **changes)
    return with_rollout(base, step=step)


def revision(template: str = "v1-1111111111111111", **fields: Any) -> Revision:
    """Build a revision; other fields are under their Python names."""
    return Revision(template=template, **{"uid": "uid-of-target", "generation": 1618, **fields})


def flagger_crd() -> JsonObject:
    """Write a CRD of canaries as Flagger's: without all that ours adds, so that it prunes what only we know."""
    crd = definition(KINDS[0])
    del crd["metadata"]["annotations"][SCHEMA_VERSION_ANNOTATION]
    schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    status = schema["properties"]["status"]["properties"]
    for field in OUR_STATUS_FIELDS:
        del status[field]
    del status["conditions"]["items"]["properties"]["observedGeneration"]
    return crd


def kept(schema: Mapping[str, Any], value: Any) -> Any:
    """Prune a value as the API server does: what a structural schema does not name is dropped."""
    if isinstance(value, dict):
        return dict(_kept_fields(schema, value))
    if isinstance(value, list):
        return [kept(schema.get("items", {}), item) for item in value]
    return value


def _kept_fields(schema: Mapping[str, Any], value: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    others = schema.get("additionalProperties")
    for field, item in value.items():
        inner = schema.get("properties", {}).get(field, others)
        if inner is not None:
            yield field, kept(inner, item)
