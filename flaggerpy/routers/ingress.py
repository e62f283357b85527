"""What the providers that read an Ingress share: the user's own one, and a copy of it that carries the shares.

``spec.ingressRef`` names the user's Ingress, which leads to the apex Service and is only read. The copy is ours alone:
``<name>-canary``, made from what of the user's leads to the apex Service. Annotations that the provider reads follow
the user's; others are copied once, since other controllers may keep them different on each Ingress.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final

from flaggerpy.api.canary import Canary
from flaggerpy.api.constants import CANARY_SUFFIX, HANDS_OFF, LAST_APPLIED_CONFIGURATION, TOOLKIT_MARKER
from flaggerpy.api.marks import (
    MARK_LABELS,
    is_annotated,
    owned_through_flagger,
    owner_annotation,
    refusal,
    without_canary_owners,
)
from flaggerpy.kube.objects import JsonObject, annotations_of, labels_of, metadata_of
from flaggerpy.kube.resources import INGRESSES, Ref
from flaggerpy.rollout.errors import UserError
from flaggerpy.routers.base import Live
from flaggerpy.routers.ports import lacking_port, lacks_port

_CLASS = "kubernetes.io/ingress.class"
_NEVER_COPIED: Final = (
    LAST_APPLIED_CONFIGURATION,
    "flaggerpy.dev/",
    "argocd.argoproj.io/",
    "app.kubernetes.io/instance",
    "applyset.kubernetes.io/",
    "kapp.k14s.io/",
)
"""Marks of one object beside Flux's: ours, kubectl's, and those of tools that delete what they did not apply."""

Paths = list[JsonObject]


def own_ref(canary: Canary) -> Ref | None:
    """Return the user's Ingress, None where the canary names none."""
    ingress = canary.spec.ingress_ref
    return None if ingress is None else Ref(INGRESSES, canary.namespace, ingress.name)


def copy_refs(canary: Canary) -> tuple[Ref, ...]:
    """Return our copy and the user's Ingress; empty where the canary names none."""
    own = own_ref(canary)
    return () if own is None else (_copy_ref(own), own)


def missing_settings(canary: Canary, provider: str) -> tuple[str, ...]:
    """Say what a canary of such a provider must have whatever it wants."""
    if canary.spec.service is None:
        return ("spec.service is missing, so there is no port to serve on: add spec.service.port.",)
    if canary.spec.ingress_ref is None:
        return (
            f"spec.ingressRef is missing: name the Ingress that leads to Service {canary.apex_name}, as provider "
            f"{provider} takes users from there.",
        )
    return ()


def own_ingress(canary: Canary, live: Live) -> JsonObject:
    """Return the user's Ingress.

    Raises:
        UserError: there is none.

    """
    own = own_ref(canary)
    found = None if own is None else live.get(own)
    if found is None:
        name = "" if own is None else f" {own.name}"
        raise UserError(
            f"Ingress{name} does not exist in namespace {canary.namespace}: create it, or correct spec.ingressRef."
        )
    return found


def held_copy(canary: Canary, live: Live) -> JsonObject | None:
    """Return the copy if it is there and ours, or Flagger's for this canary."""
    own = own_ref(canary)
    found = None if own is None else live.get(_copy_ref(own))
    return found if found is not None and _is_held(canary, found) else None


def lacks_marks(canary: Canary, copy: JsonObject) -> bool:
    """Tell whether the copy has not the labels and annotations of one that is in our hands."""
    marks = HANDS_OFF | owner_annotation(canary)
    return not (MARK_LABELS.items() <= labels_of(copy).items() and marks.items() <= annotations_of(copy).items())


def followed(obj: JsonObject, prefix: str) -> dict[str, str]:
    """Return the annotations that the provider reads."""
    given: Mapping[str, str] = annotations_of(obj)
    return {key: value for key, value in given.items() if key == _CLASS or key.startswith(f"{prefix}/")}


