"""The generic webhook: its schema is a promise, so it is written down, and every body follows it."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import jsonschema_rs

from flaggerpy.api.alert import AlertPayload, MetricPayload, RevisionPayload
from flaggerpy.api.analysis import Severity
from flaggerpy.notifiers.base import Alert, Facts, Field, Sender
from flaggerpy.notifiers.registry import notifier_for
from flaggerpy.notifiers.webhook import headers, signature
from tools.alert_schema import PAGE, written

SCHEMA = json.loads(PAGE.read_text(encoding="utf-8"))
VALIDATOR = jsonschema_rs.validator_for(SCHEMA)
FULL = Alert(
    canary="web",
    namespace="shop",
    severity=Severity.ERROR,
    message="Failed checks threshold reached 5",
    fields=(Field("Reason", "success rate 92.10% < 99%"),),
    id="uid-of-web/20310517T083015-1",
    at=datetime(2031, 5, 17, 8, 30, 15, tzinfo=UTC),
    link="https://grafana/d/1",
    facts=Facts(
        cluster="prod-1",
        target="Deployment/web",
        phase="Progressing",
        weight=20,
        failed_checks=5,
        reason="success rate 92.10% < 99%",
        revision=RevisionPayload(before=["app=web:1"], after=["app=web:2"], checksum="5f7c"),
        metrics=(MetricPayload(name="request-success-rate", verdict="Failed", value="92.10%", bound=">= 99%"),),
    ),
)


def test_the_schema_that_is_written_down_is_that_of_the_bodies() -> None:
    assert PAGE.read_text(encoding="utf-8") == written(), "run python -m tools.alert_schema"


def test_a_body_says_everything_that_is_known() -> None:
    body = notifier_for("webhook").message(FULL, Sender())

    VALIDATOR.validate(body)
    assert body == {
        "version": "v1",
        "kind": "alert",
        "id": "uid-of-web/20310517T083015-1",
        "at": "2031-05-17T08:30:15.000000Z",
        "cluster": "prod-1",
        "namespace": "shop",
        "name": "web",
        "target": "Deployment/web",
        "severity": "error",
        "message": "Failed checks threshold reached 5",
        "reason": "success rate 92.10% < 99%",
        "phase": "Progressing",
        "weight": 20,
        "failedChecks": 5,
        "revision": {"before": ["app=web:1"], "after": ["app=web:2"], "checksum": "5f7c"},
        "metrics": [
            {
                "name": "request-success-rate",
                "verdict": "Failed",
                "value": "92.10%",
                "bound": ">= 99%",
                "reason": "",
                "dryRun": False,
            }
        ],
        "link": "https://grafana/d/1",
        "fields": [{"name": "Reason", "value": "success rate 92.10% < 99%"}],
    }


def test_every_field_is_there_when_nothing_is_known() -> None:
    body = notifier_for("webhook").message(Alert("web", "shop", Severity.INFO, "hello"), Sender())

    VALIDATOR.validate(body)
    assert set(body) == set(SCHEMA["properties"]) == set(SCHEMA["required"])


def test_a_summary_is_about_no_canary() -> None:
    body = notifier_for("webhook").message(Alert("flaggerpy", "", Severity.WARN, "3 alerts were left out"), Sender())

    assert (body["kind"], body["namespace"], body["name"]) == ("summary", "", "")


def test_a_body_is_signed_with_the_key_and_with_nothing_else() -> None:
    """The digest was made with ``printf %s '{"a":1}' | openssl dgst -sha256 -hmac hush``."""
    digest = "dfe62afd3a708ea27b217b8cabc11f103edbfb2d176e892a38a2d475a803c4c2"

    assert signature(b'{"a":1}', "hush") != signature(b'{"a":1}', "other")
    assert signature(b'{"a":1}', "hush") != signature(b'{"a":2}', "hush")
    assert dict(headers(FULL, b"{}", "")) == {"Idempotency-Key": FULL.id}
    assert signature(b'{"a":1}', "hush") == f"sha256={digest}"


def test_a_body_can_be_read_back() -> None:
    body = notifier_for("webhook").message(FULL, Sender())

    assert AlertPayload.model_validate(body).revision.after == ["app=web:2"]
