"""Faults of webhooks that lie in other objects: Secrets of the input that lack what a call takes from them."""

from __future__ import annotations

from collections.abc import Iterator

from flaggerpy.api.analysis import CanaryWebhook
from flaggerpy.api.canary import Canary
from flaggerpy.kube.resources import SECRETS
from flaggerpy.lint.document import Document
from flaggerpy.lint.faults import Fault, Rule
from flaggerpy.lint.inventory import Inventory


def hook_faults(document: Document, canary: Canary, inventory: Inventory) -> Iterator[Fault]:
    """Find keys of Secrets that webhooks ask for and that are not there."""
    for index, webhook in enumerate(canary.analysis.webhooks):
        for where, name, key in _asked_for(webhook):
            found = inventory.find(SECRETS.kind, name, document)
            if found is None:
                continue
            there = sorted({*(found.obj.get("data") or {}), *(found.obj.get("stringData") or {})})
            if key not in there:
                yield document.fault(
                    Rule.SECRET,
                    f"spec.analysis.webhooks[{index}].{where}: Secret {name} has no key {key}, so the webhook is never"
                    f" called: add it, or write one of those that are there ({', '.join(there) or 'none'}).",
                )


def _asked_for(webhook: CanaryWebhook) -> Iterator[tuple[str, str, str]]:
    for index, header in enumerate(webhook.headers):
        if header.value_from is not None:
            ref = header.value_from.secret_key_ref
            yield f"headers[{index}].valueFrom.secretKeyRef", ref.name, ref.key
    if webhook.tls is not None and webhook.tls.ca_secret_ref is not None:
        yield "tls.caSecretRef", webhook.tls.ca_secret_ref.name, webhook.tls.ca_secret_ref.key