def copied_spec(canary: Canary, own: JsonObject, replace: Callable[[Paths], Paths]) -> JsonObject:
    """Return the spec of the copy: the rules that lead to the apex Service, with other paths in their place.

    Nothing of rules that lead elsewhere is in it, nor of those to ports that primary and canary will not have: there
    the user's Ingress serves, through the apex Service.

    Raises:
        UserError: no path leads to the apex Service, or none to a port that can be shared.

    """
    spec: JsonObject = own.get("spec") or {}
    rules = list(_rules(canary, spec, replace))
    if not rules:
        for rule in spec.get("rules") or ():
            for path in _to_apex(canary, rule):
                raise UserError(lacking_port(canary, f"Ingress {metadata_of(own)['name']}", _port(path)))
        raise UserError(
            f"Ingress {metadata_of(own)['name']} leads nobody to Service {canary.apex_name}: name this Service as the "
            "backend of one of its paths, or correct spec.ingressRef."
        )
    return {**{key: value for key, value in spec.items() if key != "defaultBackend"}, "rules": rules}


def copy_body(canary: Canary, live: Live, spec: JsonObject, read: Mapping[str, str], *, prefix: str) -> JsonObject:
    """Return the whole copy with this spec and, of the annotations that the provider reads, exactly these.

    Raises:
        UserError: somebody else has an Ingress of that name.

    """
    ref, own = copy_refs(canary)
    there = live.get(ref)
    source = live.get(own, {}) if there is None else there
    if there is not None and not _is_held(canary, there):
        raise UserError(
            refusal(there, canary)
            or f"Ingress {ref.name} is in the way: canary {canary.name} needs this name for the copy of Ingress "
            f"{own.name} that leads to its new revision. Rename or delete it."
        )
    read_there = followed(source, prefix)
    kept = {key: value for key, value in _without_tools(annotations_of(source)).items() if key not in read_there}
    metadata: JsonObject = {"name": ref.name, "namespace": ref.namespace}
    if there is not None:
        metadata = without_canary_owners(metadata_of(there))
    metadata["labels"] = _without_tools(labels_of(source)) | MARK_LABELS
    metadata["annotations"] = kept | dict(read) | HANDS_OFF | owner_annotation(canary)
    typed = {"apiVersion": ref.resource.api_version, "kind": ref.resource.kind}
    return {**(there or {}), **typed, "metadata": metadata, "spec": spec}


def leading_to(name: str, path: JsonObject) -> JsonObject:
    """Return a path that leads to another Service, at the same port."""
    return {**path, "backend": {**path["backend"], "service": {**path["backend"]["service"], "name": name}}}


def service_name(backend: Mapping[str, JsonObject]) -> str:
    """Return the Service that a backend names; empty where it names something else."""
    return str((backend.get("service") or {}).get("name") or "")


def _without_tools(pairs: Mapping[str, str]) -> dict[str, str]:
    """Return labels or annotations without those of one object alone, by which tools know what is theirs to delete."""
    return {
        key: value for key, value in pairs.items() if TOOLKIT_MARKER not in key and not key.startswith(_NEVER_COPIED)
    }


def _copy_ref(own: Ref) -> Ref:
    return Ref(INGRESSES, own.namespace, own.name + CANARY_SUFFIX)


def _rules(canary: Canary, spec: JsonObject, replace: Callable[[Paths], Paths]) -> Iterator[JsonObject]:
    for rule in spec.get("rules") or ():
        if paths := [path for path in _to_apex(canary, rule) if not lacks_port(canary, _port(path))]:
            yield {**rule, "http": {**rule["http"], "paths": replace(paths)}}


def _to_apex(canary: Canary, rule: JsonObject) -> Paths:
    """Return the paths that lead to the apex Service; a rule without paths sends its host to the default backend."""
    paths = (rule.get("http") or {}).get("paths") or ()
    return [path for path in paths if service_name(path.get("backend") or {}) == canary.apex_name]


def _port(path: JsonObject) -> int | str | None:
    port = path["backend"]["service"].get("port") or {}
    given: int | str | None = port.get("number") or port.get("name")
    return given


def _is_held(canary: Canary, copy: JsonObject) -> bool:
    if is_annotated(copy, canary) or owned_through_flagger(copy, canary):
        return True
    spec = copy.get("spec") or {}
    names = {
        service_name(path.get("backend") or {})
        for rule in spec.get("rules") or ()
        for path in (rule.get("http") or {}).get("paths") or ()
    }
    return canary.canary_service_name in names and refusal(copy, canary) is None
