"""Which addresses of a command are compared with which Services."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from flaggerpy.lint.inventory import Options
from flaggerpy.lint.loadtest import addresses
from flaggerpy.lint.run import lint
from flaggerpy.lint.source import Source
from tests.builders import canary_json
from tests.targets.objects import deployment

JsonObject = dict[str, Any]


def hooked(
    command: str,
    *,
    name: str = "web",
    namespace: str | None = "shop",
    tester: str = "flagger-loadtester",
    **service: Any,
) -> JsonObject:
    """Write a canary with Services at port 8080 whose load test is this command."""
    hook = {"name": "load", "url": f"http://{tester}/", "metadata": {"cmd": command}}
    obj = canary_json(name, service={"port": 8080, **service}, analysis={"webhooks": [hook]})
    obj["metadata"]["namespace"] = namespace
    return obj


def service(name: str, *ports: int, namespace: str = "shop") -> JsonObject:
    metadata = {"name": name, "namespace": namespace}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata,
        "spec": {"ports": [{"port": port} for port in ports]},
    }


def said(*objects: JsonObject, options: Options | None = None) -> list[str]:
    source = Source("a.yaml", yaml.safe_dump_all(objects).encode())
    faults = lint([source], options or Options()).faults
    return [fault.sentence.split(": ", 1)[1] for fault in faults if fault.rule.title == "load-test"]


@pytest.mark.parametrize(
    ("command", "found"),
    [
        ("hey -z 1m -q 10 -c 2 http://web-canary/", [("web-canary", 80)]),
        ("hey http://web:9898/a?b=c&d=e", [("web", 9898)]),
        ("wrk -t2 -c10 -d30s https://web.shop/", [("web.shop", 443)]),
        ("curl -sd 'x' \"http://web.shop.svc.cluster.local/token\" | grep token", [("web.shop.svc.cluster.local", 80)]),
        ("curl -s http://a/ && curl -s http://b:81/", [("a", 80), ("b", 81)]),
        ("ghz -z 1m --insecure web-canary.shop:9898", [("web-canary.shop", 9898)]),
        ("grpc_health_probe -addr=web-canary.shop:9898", [("web-canary.shop", 9898)]),
        ("hey http://$HOST:$PORT/ http://web:${PORT}/ http://web:99999999/", []),
        ("hey -host app.example.com http://10.0.0.1/", [("10.0.0.1", 80)]),
        ("curl http://[::1/ http://user@web/", [("web", 80)]),
        ("curl -s web:9898/status", [("web", 9898)]),
        ("kubectl run test --image=app:1", []),
        ("ghz --time=10:30:00 -H 'a: b' --image=registry.test/app:1", []),
        ("", []),
    ],
)
def test_a_command_calls_these_hosts_at_these_ports(command: str, found: list[tuple[str, int]]) -> None:
    assert [(address.host, address.port) for address in addresses(command)] == found


@pytest.mark.parametrize(
    "command",
    [
        "hey http://web-canary:8080/",
        "hey http://web-canary.shop:8080/",
        "hey http://web-primary.shop.svc:8080/",
        "hey http://web.shop.svc.cluster.local:8080/",
        "hey http://gateway.ingress/",
        "hey http://web.example.com/",
        "hey http://something-else/",
        "hey http://webshop-canary.shop/",
        "hey http://10.1.2.3/",
        "ghz web-canary.shop:8080",
        "kubectl run web --image=web:1",
        "curl -H 'version: 1' http://web:8080/ web:1.2",
    ],
)
def test_what_reaches_somebody_or_is_none_of_our_business_is_no_fault(command: str) -> None:
    assert said(hooked(command)) == []


def test_the_port_to_write_is_told() -> None:
    assert said(hooked("hey http://web-canary.shop/status?x=1")) == [
        "http://web-canary.shop/status?x=1 asks for port 80, but Service web-canary has 8080: write"
        " http://web-canary.shop:8080/status."
    ]
    assert said(hooked("hey http://web-canary.shop:9090/", port=80))[0].endswith("write http://web-canary.shop/.")


def test_another_canarys_services_are_known_too() -> None:
    other = hooked("", name="basket")
    assert said(hooked("hey http://basket-canary:8080/"), other) == []
    assert said(hooked("hey http://basket-canary:80/"), other)[0].startswith(
        "http://basket-canary:80/ asks for port 80"
    )


def test_a_service_of_the_input_adds_its_ports_to_the_canarys() -> None:
    calling = hooked("hey http://web:9090/", tester="flagger-loadtester.shop")
    assert len(said(calling)) == 1
    assert said(calling, service("web", 9090)) == []
    assert len(said(calling, service("web", 9090, namespace="stage"))) == 1
    assert len(said(hooked("hey http://gateway/"), service("gateway", 8443))) == 1


def test_a_service_without_ports_is_not_judged() -> None:
    assert said(hooked("hey http://elsewhere/"), service("elsewhere")) == []


def test_with_port_discovery_the_containers_ports_count() -> None:
    pod = {"spec": {"containers": [{"name": "a", "ports": [{"containerPort": 9797}]}]}}
    assert said(hooked("hey http://web:9797/", portDiscovery=True), deployment(pod=pod)) == []
    assert len(said(hooked("hey http://web:9797/"), deployment(pod=pod))) == 1
    assert said(hooked("hey http://web:9797/", portDiscovery=True)) == [], "nobody knows the containers"


@pytest.mark.parametrize(
    ("tester", "faults"),
    [("flagger-loadtester", 0), ("flagger-loadtester.shop", 0), ("flagger-loadtester.test", 1), ("tester.test.svc", 1)],
)
def test_a_name_without_namespace_is_looked_up_where_the_load_tester_runs(tester: str, faults: int) -> None:
    assert len(said(hooked("hey http://web-canary:8080/", tester=tester))) == faults


def test_in_a_namespace_that_nobody_knows_every_one_may_be_meant() -> None:
    command = "hey http://web-canary.stage:8080/"
    assert said(hooked(command, namespace=None)) == []
    assert len(said(hooked(command, namespace=None), options=Options(namespace="shop"))) == 1
    assert said(hooked(command), hooked("", namespace="stage")) == [], "another canary of that name is there"


def test_a_canary_without_service_is_not_judged() -> None:
    obj = hooked("hey http://web-canary.stage/")
    del obj["spec"]["service"]
    assert said(obj) == []
