"""Gateways that an HTTPRoute leaves: they go on serving it until those that it goes to have taken it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from flaggerpy.kube.objects import JsonObject
from flaggerpy.routers.httproute_compare import parent_key

Key = tuple[Any, ...]


def kept_parents(route: Mapping[str, Any], coming: Iterable[Mapping[str, Any]], namespace: str) -> list[JsonObject]:
    """Return the parents of a live route that are to stay beside the coming ones: those that users come through.

    None of them once each of the coming ones has accepted the route, and none that no API server admits beside them.
    """
    wanted = {parent_key(reference, namespace) for reference in coming}
    serving = set(_serving(route, namespace))
    if not wanted or wanted <= serving:
        return []
    there = (route.get("spec") or {}).get("parentRefs") or ()
    left = ((parent_key(reference, namespace), reference) for reference in there)
    return [
        reference
        for key, reference in left
        if key in serving - wanted and all(_go_together(key, other) for other in wanted)
    ]


def _go_together(one: Key, other: Key) -> bool:
    """Tell whether a route may name both: several listeners of one Gateway must each have a name of their own."""
    (*gateway, section, _), (*same, another, _) = one, other
    return gateway != same or bool(section and another and section != another)


def _serving(route: Mapping[str, Any], namespace: str) -> Iterable[Key]:
    """Return the parents that have accepted the route, in whichever generation: a new one has seen no other."""
    for answer in (route.get("status") or {}).get("parents") or ():
        conditions = answer.get("conditions") or ()
        if any((condition.get("type"), condition.get("status")) == ("Accepted", "True") for condition in conditions):
            yield parent_key(answer.get("parentRef") or {}, namespace)
