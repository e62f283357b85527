"""From the bytes of a file to its objects, with a place for every field; YAML is read as kubectl reads it.

JSON is read as YAML, which it is but for two details that are evened out first. Whatever the bytes are, the answer is
objects and faults, never an exception.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

import yaml

from flaggerpy.api.constants import GROUP
from flaggerpy.api.reading import Place, field_path, without_nulls
from flaggerpy.lint.document import Document, Position
from flaggerpy.lint.faults import Fault, Rule

MAX_DEPTH: Final = 100
"""Deeper objects are nobody's, and would exhaust the stack."""
MAX_VALUES: Final = 200_000
"""Aliases can make a few lines into billions of values."""
_LONGEST_NUMBER: Final = 300
_MERGE_TAG: Final = "tag:yaml.org,2002:merge"

_SURROGATES = re.compile(rb"(?<!\\)((?:\\\\)*)\\u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})")
_INTEGER = re.compile(r"[-+]?(?:0b[01_]+|0o?[0-7_]+|0x[0-9a-fA-F_]+|0|[1-9][0-9_]*)$")
_FLOAT = re.compile(r"[-+]?(?:[0-9][0-9_]*\.?[0-9_]*|\.[0-9][0-9_]*)(?:[eE][-+]?[0-9]+)?$")


class _Loader(yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader):  # type: ignore[misc] # chosen at run time
    """Tells which scalars are text, numbers and so on, as kubectl does: a date and ``1:30`` are text."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag.rsplit(":", 1)[-1] in {"bool", "null", "merge"}]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver("tag:yaml.org,2002:int", _INTEGER, list("-+0123456789"))
_Loader.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+0123456789."))


@dataclass(frozen=True, slots=True)
class Source:
    """A file and its content; ``named`` tells whether a person asked for it, or for a folder that it is in."""

    name: str
    data: bytes
    named: bool = True


class _Unusable(Exception):
    """No object can be made of a document; the message is a clause that says why, ``position`` says where."""

    def __init__(self, sentence: str, position: Position) -> None:
        super().__init__(sentence)
        self.position = position


def read_objects(source: Source, kinds: Collection[str]) -> tuple[tuple[Document, ...], tuple[Fault, ...]]:
    """Read the objects of a file, those of lists one by one; what follows a place that is no YAML is lost.

    Returns:
        The objects of these kinds and all of Flagger's group, and what is wrong with the file itself. Folders have
        files of all sorts, so that one of theirs that cannot be read matters only if it speaks of Flagger.

    """
    documents, faults = _read_objects(source, kinds)
    if not source.named and GROUP.encode() not in source.data:
        faults = [fault for fault in faults if fault.rule is not Rule.UNREADABLE]
    return tuple(documents), tuple(faults)


def _read_objects(source: Source, kinds: Collection[str]) -> tuple[list[Document], list[Fault]]:
    found: list[Document] = []
    faults: list[Fault] = []
    data = _evened(source.data)
    try:
        _refuse_depth(data)
        for root in yaml.compose_all(data, Loader=_Loader):
            for node in _items(root):
                if not _is_wanted(node, kinds):
                    continue
                builder = _Builder({(): _position(node.start_mark)})
                obj = without_nulls(builder.mapping(node, ()))
                document = Document(source.name, obj, builder.positions)
                found.append(document)
                faults += [document.fault(Rule.DUPLICATE, said, where) for where, said in builder.duplicates]
    except _Unusable as error:
        faults.append(Fault(source.name, *error.position, f"{error}{_hint(data)}.", Rule.UNREADABLE))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        sentence = f"This is no YAML: {error.problem or error.context}{_hint(data)}."
        faults.append(Fault(source.name, *_position(mark), sentence, Rule.UNREADABLE))
    except (yaml.YAMLError, UnicodeError):
        sentence = "This is no text in UTF-8, or holds characters that YAML does not admit."
        faults.append(Fault(source.name, *_first_odd(data), sentence, Rule.UNREADABLE))
    return found, faults


def _evened(data: bytes) -> bytes:
    """Write JSON so that it is YAML too: without tabs between values, and characters beyond U+FFFF in one escape."""
    if data.lstrip()[:1] not in {b"{", b"["}:
        return data
    return _SURROGATES.sub(_one_escape, data.replace(b"\t", b" "))


def _one_escape(found: re.Match[bytes]) -> bytes:
    high, low = int(found[2], 16), int(found[3], 16)
    return found[1] + rb"\U%08x" % (0x10000 + ((high & 0x3FF) << 10) + (low & 0x3FF))


def _refuse_depth(data: bytes) -> None:
    """Look before composing, which is recursive; what is no YAML is told by the composer."""
    depth = 0
    with suppress(yaml.YAMLError):
        for event in yaml.parse(data, Loader=_Loader):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > MAX_DEPTH:
                raise _Unusable(f"This is nested deeper than {MAX_DEPTH} levels", _position(event.start_mark))


def _items(root: yaml.Node | None) -> Iterator[yaml.MappingNode]:
    """Return the objects of a document: those of a list, as ``kubectl get -o yaml`` writes it, or the one itself."""
    items = _field(root, "items")
    if _word(root, "kind").endswith("List") and isinstance(items, yaml.SequenceNode):
        yield from (item for item in items.value if isinstance(item, yaml.MappingNode))
    elif isinstance(root, yaml.MappingNode):
        yield root


def _is_wanted(node: yaml.Node, kinds: Collection[str]) -> bool:
    return _word(node, "kind") in kinds or _word(node, "apiVersion").startswith(f"{GROUP}/")


def _field(node: yaml.Node | None, name: str) -> yaml.Node | None:
    pairs = node.value if isinstance(node, yaml.MappingNode) else ()
    return next((value for key, value in pairs if key.value == name), None)


def _word(node: yaml.Node | None, name: str) -> str:
    value = _field(node, name)
    return str(value.value) if isinstance(value, yaml.ScalarNode) else ""


@dataclass(slots=True)
class _Builder:
    """Makes JSON of YAML's nodes and remembers where it stood."""

    positions: dict[Place, Position]
    duplicates: list[tuple[Place, str]] = field(default_factory=list)
    left: int = MAX_VALUES
    merges: int = 0

    def mapping(self, node: yaml.MappingNode, place: Place) -> dict[str, Any]:
        merged: dict[str, Any] = {}
        for key, value in node.value:
            if key.tag == _MERGE_TAG:
                merged = self._merged(value, place) | merged
        own: dict[str, Any] = {}
        for key, value in node.value:
            if key.tag == _MERGE_TAG:
                continue
            if not isinstance(key, yaml.ScalarNode):
                raise _Unusable("The name of a field must be text", _position(key.start_mark))
            here = (*place, key.value)
            if key.value in own:
                first = self.positions[here][0]
                self.duplicates.append((here, f"{field_path(here)} is written twice, first in line {first}: keep one."))
            self.positions[here] = _position(key.start_mark)
            own[key.value] = self._value(value, here)
        return merged | own

    def _value(self, node: yaml.Node, place: Place) -> Any:
        self.left -= 1
        if len(place) > MAX_DEPTH or self.left < 0:
            raise _Unusable("The aliases (*) make this endless, or far too large", _position(node.start_mark))
        match node:
            case yaml.MappingNode():
                return self.mapping(node, place)
            case yaml.SequenceNode():
                return [self._item(item, (*place, index)) for index, item in enumerate(node.value)]
            case _:
                return _scalar(node)

    def _item(self, node: yaml.Node, place: Place) -> Any:
        self.positions[place] = _position(node.start_mark)
        return self._value(node, place)

    def _merged(self, node: yaml.Node, place: Place) -> dict[str, Any]:
        """Read what a merge key (``<<``) brings; the first of several mappings wins."""
        self.merges += 1
        if self.merges > MAX_DEPTH:
            raise _Unusable("The merge keys (<<) make this endless, or far too large", _position(node.start_mark))
        result: dict[str, Any] = {}
        for part in node.value if isinstance(node, yaml.SequenceNode) else [node]:
            if not isinstance(part, yaml.MappingNode):
                raise _Unusable("A merge key (<<) takes the alias of a mapping", _position(part.start_mark))
            result = self.mapping(part, place) | result
        return result


