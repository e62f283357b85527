"""Stories are told without times, repeats and random numbers, and compared line by line."""

from __future__ import annotations

from typing import Any

import pytest

from flaggerpy.api.analysis import Severity
from flaggerpy.notifiers.base import Alert, Field, Sender
from flaggerpy.notifiers.registry import notifier_for
from tests.replay.alerts import said
from tests.replay.differences import KNOWN, documented, explained, listed
from tests.replay.recording import load, names
from tests.replay.story import Call, Change, JsonObject, Story, compare, tell


def told(*changes: Change, calls: tuple[Call, ...] = (), given: frozenset[tuple[str, str]] = frozenset()) -> Story:
    return tell(changes, calls, given=given, routers=True, canaries=["web"])


def canary(phase: str, weight: int, **status: Any) -> Change:
    return Change("Canary", "web", {"metadata": {}, "status": {"phase": phase, "canaryWeight": weight, **status}})


def service(selects: str, **metadata: Any) -> Change:
    spec = {"clusterIP": "10.0.0.1", "selector": {"app": selects}}
    return Change("Service", "web", {"metadata": {"uid": "u", **metadata}, "spec": spec})


def hook(phase: str, checksum: str) -> Call:
    return Call("hook", "gate", {"name": "web", "phase": phase, "checksum": checksum})


def test_a_story_is_compared_with_itself() -> None:
    story = told(canary("Progressing", 10), service("web"), calls=(hook("Progressing", "1a"),))
    assert compare(story, story) == []
    assert Story.from_json(story.as_json()) == story


def test_repeats_are_told_once_and_the_order_counts() -> None:
    theirs = told(canary("Progressing", 0), canary("Progressing", 10), canary("Progressing", 10), canary("Failed", 0))
    ours = told(canary("Progressing", 0), canary("Failed", 0), canary("Progressing", 10))
    assert theirs.phases == {"web": ["Progressing 0%", "Progressing 10%", "Failed 0%"]}
    assert set(compare(theirs, ours)) == {"- phases web: Failed 0%", "+ phases web: Failed 0%"}


@pytest.mark.parametrize(
    ("ours", "lines"),
    [
        ([service("primary")], ['- Service web: selector.app: "web"', '+ Service web: selector.app: "primary"']),
        ([service("web"), service("primary")], ['+ Service web then: spec.selector.app: "primary"']),
        ([], ["- Service web"]),
        ([service("web"), Change("Service", "web", None)], ["+ Service web then: deleted"]),
        ([service("web", labels={"a": "b"})], ['+ Service web: labels.a: "b"']),
    ],
)
def test_objects_are_compared_value_by_value(ours: list[Change], lines: list[str]) -> None:
    found = compare(told(service("web")), told(*ours))
    assert found == [line.replace("web: selector", "web: spec.selector") for line in lines]


def test_what_the_server_fills_in_and_hashes_are_left_out() -> None:
    theirs = told(service("web"), calls=(hook("Waiting", "1a"),))
    other: JsonObject = {"metadata": {"uid": "v"}, "spec": {"clusterIP": "10.0.0.2", "selector": {"app": "web"}}}
    ours = told(Change("Service", "web", other), calls=(hook("Waiting", "2b"), hook("Waiting", "2b")))
    assert compare(theirs, ours) == []


def test_a_missing_field_of_a_payload_is_a_difference() -> None:
    theirs, ours = told(calls=(hook("Waiting", "1a"),)), told(calls=(Call("hook", "gate", {"phase": "Waiting"}),))
    assert [line[:18] for line in compare(theirs, ours)] == ["- payloads gate: c", "+ payloads gate: p"]


def test_what_a_user_made_is_compared_from_its_first_change_on() -> None:
    given = frozenset({("Service", "web")})
    assert told(service("a"), service("b"), given=given).objects["Service web"].first == []
    assert compare(told(service("a"), given=given), told(service("z"), given=given)) == []


def test_what_is_made_again_is_compared_with_what_it_was() -> None:
    story = told(service("web"), Change("Service", "web", None), service("primary"))
    assert story.objects["Service web"].then == ["deleted", "created again", 'spec.selector.app: "primary"']


def test_cookies_are_random_and_last_as_long_as_an_interval() -> None:
    def route(cookie: str, seconds: int) -> Change:
        given = f"primary-cookie={cookie}; Max-Age={seconds}; Path=/"
        return Change(
            "HTTPRoute", "web", {"metadata": {}, "spec": {"asks": f".*web-cookie.*{cookie}.*", "gives": given}}
        )

    assert compare(told(route("abc", 10)), told(route("xyz", 2))) == []


