"""Pods that make waiting pointless: which reasons do, and how many pods it takes."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from flaggerpy.rollout.pods import Hopeless, Pod, Waiting, brief, hopeless
from tests.rollout.simulation import START
from tests.rollout.world import initialized

PRIMARY = initialized().primary
assert PRIMARY
WORKLOAD = PRIMARY.seen()
PULL = "ImagePullBackOff"


def waiting(
    reason: str = PULL, *, restarts: int = 0, container: str = "app", message: str = "", since: datetime = START
) -> Waiting:
    return Waiting(container, reason, message, restarts, since)


def pods(*of: Waiting | None) -> tuple[Pod, ...]:
    return tuple(Pod(f"pod-{number}", (one,) if one else ()) for number, one in enumerate(of))


def words(found: Hopeless | None) -> str:
    return found.why if found else ""


@pytest.mark.parametrize(
    ("message", "short"),
    [
        ('Back-off pulling image "web:2"', 'Back-off pulling image "web:2"'),
        (
            'Back-off pulling image "web:2": ErrImagePull: failed to pull and unpack image "docker.io/library/web:2": '
            'failed to resolve reference "docker.io/library/web:2": docker.io/library/web:2: not found',
            'Back-off pulling image "web:2": not found',
        ),
        (
            'rpc error: code = Unknown desc = failed to pull and unpack image "here:5000/web:2": failed to do request: '
            'Head "https://here:5000/v2/web/manifests/2": dial tcp 127.0.0.1:5000: connect: connection refused',
            'failed to pull and unpack image "here:5000/web:2": connection refused',
        ),
        ("", ""),
    ],
)
def test_of_an_image_that_does_not_come_its_name_and_the_cause_are_told(message: str, short: str) -> None:
    assert brief("ErrImagePull", message) == short
    told = words(hopeless(WORKLOAD, pods(*[waiting(message=message)] * 2), 100))
    assert told == "container app of 2 of 2 pods: ImagePullBackOff" + (f" ({short})" if short else "")
    assert brief("CreateContainerConfigError", message) == message


@pytest.mark.parametrize(
    ("title", "reason", "restarts", "pointless"),
    [
        ("an image that does not come", "ImagePullBackOff", 0, True),
        ("the same while it is tried again", "ErrImagePull", 0, True),
        ("an image that may not be pulled", "ErrImageNeverPull", 0, True),
        ("no name of an image", "InvalidImageName", 0, True),
        ("a missing Secret or ConfigMap", "CreateContainerConfigError", 0, True),
        ("a crash", "CrashLoopBackOff", 0, False),
        ("the second crash", "CrashLoopBackOff", 1, False),
        ("the third crash", "CrashLoopBackOff", 2, True),
        ("a runtime that is overloaded", "CreateContainerError", 0, False),
        ("a reason that nobody knows yet", "WaitingForGodot", 9, False),
    ],
)
def test_reasons_that_no_waiting_mends(title: str, reason: str, restarts: int, pointless: bool) -> None:
    assert waiting(reason, restarts=restarts).is_pointless is pointless, title


@pytest.mark.parametrize(
    ("replicas", "percent", "bad", "good", "out_of_reach"),
    [
        (2, 100, 0, 2, False),
        (2, 100, 1, 1, True),
        (2, 50, 1, 1, False),
        (2, 50, 2, 0, True),
        (4, 50, 2, 2, False),
        (4, 50, 2, 0, False),  # two are yet to be made
        (4, 50, 3, 0, True),
        (3, 34, 1, 2, False),  # two of three are enough
        (3, 34, 2, 1, True),
        (1, 0, 1, 0, True),  # at least one
        (4, 0, 3, 1, False),
        (2, 100, 1, 3, False),  # pods that a scale-down has not taken yet
    ],
)
def test_only_a_threshold_that_is_out_of_reach_is_hopeless(
    replicas: int, percent: int, bad: int, good: int, out_of_reach: bool
) -> None:
    seen = pods(*[waiting()] * bad, *[None] * good)
    assert bool(hopeless(replace(WORKLOAD, replicas=replicas), seen, percent)) is out_of_reach


def test_it_began_when_the_pod_that_was_one_too_many_may_have_been_blocked() -> None:
    late, later = START + timedelta(seconds=7), START + timedelta(seconds=9)
    seen = pods(waiting(since=later), None, waiting(), waiting(since=late))
    for percent, began in ((100, START), (75, late), (50, later)):
        found = hopeless(replace(WORKLOAD, replicas=4), seen, percent)
        assert found
        assert found.not_before == began


@pytest.mark.parametrize(
    ("title", "seen", "says"),
    [
        (
            "one sentence for all pods",
            pods(waiting(message="not found"), waiting()),
            "container app of 2 of 2 pods: ImagePullBackOff (not found)",
        ),
        (
            "the kubelet's two words for one thing",
            pods(waiting("ErrImagePull", message="not found"), waiting()),
            "container app of 2 of 2 pods: ErrImagePull (not found)",
        ),
        (
            "an init container",
            pods(waiting("CrashLoopBackOff", restarts=3, container="init copy", message="Error, exit code 1"), None),
            "container init copy of 1 of 2 pods: CrashLoopBackOff (Error, exit code 1)",
        ),
        (
            "what most pods say",
            pods(waiting("InvalidImageName"), waiting(), waiting(container="proxy"), waiting()),
            "container app of 2 of 4 pods: ImagePullBackOff",
        ),
        ("pods that are yet to be made", pods(waiting()), "container app of 1 of 2 pods: ImagePullBackOff"),
    ],
)
def test_the_sentence_names_pods_container_reason_and_message(title: str, seen: tuple[Pod, ...], says: str) -> None:
    assert words(hopeless(WORKLOAD, seen, 100)) == says, title


def test_the_first_container_that_is_blocked_speaks_for_its_pod() -> None:
    both = Pod("pod-0", (waiting("PodInitializing"), waiting(container="proxy"), waiting()))
    assert both.blocked == waiting(container="proxy")
    assert Pod("pod-0", (waiting("CrashLoopBackOff"),)).blocked is None
