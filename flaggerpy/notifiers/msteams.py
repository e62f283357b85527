"""Microsoft Teams: adaptive cards for workflows, and message cards for the connectors that they replaced.

Which one is sent goes by the address. Those of connectors are a closed set, as no new ones are given out; every other
address is that of a workflow of Power Automate, or of something in front of one.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from flaggerpy.api.analysis import Severity
from flaggerpy.notifiers.base import Alert, Field, Former, JsonObject, Notifier, Sender

_CONNECTOR_HOSTS = frozenset({"outlook.office.com", "outlook.office365.com"})
_CONNECTOR_DOMAIN = ".webhook.office.com"
_COLOURS = {Severity.INFO: "Good", Severity.WARN: "Warning", Severity.ERROR: "Attention"}
_CARD = "application/vnd.microsoft.card.adaptive"


def is_connector(address: str) -> bool:
    """Tell whether an address is one of the former Office 365 connectors."""
    try:
        host = urlsplit(address).hostname or ""
    except ValueError:
        return False
    return host in _CONNECTOR_HOSTS or host.endswith(_CONNECTOR_DOMAIN)


def adaptive_card(alert: Alert, _: Sender) -> JsonObject:
    """Write an alert as the adaptive card that workflows post; all its texts are literal, not Markdown."""
    card: JsonObject = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "msteams": {"width": "Full"},
        "body": [
            _text({"text": alert.author, "weight": "Bolder"}),
            _text({"text": alert.message, "color": _COLOURS[alert.severity]}),
            *(_line(field) for field in alert.fields),
        ],
    }
    if alert.link:
        card["actions"] = [{"type": "Action.OpenUrl", "title": "Open", "url": alert.link}]
    return {"type": "message", "attachments": [{"contentType": _CARD, "contentUrl": None, "content": card}]}


def _text(*runs: JsonObject) -> JsonObject:
    return {"type": "RichTextBlock", "inlines": [{"type": "TextRun", **run} for run in runs]}


def _line(field: Field) -> JsonObject:
    block = _text({"text": f"{field.name}: ", "weight": "Bolder"}, {"text": field.value})
    return {**block, "spacing": "Small"}


def message_card(alert: Alert, _: Sender) -> JsonObject:
    """Write an alert as a message card, as Flagger does for every address."""
    card: JsonObject = {
        "@type": "MessageCard",
        "@context": "http://schema.org/extensions",
        "themeColor": "FF0000" if alert.is_error else "0076D7",
        "summary": alert.author,
        "sections": [
            {
                "activityTitle": alert.message,
                "activitySubtitle": alert.author,
                "facts": [{"name": field.name, "value": field.value} for field in alert.fields],
            }
        ],
    }
    if alert.link:
        target = {"os": "default", "uri": alert.link}
        card["potentialAction"] = [{"@type": "OpenUri", "name": "Open", "targets": [target]}]
    return card


MSTEAMS = Notifier(adaptive_card, former=Former(is_connector, message_card))
