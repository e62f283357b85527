"""From a model to the structural OpenAPI schema that a CRD may contain; no kind is named here.

The API server wants every schema written out (no references), knows no null type, and would write every ``default``
into the stored objects. So only defaults that are marked (``stored_default``) stay.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from flaggerpy.api.base import ApiModel

Schema = dict[str, Any]

_STORED: Final = "x-stored-default"
_ORDER: Final = ("description", "type", "format", "pattern", "enum", "default", "required")


def stored_default(value: str | int) -> Schema:
    """Mark a default that the API server writes into stored objects, as Flagger's CRD does."""
    return {_STORED: value}


def structural(model: type[ApiModel]) -> Schema:
    """Write a model as a structural schema."""
    schema = model.model_json_schema(by_alias=True, mode="validation")
    return _node(schema, schema.pop("$defs", {}))


def example(schema: Mapping[str, Any]) -> Any:
    """Write a value with every field that a structural schema names."""
    if "enum" in schema:
        return schema["enum"][0]
    match schema.get("type"):
        case "object" if "properties" in schema:
            return {name: example(child) for name, child in schema["properties"].items()}
        case "object":
            values = schema.get("additionalProperties")
            return {"any": example(values)} if isinstance(values, Mapping) else {}
        case "array":
            return [example(schema["items"])]
        case "integer" | "number":
            return 0
        case "boolean":
            return False
        case _:
            return "2000-01-01T00:00:00Z" if schema.get("format") == "date-time" else ""


def _node(node: Mapping[str, Any], defs: Mapping[str, Any]) -> Schema:
    merged = _resolved(node, defs)
    stored = merged.pop(_STORED, None)
    merged.pop("default", None)
    merged.pop("title", None)
    if "const" in merged:
        merged["enum"] = [merged.pop("const")]
    if stored is not None:
        merged["default"] = stored
    if "description" in merged:
        merged["description"] = _plain(merged["description"])
    if "items" in merged:
        merged["items"] = _node(merged["items"], defs)
    if isinstance(merged.get("additionalProperties"), Mapping):
        merged["additionalProperties"] = _node(merged["additionalProperties"], defs)
    properties = {name: _node(child, defs) for name, child in merged.pop("properties", {}).items()}
    ordered = {key: merged[key] for key in _ORDER if merged.get(key) is not None}
    rest = {key: value for key, value in merged.items() if key not in _ORDER and value is not None}
    return ordered | rest | ({"properties": properties} if properties else {})


def _resolved(node: Mapping[str, Any], defs: Mapping[str, Any]) -> Schema:
    """Replace a reference by what it names and ``X or null`` by X; what stands beside them wins."""
    merged = dict(node)
    if "$ref" in merged:
        target = defs[merged.pop("$ref").removeprefix("#/$defs/")]
        return _resolved(target, defs) | merged
    choices = [choice for choice in merged.get("anyOf", ()) if choice.get("type") != "null"]
    if len(choices) == 1:
        del merged["anyOf"]
        return _resolved(choices[0], defs) | merged
    return merged


def _plain(text: str) -> str:
    """Keep the first paragraph, on one line and without markup."""
    paragraph = re.split(r"\n\s*\n", text.strip())[0]
    return " ".join(paragraph.replace("``", "").split())
