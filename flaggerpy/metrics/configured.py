"""From what a MetricTemplate says of its provider to the settings of a client, with everything filled in."""

from __future__ import annotations

import json
from collections.abc import Mapping

from flaggerpy.api.analysis import CanaryMetric
from flaggerpy.api.templates import MetricTemplateProvider, MetricTemplateSpec, WebMetric
from flaggerpy.metrics.base import ProviderSettings
from flaggerpy.metrics.queries import Measured, Queries, queries_of
from flaggerpy.metrics.query import QueryContext, fill
from flaggerpy.metrics.registry import check_query, maker_of
from flaggerpy.rollout.errors import UserError


def settings_of(
    provider: MetricTemplateProvider, secret: Mapping[str, str] | None, context: QueryContext
) -> ProviderSettings:
    """Return the settings of a template's provider for one canary.

    Raises:
        UserError: a part of them goes with another type of provider, or cannot be filled in.

    """
    for name, of, found in (("rangeQuery", "prometheus", provider.range_query), ("web", "web", provider.web)):
        if found is not None and provider.type != of:
            raise UserError(f"spec.provider.{name} goes with type {of}, and not with {provider.type}: remove it.")
    return ProviderSettings(
        type=provider.type,
        address=provider.address or "",
        headers=provider.headers or {},
        secret=secret,
        region=provider.region or "",
        insecure_skip_verify=provider.insecure_skip_verify,
        range_query=provider.range_query,
        web=_filled(provider.web, context) if provider.web else None,
    )


def queries_for(
    spec: MetricTemplateSpec, metric: CanaryMetric, measured: Measured, *, confined: bool = False
) -> Queries:
    """Return what a verdict asks of a template's server; if ``confined``, of the canary's own namespace alone.

    Raises:
        UserError: nobody can be asked: the provider is not there, a query cannot be filled in, is none or is forbidden.

    """
    maker_of(spec.provider.type)
    queries = queries_of(metric, measured, spec.query, told_apart=_told_apart(spec.provider.web, measured))
    for query in (queries.value, queries.samples, queries.primary, queries.primary_samples):
        if query is not None:
            check_query(spec.provider.type, query, measured.canary.namespace if confined else "")
    return queries


def _told_apart(web: WebMetric | None, measured: Measured) -> bool:
    """Whether body or path of a web metric say whose numbers are asked for."""
    return web is not None and _filled(web, measured.canary) != _filled(web, measured.primary)


def _filled(web: WebMetric, context: QueryContext) -> WebMetric:
    """Fill in a web metric; in its body values are escaped as JSON escapes them in a string."""
    body = fill(web.body or "", context, escape=lambda text: json.dumps(text, ensure_ascii=False)[1:-1])
    return web.model_copy(update={"body": body, "json_path": fill(web.json_path, context)})
