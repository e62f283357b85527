"""One object of a file: its JSON, and the line and column of every field."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flaggerpy.api.reading import Place
from flaggerpy.kube.objects import JsonObject
from flaggerpy.lint.faults import Fault, Rule

Position = tuple[int, int]
"""Line and column, both from 1."""

_START = re.compile(r"(?<![\w.])(?=(?:spec|metadata|status)\b)")
_STEP = re.compile(r"\.(\w+)|\[(\d{1,6})\]")


@dataclass(frozen=True, slots=True, eq=False)
class Document:
    """An object as its author wrote it.

    ``positions`` are those of keys and, in lists, of items; the object itself is at ``()``.
    """

    file: str
    obj: JsonObject
    positions: Mapping[Place, Position]

    @property
    def kind(self) -> str:
        """Kind of the object, empty when that is no text."""
        return _text(self.obj.get("kind"))

    @property
    def api_version(self) -> str:
        """Group and version of the object, empty when that is no text."""
        return _text(self.obj.get("apiVersion"))

    @property
    def name(self) -> str:
        """Name of the object, empty when it has none."""
        return _text(self._metadata.get("name"))

    @property
    def namespace(self) -> str:
        """Namespace of the object, empty when the file does not say."""
        return _text(self._metadata.get("namespace"))

    @property
    def _metadata(self) -> JsonObject:
        metadata = self.obj.get("metadata")
        return metadata if isinstance(metadata, dict) else {}

    def fault(self, rule: Rule, sentence: str, place: Place | None = None) -> Fault:
        """Report a fault at a place, or at the first field that the sentence names."""
        where = self.place_in(sentence) if place is None else place
        line, column = self.position(where)
        return Fault(self.file, line, column, sentence, rule, where)

    def position(self, place: Place) -> Position:
        """Return where a field is written, or what it would belong to when it is missing."""
        while place not in self.positions and place:
            place = place[:-1]
        return self.positions.get(place, (1, 1))

    def place_in(self, sentence: str) -> Place:
        """Find the first field that a sentence names.

        Keys of the object itself are tried first, because names of headers and labels hold dots and dashes.
        """
        start = _START.search(sentence)
        if start is None:
            return ()
        place: Place = ()
        value: Any = self.obj
        text = f".{sentence[start.end() :]}"
        while step := _step(value, text):
            part, text = step
            place = (*place, part)
            value = child(value, part)
        return place


def child(value: Any, part: int | str) -> Any:
    """Return what a field or an item holds, None when there is no such."""
    match value, part:
        case dict(), str():
            return value.get(part)
        case list(), int() if part < len(value):
            return value[part]
        case _:
            return None


def _step(value: Any, text: str) -> tuple[int | str, str] | None:
    """Read the first step of a path, as in ``.metrics[0]``, and what follows it."""
    if isinstance(value, dict) and text.startswith("."):
        known = [key for key in value if key and re.match(rf"{re.escape(key)}(?![\w-])", text[1:])]
        if known:
            key = max(known, key=len)
            return key, text[1 + len(key) :]
    step = _STEP.match(text)
    if step is None:
        return None
    return step[1] or int(step[2]), text[step.end() :]


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
