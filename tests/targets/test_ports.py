from typing import Any

import pytest

from flaggerpy.api.service import CanaryService
from flaggerpy.targets.base import PodPort
from flaggerpy.targets.ports import same_ports, wanted_ports, with_live_name, with_node_ports, with_other_ports

HTTP = PodPort("web", 0, "http", 9898)
METRICS = PodPort("web", 1, "metrics", 9797)


def service(**fields: Any) -> CanaryService:
    return CanaryService.model_validate({"port": 80, "portDiscovery": True, **fields})


def numbers(ports: list[dict[str, Any]]) -> list[tuple[str, str, int]]:
    return [(port["name"], port["protocol"], port["port"]) for port in ports]


@pytest.mark.parametrize(
    ("title", "fields", "expected"),
    [
        ("the port is the pods' by default", {}, {"name": "http", "targetPort": 80}),
        ("a target port is taken as written", {"targetPort": "web"}, {"name": "http", "targetPort": "web"}),
        ("zero is no target port", {"targetPort": 0}, {"name": "http", "targetPort": 80}),
        (
            "name and protocol are the user's",
            {"portName": "grpc", "appProtocol": "h2c"},
            {"name": "grpc", "targetPort": 80, "appProtocol": "h2c"},
        ),
    ],
)
def test_the_port_that_users_name(title: str, fields: dict[str, Any], expected: dict[str, Any]) -> None:
    ports = wanted_ports(service(portDiscovery=False, **fields), (HTTP,))
    assert ports == [{"protocol": "TCP", "port": 80, **expected}], title


@pytest.mark.parametrize(
    ("title", "fields", "found", "expected"),
    [
        ("other ports of containers are added", {"targetPort": 9898}, (HTTP, METRICS), [("metrics", "TCP", 9797)]),
        ("the named port may be meant by name", {"targetPort": "http"}, (HTTP, METRICS), [("metrics", "TCP", 9797)]),
        ("or by the Service's own number", {"port": 9898}, (HTTP, METRICS), [("metrics", "TCP", 9797)]),
        ("sidecars of a mesh do not count", {}, (PodPort("istio-proxy", 0, "a", 1), PodPort("envoy", 0, "b", 2)), []),
        ("a nameless port is called after its container", {}, (PodPort("side", 3, "", 7),), [("tcp-side-3", "TCP", 7)]),
        ("the protocol is kept", {}, (PodPort("dns", 0, "", 53, "UDP"),), [("udp-dns-0", "UDP", 53)]),
        (
            "equal names are kept apart",
            {"targetPort": 9898},
            (METRICS, PodPort("side", 0, "metrics", 9799)),
            [("metrics", "TCP", 9797), ("metrics-9799", "TCP", 9799)],
        ),
        ("also from the named port's", {"targetPort": 1}, (HTTP,), [("http-9898", "TCP", 9898)]),
        ("a number that is taken is not added again", {"targetPort": 1}, (PodPort("web", 0, "x", 80),), []),
        (
            "one number in two protocols is two ports",
            {"targetPort": 1},
            (PodPort("d", 0, "dns", 80, "UDP"),),
            [("dns", "UDP", 80)],
        ),
        ("a name that would be too long becomes a number", {}, (PodPort("c" * 63, 0, "", 7),), [("tcp-7", "TCP", 7)]),
    ],
)
def test_discovered_ports(
    title: str, fields: dict[str, Any], found: tuple[PodPort, ...], expected: list[tuple[str, str, int]]
) -> None:
    assert numbers(wanted_ports(service(**fields), found))[1:] == expected, title


def test_a_service_that_is_taken_over_keeps_its_other_ports() -> None:
    wanted = wanted_ports(service(portDiscovery=False, targetPort=9898), ())
    live: list[dict[str, Any]] = [
        {"port": 80, "targetPort": 9898},
        {"name": "http", "port": 9898, "targetPort": "http"},
        {"name": "grpc", "port": 9999, "targetPort": "grpc", "nodePort": 30099},
    ]

    ports = with_other_ports(wanted, live)

    assert numbers(ports) == [("http", "TCP", 80), ("http-9898", "TCP", 9898), ("grpc", "TCP", 9999)]
    assert with_other_ports(wanted, ports) == ports, "taking over again changes nothing"


@pytest.mark.parametrize(
    ("title", "live", "name"),
    [
        ("its own", {"name": "web", "port": 80}, "web"),
        ("none", {"port": 80}, "http"),
        ("that of another number", {"name": "web", "port": 81}, "http"),
        ("that of another protocol", {"name": "web", "port": 80, "protocol": "UDP"}, "http"),
        ("one that a port of the pods has", {"name": "metrics", "port": 80}, "http"),
    ],
)
def test_the_port_keeps_its_name_on_a_users_service(title: str, live: dict[str, Any], name: str) -> None:
    wanted = wanted_ports(service(targetPort=9898), (METRICS,))
    ports = with_live_name(wanted, [live])
    assert numbers(ports) == [(name, "TCP", 80), ("metrics", "TCP", 9797)], title
    assert with_live_name(wanted, ports) == ports, "doing so again changes nothing"


def test_node_ports_that_were_given_out_stay() -> None:
    wanted = [{"name": "web", "protocol": "TCP", "port": 80}, {"name": "x", "protocol": "TCP", "port": 81}]
    live = [{"name": "http", "port": 80, "nodePort": 30080}, {"name": "x", "port": 8181, "nodePort": 30081}]
    assert [port["nodePort"] for port in with_node_ports(wanted, live)] == [30080, 30081]


def test_a_node_port_is_never_given_to_two_ports() -> None:
    wanted = [{"name": "http", "port": 8080}, {"name": "http-80", "port": 80, "nodePort": 30080}]
    ports = with_node_ports(wanted, [{"name": "http", "port": 80, "nodePort": 30080}])
    assert [port.get("nodePort") for port in ports] == [None, 30080]


def test_ports_compare_without_order_and_with_defaults() -> None:
    one, other = {"name": "a", "port": 1}, {"name": "b", "port": 2, "targetPort": 3}
    filled = {"name": "a", "port": 1, "protocol": "TCP", "targetPort": 1}
    assert same_ports([one, other], [{**other, "protocol": "TCP"}, filled])
    assert not same_ports([one], [{**filled, "targetPort": "1x"}])
    assert not same_ports([one], [one, other])
