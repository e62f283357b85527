"""Google Chat, whose cards hold a little HTML."""

from __future__ import annotations

from html import escape

from flaggerpy.notifiers.base import Alert, JsonObject, Notifier, Sender

_LOGO = "https://flagger.app/favicon.png"


def message(alert: Alert, _: Sender) -> JsonObject:
    """Write an alert as a card, one section for the message and one for each field, and a button with the link."""
    sections = [
        _section(_strong(alert.message)),
        *(_section(f"{escape(field.name, quote=False)}<br>{_strong(field.value)}") for field in alert.fields),
    ]
    if alert.link:
        button = {"textButton": {"text": "OPEN", "onClick": {"openLink": {"url": alert.link}}}}
        sections.append({"widgets": [{"buttons": [button]}]})
    header = {"title": "Flagger", "subtitle": alert.author, "imageUrl": _LOGO}
    return {"cards": [{"header": header, "sections": sections}]}


def _section(html: str) -> JsonObject:
    return {"widgets": [{"textParagraph": {"text": html}}]}


def _strong(text: str) -> str:
    return f"<font color=#848484><strong>{escape(text, quote=False)}</strong></font>"


GCHAT = Notifier(message)
