"""The provider's own sign that its data plane has taken a route as it was written, read from conditions.

A condition counts for the generation of the object that it names. One that names an earlier generation says that the
data plane speaks, and is behind; one that names none says nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from flaggerpy.kube.objects import JsonObject
from flaggerpy.rollout.traffic import Acceptance

Sign = tuple[Acceptance, str]
"""Whether the route is served, and the provider's own words about it; none where there is nothing to say."""

Conditions = Iterable[Mapping[str, Any]]


def is_current(condition: Mapping[str, Any], generation: int) -> bool:
    """Tell whether a condition speaks of the object as it is now."""
    return _seen(condition) >= generation


def current(conditions: Conditions, generation: int) -> JsonObject:
    """Return the conditions that speak of the object as it is now, by type."""
    return {str(one.get("type")): one for one in conditions if is_current(one, generation)}


def silence(conditions: Conditions) -> Acceptance:
    """Say what it means that none of these conditions, which were looked for, speaks of the object as it is now."""
    return Acceptance.BEHIND if any(_seen(one) for one in conditions) else Acceptance.UNKNOWN


def words_of(condition: Mapping[str, Any]) -> str:
    """Return a condition's reason and message as one text."""
    return ": ".join(word for word in (condition.get("reason"), condition.get("message")) if word)


def _seen(condition: Mapping[str, Any]) -> int:
    return int(condition.get("observedGeneration") or 0)