def slack(author: str, message: str, *lines: tuple[str, str]) -> JsonObject:
    fields = [{"title": name, "value": value} for name, value in lines]
    return {"attachments": [{"author_name": author, "text": message, "color": "good", "fields": fields}]}


def test_lines_that_only_our_alerts_have_and_the_format_for_teams_are_no_difference() -> None:
    alert = Alert("web", "shop", Severity.INFO, "hello", (Field("Target", "x"), Field("Metric a", "1: Passed")))
    ours = notifier_for("msteams").message(alert, Sender())

    assert said(ours).flaggers() == said(slack("web.shop", "hello", ("Target", "x"))).flaggers()
    assert said(ours).flaggers() != said(slack("web.shop", "hello", ("Target", "y"))).flaggers()


def test_canaries_that_share_a_receiver_of_alerts_are_told_apart() -> None:
    calls = [Call("alert", "slack", slack(f"{name}.{{namespace}}", "failed")) for name in ("b", "a")]
    story = tell((), calls, given=frozenset(), routers=True, canaries=["a", "b"])
    assert sorted(story.alerts) == ["slack of a", "slack of b"]


@pytest.mark.parametrize(("routers", "kept"), [(True, 2), (False, 1)])
def test_built_in_questions_are_compared_where_the_provider_is_the_same(routers: bool, kept: int) -> None:
    calls = [Call("prometheus", "sum(istio_requests_total)", {}), Call("prometheus", "sum(mine)", {})]
    assert len(tell((), calls, given=frozenset(), routers=routers, canaries=["web"]).queries) == kept


def test_a_difference_that_changes_what_happens_explains_lines_of_its_own_recordings_only() -> None:
    line = "- phases podinfo: Progressing 50%"
    assert explained("gate-withdrawn", [line]) == ({"withdrawn"}, [])
    assert explained("step-weights", [line]) == (set(), [line])


def test_lines_that_nobody_knows_are_named() -> None:
    known = "+ Service web: annotations.'flaggerpy.dev/canary': \"{namespace}/web\""
    assert explained("suspend", [known, "+ phases web: Nonsense 3%"]) == ({"ownership"}, ["+ phases web: Nonsense 3%"])


@pytest.mark.parametrize("name", names())
def test_no_difference_explains_just_anything(name: str) -> None:
    rest = [
        *(f"{sign} events: {kind}: nobody has heard of this" for sign in "-+" for kind in ("Normal", "Warning")),
        *(f"{sign} phases podinfo: {at}%" for sign in "-+" for at in ("Failed 100", "Progressing 7")),
        *(f"{sign} failed_checks podinfo: 9" for sign in "-+"),
        *(f"{sign} promoted podinfo: {why}" for sign in "-+" for why in ("False Failed: nobody", "True Succeeded: no")),
        *(
            f"{sign} {what}"
            for sign in "-+"
            for what in ("hooks: stranger in Waiting", "payloads stranger: x", "queries: up")
        ),
        *(f"{sign} Deployment podinfo then: spec.replicas: 99" for sign in "-+"),
        *(f"{sign} {kind} stranger" for sign in "-+" for kind in ("ConfigMap", "Deployment", "Service")),
        *(f'{sign} HTTPRoute podinfo then: spec.hostnames[0]: "other"' for sign in "-+"),
        *(f'{sign} Service podinfo then: spec.type: "NodePort"' for sign in "-+"),
        "+ ConfigMap stranger then: deleted",
        '+ Deployment podinfo-primary then: spec.template.spec.containers[0].image: "other:1"',
    ]
    assert explained(name, rest) == (set(), rest)


def test_users_read_of_every_known_difference_that_some_recording_shows() -> None:
    shown = {name for recording in names() for name in load(recording).differs}
    assert shown == set(KNOWN)
    assert documented() == {name for name in KNOWN if not name.startswith("recording-")}


def test_what_a_recording_lists_has_to_show_and_nothing_else_unless_its_course_is_another() -> None:
    assert listed(["ownership", "recording-ends"], {"ownership"})
    assert not listed(["ownership", "finalizer"], {"ownership"})
    assert not listed(["ownership"], {"ownership", "finalizer"})
    assert listed(["ownership", "withdrawn"], {"ownership", "withdrawn", "finalizer"})
    assert not listed(["ownership", "withdrawn"], {"ownership", "finalizer"})
