"""When do two parts of an Istio object mean the same? Lists but those of routes are sets, and empty ones are none.

The maps that a user fills are no such parts: ``{}`` in them asks that a header is there, and ``""`` sets it to nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

MATCH_MAPS: Final = frozenset({"headers", "withoutHeaders", "queryParams", "sourceLabels"})
"""Fields of a condition that hold what the user named."""
_CHANGES: Final = frozenset({"set", "add"})
_MAPS_IN: Final[Mapping[str, frozenset[str]]] = {"match": MATCH_MAPS, "request": _CHANGES, "response": _CHANGES}
_NO_MAPS: Final[frozenset[str]] = frozenset()


def same_part(one: Any, other: Any) -> bool:
    """Tell whether a field of two specs means the same; the order of routes counts, as the first that fits is taken."""
    left, right = ([_plain(item) for item in part] if _is_routes(part) else _plain(part) for part in (one, other))
    return bool(left == right) or not (left or right)


def _is_routes(part: Any) -> bool:
    return isinstance(part, list) and any(isinstance(item, dict) for item in part)


def maps_in(field: str) -> frozenset[str]:
    """Return which fields of what stands in this field are maps that a user fills."""
    return _MAPS_IN.get(field, _NO_MAPS)


def entries(named: Mapping[str, Any]) -> dict[str, Any]:
    """Return all entries of such a map: of a comparison only that with the whole text can be with an empty one."""
    return {
        name: {way: text for way, text in value.items() if text or way == "exact"} if isinstance(value, dict) else value
        for name, value in named.items()
    }


def _plain(value: Any, maps: frozenset[str] = _NO_MAPS) -> Any:
    if isinstance(value, dict):
        return {
            field: entries(part) if field in maps and isinstance(part, dict) else _plain(part, maps_in(field))
            for field, part in _alone(value).items()
            if _says_something(field, part)
        }
    if isinstance(value, list):
        return sorted(json.dumps(_plain(item, maps), sort_keys=True) for item in value)
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
