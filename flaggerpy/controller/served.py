"""What of a canary this version serves, and how: choices and sentences that need neither cluster nor cache.

The controller asks while it observes, ``flaggerpy lint`` before anything is applied; both say the same.
"""

from __future__ import annotations

from collections.abc import Iterator

from flaggerpy.api.analysis import SUCCESS_RATE, CanaryAnalysis, CanaryMetric, HookType, Strategy
from flaggerpy.api.canary import Canary
from flaggerpy.api.replicas import UNSCALED
from flaggerpy.api.templates import MetricTemplate
from flaggerpy.metrics.configured import queries_for, settings_of
from flaggerpy.metrics.counters import NO_COUNTERS, counters_of
from flaggerpy.metrics.expressions import AnyVariable
from flaggerpy.metrics.mesh import TargetKind, is_known
from flaggerpy.metrics.outbound import Outbound
from flaggerpy.metrics.queries import Measured, queries_of
from flaggerpy.metrics.query import QueryContext, Role
from flaggerpy.metrics.registry import provider_for
from flaggerpy.rollout.errors import UserError
from flaggerpy.rollout.traffic import Capabilities
from flaggerpy.routers.base import DEFAULTS, Options, Router
from flaggerpy.routers.registry import router_of
from flaggerpy.targets.autoscaler import usable_ref
from flaggerpy.targets.base import Target
from flaggerpy.targets.registry import target_for

Problems = tuple[str, ...]


def choose_target(canary: Canary) -> tuple[Target, Problems]:
    """Return the translator of the canary's workload, and what of the workload is not served."""
    problems, unscaled = [], UNSCALED.get(kind_of_target(canary))
    if canary.spec.autoscaler_ref is not None and unscaled:
        problems.append(f"spec.autoscalerRef goes with no {canary.spec.target_ref.kind}, {unscaled}: remove it.")
    elif canary.spec.autoscaler_ref is not None:
        try:
            usable_ref(canary)
        except UserError as error:
            problems.append(str(error))
    return target_for(canary), tuple(problems)


def choose_router(canary: Canary, mesh_provider: str, options: Options = DEFAULTS) -> tuple[Router | None, Problems]:
    """Return the router of the canary's provider, and what the provider cannot serve."""
    provider = canary.spec.provider or mesh_provider
    if not provider:
        return None, (
            "spec.provider is missing: name the provider that routes traffic (the controller was started without "
            "a default).",
        )
    try:
        router = router_of(canary, provider, options)
    except UserError as error:
        return None, (str(error),)
    problems = router.problems(canary) or tuple(_refused(provider, router.capabilities, canary.analysis))
    if kind_of_target(canary) == "Service" and not router.capabilities.weights:
        problems = (
            *problems,
            f"spec.targetRef is a Service, and the provider {provider} cannot split users between two states of one: "
            "name a provider that routes traffic, or make the workload behind the Service the target.",
        )
    return router, problems


def _refused(provider: str, can: Capabilities, analysis: CanaryAnalysis) -> Iterator[str]:
    """Say which settings a provider that moves users cannot serve, and would harm them if it did without."""
    if can.weights and not can.match and analysis.strategy is Strategy.AB_TESTING:
        yield (
            f"spec.analysis.match cannot be served by provider {provider}, which cannot choose users: all of them "
            "would get the new revision at once. Remove match, and write stepWeight in the place of iterations if they "
            "shall get it step by step."
        )
    if can.weights and not can.match and analysis.audience_first:
        yield (
            f"spec.analysis.matchFirst cannot be served by provider {provider}, which cannot choose users: remove it "
            "with match, and everybody gets the canary step by step."
        )
    if can.weights and not can.affinity and analysis.session_affinity and analysis.strategy is Strategy.CANARY:
        yield (
            f"spec.analysis.sessionAffinity cannot be served by provider {provider}, which gives users no cookies: "
            "remove it, or use provider gatewayapi:v1."
        )


def unserved(provider: str, can: Capabilities, analysis: CanaryAnalysis) -> Iterator[str]:
    """Say which settings work and are served differently from how they read."""
    ab_test = analysis.strategy is Strategy.AB_TESTING
    if analysis.match and not can.match and not (can.weights and ab_test):
        yield f"A/B testing is not supported when using the {provider} provider: spec.analysis.match has no effect"
    if analysis.iterations < 1 and not can.weights:
        yield (
            f"Progressive traffic is not supported when using the {provider} provider: "
            "ten iterations are done instead; set spec.analysis.iterations to choose their number"
        )
    if analysis.mirror and not can.mirror:
        what = f"not supported when using the {provider} provider"
        yield f"Traffic mirroring is {what}: spec.analysis.mirror has no effect"
    elif analysis.mirror and 0 < analysis.mirror_weight < 100 and not can.mirror_weight:
        yield (
            f"spec.analysis.mirrorWeight has no effect when using the {provider} provider: all requests are copied to "
            "the canary"
        )
    if analysis.step_weight_promotion and can.whole_audience and ab_test:
        yield (
            f"spec.analysis.stepWeightPromotion has no effect in an A/B test when using the {provider} provider, which "
            "sends all of an audience to the canary or nobody: all of it returns at once"
        )
    if analysis.traffic_by_replicas is not None and provider != "kubernetes":
        yield (
            f"spec.analysis.trafficByReplicas has no effect when using the {provider} provider, which shifts traffic "
            "by weights"
        )
    if not can.weights:
        yield from _unserved_without_weights(provider, analysis)


