"""The picture, drawn to text: everything is there at any width, and no colour says anything alone."""

from __future__ import annotations

import io
import re
from typing import Any

import pytest
from rich.console import Console

from flaggerpy.api.sequential import SequentialRecord
from flaggerpy.api.status import Pause, Phase
from flaggerpy.cli.picture import Bar, picture
from flaggerpy.cli.snapshot import Snapshot
from tests.builders import ab_test, blue_green, with_rollout, with_spec, with_status
from tests.cli.seen import ago, at_rest, check, event, pods, rolling, snapshot


def draw(seen: Snapshot, width: int = 100, **more: Any) -> list[str]:
    console = Console(width=width, file=io.StringIO(), highlight=False)
    with console.capture() as captured:
        console.print(picture(seen, **more))
    return [line.strip() for line in captured.get().splitlines()]


def says(seen: Snapshot, words: str, **more: Any) -> bool:
    return any(words in re.sub(r" +", " ", line) for line in draw(seen, **more))


def test_a_rollout_in_the_middle() -> None:
    seen = snapshot(
        with_status(
            rolling(checks=[check("Failed", "97.20%")], reason="metric request-success-rate is 97.20%"), failed_checks=1
        ),
        pods("canary", "1 × CrashLoopBackOff: ended with exit code 1", available=1),
        pods("primary"),
        events=(event("Advance web.shop canary weight 20", age=42), event("Halt web.shop", age=12, warning=True)),
    )
    assert draw(seen, 90) == [
        "shop/web  Deployment web · gatewayapi:v1 · every 30s                            08:30:15",
        "» Progressing  for 42s, next check in 18s                           1 of 5 failed checks",
        "",
        "canary 20 % ━━━━━╋━━━━━╋─────┼──────┼─────┼──────────────────────────────── primary 80 %",
        "10    20    30     40    50",
        "step 2 of 5, then promotion",
        "",
        "why: metric request-success-rate is 97.20%",
        "",
        "check                 value   accepted  verdict",
        "request-success-rate  97.20%  >= 99%    ✗ failed   12s",
        "request-duration      –                 · not yet",
        "",
        "pods                  available",
        "canary   web          … 1 of 2   1 × CrashLoopBackOff: ended with exit code 1",
        "primary  web-primary  ✓ 2 of 2",
        "",
        "42s   Advance web.shop canary weight 20",
        "12s ! Halt web.shop",
        "",
    ]


@pytest.mark.parametrize("width", [24, 40, 61, 80, 200])
def test_no_line_is_wider_than_the_terminal_and_nothing_is_lost_but_the_ends_of_events(width: int) -> None:
    long = "waiting for canary deployment web.shop to become ready, which takes a while"
    seen = snapshot(rolling(reason=long), notes=("not allowed: pods is forbidden",), events=(event("x" * 300),))
    lines = draw(seen, width)
    assert all(len(line) <= width - 2 for line in lines), "a line that fills the terminal would be broken by some"
    words = " ".join(lines).split()
    for word in (*long.split(), "forbidden", "Progressing", "shop/web"):
        assert word in words


@pytest.mark.parametrize("verdict", ["Passed", "Failed", "Inconclusive", "Error"])
def test_a_verdict_is_a_sign_and_a_word_in_a_colour(verdict: str) -> None:
    signs = {
        "Passed": "✓ passed",
        "Failed": "✗ failed",
        "Inconclusive": "? not judged",
        "Error": "! not measured",
    }
    assert says(snapshot(rolling(checks=[check(verdict)])), signs[verdict])
    assert says(snapshot(rolling(checks=[check(verdict, dry_run=True)])), f"{signs[verdict]}, dry run")


def test_what_value_and_bound_do_not_tell_is_told_in_words() -> None:
    failed = check("Failed", None, reason="Halt advancement no values found for metric")
    assert says(snapshot(rolling(checks=[failed])), "no values found")
    few = check("Inconclusive", "97.20%", reason="metric errors: 41 samples are too few")
    assert says(snapshot(rolling(checks=[few])), "41 samples are too few")
    told = check("Failed", "97.20%", reason="Halt web.shop advancement success rate 97.20% < 99%")
    assert not says(snapshot(rolling(checks=[told])), "Halt web.shop")


def test_what_a_sequential_test_found_out_is_told_in_words_also_when_it_passed() -> None:
    record = SequentialRecord(asked=3)
    calm = check(reason="proven not to be worse by 0.5 points", sequential=record)
    assert says(snapshot(rolling(checks=[calm])), "request-success-rate: proven not to be worse by 0.5 points; asked")
    at_limit = check("Failed", reason="not clear; asked for more time 3 times, which is the limit", sequential=record)
    assert not says(snapshot(rolling(checks=[at_limit])), "limit; asked")


