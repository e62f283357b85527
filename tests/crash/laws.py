"""What must hold in every run, however often the controller dies. Each law returns what breaks it, as sentences.

Times are taken around the writes themselves, in the process that makes them, and never too generously: a weight counts
as held from the answer to the write that set it until the next write is sent.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from flaggerpy.kube.objects import JsonObject
from flaggerpy.kube.resources import CANARIES, CONFIG_MAPS, HTTP_ROUTES, SERVICES
from tests.crash.flows import STEPS, THRESHOLD, Flow
from tests.crash.journal import (
    Asked,
    Did,
    Died,
    Entry,
    Journal,
    Lost,
    Requested,
    Wrote,
    image_in,
    shares_in,
    weights_in,
)
from tests.crash.questions import METRIC
from tests.crash.scene import INTERVAL, NAME, PRIMARY, asleep, ready_pods
from tests.crash.watcher import WORKLOADS, Change, State, Watcher

CANARY_SERVICE = f"{NAME}-canary"
NEWS = timedelta(seconds=1)
"""How long it may take until a controller hears of a change."""
_MARGIN = timedelta(milliseconds=1)
"""Timestamps in a status end at microseconds; clocks of one machine agree far better than this."""


def violations(flow: Flow, journal: Journal, watcher: Watcher) -> list[str]:
    """Hold a run against all laws."""
    found = [*weights_add_up(watcher), *users_are_served(watcher, primary_is_lost=journal.lost_primary())]
    for law in JOURNAL_LAWS:
        found += law(journal)
    found += hooks_are_called(flow, journal)
    return found


def weights_add_up(watcher: Watcher) -> Iterator[str]:
    """The weights of every route add up to 100."""
    for change, _ in watcher.states():
        if change.resource == HTTP_ROUTES and change.obj is not None:
            for weights in shares_in(change.obj):
                if weights and sum(weights.values()) != 100:
                    yield f"weights do not add up to 100: {weights}"


def users_are_served(watcher: Watcher, *, primary_is_lost: bool = False) -> Iterator[str]:
    """Nobody is sent to a workload without ready pods while another one has some.

    When the user takes the primary away from its users, they may be led to it until the route is changed.
    """
    before: set[str] = set()
    for change, state in watcher.states():
        ready = {workload["metadata"]["name"] for workload in state.workloads() if _serves(workload)}
        bad = {way: where for way, where in _ways(state) if where not in ready} if ready else {}
        for way in sorted(bad.keys() - before if not (primary_is_lost and _is_loss(change)) else ()):
            yield (
                f"{way} leads to {bad[way]}, which is not ready, while {', '.join(sorted(ready))} is "
                f"(since {change.resource.kind} {change.name} at resourceVersion {change.version})"
            )
        before = set(bad)


def _is_loss(change: Change) -> bool:
    return change.resource in WORKLOADS and change.name == PRIMARY and change.obj is None


def _serves(workload: JsonObject) -> bool:
    return not asleep(workload) and ready_pods(workload) > 0


def _ways(state: State) -> Iterator[tuple[str, str]]:
    """Every way that users take, and the workload where it ends."""
    if state.get(SERVICES, NAME) is not None:
        yield f"Service {NAME}", _behind(state, NAME)
    for shares in shares_in(state.get(HTTP_ROUTES, NAME) or {}):
        for service, weight in shares.items():
            if weight > 0:
                yield f"the route by Service {service}", _behind(state, service)


def _behind(state: State, service: str) -> str:
    selector = ((state.get(SERVICES, service) or {}).get("spec") or {}).get("selector") or {}
    for workload in state.workloads():
        labels = workload["spec"]["template"]["metadata"]["labels"]
        if selector and selector.items() <= labels.items():
            return str(workload["metadata"]["name"])
    return "nothing"


def rises_are_earned(journal: Journal) -> Iterator[str]:
    """The canary's weight rises only after every check of the step before it has passed."""
    for index, write, old, new in _shifts(journal):
        past = journal.entries[:index]
        if new <= old or _overruled(past) or _canary_alone(past, new):
            continue
        kinds = ("rollout", METRIC) if old else ("pre-rollout",)
        since = _step_began(past, write, first=not old)
        for kind in kinds:
            answers = [e for e in journal.entries[since:index] if isinstance(e, Asked) and e.kind == kind]
            if not answers or not answers[-1].passed or answers[-1].at > write.sent:
                yield f"the weight rose from {old} to {new} without a passed {kind} check"


def falls_have_reasons(journal: Journal) -> Iterator[str]:
    """It falls only by rollback, restart, cancel, deletion and promotion."""
    for index, _, old, new in _shifts(journal):
        past = journal.entries[:index]
        if new < old and not _reason(past) and not _canary_alone(past, old):
            yield f"the weight fell from {old} to {new} for no reason"


