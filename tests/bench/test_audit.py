"""What is read from the audit log."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from flaggerpy.kube.objects import JsonObject
from tests.bench.auditing import CONTROLLER, USER, account, logged, request, rollout, route
from tools.bench.audit import Rollout, Tally, rollouts

KEY = ("site-1-1", "app-1")


def the_only(events: list[JsonObject]) -> Rollout:
    (found,) = rollouts(events, CONTROLLER)
    return found


def test_a_rollout_is_timed_from_the_users_patch_to_the_scale_up_and_to_the_return_to_the_primary() -> None:
    found = the_only(rollout(3.0, "app-1"))
    assert found.key == KEY
    assert found.reaction_s == pytest.approx(0.084, abs=1e-6)
    assert found.rollout_s == pytest.approx(50.584, abs=1e-6)


def test_times_are_read_to_the_microsecond() -> None:
    assert the_only(rollout(3.0, "app-1", reaction=0.084321)).reaction_s == 0.084321


def test_the_order_of_the_log_which_is_that_of_the_answers_does_not_matter() -> None:
    events = [*rollout(3.0, "app-1"), *rollout(3.2, "app-2")]
    assert rollouts(reversed(events), CONTROLLER) == rollouts(events, CONTROLLER)
    assert [one.key[1] for one in rollouts(events, CONTROLLER)] == ["app-1", "app-2"]


def test_each_patch_of_a_user_begins_a_rollout_of_its_own() -> None:
    events = [*rollout(0.0, "app-1"), *rollout(100.0, "app-1", reaction=0.2)]
    assert [one.reaction_s for one in rollouts(events, CONTROLLER)] == pytest.approx([0.084, 0.2])


@pytest.mark.parametrize(
    ("title", "events"),
    [
        ("nobody patched the target", rollout(0.0, "app-1")[1:]),
        ("the patch was refused", [request(0.0, USER, "patch deployments", "app-1", code=422)]),
        ("only the controller wrote it", [request(0.0, CONTROLLER, "patch deployments", "app-1")]),
        ("its status was written", [request(0.0, USER, "patch deployments/status", "app-1")]),
        ("the request goes on", [request(0.0, USER, "patch deployments", "app-1", stage="ResponseStarted")]),
        ("it was a list", [request(0.0, USER, "list deployments", "")]),
        ("it was no request for an object", [request(0.0, USER, "get /readyz", "", objectRef=None)]),
    ],
)
def test_what_begins_no_rollout(title: str, events: list[JsonObject]) -> None:
    assert rollouts(events, CONTROLLER) == [], title


def test_a_rollout_that_was_not_promoted_has_no_end() -> None:
    begun = [event for event in rollout(0.0, "app-1") if "requestObject" not in event]
    found = the_only([*begun, route(1.0, "app-1", 0), route(2.0, "app-1", 10)])
    assert (found.reaction_s is None, found.rollout_s) == (False, None)


def test_a_write_of_the_route_whose_body_the_log_leaves_out_is_no_step() -> None:
    silent = [{**event, "requestObject": None} for event in rollout(0.0, "app-1")]
    assert (the_only(silent).shifted, the_only(silent).promoted) == (None, None)


def test_a_patch_list_says_no_share() -> None:
    patch = [{"op": "replace", "path": "/spec/rules/0/backendRefs/0/weight", "value": 0}]
    odd = request(1.0, CONTROLLER, "patch httproutes", "app-1", requestObject=patch)
    assert the_only([request(0.0, USER, "patch deployments", "app-1"), odd]).shifted is None


def test_requests_are_the_controllers_own_with_watches_and_lease_apart(tmp_path: Path) -> None:
    time_alone = [
        request(1.0, CONTROLLER, "watch deployments", "", stage="ResponseStarted"),
        request(1.0, CONTROLLER, "watch deployments", ""),
        request(1.0, CONTROLLER, "watch httproutes", ""),
        *(request(2.0 * number, CONTROLLER, "update leases", "flagger-leader-election") for number in range(4)),
    ]
    cluster = logged([*time_alone, *rollout(0.0, "app-1")], tmp_path)
    tally = Tally.of(account(tmp_path).counted(cluster))
    assert (tally.watches, tally.leases) == (2, 4)
    assert tally.others == Counter(
        {
            "patch httproutes": 7,
            "patch deployments": 4,
            "update canaries": 1,
            "create events": 1,
            "update deployments": 1,
        }
    )


def test_only_what_came_after_an_offset_is_counted(tmp_path: Path) -> None:
    before, after = rollout(0.0, "app-1"), rollout(100.0, "app-2")
    offset = logged(before, tmp_path).audit_size() - len('{"kind":"Ev')
    cluster = logged([*before, *after], tmp_path)
    assert [one.key[1] for one in rollouts(cluster.audit_events(offset), CONTROLLER)] == ["app-2"]
    assert account(tmp_path).counted(cluster, offset).total() == 14
