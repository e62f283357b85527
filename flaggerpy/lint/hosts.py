"""Canaries that want the same requests: of two routes with one host, Gateway and path only one is served."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from flaggerpy.api.canary import Canary
from flaggerpy.kube.objects import JsonObject
from flaggerpy.lint.document import Document
from flaggerpy.lint.faults import Fault, Rule
from flaggerpy.lint.inventory import Inventory, may_be_same
from flaggerpy.rollout.errors import UserError
from flaggerpy.rollout.traffic import ALL_TO_PRIMARY
from flaggerpy.routers.httproute import route_spec
from flaggerpy.routers.httproute_compare import parent_key

_EVERY_HOST = "every host"


@dataclass(frozen=True, slots=True)
class _Claim:
    """The requests that the HTTPRoute of a canary asks for."""

    canary: str
    hosts: frozenset[str]
    parents: tuple[tuple[Any, ...], ...]
    conditions: frozenset[str]


def host_faults(subjects: Iterable[tuple[Document, Canary]], inventory: Inventory) -> Iterator[Fault]:
    """Find canaries that want what an earlier one wants already; told at the later one, once."""
    claims: list[_Claim] = []
    for document, canary in subjects:
        claim = _claim(document, canary, inventory)
        if claim is None:
            continue
        for other in claims:
            if gateway := _contested(claim, other):
                hosts = ", ".join(sorted(claim.hosts & other.hosts))
                yield document.fault(
                    Rule.SHARED,
                    f"spec.service.hosts: canary {other.canary} wants {hosts} at {gateway} for the same paths "
                    "too, and one of two such routes is refused: write another host, or other paths in "
                    "spec.service.match.",
                )
                break
        claims.append(claim)


def _claim(document: Document, canary: Canary, inventory: Inventory) -> _Claim | None:
    """Say what a canary wants, None where its provider makes no HTTPRoute or cannot make it."""
    provider = canary.spec.provider or inventory.options.mesh_provider
    if not provider.startswith("gatewayapi") or canary.spec.route_ref is not None:
        return None
    try:
        spec = route_spec(canary, ALL_TO_PRIMARY)
    except UserError:
        return None
    namespace = inventory.namespace_of(document)
    parents = tuple(parent_key(reference, namespace) for reference in spec["parentRefs"])
    hosts = frozenset(spec["hostnames"] or [_EVERY_HOST])
    return _Claim(canary.name, hosts, parents, frozenset(_conditions(spec)))


def _conditions(spec: JsonObject) -> Iterator[str]:
    for rule in spec["rules"]:
        yield from (json.dumps(match, sort_keys=True) for match in rule["matches"])


def _contested(one: _Claim, other: _Claim) -> str:
    """Name the Gateway that two canaries want the same of; canaries of one name are variants of each other."""
    if one.canary == other.canary or not (one.hosts & other.hosts and one.conditions & other.conditions):
        return ""
    pairs = ((mine, theirs) for mine in one.parents for theirs in other.parents)
    return next((f"{mine[1]} {mine[3]}" for mine, theirs in pairs if _may_be_same_parent(mine, theirs)), "")


def _may_be_same_parent(one: tuple[Any, ...], other: tuple[Any, ...]) -> bool:
    """Whether two references mean the same listener; one without a listener means all of them."""
    group_kind_name = (0, 1, 3)
    named = all(one[part] == other[part] for part in group_kind_name)
    listener, port = ((not one[part] or not other[part] or one[part] == other[part]) for part in (4, 5))
    return named and may_be_same(one[2], other[2]) and listener and port