def weights_are_held(journal: Journal) -> Iterator[str]:
    """Every weight is held for an interval before the next step of analysis or promotion."""
    set_at: Wrote | None = None
    for index, write, old, new in _shifts(journal):
        past = journal.entries[:index]
        hurried = _overruled(past) or _canary_alone(past, old) or _canary_alone(past, new)
        urgent = hurried or (_reason(past) in ("deleted", "changed", "failed") and new < old)
        if set_at is not None and old > 0 and not urgent:
            held = write.sent - set_at.answered
            if held < INTERVAL - _MARGIN:
                yield f"{old} % was held for {held.total_seconds():.3f} s before {new} %"
        set_at = write


def workloads_drain(journal: Journal) -> Iterator[str]:
    """A workload keeps its pods for an interval after users were moved away from it."""
    left: dict[str, Wrote] = {}
    serving: dict[str, set[str]] = {"apex": set(), "route": set()}
    for write in journal.writes():
        if not write.done:
            continue
        for way, now_serving in _destinations(write).items():
            for gone in serving[way] - now_serving:
                left[gone] = write
            serving[way] = now_serving
        name = _stopped(write)
        if name in left:
            pause = write.sent - left[name].answered
            if pause < INTERVAL - _MARGIN:
                yield f"{name} lost its pods {pause.total_seconds():.3f} s after users were moved away from it"


def _destinations(write: Wrote) -> dict[str, set[str]]:
    """Where a write sends users, by the way that they take."""
    if write.place.resource == SERVICES and write.place.name == NAME and write.method != "DELETE":
        selector = write.answer["spec"]["selector"]
        return {"apex": {PRIMARY if selector["app"] == PRIMARY else NAME}}
    if write.place.resource == HTTP_ROUTES and write.method != "DELETE":
        shares = shares_in(write.answer)
        used = {service for share in shares for service, weight in share.items() if weight > 0}
        return {"route": {PRIMARY if service == PRIMARY else NAME for service in used}}
    return {}


def _stopped(write: Wrote) -> str:
    """The workload that a write takes the pods from."""
    if write.place.resource not in WORKLOADS:
        return ""
    scaled = write.place.subresource == "scale" and not write.answer.get("spec", {}).get("replicas")
    put_to_sleep = write.method == "PATCH" and not write.place.subresource and asleep(write.answer)
    return write.place.name if scaled or put_to_sleep or write.method == "DELETE" else ""


def promotions_are_earned(journal: Journal) -> Iterator[str]:
    """The primary and its configs take only what was analysed to the end: every step judged and held."""
    for index, entry in enumerate(journal.entries):
        if not isinstance(entry, Wrote) or not entry.done or not _gives_to_primary(entry):
            continue
        past = journal.entries[:index]
        deeds = [(i, e) for i, e in enumerate(past) if isinstance(e, Did)]
        if not deeds or deeds[-1][1].what in ("release", "adopt"):
            continue  # a bootstrap
        pushed = deeds[-1][1]
        has_image = entry.place.resource != CONFIG_MAPS and pushed.what == "image"
        if has_image and image_in(entry.answer) != pushed.tag:
            yield f"the primary got {image_in(entry.answer)}, but {pushed.tag} was analysed"
        if not _overruled(past):
            yield from _analysis_was_whole(past[deeds[-1][0] :], entry)


def _has_new_primary(write: Wrote) -> bool:
    return write.place.name == PRIMARY and _gives_to_primary(write)


_GIVES_BACK = {"RestorePrimary", "WriteService", "DisownPrimary"}
"""Actions that write a primary and give it nothing new; `what_comes_back_was_promoted` looks at the first."""


def what_comes_back_was_promoted(journal: Journal) -> Iterator[str]:
    """A primary that is made from what is kept runs what was promoted last, or before an aborted promotion."""
    promoted: list[str] = []
    for write in journal.writes():
        if not write.done or (write.place.resource, write.place.name) not in {(kind, PRIMARY) for kind in WORKLOADS}:
            continue
        if write.origin.action == "RestorePrimary" and image_in(write.answer) not in promoted[-2:]:
            yield f"the primary came back with {image_in(write.answer)}, after {', '.join(promoted) or 'nothing'}"
        # A crash may keep a write from being recorded, which is done again then.
        if write.origin.action in {"CreatePrimary", "UpdatePrimary"} and promoted[-1:] != [image_in(write.answer)]:
            promoted.append(image_in(write.answer))


def _canary_alone(past: list[Entry], weight: int) -> bool:
    """Whether the canary has all users because the user took the primary away."""
    return weight == 100 and any(isinstance(entry, Lost) for entry in past)


def _overruled(past: list[Entry]) -> bool:
    """Whether somebody had the revision that was pushed last go on without checks."""
    verbs: list[str] = []
    for entry in past:
        if isinstance(entry, Did):
            verbs.clear()
        elif isinstance(entry, Requested):
            verbs.append(entry.verb)
    return any(verb.startswith("promote") for verb in verbs)


