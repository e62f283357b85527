"""Whether the API server admits an object: the part of OpenAPI that our CRDs are written in, with sentences for people.

Like the API server, this sees a field that is ``null`` as absent; and it goes on below fields that it does not know.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Final

from flaggerpy.api.base import INTERVAL_PATTERN
from flaggerpy.api.reading import Place, field_path, missing
from flaggerpy.api.schema import Schema

_WANTED: Final = {
    "object": "a mapping",
    "array": "a list",
    "string": "text",
    "number": "a number",
    "integer": "a whole number",
    "boolean": "true or false",
}
_LONGEST_SHOWN: Final = 60
_MOST_PLACES: Final = 3
"""A name that stands in more places of a schema than this is too common for a guess."""


@dataclass(frozen=True, slots=True)
class Violation:
    """One thing that the schema does not admit.

    Attributes:
        unknown: the field does not exist, which is no reason to refuse the object.
        covers: further places about which nothing more need be said.

    """

    place: Place
    sentence: str
    unknown: bool = False
    covers: tuple[Place, ...] = ()


def violations(schema: Schema, obj: Mapping[str, Any]) -> tuple[Violation, ...]:
    """Compare an object, whose nulls are left out, with the schema of its kind."""
    return tuple(_violations(schema, obj, (), schema))


def _violations(schema: Schema, value: Any, place: Place, root: Schema) -> Iterator[Violation]:
    if not _has_type(schema, value):
        yield Violation(place, f"{_where(place)}: {_shown(value)} is not {_wanted(schema)}: {_advice(schema, value)}.")
        return
    if reason := _refused(schema, value):
        yield Violation(place, f"{_where(place)}: {reason}.")
    match value:
        case Mapping():
            yield from _fields(schema, value, place, root)
        case list():
            for index, item in enumerate(value):
                yield from _violations(schema.get("items", {}), item, (*place, index), root)


def _fields(schema: Schema, value: Mapping[str, Any], place: Place, root: Schema) -> Iterator[Violation]:
    for name in schema.get("required", ()):
        if name not in value:
            yield Violation((*place, name), missing((*place, name)))
    yield from _alternatives(schema, value, place)
    for rule in schema.get("x-kubernetes-validations", ()):
        if not RULES[rule["rule"]](value):
            yield Violation(place, f"{_where(place)}: {rule['message']}.")
    known, others = schema.get("properties", {}), schema.get("additionalProperties")
    for name, item in value.items():
        inner = known.get(name, others)
        if inner is not None:
            yield from _violations(inner, item, (*place, name), root)
        elif known:
            yield Violation((*place, name), _unknown((*place, name), known, root), unknown=True)


def _alternatives(schema: Schema, value: Any, place: Place) -> Iterator[Violation]:
    """Explain a ``oneOf``, whose alternatives are told apart by the fields that they require."""
    choices = schema.get("oneOf", ())
    if _chooses_one(schema, value):
        return
    required = [choice["required"] for choice in choices if "required" in choice]
    common = frozenset.intersection(*map(frozenset, required))
    for name in required[0]:
        if name in common and name not in value:
            yield Violation((*place, name), missing((*place, name)))
    ways = [name for names in required for name in names if name not in common]
    chosen = [name for name in ways if name in value]
    covers = tuple((*place, name) for name in ways)
    if len(chosen) > 1:
        sentence = f"{_where(place)}: {_list(chosen, 'and')} exclude each other: keep one of them."
        yield Violation((*place, chosen[-1]), sentence, covers=covers)
    elif not chosen and not any("not" in choice for choice in choices):
        yield Violation(place, f"{_where(place)}: one of {_list(ways, 'and')} is needed: add one.", covers=covers)
    for choice in choices:
        for name, inner in choice.get("properties", {}).items():
            if name in value and len(chosen) == 1:
                yield from _alternatives(inner, value[name], (*place, name))


def _chooses_one(schema: Schema, value: Any) -> bool:
    """Tell whether exactly one alternative of a ``oneOf`` holds; without one, or for no mapping, there is no choice."""
    choices = schema.get("oneOf", ())
    return not choices or not isinstance(value, Mapping) or sum(_holds(choice, value) for choice in choices) == 1


def _holds(choice: Schema, value: Mapping[str, Any]) -> bool:
    if "not" in choice:
        return not any(_holds(other, value) for other in choice["not"]["anyOf"])
    inside = choice.get("properties", {})
    return all(name in value for name in choice["required"]) and all(
        _chooses_one(inner, value.get(name)) for name, inner in inside.items()
    )


def _has_type(schema: Schema, value: Any) -> bool:
    if schema.get("x-kubernetes-int-or-string"):
        return isinstance(value, str) or _is_whole(value)
    match schema.get("type"):
        case "object":
            return isinstance(value, Mapping)
        case "array":
            return isinstance(value, list)
        case "string":
            return isinstance(value, str)
        case "boolean":
            return isinstance(value, bool)
        case "integer":
            return _is_whole(value)
        case "number":
            return isinstance(value, int | float) and not isinstance(value, bool)
        case _:
            return True


def _is_whole(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value == int(value)


def _refused(schema: Schema, value: Any) -> str | None:
    """Say why a value of the right type is not admitted, or None when it is."""
    match value:
        case bool():
            return None
        case str():
            return _refused_text(schema, value)
        case int() | float() if value < schema.get("minimum", value):
            return f"{_shown(value)} is too small: write {schema['minimum']} or more"
        case int() | float() if value > schema.get("maximum", value):
            return f"{_shown(value)} is too large: write {schema['maximum']} or less"
        case list() if len(value) > schema.get("maxItems", len(value)):
            return f"{len(value)} items are too many: write {schema['maxItems']} at most"
        case _:
            return None


def _refused_text(schema: Schema, value: str) -> str | None:
    if value not in schema.get("enum", [value]):
        return f"{_shown(value)} is not known: write {_list([word for word in schema['enum'] if word], 'or')}"
    if len(value) < schema.get("minLength", 0):
        return f"{_shown(value)} is too short: write something"
    if len(value) > schema.get("maxLength", len(value)):
        return f"{_shown(value)} has more than {schema['maxLength']} characters: write something shorter"
    pattern = schema.get("pattern", "")
    if re.search(pattern, value):
        return None
    if pattern == INTERVAL_PATTERN:
        return f"{_shown(value)} does not begin with whole minutes or seconds: write it like 90s, 5m or 1m30s"
    return f"{_shown(value)} has characters that are not admitted here: write letters, digits and, between them, dashes"


def _advice(schema: Schema, value: Any) -> str:
    """Say what to write instead of a value of the wrong type."""
    scalar = not isinstance(value, Mapping | list)
    match schema.get("type"):
        case "string" if schema.get("pattern") == INTERVAL_PATTERN:
            return "write a number and its unit, like 30s or 1m30s"
        case "string" if scalar and value is not None:
            return f'write "{json.dumps(value)}" in quotes'
        case "number" | "integer" if isinstance(value, float):
            return f"write {math.floor(value)} or {math.ceil(value)}"
        case "number" | "integer" if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,18}", value):
            return f"write {value} without quotes"
        case "array":
            return "begin each item with a dash"
        case "object":
            return "write fields with names"
        case _:
            return f"write {_wanted(schema)}"


def _wanted(schema: Schema) -> str:
    return _WANTED.get(schema.get("type", ""), "a whole number or a name")


def _unknown(place: Place, known: Mapping[str, Any], root: Schema) -> str:
    """Say that a field does not exist, and where the one that was meant might be."""
    name = str(place[-1])
    elsewhere = [path for path in _paths(root) if path.rpartition(".")[2] == name]
    near = get_close_matches(name, known, 1)
    sentence = f"{_where(place)}: there is no such field"
    if elsewhere and len(elsewhere) <= _MOST_PLACES:
        return f"{sentence}: did you mean {min(elsewhere, key=len)}?"
    if near:
        return f"{sentence}: did you mean {near[0]}?"
    return f"{sentence}: remove it."


def _paths(schema: Schema, path: str = "") -> Iterator[str]:
    """Return the path of every field, with ``[]`` for the items of lists."""
    for name, inner in schema.get("properties", {}).items():
        here = f"{path}.{name}" if path else name
        yield here
        yield from _paths(inner, here)
    if "items" in schema:
        yield from _paths(schema["items"], f"{path}[]")


def _where(place: Place) -> str:
    return field_path(place) or "The object"


def _shown(value: Any) -> str:
    match value:
        case Mapping():
            return "a mapping"
        case list():
            return "a list"
        case _:
            text = json.dumps(value, ensure_ascii=False)
            return text if len(text) <= _LONGEST_SHOWN else f"{text[: _LONGEST_SHOWN - 1]}…"


def _list(names: Sequence[str], word: str) -> str:
    return f"{', '.join(names[:-1])} {word} {names[-1]}" if len(names) > 1 else "".join(names)


def _mirrors_to_a_port(reference: Mapping[str, Any]) -> bool:
    to_service = not reference.get("group") and reference.get("kind", "Service") == "Service"
    return not to_service or "port" in reference


def _is_of_the_gateway_api(value: Mapping[str, Any]) -> bool:
    return value.get("kind") == "ApisixRoute" or str(value.get("apiVersion")).startswith("gateway.networking.k8s.io/")


def _names_a_section_that_there_is(value: Mapping[str, Any]) -> bool:
    return value.get("kind") != "ApisixRoute" or "sectionName" not in value


RULES: Final[dict[str, Callable[[Mapping[str, Any]], bool]]] = {
    "size(self.group) != 0 || self.kind != 'Service' || has(self.port)": _mirrors_to_a_port,
    "self.kind == 'ApisixRoute' || self.apiVersion.startsWith('gateway.networking.k8s.io/')": _is_of_the_gateway_api,
    "self.kind != 'ApisixRoute' || !has(self.sectionName)": _names_a_section_that_there_is,
}
"""The rules in CEL that our CRDs have, by their text."""
