"""What a user cannot have meant, as sentences for that user; nothing that depends on the provider or the cluster.

Each sentence says where, what is wrong and what to write instead. ``problems`` stop a canary (Stalled) but never its
deletion; ``remarks`` are about what works and was probably meant differently.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from datetime import timedelta
from itertools import pairwise
from typing import Final
from urllib.parse import urlsplit

from flaggerpy.api.analysis import (
    REQUEST_DURATION,
    SUCCESS_RATE,
    CanaryAnalysis,
    CanaryMetric,
    HookType,
    SessionAffinity,
    Strategy,
)
from flaggerpy.api.canary import Canary
from flaggerpy.api.constants import PRIMARY_SUFFIX
from flaggerpy.api.guards import guard_problems, guard_remarks
from flaggerpy.api.hookcall import header_problems, tls_problems
from flaggerpy.api.replicas import size_problems, size_remarks
from flaggerpy.api.service import CanaryService
from flaggerpy.durations import format_duration

_LONGEST_SERVICE_NAME: Final = 63
_LABEL: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_PORT_NAME: Final = re.compile(r"(?=.*[a-z])(?!.*--)[a-z0-9]([-a-z0-9]{0,13}[a-z0-9])?")
_COOKIE_NAME: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")


def problems(canary: Canary) -> tuple[str, ...]:
    """Say why a canary cannot be served as it is written; empty when nothing is wrong.

    With ``skipAnalysis`` what only an analysis would read is not judged.
    """
    found = [*canary.faults, *_target(canary), *_webhooks(canary.spec.analysis)]
    if canary.spec.service is not None:
        found += _service(canary, canary.spec.service)
    found += size_problems(canary)
    if not canary.spec.skip_analysis:
        found += _steps(canary.spec.analysis)
        found += _percentages(canary.spec.analysis)
        for index, metric in enumerate(canary.spec.analysis.metrics):
            found += _metric(f"spec.analysis.metrics[{index}]", metric)
        found += guard_problems(canary.spec.analysis)
        if canary.spec.analysis.session_affinity is not None:
            found += _affinity(canary.spec.analysis.session_affinity)
    return tuple(dict.fromkeys(found))


def remarks(canary: Canary) -> tuple[str, ...]:
    """Say what works and was probably meant differently."""
    analysis = canary.spec.analysis
    found = []
    for index, metric in enumerate(analysis.metrics):
        where = f"spec.analysis.metrics[{index}]"
        if metric.compare_to is not None or not metric.valued:
            continue
        if metric.name == SUCCESS_RATE and metric.threshold is None and not _bounded(metric):
            found.append(f"{where}: {SUCCESS_RATE} has no bound, so it always passes: add thresholdRange.min.")
        elif metric.threshold_range is not None and not _bounded(metric):
            found.append(f"{where}.thresholdRange is empty, so {metric.name} always passes: add min or max.")
    found += _strategy(analysis)
    if 0 < analysis.max_weight < analysis.step_weight:
        found.append(
            f"spec.analysis.stepWeight: the first step of {analysis.step_weight} % is above maxWeight"
            f" {analysis.max_weight}: lower stepWeight if the canary must not get more than maxWeight."
        )
    return (*found, *guard_remarks(analysis), *_without_effect(canary), *size_remarks(canary))


def _strategy(analysis: CanaryAnalysis) -> Iterator[str]:
    """Find settings that mean nothing, or something unexpected, in the strategy that others add up to."""
    if analysis.mirror and analysis.strategy is Strategy.AB_TESTING:
        yield "spec.analysis.mirror has no effect in an A/B test: remove it, or remove match."
    if analysis.mirror_weight and not analysis.mirror:
        yield "spec.analysis.mirrorWeight has no effect without mirror: true."
    if analysis.match_first and not analysis.match:
        yield "spec.analysis.matchFirst has no effect without match: write whom it is for, or remove it."
    elif analysis.match_first and analysis.strategy is Strategy.AB_TESTING:
        yield (
            "spec.analysis.matchFirst has no effect with iterations, because nobody else gets the canary: remove it, or"
            " write stepWeight in the place of iterations."
        )
    if analysis.strategy is Strategy.CANARY:
        if analysis.match and not analysis.match_first:
            yield (
                "spec.analysis.match without iterations is no A/B test: of the users whom it describes a growing share"
                " gets the canary. Write iterations in the place of stepWeight if all of them shall get it, or add"
                " matchFirst: true if a growing share of all others shall as well."
            )
        return
    if analysis.session_affinity is not None:
        yield (
            "spec.analysis.sessionAffinity has no effect with iterations, because no share of users is sent to the"
            " canary by chance: remove it."
        )
    for index, webhook in enumerate(analysis.webhooks):
        if webhook.type is HookType.CONFIRM_TRAFFIC_INCREASE:
            yield (
                f"spec.analysis.webhooks[{index}] is never called: there is no confirm-traffic-increase with"
                " iterations. Write confirm-promotion to approve what comes after the last one."
            )


def raised_interval(canary: Canary, least: timedelta) -> str | None:
    """Say that a controller raises the canary's interval to the shortest that it works with, or None."""
    interval = canary.spec.analysis.interval
    if interval >= least:
        return None
    return (
        f"spec.analysis.interval: {format_duration(interval)} is below the controller's minimum (--min-interval), so"
        f" {format_duration(least)} is used instead: write {format_duration(least)} or more."
    )