def _gives_to_primary(write: Wrote) -> bool:
    copied = write.place.resource == CONFIG_MAPS and write.place.name.endswith("-primary")
    given = write.place.resource in (*WORKLOADS, SERVICES) and write.place.name == PRIMARY
    written = given and not write.place.subresource and write.origin.action not in _GIVES_BACK
    return (copied or written) and write.method in ("POST", "PUT", "PATCH")


def _analysis_was_whole(since: list[Entry], write: Wrote) -> Iterator[str]:
    asked = [e for e in since if isinstance(e, Asked) and e.at <= write.sent]
    if not asked:
        yield f"{write.title} before anything was asked"
        return
    mine = [e for e in asked if e.kind == METRIC or e.checksum == _newest_checksum(asked)]
    begun = [e.at for e in mine if e.kind == "pre-rollout" and e.passed]
    judged = {e.key for e in mine if e.kind == "rollout" and e.passed}
    if not begun:
        yield f"{write.title} without a pre-rollout check"
    elif write.sent - begun[0] < STEPS * INTERVAL:
        yield f"{write.title} only {write.sent - begun[0]} after the analysis began"
    if len(judged) < STEPS:
        yield f"{write.title} after {len(judged)} of {STEPS} judgements"
    if not any(e.kind == METRIC and e.passed for e in mine) or not mine[-1].passed:
        yield f"{write.title} without a good metric"


def _newest_checksum(asked: list[Asked]) -> str:
    return next((e.checksum for e in reversed(asked) if e.checksum), "")


def hooks_are_called(flow: Flow, journal: Journal) -> Iterator[str]:
    """A rollout that ends is told to its post-rollout hooks, at least once."""
    phases = {asked.phase for asked in journal.asked("post-rollout")}
    if flow.told and flow.told not in phases:
        yield f"post-rollout hooks were called for {sorted(phases)} only, not for {flow.told}"


def questions_are_recorded(journal: Journal) -> Iterator[str]:
    """A question is asked again under its name only until its answer is in the status, or a crash may have hidden that.

    Post-rollout hooks are called when the status is written, and until another write says that they were.
    """
    last: dict[str, int] = {}
    for index, entry in enumerate(journal.entries):
        if not isinstance(entry, Asked) or not entry.key or entry.kind == "post-rollout":
            continue
        since = journal.entries[last.get(entry.key, index) : index]
        recorded = any(isinstance(e, Wrote) and e.done and _is_status(e) for e in since)
        if recorded and not any(isinstance(e, Died | Requested) for e in since):
            yield f"{entry.kind} was asked again as {entry.key} after its answer was recorded"
        last[entry.key] = index


def _is_status(write: Wrote) -> bool:
    return write.place.resource == CANARIES and write.place.subresource == "status"


def _shifts(journal: Journal) -> Iterator[tuple[int, Wrote, int, int]]:
    """Every write that changed the canary's weight: its position, itself, the weight before and after."""
    old = 0
    for index, entry in enumerate(journal.entries):
        if not isinstance(entry, Wrote) or not entry.done or entry.place.resource != HTTP_ROUTES:
            continue
        new = weights_in(entry.answer).get(CANARY_SERVICE, 0) if entry.method != "DELETE" else 0
        if new != old:
            yield index, entry, old, new
        old = new


def _step_began(past: list[Entry], write: Wrote, *, first: bool) -> int:
    """Where the step began that ends with a write: at the last shift, or when the user pushed something else.

    A push just before the write may not be known yet; but whoever begins anew from 0 % knows it.
    """
    known = [e for e in past if isinstance(e, Did) and e.what != "delete" and (first or e.at < write.sent - NEWS)]
    moves = [index for index, entry in enumerate(past) if entry in known]
    moves += [index for index, *_ in _shifts(Journal(list(past)))]
    return max(moves, default=0)


def _reason(past: list[Entry]) -> str:
    """Why the weight may fall now, as the story up to now tells it."""
    deeds = [(index, entry) for index, entry in enumerate(past) if isinstance(entry, Did)]
    if any(deed.what == "delete" for _, deed in deeds):
        return "deleted"
    raised = max((index for index, _, old, new in _shifts(Journal(list(past))) if new > old), default=-1)
    last = deeds[-1][0] if deeds else -1
    if last > raised:
        return "changed"
    if any(isinstance(entry, Requested) and entry.verb == "abort" for entry in past[raised + 1 :]):
        return "changed"
    since = past[last + 1 :]
    if any(isinstance(e, Wrote) and e.done and e.method == "PUT" and _has_new_primary(e) for e in since):
        return "promoted"
    failed = [e for e in since if isinstance(e, Asked) and not e.passed]
    return "failed" if len(failed) >= THRESHOLD else ""


JOURNAL_LAWS = (
    rises_are_earned,
    falls_have_reasons,
    weights_are_held,
    workloads_drain,
    promotions_are_earned,
    what_comes_back_was_promoted,
    questions_are_recorded,
)
