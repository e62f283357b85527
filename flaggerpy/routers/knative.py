"""Provider ``knative``: the traffic of a Knative service, which is target and route at once.

``spec.traffic`` gives shares to revisions. The canary is whatever is newest (``latestRevision``), the primary the
revision that an annotation names; only these two entries are ours. An entry of the user's own stays for its tag, the
address that it gives to a revision, and gets no share. Knative answers in the status what it serves.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from flaggerpy.api.canary import Canary
from flaggerpy.api.constants import OWNER, PRIMARY_REVISION
from flaggerpy.api.knative import PRIMARY_TEMPLATE, condition, primary_revision
from flaggerpy.api.marks import is_annotated, owner_annotation, refusal
from flaggerpy.kube.objects import JsonObject, annotations_of, generation_of, metadata_of, observed_generation_of
from flaggerpy.kube.resources import KNATIVE_SERVICES, Ref
from flaggerpy.rollout.errors import UserError
from flaggerpy.rollout.traffic import Acceptance, Capabilities, Routes, RouteState
from flaggerpy.routers.base import Live

Traffic = list[JsonObject]


class KnativeRouter:
    """Knative Serving, whatever network layer it has."""

    capabilities = Capabilities(weights=True, grpc=True, own_route=True, answers=True)

    def refs(self, canary: Canary) -> tuple[Ref, ...]:
        """Return the user's service."""
        return (_ref(canary),)

    def problems(self, canary: Canary) -> tuple[str, ...]:
        """Refuse another workload where the controller chose the provider; with a named one, validation does."""
        target = canary.spec.target_ref
        if target.is_knative or canary.spec.provider:
            return ()
        return (
            f"spec.provider is missing, and knative, with which the controller was started, moves no users of a "
            f"{target.kind}: name the provider that does.",
        )

    def state(self, canary: Canary, live: Live) -> RouteState:
        """Read what the newest revision gets; all other revisions count as the primary."""
        service = live.get(_ref(canary))
        traffic = _traffic(service or {})
        primary = primary_revision(canary, service or {})
        if service is None or not primary or sum(map(_percent, traffic)) != 100:
            return RouteState(routes=None)
        share = sum(_percent(entry) for entry in traffic if _is_newest(entry))
        routes = Routes(100 - share, share)
        accepted, note = _acceptance(service)
        return RouteState(routes, _drifted(canary, service, primary, routes), accepted, note)

    def render(self, canary: Canary, live: Live, routes: Routes) -> tuple[JsonObject, ...]:
        """Return the service with these shares; nothing where they ask for a primary that nobody knows."""
        service = live.get(_ref(canary))
        if service is None:
            raise UserError(f"Knative service {canary.target_name} does not exist: create it.")
        if reason := refusal(service, canary):
            raise UserError(reason)
        primary = primary_revision(canary, service)
        if routes.primary and not primary:
            return ()
        annotations = annotations_of(service) | _notes(canary, primary)
        return (_with(service, annotations, _shared(service, primary, routes)),)

    def restore(self, canary: Canary, live: Live) -> tuple[JsonObject, ...]:
        """Return the service with everybody on its newest revision, and without our notes; tags stay."""
        service = live.get(_ref(canary))
        if service is None or refusal(service, canary):
            return ()
        if not (PRIMARY_REVISION in annotations_of(service) or is_annotated(service, canary)):
            return ()
        ours = {PRIMARY_REVISION, PRIMARY_TEMPLATE, OWNER}
        kept = {key: value for key, value in annotations_of(service).items() if key not in ours}
        return (_with(service, kept, _shared(service, "", Routes(0, 100))),)

    def ahead(self, canary: Canary, live: Live, bodies: tuple[JsonObject, ...]) -> tuple[JsonObject, ...]:
        """Return nothing: Knative has addresses for every revision, and serves the old shares until the new stand."""
        del canary, live, bodies
        return ()


def _ref(canary: Canary) -> Ref:
    return Ref(KNATIVE_SERVICES, canary.namespace, canary.target_name)


def _traffic(service: Mapping[str, Any], part: str = "spec") -> Traffic:
    entries = (service.get(part) or {}).get("traffic")
    return [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []


def _percent(entry: Mapping[str, Any]) -> int:
    percent = entry.get("percent")
    return percent if isinstance(percent, int) else 0


def _is_newest(entry: Mapping[str, Any]) -> bool:
    """Whether an entry follows the newest revision; one that names no revision does."""
    return bool(entry.get("latestRevision")) or not entry.get("revisionName")


def _notes(canary: Canary, primary: str) -> dict[str, str]:
    return owner_annotation(canary) | ({PRIMARY_REVISION: primary} if primary else {})


def _shared(service: JsonObject, primary: str, routes: Routes) -> Traffic:
    """Return the two entries that are ours, and after them whatever else has a tag."""
    traffic = _traffic(service)
    newest = next((entry for entry in traffic if _is_newest(entry)), None)
    pinned = next((entry for entry in traffic if primary and entry.get("revisionName") == primary), None)
    tagged = (entry for entry in traffic if entry.get("tag") and entry is not newest and entry is not pinned)
    ours = [{**_tag(newest), "latestRevision": True, "percent": routes.canary}]
    if primary:
        ours.append({**_tag(pinned), "revisionName": primary, "percent": routes.primary})
    return [*ours, *({**entry, "percent": 0} for entry in tagged)]


def _tag(entry: JsonObject | None) -> JsonObject:
    return {"tag": entry["tag"]} if entry and entry.get("tag") else {}


def _with(service: JsonObject, annotations: dict[str, str], traffic: Traffic) -> JsonObject:
    metadata = {**metadata_of(service), "annotations": annotations}
    return {**service, "metadata": metadata, "spec": {**(service.get("spec") or {}), "traffic": traffic}}


def _drifted(canary: Canary, service: JsonObject, primary: str, routes: Routes) -> bool:
    if not _notes(canary, primary).items() <= annotations_of(service).items():
        return True
    return sorted(_plain(_traffic(service))) != sorted(_plain(_shared(service, primary, routes)))


def _plain(traffic: Traffic) -> Iterator[tuple[str, int, str]]:
    """Yield what entries say; Knative's defaults, which its webhook writes, say nothing more."""
    for entry in traffic:
        revision = "" if _is_newest(entry) else str(entry.get("revisionName"))
        yield revision, _percent(entry), str(entry.get("tag") or "")


def _acceptance(service: JsonObject) -> tuple[Acceptance, str]:
    """Say whether Knative serves the shares as they are written, and in its words why it does not."""
    routes, observed = condition(service, "RoutesReady"), observed_generation_of(service)
    if observed < generation_of(service):
        return (Acceptance.BEHIND if observed else Acceptance.UNKNOWN), ""
    if routes.get("status") == "False":
        return Acceptance.NO, f"Knative does not serve the route: {routes.get('message') or routes.get('reason')}"
    served = _served(service, "status") == _served(service, "spec")
    return (Acceptance.YES if served and routes.get("status") == "True" else Acceptance.BEHIND), ""


def _served(service: JsonObject, part: str) -> list[tuple[str, int]]:
    """Return who gets how much; in the status, what follows the newest revision has its name as well."""
    entries = [entry for entry in _traffic(service, part) if _percent(entry)]
    return sorted(("" if _is_newest(entry) else str(entry["revisionName"]), _percent(entry)) for entry in entries)
