"""The forward action of provider alb: the only thing of a user's Ingress that changes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from flaggerpy.rollout.errors import UserError
from flaggerpy.rollout.traffic import ALL_TO_CANARY, ALL_TO_PRIMARY, Routes
from flaggerpy.routers.registry import router_for
from tests.routers.ingresses import OWN, behind, front, path

JsonObject = dict[str, Any]
ALB = router_for("alb")
KEY = "alb.ingress.kubernetes.io/actions.web"
BEFORE = "flaggerpy.dev/action.web"
USED = {"name": "use-annotation"}
THIRD = Routes(70, 30)


def forward(*groups: tuple[str, int], **rest: Any) -> str:
    found = [{"serviceName": name, "servicePort": 80, "weight": weight} for name, weight in groups]
    return json.dumps({"type": "forward", "forwardConfig": {"targetGroups": found, **rest}})


def groups(ingress: JsonObject) -> list[tuple[str, int]]:
    found = json.loads(ingress["metadata"]["annotations"][KEY])["forwardConfig"]["targetGroups"]
    return [(one["serviceName"], one["weight"]) for one in found]


def with_action(text: str | None, **annotations: str) -> JsonObject:
    return front(path("web", USED), annotations={**({KEY: text} if text is not None else {}), **annotations})


def test_one_annotation_changes_and_nothing_else() -> None:
    own = front(path("web", USED), path("other", at="/other"), annotations={"mine": "1"})

    [body] = ALB.render(behind("alb"), {OWN: own}, THIRD)

    assert json.loads(body["metadata"]["annotations"].pop(KEY)) == {
        "type": "forward",
        "forwardConfig": {
            "targetGroups": [
                {"serviceName": "web-primary", "servicePort": 80, "weight": 70},
                {"serviceName": "web-canary", "servicePort": 80, "weight": 30},
            ]
        },
    }
    assert body["metadata"]["annotations"].pop(BEFORE) == ""
    assert body == own


def test_a_stickiness_of_the_user_stays() -> None:
    sticky = {"targetGroupStickinessConfig": {"enabled": True, "durationSeconds": 60}}
    [body] = ALB.render(behind("alb"), {OWN: with_action(forward(("web", 1), **sticky))}, THIRD)
    written = json.loads(body["metadata"]["annotations"][KEY])["forwardConfig"]
    assert written.items() >= sticky.items()


def test_canaries_share_an_ingress() -> None:
    theirs = {"alb.ingress.kubernetes.io/actions.shop": forward(("shop-primary", 100)), f"{BEFORE[:-3]}shop": ""}
    own = with_action(None, **theirs)
    [taken] = ALB.render(behind("alb"), {OWN: own}, THIRD)
    assert taken["metadata"]["annotations"].items() >= theirs.items()
    [back] = ALB.restore(behind("alb"), {OWN: taken})
    assert {key: value for key, value in back["metadata"]["annotations"].items() if key != KEY} == theirs


@pytest.mark.parametrize(
    ("text", "weight"),
    [
        (forward(("web-primary", 1), ("web-canary", 3)), 75),
        (forward(("web-canary", 100)), 100),
        (forward(("web-primary", 999)), 0),
        (forward(("web-primary", 50), ("web-canary", 50), ("other", 900)), 50),
        (forward(("web-primary", 0), ("web-canary", 0)), None),
        (forward(("web", 100), ("web-primary", 0), ("web-canary", 0)), None),
        (forward(("web", 1)), None),
        ('{"type": "redirect", "redirectConfig": {"statusCode": "HTTP_301"}}', None),
        ('{"type": "forward", "forwardConfig": {"targetGroups": "x"}}', None),
        ('{"type": "forward", "forwardConfig": []}', None),
        ("[]", None),
        ("{", None),
        (None, None),
    ],
)
def test_what_is_read_is_what_the_load_balancer_does(text: str | None, weight: int | None) -> None:
    routes = ALB.state(behind("alb"), {OWN: with_action(text)}).routes
    assert (routes and routes.canary) == weight


def test_another_port_another_group_and_a_lost_mark_are_drift() -> None:
    one = behind("alb")
    [body] = ALB.render(one, {OWN: with_action(None)}, THIRD)
    assert not ALB.state(one, {OWN: body}).drifted
    given = body["metadata"]["annotations"]
    for changed in (
        {**given, KEY: given[KEY].replace("80", "81")},
        {**given, KEY: forward(("web-primary", 70), ("web-canary", 30), ("other", 1))},
        {key: value for key, value in given.items() if key != BEFORE},
    ):
        live = {**body, "metadata": {**body["metadata"], "annotations": changed}}
        state = ALB.state(one, {OWN: live})
        assert state.routes == THIRD
        assert state.drifted


@pytest.mark.parametrize(
    ("own", "says"),
    [
        (front(path("web")), "Ingress front does not ask for the action web: write name: web and port:"),
        (front(path("other", USED)), "Ingress front does not ask for the action web"),
        ({**front(), "spec": {}}, "Ingress front does not ask for the action web"),
        (
            with_action(None, **{"alb.ingress.kubernetes.io/target-type": "instance"}),
            "Ingress front has alb.ingress.kubernetes.io/target-type: instance",
        ),
        (with_action(forward(("other", 1))), "actions.web of Ingress front does not forward to Service web alone"),
        (with_action(forward(("web", 1), ("other", 1))), "does not forward to Service web alone: remove it"),
        (with_action('{"type": "redirect"}'), "does not forward to Service web alone: remove it"),
        (with_action('{"type": "redirect"}', **{BEFORE: ""}), "does not forward to Service web alone: remove it"),
    ],
)
def test_an_ingress_that_would_not_follow_is_refused(own: JsonObject, says: str) -> None:
    with pytest.raises(UserError) as caught:
        ALB.render(behind("alb"), {OWN: own}, ALL_TO_PRIMARY)
    assert says in str(caught.value)


@pytest.mark.parametrize(
    "own",
    [with_action(None), with_action(forward(("web", 1))), front(defaultBackend=path("web", USED)["backend"])],
    ids=["no action yet", "an action of the user's", "a default backend"],
)
def test_an_ingress_that_asks_for_the_action_is_taken(own: JsonObject) -> None:
    one = behind("alb")
    [body] = ALB.render(one, {OWN: own}, ALL_TO_CANARY)
    assert ALB.state(one, {OWN: body}).routes == ALL_TO_CANARY


def test_what_the_user_wrote_last_is_given_back() -> None:
    one, first, second = behind("alb"), forward(("web", 1)), forward(("web", 7))
    [body] = ALB.render(one, {OWN: with_action(first)}, THIRD)
    body["metadata"]["annotations"][KEY] = second
    [again] = ALB.render(one, {OWN: body}, THIRD)
    assert again["metadata"]["annotations"][BEFORE] == second
    [back] = ALB.restore(one, {OWN: again})
    assert back["metadata"]["annotations"] == {KEY: second}


def test_groups_enter_and_leave_without_anybody() -> None:
    one, seen = behind("alb"), []
    live = with_action(forward(("web", 1)))
    wanted = ALB.render(one, {OWN: live}, ALL_TO_PRIMARY)
    while steps := ALB.ahead(one, {OWN: live}, wanted):
        [live] = steps
        seen.append(groups(live))
        wanted = ALB.render(one, {OWN: live}, ALL_TO_PRIMARY)
    assert seen == [
        [("web", 1), ("web-primary", 0)],
        [("web-primary", 100), ("web-canary", 0), ("web", 0)],
    ]
    assert groups(wanted[0]) == [("web-primary", 100), ("web-canary", 0)]
    assert wanted[0]["metadata"]["annotations"][BEFORE] == forward(("web", 1))
