"""The laws notice what they are for: each is shown a made-up story that breaks it, and one that does not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from flaggerpy.kube.objects import JsonObject
from flaggerpy.kube.resources import CANARIES, CONFIG_MAPS, DEPLOYMENTS, HTTP_ROUTES, SERVICES, Resource
from tests.crash import laws
from tests.crash.explore import ATTEMPTS, Exploration, Run, beyond, plan, uncovered
from tests.crash.flows import FLOWS
from tests.crash.journal import Asked, Did, Died, Entry, Journal, Lost, Origin, Place, Requested, Wrote
from tests.crash.mortal import Crash, Mode, Trap
from tests.crash.report import left_undisturbed
from tests.crash.scene import INTERVAL, NAME, PRIMARY
from tests.crash.watcher import Change, Watcher

START = datetime(2030, 1, 1, tzinfo=UTC)


def at(steps: float) -> datetime:
    """A moment in a story, in intervals from its start."""
    return START + steps * INTERVAL


def wrote(
    when: float, resource: Resource, name: str, answer: JsonObject, *, sub: str = "", method: str = "PUT"
) -> Wrote:
    where = f"{resource.kind} {name}" + (f"/{sub}" if sub else "")
    sent = at(when) - timedelta(milliseconds=20)
    return Wrote(f"{method} {where}", Place(resource, name, sub), method, 1, sent, at(when), 200, answer)


def route(when: float, weight: int) -> Wrote:
    return wrote(when, HTTP_ROUTES, NAME, route_with(weight), method="PATCH")


def route_with(weight: int) -> JsonObject:
    shares = {PRIMARY: 100 - weight, f"{NAME}-canary": weight}
    return {"spec": {"rules": [{"backendRefs": [{"name": n, "weight": w} for n, w in shares.items()]}]}}


def asked(when: float, kind: str, *, passed: bool = True) -> Asked:
    return Asked(kind, passed, at(when), key=str(when), checksum="" if kind == "metric" else "one")


def primary_gets(when: float, tag: str, action: str = "UpdatePrimary") -> Wrote:
    return replace(wrote(when, DEPLOYMENTS, PRIMARY, workload(PRIMARY, tag=tag)), origin=Origin(action))


def workload(name: str, *, replicas: int = 2, ready: int = 2, tag: str = "2") -> JsonObject:
    template = {"metadata": {"labels": {"app": name}}, "spec": {"containers": [{"image": f"app:{tag}"}]}}
    spec = {"replicas": replicas, "template": template}
    return {"metadata": {"name": name}, "spec": spec, "status": {"readyReplicas": ready}}


def recorded(when: float) -> Wrote:
    return wrote(when, CANARIES, NAME, {}, sub="status")


def stopped(when: float, name: str = NAME) -> Wrote:
    return wrote(when, DEPLOYMENTS, name, {"spec": {}}, sub="scale", method="PATCH")


def pushed(when: float = 0, tag: str = "2") -> Did:
    return Did("image", tag, at(when))


def good_story() -> list[Entry]:
    """Two steps, promotion, and the end, each as early as may be."""
    return [
        pushed(),
        asked(1, "pre-rollout"),
        route(1.1, 25),
        asked(2.2, "rollout"),
        asked(2.3, "metric"),
        route(2.4, 50),
        asked(3.5, "rollout"),
        asked(3.6, "metric"),
        wrote(3.7, CONFIG_MAPS, "settings-primary", {}),
        primary_gets(3.8, "2"),
        route(4.8, 0),
        stopped(5.9),
    ]


def without(kind: str, nth: int = 0) -> list[Entry]:
    story = good_story()
    story.remove([entry for entry in story if isinstance(entry, Asked) and entry.kind == kind][nth])
    return story


def changed(index: int, *entries: Entry) -> list[Entry]:
    story = good_story()
    story[index : index + 1] = entries
    return story


def test_a_good_story_breaks_no_law() -> None:
    assert [sentence for law in laws.JOURNAL_LAWS for sentence in law(Journal(good_story()))] == []


@pytest.mark.parametrize(
    ("law", "story", "words"),
    [
        pytest.param(laws.rises_are_earned, without("pre-rollout"), "0 to 25 without", id="first step, no pre-rollout"),
        pytest.param(laws.rises_are_earned, without("rollout"), "25 to 50 without", id="next step, no rollout hook"),
        pytest.param(laws.rises_are_earned, without("metric"), "25 to 50 without", id="next step, no metric"),
        pytest.param(
            laws.rises_are_earned,
            changed(4, asked(2.3, "metric", passed=False)),
            "metric",
            id="step after a bad metric",
        ),
        pytest.param(
            laws.rises_are_earned,
            changed(5, pushed(2.35, "3"), route(2.35 + 3, 50)),
            "rollout",
            id="step after a new push",
        ),
        pytest.param(laws.falls_have_reasons, changed(5, route(2.4, 10)), "25 to 10", id="fall in mid-analysis"),
        pytest.param(
            laws.falls_have_reasons,
            [pushed(), route(1, 25), asked(2.3, "metric", passed=False), route(3.4, 0)],
            "25 to 0",
            id="rollback below the threshold",
        ),
        pytest.param(laws.weights_are_held, changed(5, route(2.0, 50)), "25 % was held", id="a hurried step"),
        pytest.param(laws.weights_are_held, changed(10, route(4.0, 25), route(4.5, 0)), "25 %", id="a hurried shift"),
        pytest.param(laws.workloads_drain, changed(11, stopped(5.5)), "podinfo lost its pods", id="stopped too soon"),
        pytest.param(
            laws.workloads_drain,
            [
                wrote(0, SERVICES, NAME, {"spec": {"selector": {"app": PRIMARY}}}),
                wrote(1, SERVICES, NAME, {"spec": {"selector": {"app": NAME}}}),
                wrote(1.5, DEPLOYMENTS, PRIMARY, {}, method="DELETE"),
            ],
            "podinfo-primary lost its pods",
            id="primary deleted too soon",
        ),
        pytest.param(laws.promotions_are_earned, changed(9, primary_gets(3.8, "3")), "got 3", id="another image"),
        pytest.param(laws.promotions_are_earned, without("rollout", 1), "1 of 2 judgements", id="a step not judged"),
        pytest.param(laws.promotions_are_earned, without("pre-rollout"), "pre-rollout", id="promoted unchecked"),
        pytest.param(
            laws.promotions_are_earned,
            changed(7, asked(3.6, "metric", passed=False)),
            "good metric",
            id="bad at the end",
        ),
        pytest.param(
            laws.promotions_are_earned, changed(1, asked(2.1, "pre-rollout")), "after the analysis began", id="too fast"
        ),
        pytest.param(
            laws.promotions_are_earned, [pushed(), primary_gets(1, "2")], "before anything", id="not analysed"
        ),
        pytest.param(
            laws.what_comes_back_was_promoted,
            [primary_gets(1, "1", "CreatePrimary"), primary_gets(2, "2", "RestorePrimary")],
            "came back with 2",
            id="never promoted",
        ),
        pytest.param(
            laws.questions_are_recorded,
            [asked(1, "rollout"), recorded(1.1), asked(1, "rollout")],
            "rollout was asked again",
            id="asked again",
        ),
    ],
)
def test_a_broken_law_is_noticed(law: Callable[[Journal], Iterator[str]], story: list[Entry], words: str) -> None:
    assert words in "; ".join(law(Journal(story)))


@pytest.mark.parametrize(
    "story",
    [
        pytest.param([pushed(), route(1, 25), pushed(1.1, "3"), route(1.2, 0)], id="restart"),
        pytest.param([pushed(), route(1, 100), Lost(at(1.1)), route(1.2, 0)], id="the canary had all users"),
        pytest.param([pushed(), route(1, 25), Requested("abort", at(1.1)), route(1.2, 0)], id="abort"),
        pytest.param([pushed(), route(1, 25), Did("delete", "", at(1.1)), route(1.2, 0)], id="deletion"),
        pytest.param(
            [pushed(), route(1, 25), *[asked(n, "metric", passed=False) for n in (2, 3)], route(3.1, 0)], id="rollback"
        ),
    ],
)
def test_users_may_leave_the_canary_at_once_for_a_reason(story: list[Entry]) -> None:
    journal = Journal(story)
    assert [*laws.falls_have_reasons(journal), *laws.weights_are_held(journal)] == []


class Seen(Watcher):
    """Eyes that saw these changes."""

    def __init__(self, *changes: Change) -> None:
        self.changes = list(changes)


def change(version: int, resource: Resource, name: str, obj: JsonObject | None) -> Change:
    return Change(version, resource, name, obj)


def apex(version: int, app: str) -> Change:
    return change(version, SERVICES, NAME, {"spec": {"selector": {"app": app}}})


@pytest.mark.parametrize(
    "between", [[], [recorded(1.1), Died("PUT Canary podinfo/status", "after", at(1.2))]], ids=["a conflict", "a crash"]
)
def test_a_question_is_repeated_while_its_answer_may_not_be_recorded(between: list[Entry]) -> None:
    story: list[Entry] = [asked(1, "rollout"), *between, asked(1, "rollout")]
    assert list(laws.questions_are_recorded(Journal(story))) == []


def test_users_sent_to_nobody_while_somebody_is_ready_are_noticed() -> None:
    target, primary = workload(NAME), workload(PRIMARY, ready=0)
    seen = Seen(apex(3, PRIMARY), change(1, DEPLOYMENTS, NAME, target), change(2, DEPLOYMENTS, PRIMARY, primary))
    [sentence] = laws.users_are_served(seen)
    assert sentence.startswith("Service podinfo leads to podinfo-primary, which is not ready, while podinfo is")


def test_users_sent_through_a_route_to_a_service_that_is_gone_are_noticed() -> None:
    seen = Seen(change(1, DEPLOYMENTS, NAME, workload(NAME)), change(2, HTTP_ROUTES, NAME, route_with(0)))
    assert "the route by Service podinfo-primary leads to nothing" in next(laws.users_are_served(seen))


def test_where_nobody_is_ready_nobody_can_be_served() -> None:
    seen = Seen(change(1, DEPLOYMENTS, NAME, workload(NAME, ready=0)), apex(2, NAME))
    assert list(laws.users_are_served(seen)) == []


def test_weights_that_do_not_add_up_are_noticed() -> None:
    route = route_with(25)
    route["spec"]["rules"][0]["backendRefs"][0]["weight"] = 70
    assert len(list(laws.weights_add_up(Seen(change(1, HTTP_ROUTES, NAME, route))))) == 1


def test_every_write_is_disturbed_in_every_way_and_equal_ones_one_by_one() -> None:
    planned = {crashes[0] for crashes in plan(["a", "b", "a"], every=True)}
    assert planned == {Crash(title, nth, mode) for title, nth in (("a", 1), ("b", 1), ("a", 2)) for mode in Mode}


def test_in_less_time_every_write_is_disturbed_in_one_way_and_its_neighbour_in_another() -> None:
    planned = [crashes[0] for crashes in plan(["a", "b", "a", "c"], every=False)]
    assert [crash.title for crash in planned] == ["a", "b", "a", "c"]
    assert [crash.mode for crash in planned] == [Mode.BEFORE, Mode.AFTER, Mode.LOST, Mode.BEFORE]


def test_in_less_time_only_a_write_that_nothing_disturbed_at_all_is_noticed() -> None:
    crash = Crash("a", 1, Mode.BEFORE)
    runs = [Run("x", (), writes=("a",)), Run("x", (crash,), struck=(crash,), writes=("a", "b"))]
    exploration = Exploration(FLOWS["cancel"], runs)
    assert uncovered([exploration], every=False) == {"b": tuple(Mode)}
    assert [plans for _, plans in beyond([exploration], every=False)] == [[(crash, Crash("b", 1, Mode.BEFORE))]]


def test_a_write_that_nothing_disturbed_is_noticed_and_planned() -> None:
    crash = Crash("a", 1, Mode.BEFORE)
    runs = [Run("x", (), writes=("a",)), Run("x", (crash,), struck=(crash,), writes=("a", "b", "a"))]
    exploration = Exploration(FLOWS["cancel"], runs)
    assert uncovered([exploration], every=True) == {"a": (Mode.AFTER, Mode.LOST), "b": tuple(Mode)}
    planned = [crashes for _, plans in beyond([exploration], every=True) for crashes in plans]
    assert (Crash("a", 1, Mode.AFTER),) in planned
    assert (crash, Crash("b", 1, Mode.AFTER)) in planned


def test_a_write_that_cannot_be_made_to_happen_again_is_not_asked_for() -> None:
    crash = Crash("chance", 1, Mode.AFTER)
    once = Exploration(FLOWS["cancel"], [Run("x", (), writes=("chance",))])
    [sentence] = left_undisturbed([once])
    assert sentence == "chance: nothing dies before, dies after, loses the answer of it"
    once.runs += [Run("x", (crash,)), Run("x", (crash,))]
    assert left_undisturbed([once]) == [sentence]
    once.runs += [Run("x", (crash,))]
    assert len(once.runs) == ATTEMPTS + 1
    assert sentence not in left_undisturbed([once])


def test_a_trap_strikes_only_when_armed_and_only_the_chosen_writes() -> None:
    trap = Trap([Crash("a", 2, Mode.AFTER), Crash("a", 1, Mode.LOST)])
    assert trap.look("a") is None
    trap.arm()
    assert [trap.look(title) for title in ("a", "b", "a", "a", "a")] == [None, None, Mode.AFTER, Mode.LOST, None]


def test_whoever_goes_on_by_hand_waits_for_neither_checks_nor_intervals() -> None:
    story: list[Entry] = [
        pushed(),
        asked(1, "pre-rollout"),
        route(1.1, 25),
        Requested("promote", at(1.2)),
        route(1.3, 50),
    ]
    journal = Journal(story)
    assert [*laws.rises_are_earned(journal), *laws.weights_are_held(journal)] == []
    journal.entries.remove(story[3])
    assert [*laws.rises_are_earned(journal)] != []


def test_a_primary_that_the_user_takes_away_is_no_fault_of_the_route_until_it_changes() -> None:
    def seen() -> Seen:
        return Seen(
            change(1, DEPLOYMENTS, NAME, workload(NAME)),
            change(2, DEPLOYMENTS, PRIMARY, workload(PRIMARY)),
            change(3, SERVICES, PRIMARY, {"spec": {"selector": {"app": PRIMARY}}}),
            change(4, HTTP_ROUTES, NAME, route_with(0)),
            change(5, DEPLOYMENTS, PRIMARY, None),
        )

    assert list(laws.users_are_served(seen(), primary_is_lost=True)) == []
    assert len(list(laws.users_are_served(seen()))) == 1
