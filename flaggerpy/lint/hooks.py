"""Faults of webhooks that lie in other objects: Secrets of the input that lack what a call takes from them."""

from __future__ import annotations

from collections.abc import Iterator

from flaggerpy.api.analysis import CanaryWebhook
from flaggerpy.api.canary import Canary
from flaggerpy.api.hookcall import are_certificates
from flaggerpy.kube.resources import SECRETS
from flaggerpy.lint.document import Document
from flaggerpy.lint.faults import Fault, Rule
from flaggerpy.lint.inventory import Inventory
from flaggerpy.lint.metrics import texts_of

_AUTHORITIES = "tls.caSecretRef"


def hook_faults(document: Document, canary: Canary, inventory: Inventory) -> Iterator[Fault]:
    """Find keys of Secrets that webhooks ask for and that are not there, or hold something else."""
    for index, webhook in enumerate(canary.analysis.webhooks):
        for where, name, key in _asked_for(webhook):
            found = inventory.find(SECRETS.kind, name, document)
            if found is None:
                continue
            there = texts_of(found)
            if key not in there:
                problem = (
                    f"has no key {key}, so the webhook is never called: add it, or write one of those that are there"
                    f" ({', '.join(sorted(there)) or 'none'})."
                )
            elif where == _AUTHORITIES and not are_certificates(there[key]):
                problem = f"holds no certificates under {key}, so the webhook is never called: write PEM certificates."
            else:
                continue
            yield document.fault(Rule.SECRET, f"spec.analysis.webhooks[{index}].{where}: Secret {name} {problem}")


def _asked_for(webhook: CanaryWebhook) -> Iterator[tuple[str, str, str]]:
    for index, header in enumerate(webhook.headers):
        if header.value_from is not None:
            ref = header.value_from.secret_key_ref
            yield f"headers[{index}].valueFrom.secretKeyRef", ref.name, ref.key
    if webhook.tls is not None and webhook.tls.ca_secret_ref is not None:
        yield _AUTHORITIES, webhook.tls.ca_secret_ref.name, webhook.tls.ca_secret_ref.key
