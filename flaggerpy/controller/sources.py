"""Where answers come from besides the canary: templates and receivers from caches, Secrets read at use."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Mapping
from typing import TypeVar

from flaggerpy.api.canary import Canary
from flaggerpy.api.checksum import webhook_checksum
from flaggerpy.api.errors import InvalidObject
from flaggerpy.api.payloads import WebhookPayload
from flaggerpy.api.templates import AlertProvider, MetricTemplate, parse_alert_provider, parse_metric_template
from flaggerpy.controller.served import builtin_problem, query_problem, sequential_problem, template_problem
from flaggerpy.kube.cache import Caches
from flaggerpy.kube.client import Client
from flaggerpy.kube.errors import NotFound
from flaggerpy.kube.objects import JsonObject
from flaggerpy.kube.resources import ALERT_PROVIDERS, METRIC_TEMPLATES, SECRETS, Ref
from flaggerpy.kube.store import Present
from flaggerpy.rollout.errors import UserError

Found = TypeVar("Found", MetricTemplate, AlertProvider)


class Library:
    """Finds the objects that canaries refer to by name."""

    def __init__(self, client: Client, caches: Caches) -> None:
        self._client = client
        self._caches = caches

    def metric_template(self, namespace: str, name: str) -> MetricTemplate | None:
        """Return a MetricTemplate, None when there is none.

        Raises:
            UserError: it cannot be read.

        """
        return self._find(Ref(METRIC_TEMPLATES, namespace, name), parse_metric_template)

    def alert_provider(self, namespace: str, name: str) -> AlertProvider | None:
        """Return an AlertProvider, None when there is none.

        Raises:
            UserError: it cannot be read.

        """
        return self._find(Ref(ALERT_PROVIDERS, namespace, name), parse_alert_provider)

    async def secret(self, namespace: str, name: str) -> Mapping[str, str] | None:
        """Read the decoded data of a Secret, None when there is none; it is not kept."""
        return await read_secret(self._client, namespace, name)

    def _find(self, ref: Ref, parse: Callable[[JsonObject], Found]) -> Found | None:
        found = self._caches.get(ref)
        return parsed(ref, found.obj, parse) if isinstance(found, Present) else None


def parsed(ref: Ref, obj: JsonObject, parse: Callable[[JsonObject], Found]) -> Found:
    """Parse an object that somebody refers to.

    Raises:
        UserError: it cannot be read.

    """
    try:
        return parse(obj)
    except InvalidObject as error:
        raise UserError(f"{ref.resource.kind} {ref.name}.{ref.namespace} cannot be read: {error}") from error


async def read_secret(client: Client, namespace: str, name: str) -> Mapping[str, str] | None:
    """Read the decoded data of a Secret, None when there is none.

    Raises:
        KubeError: it could not be read.

    """
    try:
        found = await client.get(Ref(SECRETS, namespace, name))
    except NotFound:
        return None
    data = found.get("data") or {}
    return {key: base64.b64decode(value).decode("utf-8", "replace") for key, value in data.items()}


def checksum_of(canary: Canary) -> str:
    """Return what webhooks are told about the revision."""
    return webhook_checksum(canary.status.tracked_configs, canary.status.last_applied_spec or "")


def payload(canary: Canary, phase: str, metadata: Mapping[str, str] | None) -> WebhookPayload:
    """Build what a webhook of this canary receives."""
    return WebhookPayload(
        name=canary.name,
        namespace=canary.namespace,
        phase=phase,
        checksum=checksum_of(canary),
        metadata=dict(metadata) if metadata else None,
    )


def template_refs(canary: Canary) -> list[Ref]:
    """MetricTemplates are followed so that one that appears or changes wakes the canaries that wait for it."""
    named = (metric.template_ref for metric in canary.analysis.metrics)
    return [Ref(METRIC_TEMPLATES, ref.namespace or canary.namespace, ref.name) for ref in named if ref is not None]


def alert_refs(canary: Canary) -> list[Ref]:
    """AlertProviders are followed so that one that is mended is looked at before the next alert."""
    named = (entry.provider_ref for entry in canary.analysis.alerts)
    return [Ref(ALERT_PROVIDERS, ref.namespace or canary.namespace, ref.name) for ref in named]


def unmeasured(
    canary: Canary, library: Library, mesh_provider: str, *, served: bool, confined: bool = False
) -> Iterator[str]:
    """Find metrics that could never be measured, before a rollout depends on them.

    Built-in checks of a provider that is not ``served`` are not worth a sentence beside the one that says so. Without
    an analysis nothing is measured. ``confined`` is whether nothing may be asked about another namespace.
    """
    if canary.spec.skip_analysis:
        return
    for metric in canary.analysis.metrics:
        if served and (reason := builtin_problem(canary, metric, mesh_provider)):
            yield reason
        if served and (reason := sequential_problem(canary, metric, mesh_provider)):
            yield reason
        if metric.query and (reason := query_problem(canary, metric)):
            yield reason
        if metric.template_ref is None:
            continue
        namespace = metric.template_ref.namespace or canary.namespace
        try:
            template = library.metric_template(namespace, metric.template_ref.name)
        except UserError as error:
            yield str(error)
            continue
        if template is None:
            yield (
                f"MetricTemplate {metric.template_ref.name} of metric {metric.name} does not exist in namespace "
                f"{namespace}: create it, or correct templateRef."
            )
        elif reason := template_problem(canary, metric, template, confined=confined):
            yield reason
