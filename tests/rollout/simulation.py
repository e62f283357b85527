"""A small simulated cluster around one canary, whose clock jumps to the next thing that happens.

It carries out the core's plans as the shell does, dies where it is told to, and lets strangers edit everything. Only
what the cluster or a stranger changes wakes the core, apart from the time it asked for: a decision that forgets to ask
for another look is found here.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Self, assert_never

from flaggerpy.api.analysis import HookType
from flaggerpy.api.canary import Canary, CanarySpec, ObjectMeta
from flaggerpy.api.constants import FINALIZER
from flaggerpy.api.places import RoutePlace
from flaggerpy.api.status import CanaryStatus, Pending, Phase, Revision
from flaggerpy.metrics.base import Outcome
from flaggerpy.metrics.trial import Grown, look
from flaggerpy.rollout import decision as d
from flaggerpy.rollout.checks import Answer, Check, HookCheck, Verdict, ends_round
from flaggerpy.rollout.decide import decide
from flaggerpy.rollout.failfast import AWAITED
from flaggerpy.rollout.observation import (
    AlertsSeen,
    Bounds,
    ConfigsSeen,
    History,
    KeptSeen,
    Limits,
    Observation,
    ScalerSeen,
)
from flaggerpy.rollout.pods import PodsSeen
from flaggerpy.rollout.traffic import Acceptance, Capabilities, Routes, RouteState
from flaggerpy.rollout.workload import Workload
from tests.rollout.laws import Laws
from tests.rollout.workloads import Autoscaler, Deployment, Kept, Route, as_written, services_seen, users_of

START = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
NAMESPACE = "shop"
NAME = "payment"
NO_SCALER = "HorizontalPodAutoscaler does not exist"


class Stale(Exception):
    """A precondition of a write no longer holds: the rest of the plan is dropped."""


class CrashError(Exception):
    """The controller dies here."""


@dataclass
class Simulation:
    spec: CanarySpec
    routed: bool = True
    cannot: frozenset[str] = frozenset({"whole_audience"})
    """Capabilities that a provider lacks although it routes."""
    accept_after: timedelta = timedelta(seconds=1)
    why_silent: str = ""
    refuses: bool = False
    """Whether the data plane refuses every route that is written from now on."""
    numbers: bool = False
    """Whether its answers name the version of the route that they are about."""
    now: datetime = START
    target: Deployment | None = field(default_factory=lambda: Deployment(NAME, "v1", 2, START))
    primary: Deployment | None = None
    primary_breaks: set[str] | None = None
    """Templates whose pods never become ready in the primary; those of the target if None."""
    primary_blocked: dict[str, str] = field(default_factory=dict)
    """Why containers of a template cannot start in a primary that is yet to be made."""
    blind: str = ""
    """Why nobody may look at pods."""
    pods_are_known: bool = True
    fail_fast_after: timedelta = timedelta(seconds=30)
    autoscaler: Autoscaler | None = None
    """The user's, of the target."""
    primary_autoscaler: Autoscaler | None = None
    memory: timedelta = timedelta(minutes=5)
    apex: str | None = "target"
    services: set[d.ServiceRole] = field(default_factory=set)
    route: Route | None = None
    place: RoutePlace | None = None
    """Which object the route is, where a test is about that."""
    former: Route | None = None
    """What the spec asked for before it was edited, with users who still come through it."""
    configs: dict[str, str] = field(default_factory=dict)
    config_writes: int = 1
    """How often anybody wrote one of them."""
    primary_configs: dict[str, str] = field(default_factory=dict)
    kept: list[Kept] = field(default_factory=list)
    """Promoted revisions that are kept, the newest first."""
    may_keep: bool = True
    lacking: tuple[str, ...] = ()
    """Configs that are nowhere any more as they were promoted."""
    status: CanaryStatus = field(default_factory=CanaryStatus)
    generation: int = 1
    finalizer: bool = False
    deleting: bool = False
    gone: bool = False
    annotations: dict[str, str] = field(default_factory=dict)
    budgets: bool = True
    """Whether the primary's PodDisruptionBudgets are as the target's."""
    history: History | None = None
    """Since when the target has its template, as far as anybody looks."""
    flagger_wrote_at: datetime | None = None
    owned: bool = False
    """Whether the primary has Flagger's ownerReference."""
    ahead: int = 0
    """Writes in which the router only names Services at weight 0 before or after it sends users to them."""
    named: Counter[str] = field(default_factory=Counter)
    problems: tuple[str, ...] = ()
    alerts_seen: AlertsSeen = field(default_factory=AlertsSeen)
    hooks: dict[str, Verdict] = field(default_factory=dict)
    """Answers of hooks by type or name; every hook passes and no rollback hook fires unless told here."""
    metrics: dict[str, Verdict] = field(default_factory=dict)
    requests: tuple[Outcome, ...] = ()
    """What counters grew by in every interval of a sequential test: good and all of the canary, and of the primary."""
    meanwhile: Callable[[Any], object] | None = None
    """What somebody does between the observation and the first write of the next plan."""

    announced: set[str] = field(default_factory=set)
    sent: list[Pending] = field(default_factory=list)
    events: list[d.Event] = field(default_factory=list)
    actions: list[tuple[datetime, d.Action]] = field(default_factory=list)
    dropped: tuple[str, ...] = ()
    """Configs whose copies were let go of."""
    outcomes: list[str] = field(default_factory=list)
    asked: list[tuple[datetime, Check, Answer]] = field(default_factory=list)
    status_writes: int = 0
    ticks: int = 0
    wake_at: datetime | None = START
    dirty: bool = True
    crashed: bool = False
    slept: tuple[str, int | None] = ("", None)
    """Which object was seen asleep, and at which generation."""
    laws: Laws = field(default_factory=Laws)
    _written: int = 0

    def __post_init__(self) -> None:
        self.reread()
        if self.target is not None:
            self.target.sync(START - timedelta(minutes=10))  # users have been served for a while
            self.target.sync(START)

    def reread(self) -> None:
        """Let pods of the target that start from now on read the configs as they are."""
        if self.target is not None:
            self.target.reads = json.dumps(self.configs, sort_keys=True)

    def observe(self) -> Observation:
        metadata = ObjectMeta(
            name=NAME,
            namespace=NAMESPACE,
            uid="canary-uid",
            generation=self.generation,
            annotations=self.annotations,
            finalizers=(FINALIZER,) if self.finalizer else (),
            deletion_timestamp=START if self.deleting else None,
        )
        scaler, missing = self._scaler_seen(), self.spec.autoscaler_ref is not None and self.autoscaler is None
        return Observation(
            canary=Canary(metadata=metadata, spec=self.spec, status=self.status),
            scaler=scaler,
            budgets=self.budgets or self.primary is None,
            paused=self._paused(),
            target=self._target_seen(),
            primary=self.primary.seen() if self.primary else None,
            services=services_seen(self.target, self.services, self.apex),
            route=self._route_state(),
            capabilities=Capabilities(
                **{can.name: self.routed and can.name not in self.cannot for can in fields(Capabilities)}
            ),
            routed=self.routed,
            configs=ConfigsSeen(dict(self.configs), dict(self.configs), str(self.config_writes)),
            kept=self._kept_seen(),
            limits=Limits(min_interval=timedelta(seconds=1), fail_fast_after=self.fail_fast_after),
            pods=self._pods_seen(),
            route_released=(self.route is None or self.route.released) and not self._left_behind,
            place=self.place,
            left_behind=self._left_behind,
            left_to_canary=self._left_to_canary(),
            left_accepted=Acceptance.YES if self.former is None or self.former.accepted else Acceptance.UNKNOWN,
            alerts=self.alerts_seen,
            problems=(*self.problems, *((NO_SCALER,) if missing else ())),
            announced=frozenset(self.announced),
            history=self.history,
            flagger_wrote_at=self.flagger_wrote_at,
            primary_is_owned=self.owned and self.primary is not None,
        )

    @property
    def _left_behind(self) -> bool:
        return self.former is not None and not self.former.released

    def _left_to_canary(self) -> bool:
        """Whether users come to the canary through a former route that need not be deleted for the new one."""
        others = {place.provider for place in self.status.rollout.routes if place != self.place}
        deleted = self.place is not None and self.place.provider in others
        return self._left_behind and self.former is not None and self.former.written.canary > 0 and not deleted

    def _target_seen(self) -> Workload | None:
        """Return the target, with what the controller remembers of its sleep unless it died since."""
        if self.target is None:
            return None
        target = self.target.seen()
        if target.asleep:
            self.slept = (target.uid, target.generation)
        uid, generation = self.slept
        return replace(target, slept_at=generation if uid == target.uid else None)

    def _kept_seen(self) -> KeptSeen:
        if not self.may_keep or not self.kept:
            return KeptSeen(usable=self.may_keep)
        lacking = self.lacking if self.primary is None else ()
        revisions = [Revision(template=one.template, configs=one.configs) for one in self.kept]
        return KeptSeen(True, revisions[0], f"{NAME}-promoted-1", next(iter(revisions[1:]), None), lacking)

    def _pods_seen(self) -> PodsSeen:
        awaited = {"target": self.target, "primary": self.primary, None: None}[AWAITED.get(self.status.phase)]
        if awaited is None:
            return PodsSeen()
        if self.blind or not self.pods_are_known:
            return PodsSeen(awaited.uid, trouble=self.blind)
        return awaited.seen_pods()

    def _paused(self) -> tuple[str, ...]:
        ref, record = self.spec.autoscaler_ref, self.status.rollout.scaler
        if self.autoscaler is None or not self.autoscaler.paused:
            return ()
        return (ref.name,) if ref is not None else (record.source,) if record is not None else ()

    def _scaler_seen(self) -> ScalerSeen | None:
        ref, autoscaler, live = self.spec.autoscaler_ref, self.autoscaler, self.primary_autoscaler
        if ref is None or autoscaler is None:
            return None
        own, other = Bounds(autoscaler.low, autoscaler.high), ref.primary_scaler_replicas
        bounds = Bounds((other and other.min_replicas) or own.low, (other and other.max_replicas) or own.high)
        return ScalerSeen(
            name=f"{ref.name}-primary",
            target=own,
            primary=bounds,
            minimum=live.low if live is not None else None,
            drifted=live is not None and live.high != bounds.high,
            memory=self.memory,
            kind=ref.kind,
            source=ref.name,
            active=bounds.low,
            pausable=autoscaler.keda and not autoscaler.paused_otherwise,
        )

    def _route_state(self) -> RouteState:
        if self.route is None:
            return RouteState(routes=None)
        routes = None if self.route.released else self.route.written
        drifted = self.route.drifted or self.route.users not in {"", users_of(self.spec.analysis)}
        if self.route.refused:
            return RouteState(routes, drifted, Acceptance.NO, "no such gateway")
        spoke = self.numbers and self.route.served is not None
        silent = Acceptance.BEHIND if spoke else Acceptance.UNKNOWN
        accepted = Acceptance.YES if self.route.accepted else silent
        note = "" if self.route.accepted else self.why_silent
        return RouteState(routes, drifted, accepted, note)

    def destinations(self) -> set[str]:
        """Where users are sent now: ``target``, ``primary`` or both."""
        return self._led_to(self.route) | (self._led_to(self.former) if self.former is not None else set())

    def _led_to(self, route: Route | None) -> set[str]:
        released = route is not None and route.released and route.accepted
        if route is not None and route.served is not None and not released:
            shares = {"primary": route.served.primary, "target": route.served.canary}
            return {name for name, share in shares.items() if share}
        return {self.apex} if self.apex else set()

    def tick(self, *, crash_after: int | None = None) -> d.Plan:
        """Decide and carry out; with ``crash_after`` die when so many writes are done."""
        self.ticks += 1
        self.dirty = False
        seen = self.observe()
        plan = self._decide(seen)
        self.wake_at = plan.wake_at
        generation = self.generation
        if self.meanwhile is not None:
            meanwhile, self.meanwhile = self.meanwhile, None
            meanwhile(self)
        self._written = 0
        try:
            for action in plan.actions:
                self._count(crash_after)
                self._carry_out(action, seen)
                self.actions.append((self.now, action))
                self.laws.look(self)
            self._count(crash_after)
            if plan.status is not None and not self.gone:
                if self.generation != generation:
                    raise Stale
                self._write_status(plan.status)
                self._count(crash_after)
        except Stale:
            self.wake_at = self.now
            self._settle()
            return plan
        except CrashError:
            self.crashed = True
            self.announced.clear()
            self.slept = ("", None)
            self.wake_at = self.now
            self._settle()
            return plan
        self._announce(plan)
        self._settle()
        return plan

    def _decide(self, seen: Observation) -> d.Plan:
        rounds = 0
        answers: dict[Check, Answer] = {}
        while True:
            decided = decide(replace(seen, answers=dict(answers)), self.now)
            assert decide(replace(seen, answers=dict(answers)), self.now) == decided, "a decision is a function"
            if isinstance(decided, d.Plan):
                self.laws.planned(self, replace(seen, answers=dict(answers)), decided)
                return decided
            rounds += 1
            assert rounds <= 6, "a tick asks at most six rounds of questions"
            assert decided.checks
            later = self.now + timedelta(microseconds=1)
            assert decide(replace(seen, answers=dict(answers)), later) == decided, "answers that take time still count"
            assert not set(decided.checks) & set(answers), "nothing is asked twice in a tick"
            for check in decided.checks:
                answers[check] = self._answer(check)
                self.asked.append((self.now, check, answers[check]))
                at_once = self.spec.analysis.webhooks_parallel and isinstance(check, HookCheck)
                if ends_round(check, answers[check]) and not at_once:
                    break

    def _answer(self, check: Check) -> Answer:
        if isinstance(check, HookCheck):
            name = self.spec.analysis.webhooks[check.index].name
            default = Verdict.FAILED if check.type is HookType.ROLLBACK else Verdict.PASSED
            verdict = self.hooks.get(name, self.hooks.get(check.type.value, default))
            return Answer(verdict, "" if verdict is Verdict.PASSED else "403 closed")
        self.laws.measured(self)
        if check.trial is not None:
            metric, seen = self.spec.analysis.metrics[check.index], Grown(self.requests, self.now)
            return look(metric, check.trial, seen if check.trial.since else None, f"{NAME}.{NAMESPACE}")
        name = self.spec.analysis.metrics[check.index].name
        verdict = self.metrics.get(name, Verdict.PASSED)
        if verdict is Verdict.PASSED:
            return Answer(verdict, "", "1", "<= 2")
        return Answer(verdict, f"Halt advancement {name} is off", "3" if verdict is Verdict.FAILED else None, "<= 2")

    def _count(self, crash_after: int | None) -> None:
        if crash_after is not None and self._written >= crash_after:
            raise CrashError
        self._written += 1

    def _write_status(self, status: CanaryStatus) -> None:
        self.laws.status_written(self, status)
        self.status = CanaryStatus.model_validate(json.loads(json.dumps(status.to_json())))
        self.status_writes += 1
        self.laws.look(self)

    def _announce(self, plan: d.Plan) -> None:
        self.events += plan.events
        for item in plan.announcements:
            if item.id not in self.announced:
                self.sent.append(item)
                self.announced.add(item.id)
        if plan.outcome:
            self.outcomes.append(plan.outcome)

    def _carry_out(self, action: d.Action, seen: Observation) -> None:  # noqa: C901, PLR0912, PLR0915 -- one case an action
        match action:
            case d.AddFinalizer():
                self.finalizer = True
            case d.RemoveFinalizer():
                self.finalizer = False
                self.gone = self.deleting
            case d.DisownPrimary():
                self.owned = False
            case d.WriteService(role):
                if seen.target is None:
                    raise Stale
                self.services.add(role)
                self.apex = "primary" if role is d.ServiceRole.APEX else self.apex
            case d.ReleaseService():
                self.apex = "target" if self.apex else None
            case d.CopyConfigs(expected):
                if dict(expected) != self.configs:
                    raise Stale
                self.primary_configs = dict(self.configs)
            case d.CreatePrimary():
                self._create_primary(seen)
            case d.KeepRevision() | d.ForgetPromoted() | d.RestorePrimary() | d.DropCopies():
                self._carry_out_kept(action, seen)
            case d.UpdatePrimary():
                if self.primary is None or seen.target is None or self.target is None:
                    raise Stale
                self.laws.promoted(self, seen)
                template = seen.target.template.rstrip("+")
                self.primary.edit(template, stamp=json.dumps(self.primary_configs, sort_keys=True))
            case d.ScaleTarget(replicas):
                self._scale(self.target, replicas)
            case d.ScalePrimary(replicas):
                self._scale(self.primary, replicas)
            case d.WriteScaler(minimum):
                self._write_autoscaler(minimum)
            case d.DeleteScaler() | d.PauseScaler() | d.ResumeScaler():
                self._change_autoscaler(action)
            case d.WriteBudgets():
                self.budgets = True
            case d.SetRoutes(routes):
                self.laws.routed(self, seen, routes)
                self._set_routes(routes)
            case d.ReleaseRoute():
                if self.route is not None and not self._goes_ahead("release"):
                    self._release(self.route)
                if self.former is not None:
                    self._release(self.former)
            case d.LeaveRoutes():
                assert self.former is not None, "no former route to give back"
                if not self._goes_ahead("leave"):
                    self._release(self.former)
            case d.DeleteChildren(serving):
                self.primary = self.primary_autoscaler = None
                self.kept.clear()
                self.services.clear()
                if not serving:
                    self.apex, self.route = None, None
            case _ as unreachable:
                assert_never(unreachable)

    def _release(self, route: Route) -> None:
        route.released, route.accepted, route.accept_at = True, False, self.now + self.accept_after

    @staticmethod
    def _scale(workload: Deployment | None, replicas: int) -> None:
        if workload is None:
            raise Stale
        workload.edit(replicas=replicas)

    def _carry_out_kept(
        self, action: d.KeepRevision | d.ForgetPromoted | d.RestorePrimary | d.DropCopies, seen: Observation
    ) -> None:
        assert self.may_keep
        match action:
            case d.KeepRevision(configs, of_primary):
                source = seen.primary if of_primary else seen.target
                if source is None:
                    raise Stale
                sizes = [workload.replicas for workload in (seen.target, seen.primary) if workload is not None]
                new = Kept(source.template, dict(configs), max(1, *sizes))
                self.laws.kept(self, seen, new.template)
                self.kept = [new, *self.kept[:1]]
            case d.ForgetPromoted():
                self.kept.pop(0)
            case d.RestorePrimary():
                self._restore_primary()
            case d.DropCopies(configs):
                self.dropped += configs

    def _restore_primary(self) -> None:
        if self.target is None or not self.kept:
            raise Stale
        kept = self.kept[0]
        self.laws.restored(kept.template)
        if self.configs == kept.configs:
            self.primary_configs = dict(kept.configs)
        if self.primary is None:
            self.primary = self._new_primary(kept.template, kept.replicas)
        else:
            self.primary.edit(kept.template.rstrip("+"), stamp=json.dumps(self.primary_configs, sort_keys=True))

    def _create_primary(self, seen: Observation) -> None:
        if self.primary is not None or self.target is None or seen.target is None:
            raise Stale
        self.laws.created(self, seen)
        self.primary = self._new_primary(seen.target.template, self.target.replicas or 1)

    def _new_primary(self, template: str, replicas: int) -> Deployment:
        assert self.target is not None
        return type(self.target)(
            f"{NAME}-primary",
            template.rstrip("+"),
            replicas,
            self.now,
            uid=f"primary-{self.ticks}",
            broken=set(self.target.broken if self.primary_breaks is None else self.primary_breaks),
            blocked=dict(self.primary_blocked),
            stamp=json.dumps(self.primary_configs, sort_keys=True),
            default=self.target.default,
        )

    def _write_autoscaler(self, minimum: int) -> None:
        scaler, live = self._scaler_seen(), self.primary_autoscaler
        if scaler is None:
            raise Stale
        self.primary_autoscaler = Autoscaler(minimum, scaler.primary.high, live.wants if live else 0)

    def _change_autoscaler(self, action: d.DeleteScaler | d.PauseScaler | d.ResumeScaler) -> None:
        if isinstance(action, d.DeleteScaler):
            self.primary_autoscaler = None
            return
        if self.autoscaler is None:
            raise Stale
        assert self.autoscaler.keda, "nothing else knows a pause"
        self.autoscaler.paused = isinstance(action, d.PauseScaler)
        if self.target is not None:
            self.autoscaler.look(self.target)

    def _set_routes(self, routes: Routes) -> None:
        assert self.routed, "no route to write"
        if self._goes_ahead("routes"):
            return
        routes, users = as_written(routes, self.spec.analysis, whole="whole_audience" not in self.cannot)
        live = self.route if self.route is not None and not self.route.released else None
        if live is not None and (live.written, live.users) == (routes, users):
            live.drifted = False
            return
        served = live.served if live is not None else None
        self.route = Route(routes, served, self.now + self.accept_after, refused=self.refuses, users=users)

    def _goes_ahead(self, what: str) -> bool:
        """Whether a router only names Services for now, so that the data plane knows them."""
        self.named[what] += 1
        return self.named[what] <= self.ahead

    # Time

    def _settle(self) -> None:
        """Let the cluster's own controllers do what they do at this instant; what they change wakes the core."""
        for route in (self.route, self.former):
            if route is not None and self.now >= route.accept_at and not route.refused and not route.accepted:
                route.served, route.served_since = route.written, self.now
                route.accepted = self.dirty = True
        for workload, autoscaler in ((self.target, self.autoscaler), (self.primary, self.primary_autoscaler)):
            if workload is None:
                continue
            before = workload.seen(), workload.seen_pods()
            if autoscaler is not None:
                autoscaler.look(workload)
            workload.sync(self.now)
            self.dirty = self.dirty or (workload.seen(), workload.seen_pods()) != before
        self.laws.look(self)

    def _workloads(self) -> list[Deployment]:
        return [workload for workload in (self.target, self.primary) if workload is not None]

    def _moments(self) -> Iterator[datetime]:
        if self.dirty:
            yield self.now
        if self.wake_at is not None:
            yield max(self.wake_at, self.now)
        for workload in self._workloads():
            yield from workload.moments()
        for route in (self.route, self.former):
            if route is not None and route.accept_at > self.now:
                yield route.accept_at

    def advance(self, until: datetime | None = None) -> bool:
        """Go to the next moment at which the core has to look; False when there is none (before ``until``)."""
        self._settle()
        while not self.gone:
            coming = min(self._moments(), default=None)
            if coming is None or (until is not None and coming > until):
                return False
            self.now = max(self.now, coming)
            self._settle()
            if self.dirty or (self.wake_at is not None and self.now >= self.wake_at):
                return True
        return False

    def run(self, *until: Phase, limit: int = 400, crash_after: int | None = None) -> Self:
        """Tick until a phase is reached, or until nothing will ever happen again by itself."""
        for _ in range(limit):
            if self.status.phase in until or not self.advance():
                assert not until or self.status.phase in until or self.gone, f"rests in {self.status.phase}"
                return self
            self.tick(crash_after=crash_after)
        raise AssertionError(f"no end after {limit} ticks in {self.status.phase}: {self.status.rollout.reason}")

    def run_for(self, seconds: float) -> Self:
        """Tick for a while, whatever happens."""
        end = self.now + timedelta(seconds=seconds)
        while self.advance(end):
            self.tick()
        self.now = end
        self._settle()
        return self
