"""The reference of the kinds, generated from the models: every field with type, default and meaning.

``python -m flaggerpy.api.reference FILE`` writes it; a test fails when the stored page is stale.
"""

from __future__ import annotations

import sys
import typing
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from inspect import isclass
from pathlib import Path
from typing import Any, Final

from pydantic.fields import FieldInfo

from flaggerpy.api.base import ApiModel
from flaggerpy.api.constants import GROUP, VERSION
from flaggerpy.api.crds import KINDS, Kind
from flaggerpy.api.schema import Schema, structural
from flaggerpy.durations import format_duration

_HEAD: Final = f"""\
# The kinds of {GROUP}/{VERSION}

Generated from the models by `python -m flaggerpy.api.reference docs/reference/crds.md`; edit the models instead.

A default is what the controller assumes when a field is absent; it is not written into the object, except where
**stored** is said. `[]` stands for each item of a list and `.*` for each value of a map. Durations are
[Go's](https://pkg.go.dev/time#ParseDuration), like `30s` or `1m30s`. What differs from Flagger is in
[differences.md](differences.md).

The kinds have all of Flagger's fields, so that its manifests apply as they are. Fields that say **not served yet**
belong to providers that are not built into flaggerpy yet: no traffic is routed by them.
"""

NOT_SERVED_YET: Final = frozenset(
    {
        "spec.service.meshName",
        "spec.service.backends",
    }
)
"""Fields that no provider reads which is built; a test compares them with the providers."""

SERVED_SO_FAR: Final = {
    "spec.provider": (
        "Served so far: kubernetes, gatewayapi:v1, gatewayapi:v1beta1, contour, istio, traefik, apisix, gloo, kuma, "
        "linkerd, smi:v1alpha1, smi:v1alpha2, smi:v1alpha3, knative, nginx, skipper, alb."
    ),
    "spec.provider.type": (
        "Served so far: cloudwatch, datadog, dynatrace, externalmetrics, graphite, influxdb, newrelic, prometheus, "
        "splunk, stackdriver, web."
    ),
}
"""Which values of a field that is no object are built; a test compares them with the registries."""


@dataclass(frozen=True, slots=True)
class Row:
    """One field as the reference shows it."""

    path: str
    type: str
    default: str
    meaning: str


def reference() -> str:
    """Write the page."""
    return "\n".join([_HEAD, *(_section(kind) for kind in KINDS)])


def rows(model: type[ApiModel], schema: Schema, path: str) -> Iterator[Row]:
    """Go through a model's fields, each followed by the fields inside of it."""
    for name, field in model.model_fields.items():
        alias = field.alias or name
        inner = schema["properties"][alias]
        here = f"{path}.{alias}"
        required = alias in schema.get("required", ())
        yield Row(here, _type(inner), _default(field, inner, required=required), _meaning(here, inner))
        for nested in _models(field.annotation):
            below, content = _content(here, inner)
            yield from rows(nested, content, below)


def _section(kind: Kind) -> str:
    lines = [f"## {kind.kind}", "", kind.description]
    for part, model in (("spec", kind.spec), ("status", kind.status)):
        if model is not None:
            lines += ["", f"### {kind.kind} {part}", "", "| field | type | default | meaning |", "|---|---|---|---|"]
            lines += [_line(row) for row in rows(model, structural(model), part)]
    return "\n".join([*lines, ""])


def _meaning(path: str, schema: Schema) -> str:
    """Say what a field means, and mark what nobody reads yet, with everything inside of it."""
    description: str = schema["description"]
    if any(path == waiting or path.startswith((f"{waiting}.", f"{waiting}[")) for waiting in NOT_SERVED_YET):
        return f"**Not served yet.** {description}"
    served = SERVED_SO_FAR.get(path) if "properties" not in schema else None
    return f"{description} {served}" if served else description


def _line(row: Row) -> str:
    cells = (f"`{row.path}`", row.type, row.default, row.meaning)
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _content(path: str, schema: Schema) -> tuple[str, Schema]:
    """Enter lists and maps until an object with named fields is reached."""
    while "properties" not in schema:
        if "items" in schema:
            path, schema = f"{path}[]", schema["items"]
        else:
            path, schema = f"{path}.*", schema["additionalProperties"]
    return path, schema


def _type(schema: Schema) -> str:
    if schema.get("x-kubernetes-int-or-string"):
        return "number or name"
    if "enum" in schema:
        return " or ".join(f"`{value}`" if value else "empty" for value in schema["enum"])
    if "items" in schema:
        return f"list of {_type(schema['items'])}"
    if "additionalProperties" in schema:
        return f"map to {_type(schema['additionalProperties'])}"
    if schema.get("format") == "date-time":
        return "time"
    return "duration" if schema.get("pattern") == "^[0-9]+(m|s)" else str(schema["type"])


def _default(field: FieldInfo, schema: Schema, *, required: bool) -> str:
    if required:
        return "**required**"
    if "default" in schema:
        return f"`{schema['default'] or '(empty)'}`, stored"
    match field.default:
        case timedelta() as duration:
            return f"`{format_duration(duration)}`"
        case Enum(value=value):
            return f"`{value}`" if value else ""
        case bool() as switch:
            return f"`{str(switch).lower()}`"
        case int() | float() | str() as plain if plain != "":
            return f"`{plain}`"
        case _:
            return ""


def _models(annotation: Any) -> Iterator[type[ApiModel]]:
    if isclass(annotation) and not typing.get_args(annotation) and issubclass(annotation, ApiModel):
        yield annotation
    for argument in typing.get_args(annotation):
        yield from _models(argument)


def main(arguments: Sequence[str]) -> int:
    """Write the reference into the file that is named on the command line."""
    if len(arguments) != 1:
        sys.stderr.write("usage: python -m flaggerpy.api.reference FILE\n")
        return 2
    Path(arguments[0]).write_text(reference(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