def cross_namespace(canary: Canary) -> tuple[str, ...]:
    """Say which references leave the canary's namespace, for a controller that forbids it."""
    analysis, upstream = canary.spec.analysis, canary.spec.upstream_ref
    references = [("spec.upstreamRef", upstream.namespace)] if upstream else []
    references += [
        (f"spec.analysis.metrics[{index}].templateRef", metric.template_ref.namespace)
        for index, metric in enumerate(analysis.metrics)
        if metric.template_ref
    ]
    references += [
        (f"spec.analysis.alerts[{index}].providerRef", alert.provider_ref.namespace)
        for index, alert in enumerate(analysis.alerts)
    ]
    return tuple(
        f"{where}.namespace: {namespace} is another namespace, which this controller forbids"
        f" (--no-cross-namespace-refs): move the object to {canary.namespace}."
        for where, namespace in references
        if namespace and namespace != canary.namespace
    )


def _without_effect(canary: Canary) -> Iterator[str]:
    """Find what is read by nobody, whatever the provider."""
    analysis, scaler = canary.spec.analysis, canary.spec.autoscaler_ref
    if "max_weight" in analysis.model_fields_set and (analysis.step_weights or analysis.iterations):
        plan = "iterations" if analysis.iterations else "stepWeights, whose last one is the largest"
        yield f"spec.analysis.maxWeight has no effect with {plan}: remove it."
    for index, metric in enumerate(analysis.metrics):
        if metric.threshold is not None and metric.threshold_range is not None:
            yield f"spec.analysis.metrics[{index}].threshold has no effect beside thresholdRange: remove it."
    for index, webhook in enumerate(analysis.webhooks):
        if webhook.tls is not None and webhook.url.startswith("http://"):
            yield f"spec.analysis.webhooks[{index}].tls has no effect with http: write https:// in url, or remove tls."
    if canary.spec.target_ref.is_knative and canary.spec.service is not None:
        yield "spec.service has no effect with a Knative service as target, which has its own name and port: remove it."
    if scaler and scaler.primary_scaler_queries and scaler.kind != "ScaledObject":
        yield f"spec.autoscalerRef.primaryScalerQueries has no effect with kind {scaler.kind}: remove it."


def _target(canary: Canary) -> Iterator[str]:
    spec = canary.spec
    knative = spec.target_ref.is_knative
    if knative and spec.provider != "knative":
        yield "spec.provider: a Knative service as target needs the provider knative: write provider: knative."
    if not knative and spec.provider == "knative":
        yield (
            "spec.targetRef: the provider knative needs a Knative service as target: write kind: Service"
            " and apiVersion: serving.knative.dev/v1."
        )
    if knative and spec.autoscaler_ref is not None:
        yield "spec.autoscalerRef: Knative scales its services itself: remove autoscalerRef."
    if not knative and spec.service is None and not any(".service" in fault for fault in canary.faults):
        yield "spec.service is missing, so there is no port to serve on: add spec.service.port."
    if spec.progress_deadline_seconds < 1:
        yield (
            f"spec.progressDeadlineSeconds: {spec.progress_deadline_seconds} leaves no time to become ready:"
            " write the seconds a rollout may take, or remove the field for 600."
        )
    replicas = spec.autoscaler_ref and spec.autoscaler_ref.primary_scaler_replicas
    if replicas and (replicas.min_replicas or 0) > (replicas.max_replicas or math.inf):
        yield (
            f"spec.autoscalerRef.primaryScalerReplicas: minReplicas {replicas.min_replicas} is above"
            f" maxReplicas {replicas.max_replicas}: swap them."
        )
    if spec.metrics_server is not None and (reason := url_problem(spec.metrics_server)):
        yield f"spec.metricsServer: {reason}."


def _service(canary: Canary, service: CanaryService) -> Iterator[str]:
    if not 1 <= service.port <= 65535:
        yield f"spec.service.port: {service.port} is no port number: write 1 to 65535."
    if not _LABEL.fullmatch(service.port_name):
        yield (
            f'spec.service.portName: "{service.port_name}" is no name of a Service port: write at most 63'
            " lower-case letters, digits and dashes, or remove the field for http."
        )
    if service.pod_port != service.port:
        yield from _target_port(service.pod_port)
    longest = _LONGEST_SERVICE_NAME - len(PRIMARY_SUFFIX)
    if len(canary.apex_name) > longest:
        field = "spec.service.name" if service.name else "spec.targetRef.name"
        yield (
            f"{field}: {canary.primary_service_name} has more than {_LONGEST_SERVICE_NAME} characters, too many for"
            f" a Service: write a spec.service.name of at most {longest} characters."
        )


