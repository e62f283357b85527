"""What an alert says, read back from the format of any receiver.

Flagger and ours differ in the format for Teams and in lines below the message that only ours has; both are compared in
tests/notifiers, body by body. Here it matters who was told what, and when.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

_OUR_LINES = ("Revision", "Reason", "Metric ", "Metrics")
_TAG = re.compile(r"<[^>]+>")


@dataclass(frozen=True, slots=True)
class Said:
    """One alert."""

    author: str
    message: str
    lines: tuple[tuple[str, str], ...]
    bad: bool

    def flaggers(self) -> str:
        """Write it down without the lines that only ours has."""
        kept = [f"{name}: {json.dumps(value)}" for name, value in self.lines if not name.startswith(_OUR_LINES)]
        return "; ".join([f"{self.author}: {json.dumps(self.message)}", *kept, "an error" if self.bad else "no error"])


def said(body: Any) -> Said:
    """Read an alert back."""
    match body:
        case {"attachments": [{"content": {"body": [author, message, *rest]}}]}:
            lines = tuple((_runs(row)[0].removesuffix(": "), _runs(row)[1]) for row in rest)
            bad = message["inlines"][0]["color"] == "Attention"
            return Said(_runs(author)[0], _runs(message)[0], lines, bad)
        case {"attachments": [one]}:
            lines = tuple((field["title"], field["value"]) for field in one["fields"])
            return Said(one["author_name"], one["text"], lines, one["color"] in {"danger", "#FF0000"})
        case {"sections": [section], "themeColor": colour}:
            lines = tuple((fact["name"], fact["value"]) for fact in section["facts"])
            return Said(section["activitySubtitle"], section["activityTitle"], lines, colour == "FF0000")
        case {"cards": [{"header": header, "sections": [first, *rest]}]}:
            pairs = [_html(section).split("<br>") for section in rest]
            lines = tuple((name, _TAG.sub("", value)) for name, value in pairs)
            # Google Chat is not told how bad it is.
            return Said(header["subtitle"], _TAG.sub("", _html(first)), lines, bad=False)
        case _:
            raise AssertionError(body)


def _runs(block: Any) -> list[str]:
    return [run["text"] for run in block["inlines"]]


def _html(section: Any) -> str:
    return str(section["widgets"][0]["textParagraph"]["text"])
