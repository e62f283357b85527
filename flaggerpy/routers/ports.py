"""Ports of the apex Service that the Services of primary and canary will not have, as far as a Canary can tell.

Those two have the port of spec.service, and with portDiscovery what the pods declare, which is not known here. A
Service of the user's own may have more ports: they lead to the primary all the same, through the apex Service.
"""

from __future__ import annotations

from flaggerpy.api.canary import Canary
from flaggerpy.kube.resources import SERVICES


def lacks_port(canary: Canary, port: int | str | None) -> bool:
    """Tell whether primary and canary are sure to have no such port, by its number or its name."""
    service = canary.spec.service
    if port is None or service is None or service.port_discovery or canary.spec.target_ref.kind == SERVICES.kind:
        return False
    return port != (service.port_name if isinstance(port, str) else service.port)


def lacking_port(canary: Canary, where: str, port: int | str | None) -> str:
    """Say that somebody leads to such a port, and what to write instead."""
    number = canary.spec.service.port if canary.spec.service else 0
    name = canary.spec.service.port_name if canary.spec.service else ""
    here = (
        f"spec.service.portName: {port}, if it is the name of port {number}, or lead to port {name}"
        if isinstance(port, str)
        else f"spec.service.portDiscovery: true, if the pods declare that port, or lead to port {number}"
    )
    return (
        f"{where} leads to port {port} of Service {canary.apex_name}, which Services {canary.primary_service_name} and "
        f"{canary.canary_service_name} will not have: set {here}."
    )
