"""Webhook bodies: the keys that Flagger's users rely on."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from flaggerpy.api.payloads import EventType, WebhookPayload, event_payload

BASE = WebhookPayload(name="web", namespace="shop", phase="Progressing", checksum="578958cfb7")
AT = datetime(2026, 7, 21, 12, 0, 0, 123999, tzinfo=UTC)


def test_a_body_has_flaggers_keys_in_flaggers_order() -> None:
    hook = BASE.model_copy(update={"metadata": {"cmd": "hey http://web-canary/"}})
    assert json.dumps(hook.to_json()) == (
        '{"name": "web", "namespace": "shop", "phase": "Progressing", "checksum": "578958cfb7",'
        ' "metadata": {"cmd": "hey http://web-canary/"}}'
    )


def test_without_metadata_the_key_is_left_out() -> None:
    assert BASE.to_json().keys() == {"name", "namespace", "phase", "checksum"}
    assert BASE.model_copy(update={"metadata": {}}).to_json().keys() == BASE.to_json().keys()


def test_an_event_says_what_happened_and_when() -> None:
    event = event_payload(BASE, "Advance web.shop canary weight 10", EventType.NORMAL, AT)
    assert event.to_json()["metadata"] == {
        "eventMessage": "Advance web.shop canary weight 10",
        "eventType": "Normal",
        "timestamp": "1784635200123",
    }


def test_a_webhooks_metadata_is_sent_along_but_replaces_nothing() -> None:
    hook = BASE.model_copy(update={"metadata": {"env": "test", "eventType": "Party"}})
    event = event_payload(hook, "Halt", EventType.WARNING, AT)
    assert event.metadata == {
        "env": "test",
        "eventMessage": "Halt",
        "eventType": "Warning",
        "timestamp": "1784635200123",
    }
    assert hook.metadata == {"env": "test", "eventType": "Party"}
