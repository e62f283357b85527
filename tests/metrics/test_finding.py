from __future__ import annotations

from dataclasses import dataclass

import pytest

from flaggerpy.api.sequential import AtLimit, SequentialTest
from flaggerpy.metrics.finding import Patience, consult, judge_intervals, patience_of, rules_of
from flaggerpy.metrics.sequential import Counts, Interval, Rules, weigh_all
from flaggerpy.rollout.checks import Verdict

PASSED, FAILED, INCONCLUSIVE = Verdict.PASSED, Verdict.FAILED, Verdict.INCONCLUSIVE


def interval(failed: int, asked: int, primary_failed: int, primary_asked: int) -> Interval:
    return Interval(Counts(asked - failed, asked), Counts(primary_asked - primary_failed, primary_asked))


CALM = interval(0, 100, 1, 900)
WORSE = interval(10, 500, 0, 500)


@dataclass(frozen=True)
class Case:
    rule: str
    seen: tuple[Interval, ...]
    last: bool
    verdict: Verdict
    says: str


CASES = [
    Case("calm is enough for a step", (CALM,), False, PASSED, "no sign of harm: the canary fails less"),
    Case("but not for the promotion", (CALM,), True, INCONCLUSIVE, "about 760 more requests to the canary are needed"),
    Case("a proof of no harm is", (CALM,) * 15, True, PASSED, "proven not to be worse by 0.5 points"),
    Case(
        "suspicion holds a step", (WORSE,) * 2, False, INCONCLUSIVE, "by 2 points, which may be chance: the share stays"
    ),
    Case("a proof of harm fails", (WORSE,) * 4, False, FAILED, "fails more often than the primary, by 2 points"),
    Case("also before the promotion", (WORSE,) * 4, True, FAILED, "which is proven"),
    Case("a collapse fails at once", (interval(100, 100, 1, 900),), False, FAILED, "99.89 points, which is proven"),
    Case("harm goes before no harm", (interval(40, 9_000, 9, 9_000),) * 6, True, FAILED, "by 0.34 points"),
    Case("nothing measured passes nothing", (), False, INCONCLUSIVE, "nothing to compare"),
    Case("nor does silence after calm", (CALM, interval(0, 0, 1, 900)), False, INCONCLUSIVE, "nothing to compare"),
    Case("nor before the promotion", (CALM,) * 15 + (interval(0, 0, 1, 900),), True, INCONCLUSIVE, "nothing to"),
    Case(
        "leaning to harm has no forecast", (interval(3, 500, 0, 500),), True, INCONCLUSIVE, "points: so far the canary"
    ),
    Case(
        "alike is said as such", (interval(5, 500, 5, 500),), False, PASSED, "the canary fails as often as the primary"
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.rule)
def test_what_follows_from_the_evidence(case: Case) -> None:
    found = judge_intervals(case.seen, Rules(), last=case.last)

    assert (found.verdict, case.says in found.sentence) == (case.verdict, True), found.sentence


def test_value_and_bound_are_shown_as_numbers() -> None:
    found = judge_intervals((interval(3, 1_500, 4, 3_500),), Rules(), last=False)

    assert found.value == "+0.09 points (0.20% of 1,500, primary 0.11% of 3,500)"
    assert found.bound == "< +0.5 points"


@pytest.mark.parametrize(
    ("asked", "then", "verdict"),
    [
        (19, AtLimit.PASS, INCONCLUSIVE),
        (20, AtLimit.PASS, PASSED),
        (20, AtLimit.FAIL, FAILED),
        (99, AtLimit.WAIT, INCONCLUSIVE),
    ],
)
def test_an_undecided_test_answers_as_wished_when_it_has_asked_often_enough(
    asked: int, then: AtLimit, verdict: Verdict
) -> None:
    rules = Rules()

    found = consult(weigh_all([CALM], rules), rules, last=True, asked=asked, patience=Patience(20, then))

    assert found.verdict is verdict
    assert ("asked for more time 20 times, which is the limit" in found.sentence) == (verdict is not INCONCLUSIVE)


def test_the_defaults_of_the_settings_are_those_of_the_test() -> None:
    settings = SequentialTest.model_validate({})

    assert (rules_of(settings), patience_of(settings)) == (Rules(), Patience())
