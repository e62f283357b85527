"""Slack, and Discord and Rocket.Chat, which read Slack's format."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from flaggerpy.notifiers.base import Alert, JsonObject, Notifier, Sender

_WORDS = ("good", "danger")
_ROCKET_COLOURS = ("#0076D7", "#FF0000")
_WORD = re.compile(r"[a-z_]{1,40}")
"""What Slack's own refusals look like; nothing else of an answer is repeated, as it could quote the token."""

_RENEW = "replace the token in the Secret"
_ADVICE = {
    "account_inactive": _RENEW,
    "channel_not_found": "write the channel's ID into spec.channel, and invite the app where the channel is private",
    "invalid_auth": _RENEW,
    "is_archived": "name another channel in spec.channel",
    "missing_scope": "give the app the scope chat:write",
    "not_authed": "add the app's token to the Secret, under the key token",
    "not_in_channel": "invite the app to the channel",
    "token_expired": _RENEW,
    "token_revoked": _RENEW,
}

TOO_SOON = frozenset({"ratelimited", "rate_limited", "internal_error", "fatal_error", "service_unavailable"})
"""Refusals of Slack's Web API that pass by themselves."""


def as_it_is(text: str) -> str:
    """Leave a text alone."""
    return text


def escaped(text: str) -> str:
    """Keep a text from mentioning everybody or from hiding an address behind words, as Slack asks for."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def message(
    alert: Alert, sender: Sender, *, colours: tuple[str, str], written: Callable[[str], str] = as_it_is
) -> JsonObject:
    """Write an alert as an attachment; ``colours`` are those of good news and of errors."""
    fields = [{"title": written(field.name), "value": written(field.value), "short": False} for field in alert.fields]
    attachment: JsonObject = {
        "color": colours[alert.is_error],
        "author_name": alert.author,
        "text": written(alert.message),
        "mrkdwn_in": ["text"],
        "fields": fields,
    }
    if alert.link:
        attachment["author_link"] = alert.link
    return {
        "channel": sender.channel,
        "username": sender.username,
        "icon_url": "",
        "icon_emoji": ":rocket:",
        "attachments": [attachment],
    }


def discord_url(address: str) -> str:
    """Address the end of a Discord webhook that reads Slack's format."""
    parts = urlsplit(address)
    if parts.path.endswith("/slack"):
        return address
    return urlunsplit(parts._replace(path=f"{parts.path.rstrip('/')}/slack"))


def complaint(answer: Mapping[str, Any]) -> str:
    """Read the refusals of Slack's Web API, which come with status 200."""
    if answer.get("ok") is not False:
        return ""
    error = answer.get("error")
    if not isinstance(error, str) or not _WORD.fullmatch(error):
        return "Slack refused the message without a reason"
    advice = _ADVICE.get(error)
    return f"Slack refused the message: {error}" + (f": {advice}" if advice else "")


def is_passing(answer: Mapping[str, Any]) -> bool:
    """Tell whether a refusal of Slack's Web API passes by itself."""
    return answer.get("ok") is False and answer.get("error") in TOO_SOON


SLACK = Notifier(
    partial(message, colours=_WORDS, written=escaped), takes_token=True, complaint=complaint, passing=is_passing
)
DISCORD = Notifier(partial(message, colours=_WORDS), url=discord_url)
ROCKET = Notifier(partial(message, colours=_ROCKET_COLOURS))
