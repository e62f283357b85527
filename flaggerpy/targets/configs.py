"""ConfigMaps and Secrets that a pod template reads: which, whether they are tracked, their checksums, their copies.

A primary reads copies, so that a change of a config is analysed like a change of the template. Checksums of objects
without binaryData are Flagger's, character for character; binaryData, which Flagger neither hashes nor copies, is added
to ours only where there is some.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from flaggerpy.api.canary import Canary
from flaggerpy.api.constants import CONFIG_TRACKING, OWNER
from flaggerpy.api.marks import MARK_LABELS, owner_key, owners_in, without_canary_owners
from flaggerpy.kube.objects import JsonObject, annotations_of, labels_of, metadata_of, name_of, resource_version_of
from flaggerpy.kube.resources import CONFIG_MAPS, SECRETS, Ref, Resource
from flaggerpy.rollout.errors import UserError
from flaggerpy.rollout.observation import ConfigsSeen
from flaggerpy.targets.labels import LabelRules
from flaggerpy.targets.names import copy_name

TrackedConfigs = Collection[str]
"""Keys like ``configmap/x`` of the configs that the primary reads as copies."""

_TRACKED_SECRET_TYPES = frozenset({"Opaque", "kubernetes.io/basic-auth", "kubernetes.io/ssh-auth", "kubernetes.io/tls"})
_GO_ESCAPES = str.maketrans({"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"})


@dataclass(frozen=True, slots=True)
class ConfigRef:
    """A ConfigMap or Secret that a pod template reads."""

    resource: Resource
    name: str
    optional: bool = False

    @property
    def key(self) -> str:
        """Return the key under which ``status.trackedConfigs`` lists it."""
        return config_key(self.resource.kind, self.name)

    def ref(self, namespace: str) -> Ref:
        """Return the reference to the object itself."""
        return Ref(self.resource, namespace, self.name)

    def copy_ref(self, namespace: str) -> Ref:
        """Return the reference to the primary's copy."""
        return Ref(self.resource, namespace, copy_name(self.name))


@dataclass(frozen=True, slots=True)
class ConfigDigest:
    """All that has to be remembered of a config's content, and the resourceVersion of the write that gave it."""

    tracked: bool
    ours: str
    flagger: str
    version: str = ""


@dataclass(frozen=True, slots=True)
class Mention:
    """One place in a pod spec that names a config; ``holder[field]`` is the name and may be replaced."""

    resource: Resource
    holder: JsonObject
    field: str

    @property
    def name(self) -> str:
        """Return the name that stands there."""
        return str(self.holder[self.field])

    @property
    def optional(self) -> bool:
        """Whether pods start without the object."""
        return self.holder.get("optional") is True


def config_key(kind: str, name: str) -> str:
    """Return the key of a config in ``status.trackedConfigs``."""
    return f"{kind.lower()}/{name}"


def mentions(pod_spec: Mapping[str, Any]) -> Iterator[Mention]:
    """Find the places that name a config: volumes first, then containers, then init containers."""
    for volume in pod_spec.get("volumes") or ():
        yield from _named(CONFIG_MAPS, volume.get("configMap"))
        yield from _named(SECRETS, volume.get("secret"), "secretName")
        for source in (volume.get("projected") or {}).get("sources") or ():
            yield from _named(CONFIG_MAPS, source.get("configMap"))
            yield from _named(SECRETS, source.get("secret"))
    for containers in ("containers", "initContainers"):
        for container in pod_spec.get(containers) or ():
            yield from _in_environment(container)


def config_refs(template: Mapping[str, Any]) -> tuple[ConfigRef, ...]:
    """Return each config that a template reads, once; the last mention says whether it is optional."""
    found = {(mention.resource, mention.name): mention.optional for mention in mentions(template.get("spec") or {})}
    return tuple(ConfigRef(resource, name, optional) for (resource, name), optional in found.items())


def refs_of_keys(keys: Iterable[str]) -> tuple[ConfigRef, ...]:
    """Return the configs of keys like ``configmap/x``; a key of another kind is none."""
    kinds = {resource.kind.lower(): resource for resource in (CONFIG_MAPS, SECRETS)}
    pairs = (key.partition("/") for key in keys)
    return tuple(ConfigRef(kinds[kind], name) for kind, _, name in pairs if kind in kinds and name)


def is_tracked(config: Mapping[str, Any]) -> bool:
    """Tell whether a live config takes part; the others are shared between target and primary."""
    if annotations_of(config).get(CONFIG_TRACKING, "").startswith("disable"):
        return False
    return config.get("kind") != SECRETS.kind or config.get("type", "Opaque") in _TRACKED_SECRET_TYPES


def flagger_checksum(config: Mapping[str, Any]) -> str:
    """Return Flagger's checksum, which covers ``data`` only."""
    return _short_hash(_go_json(config.get("data")))


