"""When do two parts of an Istio object mean the same? Lists but those of routes are sets, and empty ones are none."""

from __future__ import annotations

import json
from typing import Any


def same_part(one: Any, other: Any) -> bool:
    """Tell whether a field of two specs means the same; the order of routes counts, as the first that fits is taken."""
    left, right = ([_plain(item) for item in part] if _is_routes(part) else _plain(part) for part in (one, other))
    return bool(left == right) or not (left or right)


def _is_routes(part: Any) -> bool:
    return isinstance(part, list) and any(isinstance(item, dict) for item in part)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {field: _plain(part) for field, part in _alone(value).items() if _says_something(field, part)}
    if isinstance(value, list):
        return sorted(json.dumps(_plain(item), sort_keys=True) for item in value)
    return value


def _says_something(field: str, part: Any) -> bool:
    """Tell whether a field counts: no attempts are not the same as none given, but no weight is."""
    return bool(part) or (part == 0 and part is not False and field != "weight")


def _alone(value: dict[str, Any]) -> dict[str, Any]:
    """Return a route without the weight of its destination if there is one only: that gets everything."""
    destinations = value.get("route")
    if not isinstance(destinations, list) or len(destinations) != 1:
        return value
    return {**value, "route": [{field: part for field, part in destinations[0].items() if field != "weight"}]}
