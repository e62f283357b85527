"""Slack, and Discord and Rocket.Chat, which read Slack's format."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from flaggerpy.notifiers.base import Alert, JsonObject, Notifier, Sender

_WORDS = ("good", "danger")
_ROCKET_COLOURS = ("#0076D7", "#FF0000")


def message(alert: Alert, sender: Sender, *, colours: tuple[str, str]) -> JsonObject:
    """Write an alert as an attachment; ``colours`` are those of good news and of errors."""
    fields = [{"title": field.name, "value": field.value, "short": False} for field in alert.fields]
    return {
        "channel": sender.channel,
        "username": sender.username,
        "icon_url": "",
        "icon_emoji": ":rocket:",
        "attachments": [
            {
                "color": colours[alert.is_error],
                "author_name": alert.author,
                "text": alert.message,
                "mrkdwn_in": ["text"],
                "fields": fields,
            }
        ],
    }


def discord_url(address: str) -> str:
    """Address the end of a Discord webhook that reads Slack's format."""
    parts = urlsplit(address)
    if parts.path.endswith("/slack"):
        return address
    return urlunsplit(parts._replace(path=f"{parts.path.rstrip('/')}/slack"))


def complaint(answer: Mapping[str, Any]) -> str:
    """Read the refusals of Slack's Web API, which come with status 200."""
    if answer.get("ok") is False:
        return f"Slack refused the message: {answer.get('error', 'no reason given')}"
    return ""


SLACK = Notifier(partial(message, colours=_WORDS), takes_token=True, complaint=complaint)
DISCORD = Notifier(partial(message, colours=_WORDS), url=discord_url)
ROCKET = Notifier(partial(message, colours=_ROCKET_COLOURS))
