"""The part of JSONPath that finds one value: steps down, no descent, no scripts, in one pass over the document.

Understood are ``$``, ``.name``, ``.*``, ``['name']``, ``[0]``, ``[-1]``, ``[*]`` and a filter of one comparison,
``[?(@.name == "web")]`` with ``==`` or ``!=``; braces around it, as kubectl has them, may stand or not.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from flaggerpy.rollout.errors import UserError

MAX_LENGTH = 1024

_STEP = re.compile(
    r"""\.(?P<name>[^\s.\[\]{}()'"*?@$,:]+)
      | (?P<any>\.\*|\[\s*\*\s*\])
      | \[\s*(?P<index>-?\d{1,9})\s*\]
      | \[\s*(?P<quoted>'[^']*'|"[^"]*")\s*\]
      | \[\s*\?\s*\(?\s*@(?P<path>(?:\.[^\s.\[\]{}()'"*?@$,:=!]+)*)\s*(?P<sign>==|!=)\s*
            (?P<literal>'[^']*'|"[^"]*"|-?\d[\d.eE+-]*|true|false|null)\s*\)?\s*\]
    """,
    re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class Child:
    """The member of an object."""

    name: str


@dataclass(frozen=True, slots=True)
class Item:
    """The element of a list, counted from its end when negative."""

    index: int


@dataclass(frozen=True, slots=True)
class All:
    """Every element of a list or member of an object."""


@dataclass(frozen=True, slots=True)
class Those:
    """The elements whose member compares as wanted."""

    path: tuple[str, ...]
    equal: bool
    value: object


Step = Child | Item | All | Those


def compiled(path: str) -> tuple[Step, ...]:
    """Read a path.

    Raises:
        UserError: it uses something that is not understood.

    """
    text = path.strip()
    text = text[1:-1].strip() if text.startswith("{") and text.endswith("}") else text
    text = text.removeprefix("$")
    steps: list[Step] = []
    position = 0
    while position < len(text):
        found = _STEP.match(text, position) if len(text) <= MAX_LENGTH else None
        if found is None:
            raise UserError(
                f'The jsonPath "{path[:60]}" is not understood at "{text[position : position + 20]}": use $, .name, '
                "['name'], [0], [*] and [?(@.name == \"value\")]."
            )
        steps.append(_step(found))
        position = found.end()
    return tuple(steps)


def select(steps: tuple[Step, ...], document: Any) -> list[Any]:
    """Find the values at a path; none is no error."""
    found = [document]
    for step in steps:
        found = [value for parent in found for value in _below(step, parent)]
    return found


def _step(found: re.Match[str]) -> Step:
    if found["name"] is not None:
        return Child(found["name"])
    if found["quoted"] is not None:
        return Child(found["quoted"][1:-1])
    if found["index"] is not None:
        return Item(int(found["index"]))
    if found["sign"] is not None:
        names = tuple(found["path"].split(".")[1:])
        return Those(names, found["sign"] == "==", _literal(found["literal"]))
    return All()


def _literal(text: str) -> object:
    if text[0] in "'\"":
        return text[1:-1]
    try:
        return json.loads(text)
    except ValueError:
        raise UserError(f'The jsonPath compares with "{text[:20]}", which is no number: write it in quotes.') from None


def _below(step: Step, parent: Any) -> Iterator[Any]:
    match step, parent:
        case Child(name), dict() if name in parent:
            yield parent[name]
        case Item(index), list() if -len(parent) <= index < len(parent):
            yield parent[index]
        case All(), list():
            yield from parent
        case All(), dict():
            yield from parent.values()
        case Those(), list():
            yield from (element for element in parent if _fits(step, element))
        case _:
            return


def _fits(step: Those, element: Any) -> bool:
    found = select(tuple(Child(name) for name in step.path), element)
    same = bool(found) and type(found[0]) is type(step.value) and found[0] == step.value
    numbers = bool(found) and _is_number(found[0]) and _is_number(step.value) and found[0] == step.value
    return (same or numbers) == step.equal


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
