"""What part of an object is kept in memory, by its kind."""

from __future__ import annotations

from flaggerpy.kube.objects import JsonObject, only_metadata, without_noise
from flaggerpy.kube.resources import (
    BUDGETS,
    CANARIES,
    CONFIG_MAPS,
    CONTROLLER_REVISIONS,
    DAEMONSETS,
    DEPLOYMENTS,
    HPAS,
    SCALED_OBJECTS,
    SECRETS,
    Resource,
)

METADATA_ONLY = frozenset({CONFIG_MAPS, SECRETS, CONTROLLER_REVISIONS})
WITHOUT_LAST_APPLIED = frozenset({DEPLOYMENTS, DAEMONSETS})
"""Kinds whose copy of the user's manifest nobody reads; Services and routes are restored from theirs."""
WITHOUT_STATUS = frozenset({HPAS, SCALED_OBJECTS, BUDGETS})
"""Kinds of whose objects only the wish matters; what they measured or counted goes into their status all the time."""
OUR_ANNOTATIONS = ("flagger.app/", "flaggerpy.dev/")


def kept_part(resource: Resource, obj: JsonObject) -> JsonObject:
    """Return the part of an object that is kept in memory."""
    if resource in METADATA_ONLY:
        return only_metadata(obj, OUR_ANNOTATIONS)
    last_applied = resource not in WITHOUT_LAST_APPLIED
    kept = without_noise(obj, keep_last_applied=last_applied, keep_writers=resource == CANARIES)
    if resource in WITHOUT_STATUS:
        kept.pop("status", None)
    return kept
