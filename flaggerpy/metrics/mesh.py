"""The built-in checks as a table: which PromQL measures success rate and latency behind which provider.

Everything here is data plus the choice of a row. Two things differ from Flagger on purpose. Pods of a
DaemonSet have one random part in their names, so the pod pattern of a Deployment would match the primary's
pods and judge those; the pattern is per kind here. And where series are named after the Service, the
Service's name is used, not the target's.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Literal

from flaggerpy.api.analysis import SUCCESS_RATE
from flaggerpy.metrics.query import QueryContext, render
from flaggerpy.rollout.errors import UserError

TargetKind = Literal["Deployment", "DaemonSet", "Service", "KnativeService"]


@dataclass(frozen=True, slots=True)
class Observer:
    """One row: where requests are counted and how long they took.

    Attributes:
        counted: the series of the success rate.
        selector: labels that find the canary's requests, for every series of the row.
        ok: the matcher that leaves out failures.
        timed: the histogram's bucket series, or the stem of _sum and _count when ``average``.
        only_counted: a further matcher for ``counted`` alone.
        only_timed: a further matcher for ``timed`` alone.
        average: the provider has no usable histogram, so that the mean stands in for the 99th percentile.
        factor: from the seconds of the series to milliseconds.
        factor_in_query: the factor is part of the duration's query, as Flagger has it for this row.
        by_pod: the selector names pods, which only workloads of our own have.
        undivided: it finds the primary's requests together with the canary's.

    """

    counted: str
    selector: str
    ok: str
    timed: str
    only_counted: str = ""
    only_timed: str = ""
    average: bool = False
    factor: int = 1
    factor_in_query: bool = False
    by_pod: bool = False
    undivided: bool = False


@dataclass(frozen=True, slots=True)
class BuiltinQuery:
    """A rendered query and the factor that turns its result into per cent or milliseconds."""

    text: str
    factor: int = 1


_POD = 'kubernetes_namespace="{{ namespace }}", kubernetes_pod_name=~"{{ variables.pods }}"'


def _envoy(selector: str, *, by_pod: bool = False) -> Observer:
    return Observer(
        counted="envoy_cluster_upstream_rq",
        selector=selector,
        ok='envoy_response_code!~"5.*"',
        timed="envoy_cluster_upstream_rq_time_bucket",
        by_pod=by_pod,
    )


OBSERVERS: dict[str, Observer] = {
    "istio": Observer(
        counted="istio_requests_total",
        selector='reporter="destination", destination_workload_namespace="{{ namespace }}", '
        'destination_workload=~"{{ variables.target }}"',
        ok='response_code!~"5.*"',
        timed="istio_request_duration_milliseconds_bucket",
    ),
    "linkerd": Observer(
        counted="response_total",
        selector='namespace="{{ namespace }}", deployment=~"{{ variables.target }}", direction="inbound"',
        ok='classification!="failure"',
        timed="response_latency_ms_bucket",
    ),
    "osm": Observer(
        counted="osm_request_total",
        selector='destination_namespace="{{ namespace }}", destination_kind="Deployment", '
        'destination_name="{{ target }}"',
        ok='response_code!~"5.*"',
        timed="osm_request_duration_ms_bucket",
    ),
    "appmesh": _envoy(_POD, by_pod=True),
    "http": Observer(
        counted="http_request_duration_seconds_count",
        selector=_POD,
        ok='status!~"5.*"',
        timed="http_request_duration_seconds_bucket",
        factor=1000,
        by_pod=True,
    ),
    "contour": _envoy('envoy_cluster_name=~"{{ namespace }}_{{ variables.service }}-{{ role }}_[0-9a-zA-Z-]+"'),
    "gloo": _envoy(
        'envoy_cluster_name=~"{{ namespace }}-{{ variables.service }}-{{ role }}upstream-[0-9a-zA-Z-]+_[0-9a-zA-Z-]+"'
    ),
    "kuma": _envoy('service=~"{{ variables.service }}-{{ role }}_{{ namespace }}_svc_[0-9a-zA-Z-]+"'),
    "knative": _envoy('envoy_cluster_name=~"{{ namespace }}/{{ variables.route }}"'),
    "nginx": Observer(
        counted="nginx_ingress_controller_requests",
        selector='namespace="{{ namespace }}", ingress="{{ ingress }}", canary{{ variables.is_named }}""',
        ok='status!~"5.*"',
        timed="nginx_ingress_controller_response_duration_seconds",
        average=True,
        factor=1000,
        factor_in_query=True,
    ),
    "traefik": Observer(
        counted="traefik_service_request_duration_seconds_bucket",
        selector='service=~"{{ namespace }}-{{ variables.service }}-{{ role }}-[0-9a-zA-Z-]+@kubernetescrd"',
        ok='code!~"5.."',
        timed="traefik_service_request_duration_seconds_bucket",
        only_counted='le="+Inf"',
        factor=1000,
        factor_in_query=True,
    ),
    "apisix": Observer(
        counted="apisix_http_status",
        selector='route=~"{{ namespace }}_{{ variables.route }}-{{ variables.service }}-canary_.+"',
        ok='code!~"5.."',
        timed="apisix_http_latency_bucket",
        only_timed='type=~"request"',
        undivided=True,
    ),
    "skipper": Observer(
        counted="skipper_response_duration_seconds_bucket",
        selector='route=~"kube(ew)?_{{ variables.words_namespace }}__{{ variables.words_ingress }}_canary'
        '__.*__{{ variables.words_service }}_{{ role }}(_[0-9]+)?"',
        ok='code!~"5.."',
        timed="skipper_serve_route_duration_seconds",
        only_counted='le="+Inf"',
        average=True,
        factor=1000,
        factor_in_query=True,
    ),
}

_SAME_NAME = frozenset(set(OBSERVERS) - {"http", "appmesh", "gloo"})
_PREFIXES = {"appmesh": "appmesh", "gloo": "gloo", "gatewayapi": "http", "smi": "istio", "crossover": "istio"}

UNMEASURED = {"alb": "its load balancers report to CloudWatch and not to Prometheus"}
"""Providers behind which no row can measure, and why."""


def is_known(provider: str) -> bool:
    """Tell whether a row measures traffic behind a provider, or it is known why none does."""
    if provider in UNMEASURED:
        return True
    try:
        observer_for(provider)
    except UserError:
        return False
    return True


def observer_for(provider: str) -> Observer:
    """Choose the row for a provider as written in ``spec.provider`` or ``--mesh-provider``.

    Raises:
        UserError: no row measures traffic behind that provider.

    """
    if provider in _SAME_NAME:
        return OBSERVERS[provider]
    if provider == "kubernetes":
        return OBSERVERS["http"]
    if provider.startswith("smi:") and provider.endswith(":linkerd"):
        return OBSERVERS["linkerd"]
    for prefix, name in _PREFIXES.items():
        if provider.startswith(prefix):
            return OBSERVERS[name]
    if provider in UNMEASURED:
        raise UserError(
            f"There are no built-in metrics for provider {provider}, as {UNMEASURED[provider]}: use a templateRef "
            "instead, with what the workload or a mesh counts."
        )
    known = ", ".join(sorted(_SAME_NAME | set(_PREFIXES) | {"kubernetes"}))
    raise UserError(f'There are no built-in metrics for provider "{provider}"; they exist for {known}.')


def builtin_query(metric: str, provider: str, kind: TargetKind, context: QueryContext) -> BuiltinQuery:
    """Write the query of a built-in check; its result times the factor is per cent or milliseconds.

    Raises:
        UserError: nothing measures this metric for this provider and target.

    """
    observer = _observer(metric, provider, kind, context)
    context = replace(context, variables=_patterns(context, kind))
    if metric == SUCCESS_RATE:
        return BuiltinQuery(render(_success_rate(observer), context))
    text = render(_duration(observer), context)
    if observer.factor_in_query:
        return BuiltinQuery(f"{text} * {observer.factor}")
    return BuiltinQuery(text, observer.factor)


def builtin_samples(metric: str, provider: str, kind: TargetKind, context: QueryContext) -> str:
    """Write the query that counts the requests in the window of a built-in check.

    Raises:
        UserError: as ``builtin_query``.

    """
    observer = _observer(metric, provider, kind, context)
    context = replace(context, variables=_patterns(context, kind))
    every = _labels(observer.selector, observer.only_counted)
    return render(f"sum(increase({observer.counted}{{{every} }}[{{{{ interval }}}}]))", context)


def builtin_counters(metric: str, provider: str, kind: TargetKind, context: QueryContext) -> tuple[str, str]:
    """Write the selectors of the counters of good requests and of all.

    Raises:
        UserError: as ``builtin_query``.

    """
    observer = _observer(metric, provider, kind, context)
    context = replace(context, variables=_patterns(context, kind))
    every = _labels(observer.selector, observer.only_counted)
    good = _labels(observer.selector, observer.ok, observer.only_counted)
    return render(f"{observer.counted}{{{good} }}", context), render(f"{observer.counted}{{{every} }}", context)


def _observer(metric: str, provider: str, kind: TargetKind, context: QueryContext) -> Observer:
    observer = observer_for(provider)
    if observer.by_pod and kind not in {"Deployment", "DaemonSet"}:
        raise UserError(
            f"The metric {metric} of provider {provider} finds requests by pod name, "
            f"which a {kind} target does not tell: use a templateRef instead."
        )
    if observer.undivided and context.role == "primary":
        raise UserError(
            f"The metric {metric} of provider {provider} counts requests to primary and canary together, so that they "
            "cannot be compared: remove compareTo or sequential, or use a metric of your own that tells them apart."
        )
    return observer


def _success_rate(observer: Observer) -> str:
    every = _labels(observer.selector, observer.only_counted)
    good = _labels(observer.selector, observer.ok, observer.only_counted)
    return f"{_rate(observer.counted, good)} / {_rate(observer.counted, every)} * 100"


def _duration(observer: Observer) -> str:
    labels = _labels(observer.only_timed, observer.selector)
    if observer.average:
        return f"{_rate(f'{observer.timed}_sum', labels)} / {_rate(f'{observer.timed}_count', labels)}"
    return f"histogram_quantile(0.99, {_rate(observer.timed, labels)} by (le))"


def _rate(series: str, labels: str) -> str:
    return f"sum(rate({series}{{{labels} }}[{{{{ interval }}}}]))"


def _labels(*matchers: str) -> str:
    return ", ".join(matcher for matcher in matchers if matcher)


def _patterns(context: QueryContext, kind: TargetKind) -> dict[str, str]:
    """Give the names as they stand inside a regular expression of PromQL."""
    names = context.names()
    part = "[0-9a-zA-Z]+"
    target = _literal(names["target"])
    return {
        "target": target,
        "service": _literal(names["service"]),
        "route": _literal(names["route"]),
        "pods": f"{target}-{part}" if kind == "DaemonSet" else f"{target}-{part}(-{part})",
        "is_named": "=" if context.role == "primary" else "!=",
        **{f"words_{name}": re.sub(r"\W", "_", names[name]) for name in ("namespace", "ingress", "service")},
    }


def _literal(name: str) -> str:
    """Names may hold dots, which would match anything; a class needs no escaping inside a PromQL string."""
    return name.replace(".", "[.]")
