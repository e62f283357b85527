"""Steps, what is due, why: what the command line reads out of a Canary."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from flaggerpy.api.canary import Canary
from flaggerpy.api.status import Pause, Phase, Step
from flaggerpy.cli.progress import due, progress, span, untold, why
from tests.builders import blue_green, canary, with_analysis, with_rollout, with_spec, with_status
from tests.cli.seen import NOW, ago, at_rest, check, rolling


def slow(**rollout: Any) -> Canary:
    """Build a rollout with an interval of ten minutes that was judged just now."""
    judged = Step(weight=20, started_at=ago(700), checked_at=ago(12), attempt=1)
    return with_rollout(with_analysis(rolling(), interval=timedelta(minutes=10)), step=judged, **rollout)


@pytest.mark.parametrize(
    ("title", "of", "percent", "words"),
    [
        ("before the first step", rolling(0), 0, "step 0 of 5"),
        ("at a step", rolling(20), 20, "step 2 of 5"),
        ("a weight between two steps", rolling(25), 25, "step 2 of 5"),
        ("the last step", rolling(50), 50, "step 5 of 5"),
        ("iterations", with_status(blue_green(4), iterations=1), 25, "iteration 1 of 4"),
        (
            "copies before the first step",
            with_rollout(rolling(0), step=Step(started_at=ago(5), mirrored=True)),
            0,
            "step 0 of 5 with copies of requests",
        ),
        ("one more iteration than asked", with_status(blue_green(4), iterations=5), 100, "iteration 4 of 4"),
        (
            "weights with a provider that has none are ten iterations",
            with_status(canary(spec={"provider": "kubernetes"}), iterations=3),
            30,
            "iteration 3 of 10",
        ),
        ("a provider that the controller chose", with_status(canary(), canary_weight=10), 10, "step 1 of 5"),
    ],
)
def test_how_far_it_is(title: str, of: Canary, percent: int, words: str) -> None:
    assert (progress(of).percent, progress(of).words) == (percent, words), title


@pytest.mark.parametrize(
    ("title", "of", "moment"),
    [
        ("one interval after the last judgement", rolling(), ago(12 - 30)),
        ("or after the step began", with_rollout(rolling(), step=Step(weight=20, started_at=ago(5))), ago(5 - 30)),
        (
            "the first check comes when the canary is ready",
            with_rollout(rolling(0), step=Step(started_at=ago(5))),
            None,
        ),
        (
            "copies are held for an interval",
            with_rollout(rolling(0), step=Step(started_at=ago(5), mirrored=True)),
            ago(-25),
        ),
        ("and is repeated after an interval", rolling(0), ago(12 - 30)),
        ("a gate is asked once an interval", with_status(rolling(0), Phase.WAITING), ago(12 - 30)),
        ("a promotion at once waits for the primary alone", with_status(rolling(50), Phase.PROMOTING), None),
        (
            "one in steps has its clock",
            with_analysis(with_status(rolling(50), Phase.PROMOTING), step_weight_promotion=10),
            ago(12 - 30),
        ),
        ("nothing is due at rest", at_rest(), None),
        ("nor while paused", rolling(paused=Pause(by="alice")), None),
        ("but while a verdict is missing", rolling(paused=Pause(by="flaggerpy", reason="no verdict")), ago(-18)),
        ("a metric is soon asked for again", slow(checks=[check("Error")]), ago(-18)),
        ("where nothing else is wrong", slow(checks=[check("Error"), check("Failed", name="b")]), ago(-588)),
        ("nor while suspended", with_spec(rolling(), suspend=True), None),
    ],
)
def test_when_something_is_due(title: str, of: Canary, moment: datetime | None) -> None:
    assert due(of) == moment, title


def test_why_a_canary_stands_where_it_does() -> None:
    ready = {"type": "Ready", "status": "Unknown", "reason": "Progressing", "message": "New revision detected."}
    assert why(canary()) == ""
    assert why(with_status(canary(), conditions=[ready])) == "New revision detected."
    waits = with_status(rolling(reason="waiting for the gate"), conditions=[ready])
    assert why(waits) == "waiting for the gate"


@pytest.mark.parametrize(
    ("title", "of", "said"),
    [
        ("nothing else", rolling(), "paused by alice"),
        ("the controller's own words", rolling(reason="paused by alice"), "paused by alice"),
        ("something it waits for", rolling(reason="waiting for web"), "paused by alice; waiting for web"),
        (
            "a check that fails meanwhile",
            rolling(reason="rate is 97%", checks=[check("Failed")]),
            "paused by alice; the last check: rate is 97%",
        ),
        (
            "a revision that had failed before",
            at_rest(Phase.FAILED, reason="rate was 97%", checks=[check("Failed")]),
            "paused by alice; rate was 97%",
        ),
    ],
)
def test_a_pause_and_what_else_is_so_are_told_apart(title: str, of: Canary, said: str) -> None:
    assert why(with_rollout(of, paused=Pause(by="alice"))) == said, title


def test_details_that_were_said_are_not_said_again() -> None:
    trouble = 'web: 2 × ImagePullBackOff: Back-off pulling image "web:2": not found'
    assert untold(trouble[5:], "") == trouble[5:]
    assert untold(trouble[5:], "web cannot become ready: ErrImagePull (failed to pull: not found)") == (
        "2 × ImagePullBackOff"
    )
    assert untold("1 × Pending", "Pending") == "1 × Pending"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-3, "0s"),
        (0, "0s"),
        (119, "119s"),
        (120, "2m"),
        (125, "2m5s"),
        (599, "9m59s"),
        (600, "10m"),
        (10799, "179m"),
        (10800, "3h"),
        (10860, "3h1m"),
        (8 * 3600 + 60, "8h"),
        (47 * 3600, "47h"),
        (49 * 3600, "2d"),
    ],
)
def test_ages_are_short(seconds: int, text: str) -> None:
    assert span(NOW - (NOW - timedelta(seconds=seconds))) == text
