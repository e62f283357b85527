"""Where answers come from besides the canary: templates and receivers from caches, Secrets read at use."""

from __future__ import annotations

import base64
from collections.abc import Mapping

from flaggerpy.api.canary import Canary
from flaggerpy.api.checksum import webhook_checksum
from flaggerpy.api.payloads import WebhookPayload
from flaggerpy.api.templates import AlertProvider, MetricTemplate, parse_alert_provider, parse_metric_template
from flaggerpy.kube.cache import Caches
from flaggerpy.kube.client import Client
from flaggerpy.kube.errors import NotFound
from flaggerpy.kube.resources import ALERT_PROVIDERS, METRIC_TEMPLATES, SECRETS, Ref
from flaggerpy.kube.store import Present


class Library:
    """Finds the objects that canaries refer to by name."""

    def __init__(self, client: Client, caches: Caches) -> None:
        self._client = client
        self._caches = caches

    def metric_template(self, namespace: str, name: str) -> MetricTemplate | None:
        """Return a MetricTemplate, None when there is none."""
        found = self._caches.get(Ref(METRIC_TEMPLATES, namespace, name))
        return parse_metric_template(found.obj) if isinstance(found, Present) else None

    def alert_provider(self, namespace: str, name: str) -> AlertProvider | None:
        """Return an AlertProvider, None when there is none."""
        found = self._caches.get(Ref(ALERT_PROVIDERS, namespace, name))
        return parse_alert_provider(found.obj) if isinstance(found, Present) else None

    async def secret(self, namespace: str, name: str) -> Mapping[str, str] | None:
        """Read the decoded data of a Secret, None when there is none; it is not kept."""
        try:
            found = await self._client.get(Ref(SECRETS, namespace, name))
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
