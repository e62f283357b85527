"""Microsoft Teams, in the message card format that existing receivers and their workflows read."""

from __future__ import annotations

from flaggerpy.notifiers.base import Alert, JsonObject, Notifier, Sender


def message(alert: Alert, _: Sender) -> JsonObject:
    """Write an alert as a message card."""
    return {
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


MSTEAMS = Notifier(message)