def _target_port(port: int | str) -> Iterator[str]:
    if isinstance(port, int):
        if not 1 <= port <= 65535:
            yield f"spec.service.targetPort: {port} is no port number: write 1 to 65535 or a port's name."
    elif port.isascii() and port.isdigit():
        yield f'spec.service.targetPort: "{port}" counts as a name: write {port} without quotes.'
    elif not _PORT_NAME.fullmatch(port):
        yield (
            f'spec.service.targetPort: "{port}" cannot be the name of a container port: write the name that'
            " the target's container gives it (at most 15 lower-case letters, digits and dashes), or its number."
        )


def _steps(analysis: CanaryAnalysis) -> Iterator[str]:
    if analysis.iterations < 0:
        yield f"spec.analysis.iterations: {analysis.iterations} is less than nothing: write 1 or more."
    if not analysis.iterations and analysis.step_weight < 1 and not analysis.step_weights:
        yield (
            f"spec.analysis.stepWeight: with {analysis.step_weight} the canary never advances: write stepWeight (1 to"
            " 100) or stepWeights for a progressive rollout, or iterations for Blue/Green or an A/B test."
        )
    for weight in analysis.step_weights:
        if not 1 <= weight <= 100:
            yield f"spec.analysis.stepWeights: {weight} is no share of traffic in percent: write 1 to 100."
    for before, after in pairwise(analysis.step_weights):
        if after <= before:
            yield (
                f"spec.analysis.stepWeights: {after} after {before} is not ascending, so the canary would not"
                " advance: write each weight once, the smallest first."
            )


def _percentages(analysis: CanaryAnalysis) -> Iterator[str]:
    percentages = {
        "stepWeight": analysis.step_weight,
        "maxWeight": analysis.max_weight,
        "stepWeightPromotion": analysis.step_weight_promotion,
        "mirrorWeight": analysis.mirror_weight,
        "primaryReadyThreshold": analysis.primary_ready_threshold,
        "canaryReadyThreshold": analysis.canary_ready_threshold,
    }
    for field, percent in percentages.items():
        if not 0 <= percent <= 100:
            yield f"spec.analysis.{field}: {percent} is no share in percent: write 0 to 100."


def _metric(where: str, metric: CanaryMetric) -> Iterator[str]:
    if not (metric.built_in or metric.query or metric.template_ref or metric.sequential):
        yield (
            f'{where}: nothing says how to measure "{metric.name}": add templateRef, or use the name'
            f" {SUCCESS_RATE} or {REQUEST_DURATION}."
        )
    accepted = metric.threshold_range
    if accepted and accepted.min is not None and accepted.max is not None and accepted.min > accepted.max:
        yield (
            f"{where}.thresholdRange: min {accepted.min:g} is above max {accepted.max:g}, so no value would"
            " pass: swap them."
        )
    least = accepted.min if accepted else metric.threshold
    if metric.name == SUCCESS_RATE and least is not None and least > 100:
        field = "thresholdRange" if accepted else "threshold"
        yield f"{where}.{field}: {least:g} is more than 100 %, so no success rate would pass: write 100 or less."
    if metric.name == REQUEST_DURATION and metric.unbounded:
        yield (
            f"{where}: {REQUEST_DURATION} has no bound, so every request would be too slow: add"
            " thresholdRange.max in milliseconds."
        )
    elif (metric.query or metric.template_ref) and metric.unbounded:
        yield f"{where}: {metric.name} has no bound, so it could never pass: add thresholdRange with min or max."


def _webhooks(analysis: CanaryAnalysis) -> Iterator[str]:
    for index, webhook in enumerate(analysis.webhooks):
        where = f"spec.analysis.webhooks[{index}]"
        if reason := url_problem(webhook.url):
            yield f"{where}.url: {reason}."
        if webhook.retries < 0:
            yield f"{where}.retries: {webhook.retries} is less than nothing: write 0 or more."
        yield from header_problems(where, webhook.headers)
        if webhook.tls is not None:
            yield from tls_problems(where, webhook.tls, unchecked=webhook.disable_tls)


def _affinity(affinity: SessionAffinity) -> Iterator[str]:
    where = "spec.analysis.sessionAffinity"
    names = {"cookieName": affinity.cookie_name, "primaryCookieName": affinity.primary_cookie_name}
    for field, name in names.items():
        if name is not None and not _COOKIE_NAME.fullmatch(name):
            yield f'{where}.{field}: "{name}" cannot be the name of a cookie: write letters, digits and dashes.'
    if affinity.cookie_name == affinity.primary_cookie_name:
        yield (
            f'{where}: cookieName and primaryCookieName are both "{affinity.cookie_name}", so users of the canary'
            " could not be told from others: write two names."
        )
    if affinity.max_age < 0:
        yield f"{where}.maxAge: {affinity.max_age} is in the past: write how many seconds the cookies live."


def url_problem(url: str) -> str | None:
    """Say why a text is no address that can be called, or None when it is one."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if usable and not re.search(r"\s", url):
        return None
    return f'"{url}" is no address that can be called: write http:// or https://, a host and a path'


def _bounded(metric: CanaryMetric) -> bool:
    accepted = metric.threshold_range
    return accepted is not None and (accepted.min is not None or accepted.max is not None)
