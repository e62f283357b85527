"""One decision in the making: what was seen, and what has been decided so far.

A Turn lives inside one call of :func:`flaggerpy.rollout.decide.decide` and is never shared; from outside the core
stays a function.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Literal

from flaggerpy.api.places import RoutePlace
from flaggerpy.api.status import CanaryStatus, Pending, Phase, Revision, Step
from flaggerpy.rollout import affinity, audience, revision, strategy
from flaggerpy.rollout.decision import Action, Event, Plan
from flaggerpy.rollout.observation import Observation
from flaggerpy.rollout.readiness import Readiness, earlier, missing_since, not_looked_at, readiness
from flaggerpy.rollout.traffic import Acceptance, Routes, to_canary
from flaggerpy.rollout.transition import ANALYSIS, Words, conditions, progress
from flaggerpy.rollout.workload import Workload

UNREADY = "to become ready"
"""How a reason ends that is about readiness."""


class Turn:
    """Collects actions, changes of the status, events and the next wake-up."""

    def __init__(self, seen: Observation, now: datetime) -> None:
        self.seen = seen
        self.now = now
        self.canary = seen.canary
        self.before = seen.canary.status
        self.status = self.before
        self.problem = ""
        self._cause = ""
        self.outcome: Literal["succeeded", "failed", "skipped"] | None = None
        self.analysed = False
        self.primary_down = False
        self.refused_since: datetime | None = None
        self._actions: list[Action] = []
        self._events: list[Event] = []
        self._wake: list[datetime] = []
        self._again = [item for item in self.before.rollout.pending if item.id not in seen.announced]
        self._fresh: list[Pending] = []
        self._reason = ""
        self._hopeless_since: datetime | None = None
        self._unready_since: dict[str, datetime | None] = {}

    # What there is

    @property
    def name(self) -> str:
        """The canary as Flagger's texts name it, ``name.namespace``."""
        return f"{self.canary.name}.{self.canary.namespace}"

    @property
    def target_name(self) -> str:
        """The target as Flagger's texts name it, ``name.namespace``."""
        return f"{self.canary.target_name}.{self.canary.namespace}"

    @property
    def primary_name(self) -> str:
        """The primary as Flagger's texts name it, ``name.namespace``."""
        return f"{self.canary.primary_name}.{self.canary.namespace}"

    @property
    def interval(self) -> timedelta:
        """The analysis interval, raised to the controller's minimum."""
        return max(self.canary.analysis.interval, self.seen.limits.min_interval)

    @property
    def settle(self) -> timedelta:
        """How long a workload keeps running after traffic moved away from it."""
        return min(self.interval, self.seen.limits.settle_at_most)

    @property
    def deadline(self) -> timedelta:
        """How long a workload may take to become ready."""
        return self.canary.progress_deadline

    @property
    def target(self) -> Workload:
        """The target; only to be asked for where a missing target was answered before."""
        if self.seen.target is None:
            raise LookupError("the target is missing, which had to be answered earlier in this tick")
        return self.seen.target

    @property
    def intended(self) -> Routes:
        """The shares of traffic that the status asks for."""
        step = self.status.rollout.step
        copied = step.mirrored and strategy.is_mirrored(self.canary.analysis, self.seen.capabilities)
        return self.routes_at(audience.meant(self.seen, self.status), mirrored=copied)

    def routes_at(self, weight: int, *, mirrored: bool = False) -> Routes:
        """Return the shares that give it ``weight`` percent, as far as the provider can, with the cookies of these."""
        share, cookies = audience.given(self.seen, weight), affinity.cookies(self.seen, self.status, weight)
        return to_canary(share, mirrored=mirrored, cookies=cookies)

    @property
    def former_routes(self) -> list[RoutePlace]:
        """Where routes were before the Canary was edited, as long as users may come through them."""
        return [place for place in self.status.rollout.routes if place != self.seen.place]

    @property
    def paused(self) -> str:
        """Why the rollout is held by a person, empty when it is not (or not for the step that somebody asked for)."""
        return self._held if self._held and self.advance is None else ""

    @property
    def _held(self) -> str:
        """Who holds the rollout, empty when nobody does; metrics without a verdict hold it themselves."""
        pause = self.status.rollout.paused
        return pause.words if pause and not pause.reason else ""

    @property
    def advance(self) -> Literal["step", "full"] | None:
        """What a person wants done without waiting for checks and gates; only ever for the revision they saw."""
        wish = self.status.rollout.advance
        return wish.mode if wish and revision.alike(wish.revision, self.current_revision()) else None

    def current_revision(self) -> Revision:
        """The revision that the target asks for now."""
        return revision.current(self.seen, self.target)

    def target_readiness(self, pods: int | None = None) -> Readiness:
        """Whether enough pods of the canary are available, or of so many, whatever further ones were asked for."""
        applied = self.status.rollout.applied
        target = self.target if pods is None else self.target.of_size(pods, since=applied.generation if applied else 0)
        return self._readiness("target", target, self.canary.analysis.canary_ready_threshold)

    def primary_readiness(self) -> Readiness:
        """Whether enough pods of the primary are available."""
        if self.seen.primary is None:
            return Readiness(False, message="it does not exist")
        return self._readiness("primary", self.seen.primary, self.canary.analysis.primary_ready_threshold)

    def _readiness(self, who: Literal["target", "primary"], workload: Workload, percent: int) -> Readiness:
        rollout = self.before.rollout
        noted = rollout.target_unready_since if who == "target" else rollout.primary_unready_since
        since = missing_since(workload, noted, self.now)
        watched = replace(workload, unavailable_since=earlier(since, workload.unavailable_since))
        started = rollout.step.started_at
        state = readiness(watched, percent=percent, deadline=self.deadline, now=self.now, since=started)
        # A DaemonSet never says since when it is not ready, nor does a Deployment that may lack some pods: so we note
        # it, and what a tick does not find unready again is over.
        if not state.ready:
            self._unready_since[f"{who}_unready_since"] = since
        return state

    def only_canary_serves(self) -> bool:
        """Whether the primary has no pod that can serve and the canary has: a bad answer beats none."""
        primary, target = self.seen.primary, self.seen.target
        nobody = primary is None or primary.available_replicas == 0
        return self.seen.routed and nobody and target is not None and target.available_replicas > 0

    def only_target_serves(self) -> bool:
        """Whether the target serves because the primary cannot, by the status or by their pods."""
        primary, target = self.seen.primary, self.seen.target
        nobody = primary is None or primary.available_replicas == 0
        return self.status.rollout.serving_canary or (nobody and target is not None and target.available_replicas > 0)

    @property
    def reason(self) -> str:
        """Why nothing moves, as far as it was said in this turn."""
        return self._reason

    @property
    def suspended(self) -> bool:
        """Whether everything was left as it is in this turn, as spec.suspend asks for."""
        return self._cause == "Suspended"

    def passed(self, when: datetime) -> bool:
        """Whether a time has come; False asks for another look when it has."""
        if self.now < when:
            self.wake(when)
        return self.now >= when

    # What is decided

    def do(self, *actions: Action) -> None:
        """Add writes."""
        self._actions.extend(actions)

    def does(self, action: Action) -> bool:
        """Whether a write is decided on already."""
        return action in self._actions

    def say(self, message: str, *, arrived: bool = False) -> None:
        """Record a Normal event; event webhooks hear of the phase it was said in, or, if it is the news, of the new."""
        self._events.append(Event("Normal", message, self._told(arrived=arrived)))

    def warn(self, message: str, *, arrived: bool = False) -> None:
        """Record a Warning event, which see ``say``."""
        self._events.append(Event("Warning", message, self._told(arrived=arrived)))

    def _told(self, *, arrived: bool) -> Phase:
        return self.status.phase if arrived else self.before.phase

    def wake(self, when: datetime) -> None:
        """Look again at ``when`` at the latest."""
        self._wake.append(when)

    def wake_now(self) -> None:
        """Look again as soon as this plan is carried out."""
        self._wake.append(self.now)

    def wait(self, reason: str, event: str = "") -> None:
        """Say why nothing moves; the event is recorded once per reason."""
        self._reason = reason
        pause = self.status.rollout.paused
        self._cause = "Paused" if pause and reason == pause.words else ""
        if event and self.before.rollout.reason != reason:
            self.warn(event)

    def freeze(self) -> None:
        """Leave everything as it is, as spec.suspend asks for."""
        self.wait("suspended by spec.suspend")
        self._cause = "Suspended"

    def wait_until_ready(self, who: str, state: Readiness, reason: str = "") -> None:
        """Wait for a workload, at most until it counts as stuck."""
        self.wait(reason or f"waiting for {who} {UNREADY}", event=f"{who} not ready: {state.message}")
        if state.stuck_at and not state.stuck:
            self.wake(state.stuck_at)

    def wait_for_new_pods(self) -> None:
        """Wait for the primary, which is written in this tick, so that nobody can have looked at it yet.

        Where pods are not ours to wait for, nothing is known to be missing.
        """
        if not self.target.sleeps:
            return
        who, kind = self.primary_name, self.canary.spec.target_ref.kind.lower()
        self.wait(f"waiting for {who} {UNREADY}", event=f"{who} not ready: {not_looked_at(kind)}")

    def hopeless(self, since: datetime | None) -> None:
        """Keep in mind since when waiting is pointless; what a tick does not say again is over."""
        self._hopeless_since = since

    def wait_for_controller(self) -> None:
        """Only the workload's controller can tell if the template changed; it will, unless a pause keeps it."""
        if self.target.paused:
            self.wait(f"{self.target_name} is paused: resume it and its changes are looked at")
        else:
            self.wait(f"waiting for the cluster to look at the change of {self.target_name}")

    def stall(self, problem: str, cause: str = "UserError") -> None:
        """Say what a user must mend before anything can go on; the cause is one word for programs."""
        self.problem, self._cause = problem, cause
        if self.before.rollout.reason != problem:
            self.warn(problem)

    def set(self, **changes: Any) -> None:
        """Change fields of the status."""
        self.status = self.status.model_copy(update=changes)

    def note(self, **changes: Any) -> None:
        """Change fields of ``status.rollout``."""
        self.set(rollout=self.status.rollout.model_copy(update=changes))

    def begin_step(self, weight: int, *, mirrored: bool = False) -> None:
        """Start the clock of a step at this weight; without users and copies, the canary's cookie ends.

        Where the data plane says what it serves, it should have taken a step that is judged by half of its interval.
        """
        if weight == 0 and not mirrored:
            self.end_cookie()
        elif self.seen.capabilities.answers and self.status.phase in ANALYSIS:
            self.wake(self.now + self.interval / 2)
        self.set(canary_weight=weight)
        whose = audience.whose(self.seen) if weight else None
        self.note(step=Step(weight=weight, whose=whose, started_at=self.now, mirrored=mirrored), advance=None, share="")

    def end_cookie(self) -> None:
        """Let nobody keep to the canary any longer by its cookie."""
        self.set(**affinity.retired(self.seen, self.status))

    def moved(self) -> None:
        """Users are being moved: at the latest, they are believed to have moved when the data plane had its time."""
        self.note(moved_at=self.now + (self.seen.limits.accept_within if self.seen.routed else timedelta()))

    def judged(self) -> None:
        """Restart the clock of the step without changing its weight: it was judged now."""
        step = self.status.rollout.step
        self.note(step=step.model_copy(update={"checked_at": self.now, "attempt": step.attempt + 1}))

    def announce(self, what: str, *, kind: Literal["event", "alert", "hooks"], **fields: Any) -> None:
        """Make an announcement that a crash may repeat but not lose."""
        stamp = self.now.strftime("%Y%m%dT%H%M%S.%f")
        mark = f"{stamp}-{self.status.phase.value}-{len(self.before.rollout.pending) + len(self._fresh)}"
        self._fresh.append(Pending(id=f"{mark}-{what}", kind=kind, **fields))

    def alert(self, severity: Literal["info", "warn", "error"], message: str, *, fields: bool = False) -> None:
        """Alert people."""
        self.announce("alert", kind="alert", severity=severity, message=message, fields=fields)

    def plan(self) -> Plan:
        """Close the turn."""
        pending = self._again + self._fresh
        unready = {"target_unready_since": None, "primary_unready_since": None} | self._unready_since
        self.note(reason=self.problem or self._reason, pending=pending, **unready)
        self.note(hopeless_since=self._hopeless_since, refused_since=self._still_refused_since())
        if pending:
            # Until they are known to be made they stay in the status, and a restart would make them again.
            self.wake(self.now + self.seen.limits.min_interval)
        return Plan(
            actions=tuple(self._actions),
            status=self._new_status(),
            events=tuple(self._events),
            announcements=tuple(pending),
            wake_at=min(self._wake, default=None),
            outcome=self.outcome,
            analysed=self.analysed,
        )

    def _still_refused_since(self) -> datetime | None:
        """Since when the data plane does not take the route: until it has, or is silent where nothing is judged."""
        accepted, judged = self.seen.route.accepted, self.status.phase in ANALYSIS
        stands = accepted in {Acceptance.NO, Acceptance.BEHIND} or (accepted is Acceptance.UNKNOWN and judged)
        return self.refused_since or (self.before.rollout.refused_since if self.seen.routed and stands else None)

    def _new_status(self) -> CanaryStatus | None:
        if self.status.phase is Phase.NEW:
            return None  # nothing has begun, and nothing will
        self.set(
            observed_generation=self.canary.metadata.generation,
            conditions=conditions(
                self.status.conditions,
                self.status.phase,
                self.now,
                words=Words(
                    kind=self.canary.spec.target_ref.kind,
                    target=self.canary.target_name,
                    generation=self.canary.metadata.generation,
                    serving_canary=self.status.rollout.serving_canary,
                    problem=self.problem,
                    reason=self._reason,
                    cause=self._cause,
                    primary_down=self.primary_down,
                ),
            ),
        )
        if self.status == self.before:
            return None
        if progress(self.status) != progress(self.before):
            self.set(last_transition_time=self.now.replace(microsecond=0))
        return self.status