def _unserved_without_weights(provider: str, analysis: CanaryAnalysis) -> Iterator[str]:
    """Say what only means something where users are moved."""
    if analysis.step_weight_promotion:
        yield f"spec.analysis.stepWeightPromotion has no effect when using the {provider} provider: no traffic returns"
    if analysis.iterations:
        return
    if analysis.session_affinity is not None:
        yield f"spec.analysis.sessionAffinity has no effect when using the {provider} provider: no traffic is split"
    for index, webhook in enumerate(analysis.webhooks):
        if webhook.type is HookType.CONFIRM_TRAFFIC_INCREASE:
            where = f"spec.analysis.webhooks[{index}]"
            yield f"{where} is never called when using the {provider} provider: no traffic grows"


def template_problem(
    canary: Canary, metric: CanaryMetric, template: MetricTemplate, *, confined: bool = False
) -> str | None:
    """Say why a metric could never be measured with its MetricTemplate, or None when it can; its Secret is not read.

    ``confined`` is whether the controller forbids references to other namespaces.
    """
    if metric.sequential is not None and template.spec.provider.type != "prometheus":
        return f"MetricTemplate {template.metadata.name} cannot be used: {NO_COUNTERS}"
    try:
        measured = measured_of(canary, metric)
        queries_for(template.spec, metric, measured, confined=confined)
        secret = AnyVariable() if template.spec.provider.secret_ref else None
        provider_for(settings_of(template.spec.provider, secret, measured.canary), Outbound())
    except UserError as error:
        return f"MetricTemplate {template.metadata.name} cannot be used: {error}"
    return None


def query_problem(canary: Canary, metric: CanaryMetric) -> str | None:
    """Say why an inline query could never be asked, or None when it can."""
    try:
        queries_of(metric, measured_of(canary, metric), metric.query or "")
    except UserError as error:
        return str(error)
    return None


def builtin_problem(canary: Canary, metric: CanaryMetric, mesh_provider: str) -> str | None:
    """Say why a built-in check could never be measured for this provider and target, or None when it can."""
    provider = provider_of(canary, mesh_provider)
    if not (metric.built_in and metric.valued) or not provider or not is_known(provider) or canary.spec.skip_analysis:
        return None  # an unknown provider is told as such
    try:
        queries_of(metric, measured_of(canary, metric, mesh_provider), None)
    except UserError as error:
        return str(error)
    return None


def sequential_problem(canary: Canary, metric: CanaryMetric, mesh_provider: str) -> str | None:
    """Say why the counters of a sequential test could never be read, or None when they can."""
    if metric.sequential is None or canary.spec.skip_analysis:
        return None
    provider = provider_of(canary, mesh_provider)
    if metric.name == SUCCESS_RATE:
        if not provider or not is_known(provider):
            return None  # told as such
    elif not (metric.sequential.good and metric.sequential.total):
        return None  # told by ``validation``
    try:
        counters_of(metric, measured_of(canary, metric, mesh_provider))
    except UserError as error:
        return str(error)
    return None


def measured_of(canary: Canary, metric: CanaryMetric, mesh_provider: str = "") -> Measured:
    """Say whose numbers a metric is about; the controller's provider matters for built-in checks."""
    return Measured(
        canary=query_context(canary, metric),
        primary=query_context(canary, metric, "primary"),
        provider=provider_of(canary, mesh_provider),
        kind=kind_of_target(canary),
    )


def query_context(canary: Canary, metric: CanaryMetric, role: Role = "canary") -> QueryContext:
    """Give the names that a metric's query may use, for the canary or for the primary."""
    spec = canary.spec
    return QueryContext(
        name=canary.name,
        namespace=canary.namespace,
        target=canary.primary_name if role == "primary" else canary.target_name,
        service=canary.apex_name,
        ingress=spec.ingress_ref.name if spec.ingress_ref else "",
        route=_route_of(canary, role),
        interval=metric.interval_text,
        variables=metric.template_variables,
        role=role,
    )


def _route_of(canary: Canary, role: Role) -> str:
    """Name what the metrics of some providers are about: an APISIX route, or the Knative revision of canary or primary.

    Before there is one of either, each has some name of its own.
    """
    rollout = canary.status.rollout
    if canary.spec.target_ref.is_knative:
        revision = rollout.promoted if role == "primary" else rollout.applied
        return (revision and revision.controller_revision) or (canary.primary_name if role == "primary" else "")
    return canary.spec.route_ref.name if canary.spec.route_ref else ""


def provider_of(canary: Canary, mesh_provider: str) -> str:
    """Tell which provider's metrics are meant; a controller for Linkerd measures nothing else."""
    if "linkerd" in mesh_provider:
        return "linkerd"
    return canary.spec.provider or mesh_provider


def kind_of_target(canary: Canary) -> TargetKind:
    """Tell which kind of workload a built-in query measures."""
    return "KnativeService" if canary.spec.target_ref.is_knative else canary.spec.target_ref.kind
