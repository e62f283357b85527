"""DaemonSets as targets: asleep is a node selector that matches nothing, and everything else looks past it."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from flaggerpy.api.constants import SCALE_TO_ZERO
from flaggerpy.kube.resources import DAEMONSETS, Ref
from flaggerpy.rollout.errors import UserError
from flaggerpy.targets.daemonset import DaemonSetTarget
from flaggerpy.targets.registry import target_for
from tests.builders import canary
from tests.targets.objects import RECIPE, RULES, daemon_set, stored, template

TARGET = DaemonSetTarget()
CANARY = canary(spec={"targetRef": {"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "web"}})
ASLEEP = {SCALE_TO_ZERO: "true"}


def asleep(**selector: str) -> dict[str, Any]:
    return daemon_set(pod=template(nodeSelector={**ASLEEP, **selector}))


def made(target: dict[str, Any] | None = None) -> dict[str, Any]:
    """Build the primary of ``web`` as the API server serves it."""
    return stored(TARGET.make_primary(CANARY, target or daemon_set(), None, RECIPE))


def patched(obj: dict[str, Any], replicas: int) -> dict[str, str]:
    """Return the node selector after the change."""
    spec = copy.deepcopy(obj["spec"]["template"]["spec"])
    for op in TARGET.size_patch(obj, replicas) or ():
        *_, holder, key = op["path"].replace("/spec/template", "").replace("~1", "§").split("/")
        place = spec if holder == "spec" else spec[holder]
        if op["op"] == "add":
            place[key.replace("§", "/")] = op["value"]
        else:
            del place[key.replace("§", "/")]
    selector: dict[str, str] = spec.get("nodeSelector", {})
    return selector


def test_where_a_target_and_its_primary_are() -> None:
    assert target_for(CANARY).ref(CANARY) == Ref(DAEMONSETS, "shop", "web")
    assert target_for(CANARY).primary_ref(CANARY) == Ref(DAEMONSETS, "shop", "web-primary")


@pytest.mark.parametrize("mine", [{}, {"disk": "ssd"}])
def test_sleeping_and_waking_touch_one_key(mine: dict[str, str]) -> None:
    awake, sleeping = daemon_set(pod=template(nodeSelector=mine)), asleep(**mine)

    assert patched(awake, 0) == {**ASLEEP, **mine}
    assert patched(sleeping, 3) == mine
    assert patched(awake, 3) == mine, "one that is awake stays so"


def test_sleeping_is_no_new_revision_and_a_node_selector_is() -> None:
    plain, ssd = daemon_set(), daemon_set(pod=template(nodeSelector={"disk": "ssd"}))

    assert TARGET.state(asleep()).template == TARGET.state(plain).template
    assert TARGET.state(asleep(disk="ssd")).template == TARGET.state(ssd).template
    assert TARGET.state(daemon_set(pod=template(nodeSelector={}))).template == TARGET.state(plain).template
    assert TARGET.state(ssd).template != TARGET.state(plain).template


def test_w39_a_primary_that_is_made_while_the_target_sleeps_is_awake() -> None:
    primary = made(asleep(disk="ssd"))

    assert primary["spec"]["template"]["spec"]["nodeSelector"] == {"disk": "ssd"}
    assert "nodeSelector" not in made(asleep())["spec"]["template"]["spec"]
    assert TARGET.primary_state(CANARY, primary, RECIPE).template == TARGET.state(asleep(disk="ssd")).template


def test_w39_a_primary_that_flagger_made_asleep_is_woken_by_the_next_promotion() -> None:
    live = made()
    live["spec"]["template"]["spec"]["nodeSelector"] = dict(ASLEEP)
    assert "nodeSelector" not in TARGET.make_primary(CANARY, daemon_set(), live, RECIPE)["spec"]["template"]["spec"]


def test_a_new_primary_follows_what_a_daemon_set_has() -> None:
    target = daemon_set()
    target["metadata"]["annotations"] = {"deprecated.daemonset.template.generation": "7"}

    primary = made(target)

    assert primary["kind"] == "DaemonSet"
    assert {key: primary["spec"][key] for key in ("minReadySeconds", "revisionHistoryLimit", "updateStrategy")} == {
        key: target["spec"][key] for key in ("minReadySeconds", "revisionHistoryLimit", "updateStrategy")
    }
    assert "replicas" not in primary["spec"]
    assert primary["spec"]["selector"] == {"matchLabels": {"app": "web-primary"}}
    assert primary["metadata"]["annotations"] == {"flaggerpy.dev/canary": "shop/web"}


@pytest.mark.parametrize(
    ("title", "obj", "status", "expected"),
    [
        ("just made", daemon_set(), {}, (1, 0, 0, 0)),
        (
            "half updated",
            daemon_set(),
            {
                "desiredNumberScheduled": 3,
                "currentNumberScheduled": 3,
                "updatedNumberScheduled": 1,
                "numberAvailable": 2,
            },
            (3, 3, 1, 2),
        ),
        (
            "pods on nodes that it is no longer meant for, which Kubernetes leaves there",
            daemon_set(),
            {"desiredNumberScheduled": 1, "currentNumberScheduled": 1, "numberMisscheduled": 2},
            (1, 1, 0, 0),
        ),
        ("falling asleep", asleep(), {"desiredNumberScheduled": 0, "numberMisscheduled": 2}, (0, 2, 0, 0)),
        ("sent to sleep, not noticed yet", asleep(), {"desiredNumberScheduled": 3}, (0, 0, 0, 0)),
    ],
)
def test_how_far_a_daemon_set_is(
    title: str, obj: dict[str, Any], status: dict[str, int], expected: tuple[int, ...]
) -> None:
    state = TARGET.state({**obj, "status": status})
    counts = (state.replicas, state.current_replicas, state.updated_replicas, state.available_replicas)
    assert counts == expected, title
    assert state.per_node
    assert state.controller_revision is None


def test_on_delete_would_leave_the_primarys_pods_old() -> None:
    target = daemon_set(updateStrategy={"type": "OnDelete"})
    with pytest.raises(UserError, match=r"DaemonSet web has updateStrategy.type OnDelete, .*: write RollingUpdate\."):
        TARGET.facts(CANARY, target, RULES, None)


@pytest.mark.parametrize(
    "pod",
    [
        template(containers=[{"name": "web", "ports": [{"containerPort": 8080, "hostPort": 8080}]}]),
        template(hostNetwork=True),
        template(initContainers=[{"name": "init", "ports": [{"containerPort": 1, "hostPort": 8080}]}]),
    ],
)
def test_a_port_of_the_node_cannot_be_had_twice(pod: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=r"DaemonSet web takes port 8080 of its nodes, which only one of target and"):
        TARGET.facts(CANARY, daemon_set(pod=pod), RULES, None)


def test_sentences_name_the_kind() -> None:
    target = daemon_set(selector={"matchLabels": {"mine": "x"}})
    with pytest.raises(UserError, match=r"DaemonSet web selects its pods by mine=x, but by none of app"):
        TARGET.facts(CANARY, target, RULES, None)
