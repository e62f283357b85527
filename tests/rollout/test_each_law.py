"""One test for each law: Hypothesis looks for a history that breaks this one, whatever it does to the others.

Every test draws histories of its own, so together they see more of them than test_laws.py, where all laws hold at once.
A law that no history looked at counts as broken.
"""

from __future__ import annotations

import copy
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule, run_state_machine_as_test

from flaggerpy.api.status import Phase
from flaggerpy.rollout.checks import Verdict
from flaggerpy.rollout.decision import Plan
from flaggerpy.rollout.observation import KeptSeen
from flaggerpy.rollout.traffic import Acceptance, RouteState
from flaggerpy.rollout.transition import ANALYSIS, BOOTSTRAP, IDLE
from tests.rollout.laws import Law
from tests.rollout.test_laws import AUDIENCE, BY_PODS, STRATEGIES, TEMPLATES, Histories, Sabotage
from tests.rollout.test_total import answered
from tests.rollout.workloads import Deployment
from tests.rollout.world import SCALER, SIZED

pytestmark = pytest.mark.laws

EACH_OF = 2
"""A law gets this part of the histories that are drawn for all of them together."""
DRAWS = 5
"""As often at most are histories drawn for a law that none has looked at."""
_settings = settings(
    max_examples=max(settings().max_examples // EACH_OF, 1),
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
ROLLING: dict[str, Any] = {"routed": True, "bootstrapped": True, "kinds": set()}
"""Begin where a rollout soon gives users to its canary."""
FOR_AN_AUDIENCE: list[dict[str, Any]] = [
    {"iterations": 5, **AUDIENCE},
    {"iterations": 1, "stepWeightPromotion": 20, **AUDIENCE},
    {"stepWeights": [5, 50, 100], **AUDIENCE},
    {"stepWeights": [5, 50, 100], "matchFirst": True, **AUDIENCE},
]
STRANGE: dict[str, Any] = {
    "target": None,
    "primary": None,
    "scaler": None,
    "history": None,
    "route": RouteState(routes=None),
    "kept": KeptSeen(),
}
"""What a cluster may show of each part when somebody took it away, or when it cannot be read."""


def holds(machine: type[Histories], law: Law, **always: Any) -> int:
    """Look for a history that breaks a law; return how often the law was looked at.

    What a law speaks of may be so rare that chance leaves it out; then more histories are drawn.
    """
    counted: Counter[Law] = Counter()
    for draw in range(DRAWS):
        one = type(machine.__name__, (machine,), {"law": law, "always": always, "looked_at": counted})
        run_state_machine_as_test(seed(list(Law).index(law) + draw * len(Law))(one), settings=_settings)
        if counted[law]:
            break
    return counted[law]


def test_the_weights_of_a_route_add_up_to_100() -> None:
    assert holds(Sabotage, Law.WEIGHTS_ADD_UP_TO_100)


def test_the_canarys_weight_never_falls_except_by_rollback_restart_cancel_promotion_or_deletion() -> None:
    assert holds(Histories, Law.WEIGHT_FALLS_FOR_A_REASON, **ROLLING)


def test_every_weight_is_held_for_at_least_one_interval_under_any_crash() -> None:
    assert holds(Histories, Law.WEIGHTS_ARE_HELD_FOR_AN_INTERVAL, **ROLLING)


def test_a_step_is_judged_once_the_data_plane_has_served_it_for_half_of_its_interval() -> None:
    slow: dict[str, Any] = {"gateway": (8, 0, True), "strategy": {}, "kind": Deployment, "scaled": None}
    assert holds(Histories, Law.STEPS_ARE_JUDGED_LIVE, **ROLLING, **slow)


def test_nothing_is_promoted_without_every_gate() -> None:
    assert holds(Sabotage, Law.NO_PROMOTION_WITHOUT_EVERY_GATE)


def test_what_is_promoted_kept_and_brought_back_is_what_was_analysed() -> None:
    assert holds(Sabotage, Law.WHAT_IS_PROMOTED_WAS_ANALYSED)


class Failures(Histories):
    """Histories in which many a revision is found bad, at some step of it."""

    @rule(template=TEMPLATES, before=st.integers(1, 10), after=st.integers(1, 15))
    def a_revision_is_found_bad(self, template: str, before: int, after: int) -> None:
        self.world.metrics.clear()
        self.a_rollout_goes_on(template, before)
        self.world.metrics["latency"] = Verdict.FAILED
        self.time_passes(after)


def test_after_failed_all_traffic_is_on_one_ready_workload() -> None:
    assert holds(Failures, Law.AFTER_FAILED_USERS_ARE_ON_ONE_WORKLOAD, **ROLLING)


def test_users_are_served_between_any_two_writes() -> None:
    assert holds(Histories, Law.USERS_ARE_SERVED)


def test_every_path_ends() -> None:
    assert holds(Sabotage, Law.EVERY_PATH_ENDS)


def test_phases_follow_each_other_as_drawn() -> None:
    assert holds(Sabotage, Law.PHASES_FOLLOW_EACH_OTHER)


def test_users_keep_their_cookie_and_one_that_was_taken_back_never_comes_again() -> None:
    assert holds(Sabotage, Law.COOKIES_ARE_KEPT_AND_END)


def test_a_canary_gets_copies_of_requests_only_where_that_is_asked_for() -> None:
    assert holds(Sabotage, Law.COPIES_ARE_ASKED_FOR)


def test_an_autoscaled_primary_gets_its_users_back_once_it_has_their_pods() -> None:
    assert holds(Histories, Law.USERS_RETURN_TO_ENOUGH_PODS, **ROLLING, scaled=SCALER, kind=Deployment)


def test_a_canary_that_is_sized_by_its_share_has_the_pods_for_it_before_users_come() -> None:
    begun = {**ROLLING, "scaled": None, "kind": Deployment, "strategy": SIZED}
    assert holds(Histories, Law.A_SHARE_HAS_ITS_PODS, **begun)


@pytest.mark.parametrize("machine", [Histories, Sabotage], ids=["histories", "sabotage"])
@pytest.mark.parametrize("strategy", BY_PODS)
def test_all_laws_hold_where_the_canarys_pods_follow_its_share(strategy: str, machine: type[Histories]) -> None:
    begun = {"strategy": BY_PODS[strategy], "scaled": None, "kind": Deployment}
    one = type(machine.__name__, (machine,), {"always": begun})
    run_state_machine_as_test(seed(list(BY_PODS).index(strategy))(one), settings=_settings)


class Doubts(Histories):
    """Histories in which many a round of an analysis lacks a verdict."""

    @rule(
        template=TEMPLATES,
        before=st.integers(1, 10),
        verdicts=st.tuples(st.sampled_from(Verdict), st.sampled_from(Verdict)),
        after=st.integers(1, 15),
    )
    def an_analysis_is_unsure(self, template: str, before: int, verdicts: tuple[Verdict, Verdict], after: int) -> None:
        self.world.metrics.clear()
        self.a_rollout_goes_on(template, before)
        self.world.metrics |= dict(zip(("latency", "tried"), verdicts, strict=True))
        self.time_passes(after)


def test_a_round_that_lacks_a_verdict_neither_counts_nor_lets_the_canary_go_on() -> None:
    assert holds(Doubts, Law.NO_VERDICT_DECIDES_NOTHING, **ROLLING)


def test_what_is_measured_in_a_dry_run_changes_nothing() -> None:
    assert holds(Doubts, Law.A_DRY_RUN_CHANGES_NOTHING, **ROLLING)


def test_only_another_template_or_config_starts_a_rollout() -> None:
    assert holds(Sabotage, Law.ONLY_NEWS_START_A_ROLLOUT)


class Edits(Histories):
    """Histories in which an audience is named, or is no more, in the middle of many a rollout."""

    @rule(
        template=TEMPLATES,
        before=st.sampled_from(FOR_AN_AUDIENCE),
        after=st.sampled_from(STRATEGIES),
        ticks=st.tuples(st.integers(3, 15), st.integers(1, 15)),
    )
    def an_audience_is_edited(
        self, template: str, before: dict[str, Any], after: dict[str, Any], ticks: tuple[int, int]
    ) -> None:
        self.the_canary_is_edited_to(before, "10s")
        self.a_rollout_goes_on(template, ticks[0])
        self.the_canary_is_edited_to(after, "10s")
        self.time_passes(ticks[1])


def test_an_edit_shows_the_canary_to_nobody() -> None:
    assert holds(Edits, Law.AN_EDIT_SHOWS_THE_CANARY_TO_NOBODY, **ROLLING)


class Aborts(Histories):
    """Everything that happens may be followed by an abort, which is tried on a copy of the world."""

    @precondition(lambda self: not self.world.gone and not self.world.deleting)
    @rule()
    def abort_is_possible(self) -> None:
        world = copy.deepcopy(self.world)
        phase, before = world.phase, world.status.rollout
        world.ask("abort")
        world.run_for(300)
        answer = world.status.rollout.request
        assert answer is not None
        if answer.id != f"request-{world.asks}":
            raise AssertionError(f"nobody answers in {phase}")
        demand = self.world.laws.demand
        refusals = (
            phase in IDLE | BOOTSTRAP | {Phase.FINALISING, Phase.TERMINATED},
            phase is Phase.PROMOTING and ("is not kept" in answer.answer or "are overwritten" in answer.answer),
            "being rolled back" in answer.answer and bool(before.failing),
            "is suspended" in answer.answer,
            "is being released" in answer.answer,
        )
        demand(Law.ABORT_IS_POSSIBLE, answer.accepted or any(refusals), f"{phase}: {answer.answer}")
        if not answer.accepted or phase not in ANALYSIS | {Phase.WAITING, Phase.PROMOTING}:
            return
        demand(Law.ABORT_IS_POSSIBLE, world.phase in IDLE, f"{phase}: it ends in {world.phase}")
        left = world.status.rollout.serving_canary or not world.routed or world.destinations() == {"primary"}
        demand(Law.ABORT_IS_POSSIBLE, left, f"{phase}: users are sent to {world.destinations()}")


def test_abort_is_possible_in_every_phase() -> None:
    assert holds(Aborts, Law.ABORT_IS_POSSIBLE)


class Riddles(Sabotage):
    """The cluster may show anything: parts that are gone, unreadable, or not what they were a moment ago."""

    @rule(
        parts=st.sets(st.sampled_from(sorted(STRANGE))),
        accepted=st.sampled_from(Acceptance),
        verdicts=st.lists(st.sampled_from(Verdict), min_size=1, max_size=4),
    )
    def it_shows_something_strange(self, parts: set[str], accepted: Acceptance, verdicts: list[Verdict]) -> None:
        if self.world.gone:
            return
        seen = self.world.observe()
        strange = replace(seen, **{part: STRANGE[part] for part in parts})
        strange = replace(strange, route=replace(strange.route, accepted=accepted))
        plan = answered(strange, self.world.now, verdicts)
        self.world.laws.demand(Law.EVERYTHING_IS_DECIDED, isinstance(plan, Plan), plan)


def test_a_decision_is_made_of_anything_that_the_cluster_can_show() -> None:
    assert holds(Riddles, Law.EVERYTHING_IS_DECIDED)
