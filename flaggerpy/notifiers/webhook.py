"""Any program that reads JSON: all that is known of an alert, and a signature where there is a key."""

from __future__ import annotations

import hashlib
import hmac

from flaggerpy.api.alert import AlertPayload, FieldPayload
from flaggerpy.notifiers.base import Alert, Headers, JsonObject, Notifier, Sender

SIGNATURE_HEADER = "X-Flagger-Signature-256"
IDEMPOTENCY_HEADER = "Idempotency-Key"


def message(alert: Alert, _: Sender) -> JsonObject:
    """Write an alert with all its fields, those that are empty too."""
    facts = alert.facts
    payload = AlertPayload(
        kind="alert" if alert.namespace else "summary",
        id=alert.id,
        at=alert.at,
        cluster=facts.cluster,
        namespace=alert.namespace,
        name=alert.canary if alert.namespace else "",
        target=facts.target,
        severity=alert.severity,
        message=alert.message,
        reason=facts.reason,
        phase=facts.phase,
        weight=facts.weight,
        failed_checks=facts.failed_checks,
        revision=facts.revision,
        metrics=list(facts.metrics),
        link=alert.link,
        fields=[FieldPayload(name=line.name, value=line.value) for line in alert.fields],
    )
    return payload.model_dump(mode="json", by_alias=True)


def signature(body: bytes, key: str) -> str:
    """Sign a body, as a receiver with the same key can do again: ``sha256=`` and HMAC-SHA256 in hexadecimal digits."""
    return f"sha256={hmac.new(key.encode(), body, hashlib.sha256).hexdigest()}"


def headers(alert: Alert, body: bytes, key: str) -> Headers:
    """Tell repetitions from new alerts, and sign what is sent."""
    identity: Headers = ((IDEMPOTENCY_HEADER, alert.id),) if alert.id else ()
    return (*identity, (SIGNATURE_HEADER, signature(body, key))) if key else identity


WEBHOOK = Notifier(message, takes_token=True, headers=headers)