def _scalar(node: yaml.Node) -> Any:
    text: str = node.value
    match node.tag.rsplit(":", 1)[-1]:
        case "null":
            return None
        case "bool":
            return text.lower() in {"yes", "true", "on"}
        case "int" | "float" if len(text) <= _LONGEST_NUMBER:
            return _number(text)
        case _:
            return text


def _number(text: str) -> float | str:
    """Read a number that JSON can hold; anything else stays text."""
    digits = text.lstrip("+-").replace("_", "")
    octal = len(digits) > 1 and digits[0] == "0" and digits.isdecimal()
    try:
        number: float = int(digits, 8 if octal else 0) if _INTEGER.match(text) else float(digits)
    except ValueError:
        return text
    if not math.isfinite(number):
        return text
    return -number if text.startswith("-") else number


def _position(mark: Any) -> Position:
    return (mark.line + 1, mark.column + 1) if mark is not None else (1, 1)


def _first_odd(data: bytes) -> Position:
    """Return the place of the first byte that is no UTF-8 or a control character."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        text = data[: error.start].decode("utf-8", "replace") + "\0"
    odd = re.search(r"[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", text)
    before = text[: odd.start()] if odd else ""
    return before.count("\n") + 1, len(before) - before.rfind("\n")


def _hint(data: bytes) -> str:
    if b"{{" in data:
        return " (a template? render it first, as in helm template … | flaggerpy lint -)"
    return ""