def checksum(config: Mapping[str, Any]) -> str:
    """Return the checksum of all content: Flagger's own, unless there is binaryData that Flagger overlooks."""
    if not config.get("binaryData"):
        return flagger_checksum(config)
    return _short_hash(f"{_go_json(config.get('data'))}\n{_go_json(config['binaryData'])}")


def digest(config: Mapping[str, Any]) -> ConfigDigest:
    """Return what may be kept of a config that was read."""
    return ConfigDigest(is_tracked(config), checksum(config), flagger_checksum(config), resource_version_of(config))


def configs_seen(
    refs: tuple[ConfigRef, ...], digests: Mapping[ConfigRef, ConfigDigest | None], namespace: str
) -> tuple[ConfigsSeen, tuple[str, ...]]:
    """Put together what is tracked, and a sentence for every config that pods need and nobody made."""
    ours: dict[str, str] = {}
    flagger: dict[str, str] = {}
    versions: dict[str, str] = {}
    problems = []
    for ref in refs:
        found = digests.get(ref)
        if found is None:
            if not ref.optional:
                problems.append(
                    f"The pod template reads {ref.resource.kind} {ref.name}, which does not exist in namespace "
                    f"{namespace}: create it, or mark the reference as optional."
                )
        elif found.tracked:
            ours[ref.key], flagger[ref.key], versions[ref.key] = found.ours, found.flagger, found.version
    writes = _short_hash(json.dumps(versions, sort_keys=True)) if any(versions.values()) else ""
    return ConfigsSeen(ours, flagger, writes), tuple(problems)


def refuse_collisions(refs: tuple[ConfigRef, ...], tracked: TrackedConfigs) -> None:
    """Refuse a template that reads both a config and an object of its copy's name: the copy would overwrite it.

    Raises:
        UserError: there is such a pair.

    """
    keys = {ref.key for ref in refs}
    for ref in refs:
        if ref.key in tracked and config_key(ref.resource.kind, copy_name(ref.name)) in keys:
            raise UserError(
                f"The pod template reads both {ref.resource.kind} {ref.name} and {copy_name(ref.name)}, which is "
                f"the name of the primary's copy of {ref.name}: rename one of the two."
            )


def make_copy(canary: Canary, source: JsonObject, live: JsonObject | None, rules: LabelRules) -> JsonObject:
    """Return the primary's copy of a config, whole: to create, or to put in the place of the live one.

    Two canaries may read one config; then the copy names both, and goes only with the last of them.

    Raises:
        UserError: the copy's name is taken by an object that is no copy.

    """
    metadata = metadata_of(live) if live is not None else {}
    if live is not None and not _is_copy(live):
        raise UserError(
            f"{live.get('kind', 'The object')} {name_of(live)} was not made for a canary, so it is not overwritten "
            f"by the copy of {name_of(source)} for the primary: rename or delete it."
        )
    owners = sorted({*(owners_in(live) if live is not None else ()), owner_key(canary)})
    copy: JsonObject = {
        "apiVersion": "v1",
        "kind": source.get("kind"),
        "metadata": {
            **without_canary_owners(metadata),
            "name": copy_name(name_of(source)),
            "namespace": canary.metadata.namespace,
            "labels": {**rules.copied(labels_of(source)), **MARK_LABELS},
            "annotations": {OWNER: ",".join(owners)},
        },
    }
    return copy | {part: source[part] for part in ("data", "binaryData", "type") if source.get(part)}


def without_owner(canary: Canary, copy: JsonObject) -> JsonObject | None:
    """Return the copy once this canary has let go of it; None when nobody else needs it."""
    others = [owner for owner in owners_in(copy) if owner != owner_key(canary)]
    if not others:
        return None
    annotations = {**annotations_of(copy), OWNER: ",".join(others)}
    return {**copy, "metadata": {**metadata_of(copy), "annotations": annotations}}


def _is_copy(live: JsonObject) -> bool:
    owners = metadata_of(live).get("ownerReferences") or ()
    return bool(owners_in(live)) or any(owner.get("kind") == "Canary" for owner in owners)


def _in_environment(container: Mapping[str, Any]) -> Iterator[Mention]:
    for variable in container.get("env") or ():
        source = variable.get("valueFrom") or {}
        yield from _named(CONFIG_MAPS, source.get("configMapKeyRef"))
        yield from _named(SECRETS, source.get("secretKeyRef"))
    for source in container.get("envFrom") or ():
        yield from _named(CONFIG_MAPS, source.get("configMapRef"))
        yield from _named(SECRETS, source.get("secretRef"))


def _named(resource: Resource, holder: JsonObject | None, field: str = "name") -> Iterator[Mention]:
    if holder and holder.get(field):
        yield Mention(resource, holder, field)


def _go_json(data: Mapping[str, str] | None) -> str:
    """Write a map of strings as Go's encoding/json does."""
    if data is None:
        return "null"
    text = json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.translate(_GO_ESCAPES)


def _short_hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
