"""When do two specs of an HTTPRoute mean the same? Defaults count as written, lists that are sets have no order."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from flaggerpy.kube.objects import JsonObject
from flaggerpy.routers.httproute import DEFAULT_PATH


def same_spec(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Tell whether two specs mean the same."""
    return _spec(one) == _spec(other)


def parent_key(reference: Mapping[str, Any], namespace: str) -> tuple[Any, ...]:
    """Return what a reference to a parent means, so that left-out defaults make no difference."""
    return (
        reference.get("group", "gateway.networking.k8s.io"),
        reference.get("kind", "Gateway"),
        reference.get("namespace") or namespace,
        reference.get("name"),
        reference.get("sectionName") or "",
        reference.get("port") or 0,
    )


def _spec(spec: Mapping[str, Any]) -> JsonObject:
    return {
        "parentRefs": sorted(map(str, (parent_key(reference, "") for reference in spec.get("parentRefs") or ()))),
        "hostnames": sorted(spec.get("hostnames") or ()),
        "rules": [_rule(rule) for rule in spec.get("rules") or [{}]],
    }


def _rule(rule: Mapping[str, Any]) -> JsonObject:
    backends = [_backend(reference) for reference in rule.get("backendRefs") or ()]
    if len(backends) == 1 and backends[0]["weight"]:
        backends[0]["weight"] = 1  # alone it gets everything, whatever its weight
    rest = {key: value for key, value in rule.items() if key not in {"matches", "filters", "backendRefs"} and value}
    return {
        **rest,
        "matches": _as_set([_match(match) for match in rule.get("matches") or [{}]]),
        "filters": [_filter(part) for part in rule.get("filters") or ()],
        "backendRefs": _as_set(backends),
    }


def _match(match: Mapping[str, Any]) -> JsonObject:
    result = {**match, "path": {**DEFAULT_PATH, **(match.get("path") or {})}}
    for field in ("headers", "queryParams"):
        values = result.pop(field, None) or ()
        if values:
            result[field] = _as_set([{"type": "Exact", **value} for value in values])
    return result


def _backend(reference: Mapping[str, Any]) -> JsonObject:
    named = {"group": "", "kind": "Service", "weight": 1, **reference}
    filters = named.pop("filters", None)
    return {**named, "filters": [_filter(part) for part in filters]} if filters else named


def _filter(part: Mapping[str, Any]) -> JsonObject:
    result = dict(part)
    for field in ("requestHeaderModifier", "responseHeaderModifier"):
        if field in result:
            result[field] = {key: _as_set(values) for key, values in result[field].items() if values}
    if "requestMirror" in result:
        mirror = result["requestMirror"]
        result["requestMirror"] = {**mirror, "backendRef": _backend(mirror.get("backendRef") or {})}
    if "cors" in result:
        cors = {"maxAge": 5, **result["cors"]}
        result["cors"] = {
            key: _as_set(value) if isinstance(value, list) else value for key, value in cors.items() if value
        }
    return result


def _as_set(values: list[Any]) -> list[str]:
    return sorted(json.dumps(value, sort_keys=True) for value in values)