@pytest.mark.parametrize(
    ("title", "of", "words"),
    [
        ("at rest users are on the primary", at_rest(), "users are served by web-primary"),
        ("and how long", at_rest(), "✓ Succeeded for 3h"),
        ("a failure is a sign and a word", at_rest(Phase.FAILED, reason="too slow"), "✗ Failed for 3h"),
        ("and says why", at_rest(Phase.FAILED, reason="too slow"), "why: too slow"),
        (
            "a broken primary is named",
            at_rest(Phase.FAILED, serving_canary=True),
            "users are served by web, because web-primary cannot",
        ),
        ("a pause is named", rolling(paused=Pause(by="alice", at=ago(60))), "‖ Progressing, paused for 42s"),
        ("and who made it", rolling(paused=Pause(by="alice", at=ago(60))), "why: paused by alice"),
        ("suspension too", with_spec(rolling(), suspend=True), "‖ Progressing, suspended"),
        ("a bootstrap", with_status(rolling(0), Phase.INITIALIZING), "served by web until web-primary is ready"),
        ("a canary that nobody has seen", with_status(at_rest(), Phase.NEW), "» New"),
        ("a gate", with_status(rolling(50), Phase.WAITING_PROMOTION), "the gate is asked again in 18s"),
        ("a promotion", with_status(rolling(50), Phase.PROMOTING), "web-primary takes over what was analysed"),
        ("its end", with_status(rolling(0), Phase.FINALISING), "promoted: users leave web"),
        ("a release", with_status(rolling(0), Phase.TERMINATING), "users are given back to web"),
    ],
)
def test_every_standing_is_told_in_words(title: str, of: Any, words: str) -> None:
    assert says(snapshot(of), words), title


def test_what_the_reason_says_of_pods_is_not_said_beside_them_again() -> None:
    pull = 'Back-off pulling image "web:2": not found'
    waiting = pods("canary", f"2 × ImagePullBackOff: {pull}", available=0)
    assert says(snapshot(rolling(), waiting), f"2 × ImagePullBackOff: {pull}")
    failed = snapshot(at_rest(Phase.FAILED, reason=f"web cannot become ready: ImagePullBackOff ({pull})"), waiting)
    assert says(failed, f"why: web cannot become ready: ImagePullBackOff ({pull})")
    assert says(failed, "2 × ImagePullBackOff")
    assert not says(failed, "2 × ImagePullBackOff:")


def test_failed_checks_are_counted_during_an_analysis_only() -> None:
    assert says(snapshot(rolling()), "0 of 5 failed checks")
    assert not says(snapshot(with_status(rolling(0), Phase.INITIALIZING)), "failed checks")


def test_a_mistake_is_to_be_mended() -> None:
    stalled = {"type": "Stalled", "status": "True", "reason": "UserError", "message": "Deployment web does not exist."}
    seen = snapshot(with_status(rolling(), conditions=[stalled]))
    assert says(seen, "‖ Progressing, stalled")
    assert says(seen, "to be mended: Deployment web does not exist.")


def test_blue_green_is_drawn_by_iterations() -> None:
    seen = snapshot(with_rollout(with_status(blue_green(), Phase.PROGRESSING, iterations=2)))
    assert says(seen, "iterations ━")
    assert says(seen, "iteration 2 of 3, then promotion")
    assert not says(seen, "primary 100 %")


def test_an_a_b_test_shows_its_share_beside_the_iterations() -> None:
    seen = snapshot(with_status(ab_test(), Phase.PROGRESSING, iterations=1, canary_weight=100))
    assert says(seen, "iteration 1 of 3, then promotion")
    assert says(seen, "canary 100 %")


def test_a_sleeping_target_is_no_failure() -> None:
    asleep = pods(available=0, replicas=0, current_replicas=0)
    assert says(snapshot(at_rest(), asleep, pods("primary")), "canary web none wanted")


def test_of_a_workload_whose_pods_are_not_ours_to_count_only_readiness_is_shown() -> None:
    unready = pods(replicas=1, available=0, sleeps=False)
    ready = pods("primary", replicas=1, available=1, sleeps=False)
    seen = snapshot(rolling(), unready, ready)
    assert says(seen, "canary web … not ready")
    assert says(seen, "primary web-primary ✓ ready")


def test_only_the_last_events_are_shown_and_none_where_there_is_no_room() -> None:
    seen = snapshot(events=tuple(event(f"number {n}", age=100 - n) for n in range(20)))
    assert [line for line in draw(seen, events=2) if "number" in line] == ["82s   number 18", "81s   number 19"]
    assert not says(seen, "number", events=0)


def test_an_event_that_is_too_long_keeps_its_age() -> None:
    [line] = [row for row in draw(snapshot(events=(event("m" * 300, age=75),)), 80) if "mmm" in row]
    assert line.split()[0] == "75s"
    assert line.endswith("…")


@pytest.mark.parametrize(
    ("title", "percent", "width", "line"),
    [
        ("nothing yet", 0, 10, "────┼────┼"),
        ("half way", 50, 10, "━━━━╋────┼"),
        ("all", 100, 10, "━━━━╋━━━━╋"),
        ("one column", 50, 1, "┼"),
    ],
)
def test_a_bar_is_thick_where_it_is_done(title: str, percent: int, width: int, line: str) -> None:
    assert Bar(percent, (50, 100), ("50", "100")).line(width).plain == line, title


def test_the_scale_names_as_many_steps_as_fit() -> None:
    bar = Bar(0, (10, 20, 30, 40, 50), ("10", "20", "30", "40", "50"))
    assert bar.scale(100).plain.split() == ["10", "20", "30", "40", "50"]
    assert bar.scale(100).plain.index("50") == 48
    assert bar.scale(20).plain.split() == ["10", "30", "50"]
