"""What all our models share: frozen, camelCase on the wire, numbers and durations read alike.

A field's docstring says its meaning and unit; it becomes the description in the CRD and in the reference. No
model of a kind lives here.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    PlainSerializer,
    WithJsonSchema,
)
from pydantic.alias_generators import to_camel

from flaggerpy.durations import format_duration, parse_duration

INTERVAL_PATTERN: Final = "^[0-9]+(m|s)"
"""Flagger's pattern for durations: anchored at the start only, so ``1m30s`` passes and so does ``10mfoo``."""


class ApiModel(BaseModel):
    """A frozen model whose JSON names are camelCase.

    Unknown fields are ignored when reading: whatever Flagger's CRD admits stays admitted, and a newer schema
    must not stop an older controller.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="ignore",
        alias_generator=to_camel,
        populate_by_name=True,
        use_attribute_docstrings=True,
    )

    def to_json(self) -> dict[str, Any]:
        """Write every field that has a value, under its JSON name and always in the same order."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)

    def as_written(self) -> dict[str, Any]:
        """Write only what the user wrote, for objects that are passed on to somebody else's API."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True, exclude_unset=True)


def _whole(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        # pydantic turns a ValueError into a sentence, but lets a TypeError through.
        raise ValueError(f"{value!r} is not a number: write a whole number without quotes")
    if value != int(value):
        raise ValueError(f"{value} is not a whole number: write {math.floor(value)} or {math.ceil(value)}")
    return int(value)


def _duration(value: object) -> timedelta:
    return value if isinstance(value, timedelta) else parse_duration(str(value))


def _duration_text(value: str) -> str:
    parse_duration(value)
    return value


def _seconds(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _microseconds(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


Number = Annotated[int, BeforeValidator(_whole), WithJsonSchema({"type": "number"})]
"""A whole number where Flagger's CRD says ``number``: 10 and 10.0 are ten, 10.5 is the user's mistake."""

Int32 = Annotated[int, BeforeValidator(_whole), WithJsonSchema({"type": "integer", "format": "int32"})]
Integer = Annotated[int, BeforeValidator(_whole), WithJsonSchema({"type": "integer"})]

Duration = Annotated[
    timedelta,
    BeforeValidator(_duration),
    PlainSerializer(format_duration, return_type=str),
    WithJsonSchema({"type": "string", "pattern": INTERVAL_PATTERN}),
]
"""A Go duration as a timedelta."""

DurationText = Annotated[
    str, AfterValidator(_duration_text), WithJsonSchema({"type": "string", "pattern": INTERVAL_PATTERN})
]
"""A Go duration that is also needed word for word, as in queries."""

Timestamp = Annotated[
    AwareDatetime,
    PlainSerializer(_seconds, return_type=str),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
"""A moment in whole seconds, as Flagger and kubectl write it."""

MicroTime = Annotated[
    AwareDatetime,
    PlainSerializer(_microseconds, return_type=str),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
"""A moment in microseconds: with whole seconds a step clock could run up to a second fast."""
