"""Knative services as targets: the workloads are their revisions, which Knative makes, scales and keeps by itself.

The newest revision is the canary. The primary is the revision that an annotation of the service names, so promoting is
writing one name, and nothing is copied. The service itself is the one object there is: it is read as target and as
primary.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from flaggerpy.api.canary import Canary
from flaggerpy.api.constants import PRIMARY_REVISION
from flaggerpy.api.knative import PRIMARY_TEMPLATE, condition, is_looked_at, is_of, latest_revision, primary_revision
from flaggerpy.api.marks import owner_annotation, refusal
from flaggerpy.kube.objects import (
    JsonObject,
    annotations_of,
    generation_of,
    is_deleting,
    metadata_of,
    name_of,
    uid_of,
)
from flaggerpy.kube.resources import KNATIVE_SERVICES, Ref
from flaggerpy.rollout.errors import UserError
from flaggerpy.rollout.workload import Workload
from flaggerpy.targets.base import Recipe, TargetFacts
from flaggerpy.targets.identity import template_identity
from flaggerpy.targets.labels import LabelRules


class KnativeTarget:
    """The translations of a Knative service."""

    copied = False

    def ref(self, canary: Canary) -> Ref:
        """Return the reference to the user's service."""
        return Ref(KNATIVE_SERVICES, canary.namespace, canary.target_name)

    def primary_ref(self, canary: Canary) -> Ref:
        """Return the same: the primary is one of its revisions."""
        return self.ref(canary)

    def state(self, target: Mapping[str, Any]) -> Workload:
        """Say what the service asks for, and whether its newest revision is ready.

        Knative starts pods when requests come, so there is one workload, ready or not, and no number of pods.
        """
        newest, ready = latest_revision(target), _newest_is_ready(target)
        since = None if ready else _time(condition(target, "ConfigurationsReady").get("lastTransitionTime"))
        generation = generation_of(target)
        return Workload(
            name=name_of(target),
            uid=uid_of(target),
            generation=generation,
            observed_generation=generation if is_looked_at(target) else generation - 1,
            template=_identity(target),
            controller_revision=newest or None,
            paused=False,
            replicas=1,
            current_replicas=1,
            updated_replicas=1,
            available_replicas=1 if ready else 0,
            deadline_exceeded=False,
            unavailable_since=since,
            deleting=is_deleting(target),
            sleeps=False,
            noun="service",
            unready=str(condition(target, "ConfigurationsReady").get("message") or ""),
            has_revision=bool(newest) and is_looked_at(target),
        )

    def primary_state(self, canary: Canary, primary: Mapping[str, Any], recipe: Recipe) -> Workload | None:
        """Say which template the primary revision was made from, and whether it serves; None before there is one."""
        del recipe
        name = primary_revision(canary, primary)
        if not name:
            return None
        trouble = _trouble(primary, name)
        return Workload(
            name=name,
            uid=uid_of(primary),
            generation=0,
            observed_generation=0,
            template=_template_of(canary, primary, name),
            controller_revision=name,
            paused=False,
            replicas=1,
            current_replicas=1,
            updated_replicas=1,
            available_replicas=0 if trouble else 1,
            deadline_exceeded=False,
            unavailable_since=None,
            sleeps=False,
            noun="service",
            unready=trouble,
        )

    def facts(self, canary: Canary, target: JsonObject, rules: LabelRules, primary: JsonObject | None) -> TargetFacts:
        """Say that no Services are needed: Knative has made its own.

        Raises:
            UserError: another canary has the service.

        """
        del rules, primary
        self.check(canary, target)
        if reason := refusal(target, canary):
            raise UserError(reason)
        return TargetFacts("", "", "", served=False, looked_at=_is_on_record(canary, target))

    def check(self, canary: Canary, target: JsonObject) -> None:
        """Look for settings with which it could not work: there are none."""

    def size_patch(self, live: JsonObject, replicas: int) -> list[JsonObject]:
        """Return nothing to change: Knative scales revisions by their requests."""
        del live, replicas
        return []

    def make_primary(
        self, canary: Canary, target: JsonObject, primary: JsonObject | None, recipe: Recipe
    ) -> JsonObject:
        """Return the service with a note that the revision which was analysed, or else its newest, is the primary.

        The primary is the same service, after what was written of it in this very tick.
        """
        del recipe
        service = primary or target
        revision = _analysed(canary, target) or latest_revision(target)
        noted = {PRIMARY_REVISION: revision, PRIMARY_TEMPLATE: f"{revision} {_identity(target)}"}
        annotations = annotations_of(service) | noted | owner_annotation(canary)
        return {**service, "metadata": {**metadata_of(service), "annotations": annotations}}


def _identity(service: Mapping[str, Any]) -> str:
    return template_identity((service.get("spec") or {}).get("template") or {})


def _analysed(canary: Canary, service: Mapping[str, Any]) -> str:
    """Return the revision of the present template that was analysed, empty where there is none."""
    applied = canary.status.rollout.applied
    if applied is None or applied.template != _identity(service) or not is_of(applied, service):
        return ""
    return applied.controller_revision or ""


def _template_of(canary: Canary, service: Mapping[str, Any], revision: str) -> str:
    """Return the identity of the template that a revision was made from; its name where nobody knows."""
    if is_looked_at(service) and revision == latest_revision(service):
        return _identity(service)
    promoted = canary.status.rollout.promoted
    if promoted is not None and promoted.controller_revision == revision and is_of(promoted, service):
        return promoted.template
    noted, _, template = annotations_of(service).get(PRIMARY_TEMPLATE, "").partition(" ")
    return template if noted == revision and template else revision


def _is_on_record(canary: Canary, service: Mapping[str, Any]) -> bool:
    """Whether the newest revision is known to be of the present template: shares move the generation as well."""
    rollout, newest, template = canary.status.rollout, latest_revision(service), _identity(service)
    records = [one for one in (rollout.applied, rollout.promoted) if one is not None and is_of(one, service)]
    return any((record.controller_revision, record.template) == (newest, template) for record in records)


def _newest_is_ready(service: Mapping[str, Any]) -> bool:
    newest = latest_revision(service)
    return bool(newest) and newest == (service.get("status") or {}).get("latestReadyRevisionName")


def _trouble(service: Mapping[str, Any], revision: str) -> str:
    """Return what keeps a revision from serving, in Knative's words; empty where nothing does.

    The newest one may not be ready yet. Of an older one, only the route speaks, when it is missing or has failed.
    """
    if revision == latest_revision(service):
        unready = condition(service, "ConfigurationsReady").get("message") or f"revision {revision} is not ready"
        return "" if _newest_is_ready(service) else str(unready)
    routes = condition(service, "RoutesReady")
    said = str(routes.get("message") or "")
    return said if routes.get("status") == "False" and f'"{revision}"' in said else ""


def _time(text: Any) -> datetime | None:
    try:
        return datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        return None
