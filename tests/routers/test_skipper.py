"""The second Ingress of provider skipper: its paths, its predicate and its weights."""

from __future__ import annotations

import json

import pytest

from flaggerpy.rollout.traffic import ALL_TO_PRIMARY, Routes
from flaggerpy.routers.registry import router_for
from tests.routers.ingresses import COPY, OWN, behind, front, path, stored

SKIPPER = router_for("skipper")
PREDICATE = "zalando.org/skipper-predicate"
WEIGHTS = "zalando.org/backend-weights"
THIRD = Routes(70, 30)


def test_every_path_to_the_apex_leads_to_both_and_no_other_is_in_the_copy() -> None:
    own = front(path("web"), path("other", at="/other"), path("web", at="/b"), defaultBackend={"resource": {}})

    [body] = SKIPPER.render(behind("skipper"), {OWN: own}, THIRD)

    [rule] = body["spec"]["rules"]
    assert rule["http"]["paths"] == [
        path("web-primary"),
        path("web-primary", at="/b"),
        path("web-canary"),
        path("web-canary", at="/b"),
    ]
    assert "defaultBackend" not in body["spec"]


@pytest.mark.parametrize(
    ("theirs", "part"),
    [
        (None, ""),
        ('Method("GET")', ' && Method("GET")'),
        ('Weight(100) && Method("GET")', ' && Method("GET")'),
        ('False() && Weight(100) && Header("a", "x && y")', ' && Header("a", "x && y")'),
        ("Weight(100)", ""),
        ("Weight(1000)", " && Weight(1000)"),
    ],
)
def test_the_users_predicate_stays_behind_ours(theirs: str | None, part: str) -> None:
    own = front(path("web"), annotations={PREDICATE: theirs} if theirs else {})
    for routes, ours in ((THIRD, "Weight(100)"), (ALL_TO_PRIMARY, "False()")):
        [body] = SKIPPER.render(behind("skipper"), {OWN: own}, routes)
        assert body["metadata"]["annotations"][PREDICATE] == ours + part


@pytest.mark.parametrize(
    ("changed", "weight", "drifted"),
    [
        ({}, 30, False),
        ({PREDICATE: "False()"}, 0, True),
        ({PREDICATE: None}, 30, True),
        ({WEIGHTS: json.dumps({"web-primary": 1, "web-canary": 3})}, 75, True),
        ({WEIGHTS: json.dumps({"web-primary": 70, "web-canary": 30, "other": 5})}, 30, True),
        ({WEIGHTS: json.dumps({"web-primary": 0, "web-canary": 0})}, None, False),
        ({WEIGHTS: json.dumps({"web-primary": -1, "web-canary": 5})}, None, False),
        ({WEIGHTS: json.dumps({"web-primary": 100})}, None, False),
        ({WEIGHTS: json.dumps({"web-primary": "much", "web-canary": 5})}, None, False),
        ({WEIGHTS: '{"web-primary": NaN, "web-canary": 5}'}, None, False),
        ({WEIGHTS: '{"web-primary": Infinity, "web-canary": 5}'}, None, False),
        ({WEIGHTS: "[]"}, None, False),
        ({WEIGHTS: "{"}, None, False),
        ({WEIGHTS: None}, None, False),
        ({"zalando.org/skipper-filter": "x"}, 30, True),
    ],
)
def test_what_is_read_is_what_skipper_does(changed: dict[str, str | None], weight: int | None, drifted: bool) -> None:
    one, own = behind("skipper"), front(path("web"))
    [made] = SKIPPER.render(one, {OWN: own}, THIRD)

    state = SKIPPER.state(one, {OWN: own, COPY: stored(made, **changed)})

    assert (state.routes and state.routes.canary) == weight
    assert state.drifted is drifted
