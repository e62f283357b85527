"""What a Knative service says of itself, and what is noted on it: which of its revisions is the primary.

Revisions never change, so the name of one says what its users get.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flaggerpy.api.canary import Canary
from flaggerpy.api.constants import PRIMARY_REVISION
from flaggerpy.api.status import Revision
from flaggerpy.kube.objects import JsonObject, annotations_of, generation_of, observed_generation_of, uid_of

PRIMARY_TEMPLATE = "flaggerpy.dev/primary-template"
"""Annotation: a revision, and the identity of the template that it was made from."""
_OUT_OF_DATE = "OutOfDate"


def latest_revision(service: Mapping[str, Any]) -> str:
    """Return the name of the newest revision that Knative has made, ready or not; empty while there is none."""
    return str((service.get("status") or {}).get("latestCreatedRevisionName") or "")


def is_looked_at(service: Mapping[str, Any]) -> bool:
    """Whether Knative has seen the template as it is now, so that the newest revision is one of it.

    It tells so in two steps: the service's own generation, and that of the Configuration beneath it.
    """
    outdated = condition(service, "ConfigurationsReady").get("reason") == _OUT_OF_DATE
    return observed_generation_of(service) >= generation_of(service) and not outdated


def condition(service: Mapping[str, Any], kind: str) -> JsonObject:
    """Return a condition of the status, empty where there is none."""
    conditions = (service.get("status") or {}).get("conditions") or ()
    return next((dict(one) for one in conditions if one.get("type") == kind), {})


def primary_revision(canary: Canary, service: Mapping[str, Any]) -> str:
    """Return the name of the revision that is the primary; empty while there is none.

    The annotation is Flagger's. Where somebody replaced the service without it, the record of what was promoted knows.
    """
    promoted = canary.status.rollout.promoted
    known = promoted.controller_revision if promoted is not None and is_of(promoted, service) else None
    return annotations_of(service).get(PRIMARY_REVISION) or known or ""


def is_of(record: Revision, service: Mapping[str, Any]) -> bool:
    """Whether a record is about this very service: one that is made anew begins with the names from the start."""
    return record.uid in {"", uid_of(service)}
