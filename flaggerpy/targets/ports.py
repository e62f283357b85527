"""The ports of the three Services: the one that users name, those of containers, those found on a Service."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from flaggerpy.api.service import CanaryService
from flaggerpy.kube.objects import JsonObject
from flaggerpy.targets.base import PodPort

_SIDECARS = frozenset({"istio-proxy", "envoy"})
_LONGEST_NAME = 63


def pod_ports(template: Mapping[str, Any]) -> Iterator[PodPort]:
    """Return the ports that the containers of a pod template declare."""
    for container in (template.get("spec") or {}).get("containers") or ():
        for index, port in enumerate(container.get("ports") or ()):
            yield PodPort(
                container=str(container.get("name")),
                index=index,
                name=port.get("name") or "",
                number=int(port["containerPort"]),
                protocol=port.get("protocol") or "TCP",
            )


def wanted_ports(service: CanaryService, discovered: tuple[PodPort, ...]) -> list[JsonObject]:
    """Return the ports of a generated Service, the named one first."""
    first: JsonObject = {
        "name": service.port_name,
        "protocol": "TCP",
        "port": service.port,
        "targetPort": service.pod_port,
    }
    if service.app_protocol:
        first["appProtocol"] = service.app_protocol
    ports = [first]
    if service.port_discovery:
        for pod_port in discovered:
            if pod_port.container not in _SIDECARS and not _is_first(pod_port, service):
                _add(ports, _service_port(pod_port))
    return ports


def with_other_ports(wanted: list[JsonObject], live: Iterable[Mapping[str, Any]]) -> list[JsonObject]:
    """Add the other ports of a Service that was taken over, so that none of its clients is cut off."""
    ports = list(wanted)
    for port in live:
        _add(ports, _normal(port))
    return ports


def with_live_name(wanted: list[JsonObject], live: Iterable[Mapping[str, Any]]) -> list[JsonObject]:
    """Let the first port keep the name that it has on a Service of the user's, by which an Ingress may lead to it."""
    first, *rest = wanted
    name = next((port.get("name") for port in live if _number(port) == _number(first)), "")
    taken = {port["name"] for port in rest}
    return [{**first, "name": name}, *rest] if name and name not in taken else wanted


def with_node_ports(wanted: list[JsonObject], live: Iterable[Mapping[str, Any]]) -> list[JsonObject]:
    """Keep the node ports that the API server gave out: by the port's number, or else by its name."""
    given = [port for port in live if port.get("nodePort")]
    by_number = {_number(port): port["nodePort"] for port in given}
    by_name = {port.get("name", ""): port["nodePort"] for port in given}
    result = [
        {**port, "nodePort": node_port} if (node_port := port.get("nodePort") or by_number.get(_number(port))) else port
        for port in wanted
    ]
    used = {port.get("nodePort") for port in result}
    for index, port in enumerate(result):
        node_port = by_name.get(port.get("name", ""))
        if "nodePort" not in port and node_port and node_port not in used:
            result[index] = {**port, "nodePort": node_port}
    return result


def same_ports(one: Iterable[Mapping[str, Any]], other: Iterable[Mapping[str, Any]]) -> bool:
    """Tell whether two lists of ports mean the same; their order means nothing."""
    return _sorted(one) == _sorted(other)


def _sorted(ports: Iterable[Mapping[str, Any]]) -> list[list[tuple[str, str]]]:
    return sorted(sorted((key, str(value)) for key, value in _normal(port).items()) for port in ports)


def _normal(port: Mapping[str, Any]) -> JsonObject:
    """Fill in what the API server would."""
    return {"name": "", "protocol": "TCP", "targetPort": port["port"], **port}


def _number(port: Mapping[str, Any]) -> tuple[int, str]:
    return port["port"], port.get("protocol", "TCP")


def _is_first(pod_port: PodPort, service: CanaryService) -> bool:
    """Tell whether the named port leads to this one already."""
    wanted = str(service.pod_port)
    return wanted == str(pod_port.number) or (bool(pod_port.name) and wanted == pod_port.name)


def _service_port(pod_port: PodPort) -> JsonObject:
    protocol = pod_port.protocol
    name = pod_port.name or f"{protocol.lower()}-{pod_port.container}-{pod_port.index}"
    if len(name) > _LONGEST_NAME:
        name = f"{protocol.lower()}-{pod_port.number}"
    return {"name": name, "protocol": protocol, "port": pod_port.number, "targetPort": pod_port.number}


def _add(ports: list[JsonObject], port: JsonObject) -> None:
    """Add a port unless its number is taken; a name that is taken gets the number added, as names must differ."""
    if _number(port) in {_number(other) for other in ports}:
        return
    names = {other["name"] for other in ports}
    name = port["name"] or f"{port['protocol'].lower()}-{port['port']}"
    for candidate in (name, f"{name}-{port['port']}", f"{name}-{port['protocol'].lower()}-{port['port']}"):
        if candidate not in names:
            ports.append({**port, "name": candidate})
            return
