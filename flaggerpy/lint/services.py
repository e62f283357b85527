"""The Services that there will be: three of every canary, and those of the input."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from flaggerpy.api.canary import Canary
from flaggerpy.kube.resources import DAEMONSETS, DEPLOYMENTS, SERVICES
from flaggerpy.lint.document import Document
from flaggerpy.lint.inventory import Inventory
from flaggerpy.targets.base import PodPort
from flaggerpy.targets.ports import pod_ports, wanted_ports


@dataclass(frozen=True, slots=True)
class Door:
    """A Service and its ports, the one that users name first; ``ports`` is None when nobody knows them."""

    name: str
    namespace: str
    ports: tuple[int, ...] | None


def doors(canaries: Iterable[tuple[Document, Canary]], inventory: Inventory) -> tuple[Door, ...]:
    """List all Services; one that is in the input and belongs to a canary is listed twice and has both's ports."""
    listed: list[Door] = []
    for document, canary in canaries:
        listed += _of_canary(document, canary, inventory)
    for document in inventory.all(SERVICES.kind):
        ports = tuple(port["port"] for port in (document.obj.get("spec") or {}).get("ports") or ())
        listed.append(Door(document.name, inventory.namespace_of(document), ports or None))
    return tuple(listed)


def declared_ports(document: Document, canary: Canary, inventory: Inventory) -> tuple[PodPort, ...] | None:
    """Return the ports that the target's containers declare, None when the input has no target."""
    workload = workload_of(document, canary, inventory)
    return None if workload is None else tuple(pod_ports(workload.obj["spec"]["template"]))


def workload_of(document: Document, canary: Canary, inventory: Inventory) -> Document | None:
    """Find the target of a canary in the input."""
    ref = canary.spec.target_ref
    if ref.kind not in {DEPLOYMENTS.kind, DAEMONSETS.kind}:
        return None
    return inventory.find(ref.kind, ref.name, document)


def _of_canary(document: Document, canary: Canary, inventory: Inventory) -> Iterator[Door]:
    service = canary.spec.service
    if service is None:
        return
    found = declared_ports(document, canary, inventory)
    known = found is not None or not service.port_discovery
    ports = tuple(port["port"] for port in wanted_ports(service, found or ())) if known else None
    for name in (canary.canary_service_name, canary.primary_service_name, canary.apex_name):
        yield Door(name, inventory.namespace_of(document), ports)
