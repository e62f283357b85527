"""From JSON to a model: whatever can be read is read, and every mistake becomes a sentence for its author."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from flaggerpy.api.errors import InvalidObject

Model = TypeVar("Model", bound=BaseModel)
Place = tuple[int | str, ...]

_ROUNDS: Final = 8
"""Leaving a value out can uncover the next mistake; more than a few layers of them are hopeless."""
_VITAL: Final[frozenset[Place]] = frozenset({("metadata",), ("spec",), ("spec", "targetRef"), ("spec", "analysis")})
"""What cannot be left out of an object, whatever is wrong inside."""


def read(kind: type[Model], obj: Mapping[str, Any]) -> Model:
    """Read an object; values that cannot be read are left out and named in the model's ``faults``.

    Where a value cannot be left out, what it belongs to is: a service without its port is no service.

    Raises:
        InvalidObject: something without which the object means nothing is missing or cannot be read.

    """
    raw = without_nulls(obj)
    faults: list[str] = []
    gone: set[Place] = set()
    for _ in range(_ROUNDS):
        try:
            return kind.model_validate(raw | {"faults": tuple(faults)})
        except ValidationError as error:
            details = error.errors(include_url=False, include_context=False)
        faults += [_sentence(detail) for detail in details if detail["loc"] not in gone]
        places = {detail["loc"][:-1] if detail["type"] == "missing" else detail["loc"] for detail in details}
        raw = copy.deepcopy(raw)
        if places & (_VITAL | {()}) or not _leave_out(raw, places):
            break
        gone |= places
    raise InvalidObject(*faults)


def without_nulls(value: Any) -> Any:
    """Copy JSON without its nulls: to write ``key: null`` and to leave the key away is the same."""
    if isinstance(value, Mapping):
        return {key: without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list | tuple):
        return [without_nulls(item) for item in value]
    return value


def _leave_out(raw: Any, places: set[Place]) -> bool:
    """Remove the values at some places; False when one of them cannot be found."""
    # From the back, so that the positions in a list stay what they were.
    for place in sorted(places, key=_position, reverse=True):
        parent = raw
        try:
            for part in place[:-1]:
                parent = parent[part]
            del parent[place[-1]]
        except (KeyError, IndexError, TypeError):
            return False
    return True


def _position(place: Place) -> list[tuple[str, int]]:
    return [(part, 0) if isinstance(part, str) else ("", part) for part in place]


def _sentence(detail: ErrorDetails) -> str:
    where = field_path(detail["loc"])
    match detail["type"]:
        case "missing":
            return missing(detail["loc"])
        case "value_error":
            reason = str(detail["msg"]).removeprefix("Value error, ")
        case "enum" | "literal_error":
            choice = _lower(detail["msg"]).replace("input should be", "write")
            reason = f"{detail['input']!r} is not known: {choice}"
        case _:
            reason = f"{detail['input']!r} cannot be used: {_lower(detail['msg']).replace('input', 'it')}"
    return f"{where}: {reason}."


def missing(place: Place) -> str:
    """Say that a field has to be there."""
    return f"{field_path(place)} is missing: add it."


def field_path(place: Place) -> str:
    """Write a place in an object as people do: ``spec.analysis.metrics[0].name``."""
    path = ""
    for part in place:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else part
    return path


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]
