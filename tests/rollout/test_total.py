"""Whatever the cluster shows, a decision is made: no observation raises, and every answer leads on."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flaggerpy.api.request import Verb
from flaggerpy.api.status import (
    Advance,
    CanaryStatus,
    CheckResult,
    Growth,
    Pause,
    Pending,
    Phase,
    PrimaryScaler,
    Revision,
    RolloutStatus,
    Step,
)
from flaggerpy.rollout.checks import Answer, Check, Verdict, ends_round
from flaggerpy.rollout.decide import decide
from flaggerpy.rollout.decision import NeedChecks, Plan, ScalePrimary, ScaleTarget, WriteScaler
from flaggerpy.rollout.observation import Bounds, ConfigsSeen, Observation, ScalerSeen, ServicesSeen
from flaggerpy.rollout.pods import Pod, PodsSeen, Waiting
from flaggerpy.rollout.traffic import Acceptance, Cookies, Routes, RouteState, to_canary
from flaggerpy.rollout.workload import Workload
from tests.rollout.simulation import START
from tests.rollout.test_laws import BY_PODS, GATES, GUARDS, LATENCY, STRATEGIES, TRIED
from tests.rollout.world import SCALER, World, hook, spec

pytestmark = pytest.mark.laws

TIMES = st.none() | st.sampled_from([START + timedelta(seconds=seconds) for seconds in (-3600, -5, 0, 5, 3600)])
CONFIGS = st.dictionaries(st.sampled_from(["configmap/a", "secret/b"]), st.sampled_from(["1", "2"]))
TEMPLATES = st.sampled_from(["v1-a", "v1-b", "v1-c"])
COUNTS = st.integers(0, 4)
WEIGHTS = st.sampled_from([0, 10, 50, 100])


@st.composite
def workloads(draw: st.DrawFn) -> Workload:
    return Workload(
        name="payment",
        uid=draw(st.sampled_from(["one", "other"])),
        generation=draw(st.integers(1, 3)),
        observed_generation=draw(st.integers(0, 3)),
        template=draw(TEMPLATES),
        controller_revision=draw(st.none() | st.sampled_from(["1", "2"])),
        paused=draw(st.booleans()),
        replicas=draw(COUNTS),
        current_replicas=draw(COUNTS),
        updated_replicas=draw(COUNTS),
        available_replicas=draw(COUNTS),
        deadline_exceeded=draw(st.booleans()),
        unavailable_since=draw(TIMES),
        deleting=draw(st.booleans()),
    )


WAITING = st.builds(
    Waiting,
    container=st.sampled_from(["app", "init copy"]),
    reason=st.sampled_from(["ErrImagePull", "ImagePullBackOff", "CrashLoopBackOff", "PodInitializing"]),
    message=st.sampled_from(["", "because"]),
    restarts=st.integers(0, 3),
    not_before=st.sampled_from([START - timedelta(hours=1), START, START + timedelta(hours=1)]),
)
POD = st.builds(Pod, name=st.sampled_from("abc"), waiting=st.lists(WAITING, max_size=2).map(tuple))
PODS_SEEN = st.builds(
    PodsSeen,
    of=st.sampled_from(["", "one", "other"]),
    pods=st.none() | st.lists(POD, max_size=5).map(tuple),
    trouble=st.sampled_from(["", "pods may not be read"]),
)
REVISIONS = st.none() | st.builds(
    Revision,
    template=TEMPLATES,
    configs=CONFIGS,
    uid=st.sampled_from(["", "one", "other"]),
    generation=st.integers(0, 3),
    controller_revision=st.none() | st.sampled_from(["1", "2"]),
)
STEPS = st.builds(
    Step,
    weight=WEIGHTS,
    started_at=TIMES,
    checked_at=TIMES,
    attempt=st.integers(0, 2),
    mirrored=st.booleans(),
    growth=st.none() | st.builds(Growth, share=WEIGHTS, since=TIMES.filter(bool), approved=st.booleans()),
)
COOKIE = st.sampled_from([None, "", "seen=1", "old=2", "=3", "nothing"])
BOUNDS = st.tuples(st.integers(0, 3), st.integers(0, 4)).map(lambda pair: Bounds(pair[0], max(pair[0] + pair[1], 1)))
KINDS: Any = st.sampled_from(["HorizontalPodAutoscaler", "ScaledObject"])
NAMES = st.sampled_from(["payment", "other"])
SCALERS = st.builds(
    ScalerSeen,
    name=st.sampled_from(["payment-primary", "other-primary"]),
    target=BOUNDS,
    primary=BOUNDS,
    minimum=st.none() | COUNTS,
    drifted=st.booleans(),
    kind=KINDS,
    source=NAMES,
    active=st.integers(0, 3),
    pausable=st.booleans(),
)
CHECKS = st.builds(
    CheckResult,
    name=st.sampled_from(["latency", "gone"]),
    verdict=st.sampled_from(Verdict).map(lambda verdict: verdict.value),
    at=TIMES,
    dry_run=st.booleans(),
    failures=st.integers(0, 3),
    failures_in_a_row=st.integers(0, 3),
    unanswered_in_a_row=st.sampled_from([0, 1, 99]),
)
ROLLOUTS = st.builds(
    RolloutStatus,
    applied=REVISIONS,
    promoted=REVISIONS,
    step=STEPS,
    gates=st.lists(st.sampled_from(["confirm-promotion", "?"])),
    moved_at=TIMES,
    scaled_at=TIMES,
    mended_at=TIMES,
    hopeless_since=TIMES,
    scaler=st.none()
    | st.builds(
        PrimaryScaler,
        name=st.just("payment-primary"),
        kind=KINDS,
        source=NAMES,
        floor=st.integers(0, 9),
        since=TIMES,
    ),
    full_size=st.integers(0, 9),
    asked_whole_at=TIMES,
    share=st.sampled_from(["", "asked 10 %, 1 of 9 pods = 11.1 %"]),
    serving_canary=st.booleans(),
    failing=st.sampled_from(["", "why"]),
    reason=st.sampled_from(["", "why"]),
    paused=st.sampled_from([None, Pause(by="alice"), Pause(by="flaggerpy", reason="why")]),
    exposed_at=TIMES,
    checks=st.lists(CHECKS, max_size=2),
    advance=st.none() | st.builds(Advance, mode=st.sampled_from(["step", "full"]), revision=REVISIONS.filter(bool)),
    pending=st.lists(st.just(Pending(id="x", kind="alert")), max_size=1),
)
STATUSES = st.builds(
    CanaryStatus,
    phase=st.sampled_from(Phase),
    failed_checks=st.integers(0, 9),
    canary_weight=WEIGHTS,
    iterations=st.integers(-1, 5),
    tracked_configs=st.none() | CONFIGS,
    session_affinity_cookie=COOKIE,
    previous_session_affinity_cookie=COOKIE,
    primary_session_affinity_cookie=COOKIE,
    rollout=ROLLOUTS,
)


@st.composite
def live_routes(draw: st.DrawFn) -> Routes:
    weight, held, other = draw(WEIGHTS), draw(COOKIE) or "", draw(COOKIE) or ""
    cookies = Cookies(canary=held, primary=other if held and weight < 100 else "")
    return to_canary(weight, mirrored=draw(st.booleans()), cookies=cookies if weight else Cookies(expired=held))


@st.composite
def observations(draw: st.DrawFn) -> Observation:
    routed = draw(st.booleans())
    hooks = [hook(kind) for kind in draw(st.sets(st.sampled_from(GATES)))]
    metrics = [LATENCY | draw(st.sampled_from(GUARDS)), TRIED]
    more: dict[str, Any] = {
        "_skipAnalysis": draw(st.booleans()),
        "_suspend": draw(st.sampled_from([False, False, True])),
    }
    scaled = draw(st.booleans())
    more |= {"_autoscalerRef": SCALER} if scaled else {}
    world = World(
        spec=spec(**(draw(st.sampled_from([*STRATEGIES, *BY_PODS.values()])) | more), webhooks=hooks, metrics=metrics),
        routed=routed,
        status=draw(STATUSES),
        finalizer=draw(st.booleans()),
        deleting=draw(st.sampled_from([False, False, False, True])),
        problems=draw(st.sampled_from([(), (), ("x is wrong: write y",)])),
        routable=draw(st.booleans()),
        returnable=draw(st.booleans()),
    )
    world.release(draw(st.sampled_from([False, False, False, True])))
    if draw(st.booleans()):
        world.ask(draw(st.sampled_from(Verb)))
    route = RouteState(
        routes=draw(st.none() | live_routes()) if routed else None,
        drifted=draw(st.booleans()),
        accepted=draw(st.sampled_from(Acceptance)),
    )
    return replace(
        world.observe(),
        target=draw(st.none() | workloads()),
        primary=draw(st.none() | workloads()),
        services=ServicesSeen(*draw(st.tuples(*[st.booleans()] * 4))),
        route=route,
        scaler=draw(st.none() | SCALERS) if scaled else None,
        paused=tuple(draw(st.sets(NAMES))),
        route_released=draw(st.booleans()),
        configs=ConfigsSeen(ours=draw(CONFIGS), flagger=draw(CONFIGS)),
        pods=draw(PODS_SEEN),
    )


def answered(seen: Observation, now: datetime, verdicts: list[Verdict]) -> Plan:
    """Ask as the shell does until there is a plan."""
    answers: dict[Check, Answer] = {}
    for rounds in range(8):
        decided = decide(replace(seen, answers=dict(answers)), now)
        if isinstance(decided, Plan):
            return decided
        assert rounds < 6, "a tick asks at most six rounds of questions"
        for check in decided.checks:
            answers[check] = Answer(verdicts[len(answers) % len(verdicts)], "because")
            if ends_round(check, answers[check]):
                break
    raise AssertionError("no plan")


@given(seen=observations(), verdicts=st.lists(st.sampled_from(Verdict), min_size=1, max_size=5))
def test_every_observation_is_decided_and_every_status_can_be_stored(
    seen: Observation, verdicts: list[Verdict]
) -> None:
    plan = answered(seen, START, verdicts)
    for action in plan.actions:
        assert not isinstance(action, ScaleTarget | ScalePrimary) or action.replicas >= 0
        if isinstance(action, WriteScaler) and seen.scaler is not None:
            assert seen.scaler.primary.low <= action.minimum <= seen.scaler.primary.high
    assert plan.wake_at is None or plan.wake_at >= START
    if plan.status is None:
        return
    assert plan.status != seen.canary.status
    assert plan.status.phase is not Phase.NEW
    stored = CanaryStatus.model_validate(json.loads(json.dumps(plan.status.to_json())))
    assert stored.rollout == plan.status.rollout, "microseconds included"
    next_canary = seen.canary.model_copy(update={"status": stored})
    answered(replace(seen, canary=next_canary), START, verdicts)


@given(seen=observations(), verdicts=st.lists(st.sampled_from(Verdict), min_size=1, max_size=5))
def test_deletion_and_suspension_are_heard_in_every_state(seen: Observation, verdicts: list[Verdict]) -> None:
    suspended = seen.canary.spec.model_copy(update={"suspend": True})
    frozen = decide(replace(seen, canary=seen.canary.model_copy(update={"spec": suspended})), START)
    assert isinstance(frozen, Plan), "nothing is asked"
    metadata = seen.canary.metadata.model_copy(
        update={"deletion_timestamp": START, "finalizers": ("finalizer.flagger.app",)}
    )
    doomed = decide(replace(seen, canary=seen.canary.model_copy(update={"metadata": metadata})), START)
    assert not isinstance(doomed, NeedChecks)
    assert doomed.actions or doomed.status is not None or doomed.wake_at is not None
