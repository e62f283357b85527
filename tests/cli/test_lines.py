"""Changes as lines: what is new and nothing else."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from flaggerpy.api.sequential import SequentialRecord
from flaggerpy.api.status import Pause, Phase
from flaggerpy.cli.lines import Teller, changes
from flaggerpy.cli.snapshot import Snapshot
from tests.builders import with_rollout, with_status
from tests.cli.seen import NOW, check, event, pods, rolling, snapshot


def told(before: Snapshot | None, after: Snapshot, *, events: bool = True) -> list[str]:
    return [line.removeprefix("08:30:15  ") for line in changes(before, after, events=events)]


def test_the_first_look_says_how_everything_stands_but_not_what_happened_before() -> None:
    seen = snapshot(rolling(reason="waiting for the gate"), events=(event("long ago"),))
    assert told(None, seen) == [
        "check request-success-rate 99.80%, accepted is >= 99%: passed",
        "Progressing       20 %  step 2 of 5  waiting for the gate",
        "canary web: 2 of 2 pods available",
        "primary web-primary: 2 of 2 pods available",
    ]


def test_nothing_is_said_of_what_stays() -> None:
    seen = snapshot(events=(event("long ago"),), notes=("not allowed: pods",))
    assert told(seen, replace(seen, now=NOW)) == []


def test_every_line_has_the_time_of_its_look() -> None:
    later = snapshot(with_status(rolling(), Phase.PROMOTING))
    (line,) = changes(snapshot(), replace(later, now=NOW + timedelta(hours=2)))
    assert line == "10:30:15  Promoting         20 %"


def test_each_change_is_one_line() -> None:
    before = snapshot()
    assert told(before, snapshot(with_status(rolling(30)))) == ["Progressing       30 %  step 3 of 5"]
    failed = with_rollout(with_status(rolling(), failed_checks=1), checks=[check("Failed", "97.20%", age=0)])
    assert told(before, snapshot(failed)) == [
        "check request-success-rate 97.20%, accepted is >= 99%: failed",
        "Progressing       20 %  step 2 of 5  1 of 5 failed checks",
    ]
    paused = snapshot(rolling(paused=Pause(by="alice")))
    assert told(before, paused) == ["Progressing       20 %  step 2 of 5  paused by alice"]
    broken = snapshot(rolling(), pods("canary", "1 × CrashLoopBackOff", available=1), pods("primary"))
    assert told(before, broken) == ["canary web: 1 of 2 pods available; 1 × CrashLoopBackOff"]
    assert told(broken, before) == ["canary web: 2 of 2 pods available"]


def test_the_share_that_pods_really_make_is_told() -> None:
    shared = snapshot(rolling(share="asked 20 %, 2 of 10 pods = 20 %"))
    assert told(snapshot(), shared) == ["Progressing       20 %  step 2 of 5  asked 20 %, 2 of 10 pods = 20 %"]
    assert told(shared, snapshot(rolling(share="asked 20 %, 3 of 11 pods = 27.3 %"))) == [
        "Progressing       20 %  step 2 of 5  asked 20 %, 3 of 11 pods = 27.3 %"
    ]


PULL = 'Back-off pulling image "web:2": not found'
FAILED = f"web.shop cannot become ready: container web of 2 of 2 pods: ImagePullBackOff ({PULL})"


def test_an_image_that_does_not_come_is_told_once() -> None:
    before = snapshot(rolling(), pods("canary", available=0), pods("primary"))
    waits = snapshot(rolling(), pods("canary", f"2 × ImagePullBackOff: {PULL}", available=0), pods("primary"))
    assert told(before, waits) == [f"canary web: 0 of 2 pods available; 2 × ImagePullBackOff: {PULL}"]
    again = pods("canary", "1 × ErrImagePull: failed to pull: not found", f"1 × ImagePullBackOff: {PULL}", available=0)
    assert told(waits, snapshot(rolling(), again, pods("primary"))) == [], "the kubelet tries again"
    rolled = event(f"Rolling back web.shop {FAILED}", warning=True)
    back = snapshot(rolling(reason=FAILED), *waits.pods, events=(rolled,))
    assert told(waits, back) == [f"Warning  Rolling back web.shop {FAILED}", "Progressing       20 %  step 2 of 5"]
    over = snapshot(with_status(rolling(reason=FAILED), Phase.FAILED), *waits.pods, events=(rolled,))
    assert told(back, over) == ["Failed            20 %"]
    assert told(before, back, events=False) == [
        f"Progressing       20 %  step 2 of 5  {FAILED}",
        "canary web: 0 of 2 pods available; 2 × ImagePullBackOff",
    ]


def test_the_same_value_measured_again_is_told_again() -> None:
    again = snapshot(rolling(checks=[check(age=0)]))
    assert told(snapshot(), again) == ["check request-success-rate 99.80%, accepted is >= 99%: passed"]


def test_a_check_without_value_or_measurement() -> None:
    after = rolling(checks=[check("Failed", None, name="a", bound=None), check("Error", None, name="b", bound=None)])
    assert told(snapshot(rolling(checks=[])), snapshot(after)) == [
        "check a has no value: failed",
        "check b has no value: could not be measured",
    ]


def test_a_check_that_cannot_be_judged_yet_says_why_and_a_dry_run_that_it_is_one() -> None:
    few = check("Inconclusive", "97.20%", name="a", bound=None, reason="41 samples are too few, 100 are needed")
    tried = check("Failed", "97.20%", name="b", dry_run=True)
    assert told(snapshot(rolling(checks=[])), snapshot(rolling(checks=[few, tried]))) == [
        "check a 97.20%: not judged yet (41 samples are too few, 100 are needed)",
        "check b 97.20%, accepted is >= 99%: failed, dry run",
    ]


def test_what_a_sequential_test_found_out_is_told_whatever_it_is() -> None:
    calm = check(value="+0 points", bound="< +0.5 points", reason="no sign of harm", sequential=SequentialRecord())
    doubt = check("Inconclusive", "+0 points", name="b", reason="not yet", sequential=SequentialRecord(asked=1))
    assert told(snapshot(rolling(checks=[])), snapshot(rolling(checks=[calm, doubt]))) == [
        "check request-success-rate +0 points, accepted is < +0.5 points: passed (no sign of harm)",
        "check b +0 points, accepted is >= 99%: not judged yet (not yet; asked for more time once)",
    ]


def test_a_target_that_went_to_sleep_is_not_worth_a_line() -> None:
    asleep = snapshot(rolling(), pods(available=0, replicas=0, current_replicas=0), pods("primary"))
    assert told(snapshot(), asleep) == []


def test_new_events_are_told_and_so_is_a_repetition() -> None:
    before = snapshot(events=(event("a", mark="1/1"),))
    after = snapshot(events=(event("a", mark="1/2"), event("b", mark="2/1", warning=True)))
    assert told(before, after) == ["Normal   a", "Warning  b"]
    assert told(before, after, events=False) == []


def test_what_cannot_be_read_is_told_once() -> None:
    note = "not allowed: pods is forbidden"
    blind = snapshot(notes=(note,))
    assert told(snapshot(), blind) == [note]
    assert told(blind, snapshot(notes=(note, "and events"))) == ["and events"]


def test_a_canary_that_nobody_has_seen_is_new() -> None:
    new = with_status(rolling(0, checks=[], reason=""), Phase.NEW)
    assert told(None, replace(snapshot(new), pods=())) == ["New                0 %"]


def test_a_teller_remembers_what_it_told() -> None:
    said: list[str] = []
    teller = Teller(said.append, events=False)
    teller.tell(snapshot())
    first = len(said)
    teller.tell(snapshot())
    assert (first, len(said)) == (4, 4)
    teller.tell(snapshot(rolling(30)))
    assert said[-1] == "08:30:15  Progressing       30 %  step 3 of 5"


def test_of_a_workload_whose_pods_are_not_ours_to_count_only_readiness_is_told() -> None:
    before = snapshot(rolling(), pods(replicas=1, available=1, sleeps=False))
    after = snapshot(rolling(), pods(replicas=1, available=0, sleeps=False))
    assert told(before, after) == ["canary web: not ready"]
    assert told(after, before) == ["canary web: ready"]
