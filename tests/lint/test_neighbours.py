"""What canaries of one input want of each other: hosts at Gateways, and workloads that are meant in all likelihood."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from flaggerpy.lint.faults import Rule
from flaggerpy.lint.inventory import Options
from flaggerpy.lint.run import lint
from flaggerpy.lint.source import Source
from tests.builders import canary_json
from tests.lint.test_inventory import placed, serving
from tests.targets.objects import deployment

JsonObject = dict[str, Any]
PUBLIC = {"name": "public", "namespace": "edge"}
BOTH = [Rule.SHARED]


def routed(name: str, gateway: JsonObject = PUBLIC, **service: Any) -> JsonObject:
    """Write a canary of a target of its own whose route wants a.example.com, unless told otherwise."""
    spec = {"provider": "gatewayapi:v1", "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name}}
    return canary_json(name, service={"hosts": ["a.example.com"], "gatewayRefs": [gateway], **service}, spec=spec)


def told(*objects: JsonObject, options: Options | None = None) -> list[Rule]:
    """Lint objects, each in a file of its own."""
    sources = [Source(f"{n}.yaml", yaml.safe_dump(obj).encode()) for n, obj in enumerate(objects)]
    return [fault.rule for fault in lint(sources, options or Options()).faults]


@pytest.mark.parametrize(
    ("title", "other", "found"),
    [
        ("the same in every way", routed("news"), BOTH),
        ("one of several hosts", routed("news", hosts=["b.example.com", "a.example.com"]), BOTH),
        ("another host", routed("news", hosts=["b.example.com"]), []),
        ("another Gateway", routed("news", {"name": "inner", "namespace": "edge"}), []),
        ("a Gateway of that name elsewhere", routed("news", {"name": "public", "namespace": "inner"}), []),
        ("one of the listeners", routed("news", {**PUBLIC, "sectionName": "http"}), BOTH),
        ("other paths", routed("news", match=[{"uri": {"prefix": "/news"}}]), []),
        ("another namespace", placed(routed("news"), "press"), BOTH),
        ("a variant of itself", placed(routed("web"), "stage"), []),
    ],
)
def test_two_canaries_want_the_same_requests(title: str, other: JsonObject, found: list[Rule]) -> None:
    assert told(routed("web"), other) == found, title


def test_different_listeners_are_different_doors() -> None:
    one, other = ({**PUBLIC, "sectionName": name} for name in ("http", "https"))
    assert told(routed("web", one), routed("news", other)) == []


def test_canaries_without_hosts_want_every_host() -> None:
    assert told(routed("web", hosts=[]), routed("news", hosts=[])) == BOTH
    assert told(routed("web", hosts=[]), routed("news")) == [], "the more precise host wins"


def test_three_canaries_with_one_host_are_two_faults() -> None:
    assert told(routed("web"), routed("news"), routed("mail")) == [Rule.SHARED] * 2


def test_who_makes_no_route_is_in_nobodys_way() -> None:
    other = routed("news")
    other["spec"]["provider"] = "kubernetes"
    assert Rule.SHARED not in told(routed("web"), other)
    del other["spec"]["provider"]
    assert Rule.SHARED not in told(routed("web"), other), "nobody knows the provider"
    assert Rule.SHARED in told(routed("web"), other, options=Options(mesh_provider="gatewayapi:v1"))


def test_a_similar_name_is_meant_or_the_only_one() -> None:
    misspelt = canary_json("web", spec={"targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "wbe"}})
    assert told(misspelt, deployment("web"), deployment("other")) == [Rule.TARGET]
    assert told(misspelt, deployment("other")) == [Rule.TARGET]


def test_where_nothing_says_what_is_meant_nothing_is_said() -> None:
    misspelt = canary_json("web", spec={"targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "wbe"}})
    assert told(misspelt) == []
    assert told(misspelt, deployment("first"), deployment("second")) == []
    assert told(misspelt, placed(deployment("web"), "stage")) == []
    assert told(misspelt, serving("other"), deployment("other")) == [], "it is another canary's"


def test_what_follows_from_a_wrong_name_is_not_told() -> None:
    hook = {"name": "load", "url": "http://tester/", "metadata": {"cmd": "hey http://web-canary.shop/"}}
    misspelt = canary_json(
        "web",
        analysis={"webhooks": [hook]},
        spec={"targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "wbe"}},
    )
    assert told(misspelt) == [Rule.LOAD_TEST]
    assert told(misspelt, deployment("web")) == [Rule.TARGET]
