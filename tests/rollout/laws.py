"""What must hold at every instant of every simulated rollout; the world calls these after each write and time jump.

``Law`` lists them. Each has a test of its own in test_each_law.py, which looks for a history that breaks just this one;
everywhere else all of them hold at once.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import Enum
from typing import TYPE_CHECKING

from flaggerpy.api.analysis import HookType
from flaggerpy.api.status import CanaryStatus, Phase
from flaggerpy.rollout import revision
from flaggerpy.rollout.checks import HookCheck, MetricCheck, Verdict
from flaggerpy.rollout.decide import decide
from flaggerpy.rollout.decision import Decision, Plan
from flaggerpy.rollout.observation import Observation
from flaggerpy.rollout.traffic import ALL_TO_PRIMARY, Cookies, Routes
from flaggerpy.rollout.transition import ANALYSIS, IDLE, NEXT
from tests.rollout.workloads import WIDER, users_of

if TYPE_CHECKING:
    from tests.rollout.simulation import Simulation

BOOTSTRAP = (Phase.NEW, Phase.INITIALIZING, Phase.TERMINATING, Phase.TERMINATED)
"""Phases stored while a (new) bootstrap may begin."""

CONDITIONS = ("Ready", "Reconciling", "Stalled", "Promoted")
DEADLINE = timedelta(seconds=60)
SECOND, MOST = timedelta(seconds=1), timedelta(seconds=10)


class Law(Enum):
    """What must hold of every rollout, whoever dies and whatever strangers do."""

    WEIGHTS_ADD_UP_TO_100 = "the weights of a route add up to 100"
    WEIGHT_FALLS_FOR_A_REASON = "the canary's weight falls by rollback, restart, cancel, promotion or deletion only"
    WEIGHTS_ARE_HELD_FOR_AN_INTERVAL = "every weight is held for at least one interval, under any crash"
    STEPS_ARE_JUDGED_LIVE = "a step is judged once the data plane has served it for half of its interval"
    NO_PROMOTION_WITHOUT_EVERY_GATE = "nothing is promoted before every gate has passed"
    WHAT_IS_PROMOTED_WAS_ANALYSED = "what is promoted, kept and brought back is what was analysed"
    AFTER_FAILED_USERS_ARE_ON_ONE_WORKLOAD = "after Failed all traffic is on one workload, which is ready"
    USERS_ARE_SERVED = "users are sent to workloads that can serve, between any two writes"
    ABORT_IS_POSSIBLE = "a rollout can be aborted in every phase in which users may meet its revision"
    EVERY_PATH_ENDS = "every history comes to a rest, and nothing is decided in a hot loop on the way"
    EVERYTHING_IS_DECIDED = "a decision is made of anything that the cluster can show"
    PHASES_FOLLOW_EACH_OTHER = "phases follow each other as drawn, and conditions do not contradict them"
    COOKIES_ARE_KEPT_AND_END = "users keep their cookie through a crash, and one that was taken back never comes again"
    COPIES_ARE_ASKED_FOR = "a canary gets copies of requests only where the analysis asks for them"
    USERS_RETURN_TO_ENOUGH_PODS = "an autoscaled primary gets its users back once it has the pods that served them"
    A_SHARE_HAS_ITS_PODS = "a canary that is sized by its share has ready pods for it before users or copies come"
    NO_VERDICT_DECIDES_NOTHING = "a round that lacks a verdict neither counts nor lets the canary go on"
    A_DRY_RUN_CHANGES_NOTHING = "what is measured in a dry run changes nothing but what is shown of it"
    AN_EDIT_SHOWS_THE_CANARY_TO_NOBODY = "nobody but an analysis's next step gives the canary more users than it had"
    ONLY_NEWS_START_A_ROLLOUT = "a rollout starts for another template or config, and for nothing else"


def without_dry_runs(plan: Decision) -> object:
    """Return a plan but for what is shown of dry runs."""
    if not isinstance(plan, Plan) or plan.status is None:
        return plan
    rollout = plan.status.rollout
    checks = [check for check in rollout.checks if not check.dry_run]
    status = plan.status.model_copy(update={"rollout": rollout.model_copy(update={"checks": checks})})
    return replace(plan, status=status)


@dataclass
class Laws:
    only: Law | None = None
    """The law that is looked at; all of them if None."""
    looked_at: Counter[Law] = field(default_factory=Counter)
    """How often each law was looked at."""
    sabotaged: bool = False
    """A stranger did something that takes users' pods or routes away: being served cannot be asked for."""

    recent: dict[str, datetime] = field(default_factory=dict)
    """When each workload was last somewhere users are sent."""
    moved_at: datetime | None = None
    """When we last changed the weights; None after a stranger did."""
    began: int = 0
    """How many questions had been asked when the analysis of the current revision began."""
    skipped: bool = False
    """Whether the running promotion was decided under skipAnalysis."""
    overruled: bool = False
    """Whether a person had this revision go on without checks and gates."""
    analysed: set[str] = field(default_factory=set)
    """Templates that a primary was given after their analysis, and those of bootstraps."""
    expired: set[str] = field(default_factory=set)
    """Cookies that were taken back."""
    instant: datetime | None = None
    ticks: int = 0

    def demand(self, law: Law, holds: bool, broken: object = "") -> None:
        """Fail when a law does not hold that is looked at."""
        if self.only in {None, law}:
            self.looked_at[law] += 1
            assert holds, f"{law.value}: {broken}"

    def look(self, world: Simulation) -> None:
        """Users are always sent to, and for a while still reach, workloads with pods that can serve."""
        for name in world.destinations():
            self.recent[name] = world.now
        if self.sabotaged:
            return
        # As long as connections to a workload last after the data plane took it off the route.
        drain = min(max(world.spec.analysis.interval, SECOND), MOST) - SECOND / 10
        for name, last in self.recent.items():
            workload = world.target if name == "target" else world.primary
            serving = workload is not None and workload.available > 0
            words = (world.now, f"users are sent to {name}, which cannot serve", workload)
            self.demand(Law.USERS_ARE_SERVED, serving or world.now - last > drain, words)
            if world.status.phase is Phase.FAILED:
                self.demand(Law.AFTER_FAILED_USERS_ARE_ON_ONE_WORKLOAD, serving or world.now - last > drain, words)

    def planned(self, world: Simulation, seen: Observation, plan: Plan) -> None:
        """Nothing is decided in a hot loop, or on answers that say nothing; what is seen has the answers."""
        if self.instant != world.now:
            self.instant, self.ticks = world.now, 0
        self.ticks += 1
        hot = f"hot loop in {seen.canary.status.phase}: {plan.actions} {plan.wake_at}"
        self.demand(Law.EVERY_PATH_ENDS, self.ticks <= 15, hot)
        self.demand(Law.EVERYTHING_IS_DECIDED, plan.wake_at is None or plan.wake_at >= world.now, plan)
        self._concluded(world, seen, plan)

    def _concluded(self, world: Simulation, seen: Observation, plan: Plan) -> None:
        """What is not known of the canary is held neither for nor against it."""
        metrics = world.spec.analysis.metrics
        measured = {check: answer for check, answer in seen.answers.items() if isinstance(check, MetricCheck)}
        counting = [answer.verdict for check, answer in measured.items() if not metrics[check.index].dry_run]
        if {Verdict.ERROR, Verdict.INCONCLUSIVE} & set(counting):
            before, after = world.status, plan.status or world.status
            gone_on = (
                after.canary_weight > before.canary_weight and not after.rollout.serving_canary,
                after.iterations > before.iterations,
                after.phase is Phase.PROMOTING,
            )
            self.demand(Law.NO_VERDICT_DECIDES_NOTHING, not any(gone_on), f"{counting}: {gone_on}")
            same = Verdict.FAILED in counting or after.failed_checks == before.failed_checks
            self.demand(Law.NO_VERDICT_DECIDES_NOTHING, same, f"{counting}: {after.failed_checks} failed checks")
        for check, answer in measured.items():
            for verdict in Verdict if metrics[check.index].dry_run else ():
                other = decide(
                    replace(seen, answers={**seen.answers, check: replace(answer, verdict=verdict)}), world.now
                )
                words = f"{answer.verdict} and {verdict} differ"
                self.demand(Law.A_DRY_RUN_CHANGES_NOTHING, without_dry_runs(other) == without_dry_runs(plan), words)

    def status_written(self, world: Simulation, status: CanaryStatus) -> None:
        """Phases follow each other as the table says."""
        old = world.status
        if old.phase is not status.phase:
            allowed = NEXT[old.phase] | {Phase.TERMINATING}
            if not world.finalizer:
                allowed = allowed | {Phase.TERMINATED}
            self.demand(Law.PHASES_FOLLOW_EACH_OTHER, status.phase in allowed, f"{old.phase} → {status.phase}")
        self.demand(Law.EVERY_PATH_ENDS, status != old, "a status write changes nothing")
        self.demand(Law.PHASES_FOLLOW_EACH_OTHER, status.observed_generation == world.generation, "an old generation")
        self.truthful(status)
        if status.phase is Phase.FAILED:
            weight = 100 if status.rollout.serving_canary else 0
            one = status.rollout.step.weight == status.canary_weight == weight
            self.demand(Law.AFTER_FAILED_USERS_ARE_ON_ONE_WORKLOAD, one, status)
        if old.phase in ANALYSIS and status.phase is Phase.PROMOTING:
            self.skipped = world.spec.skip_analysis
        if old.phase in {*IDLE, Phase.WAITING} and status.phase is Phase.PROGRESSING:
            self.started(status)
        if not revision.alike(old.rollout.applied, status.rollout.applied):
            self.began = len(world.asked)
            self.overruled = False
        if status.rollout.advance is not None:
            self.overruled = True

    def truthful(self, status: CanaryStatus) -> None:
        """Conditions are of the generation that was looked at, and never contradict each other or the phase."""
        rows = {row.type: row for row in status.conditions if row.type in CONDITIONS}
        ready, reconciling, stalled, promoted = (rows[kind].status for kind in CONDITIONS)
        consistent = (
            {row.observed_generation for row in rows.values()} == {status.observed_generation},
            (reconciling, stalled) != ("True", "True"),
            (ready == "False") == (stalled == "True"),
            stalled == "True" or status.phase is not Phase.FAILED,
            ready != "True" or reconciling == "False",
            (promoted == "False") == (status.phase is Phase.FAILED),
            stalled == "False" or rows["Stalled"].message,
            status.phase is not Phase.FAILED or rows["Ready"].message,
        )
        self.demand(Law.PHASES_FOLLOW_EACH_OTHER, all(consistent), (consistent, rows))

    def started(self, status: CanaryStatus) -> None:
        """A rollout starts for another template or config; replicas and autoscalers never start one."""
        applied, promoted = status.rollout.applied, status.rollout.promoted
        assert applied is not None
        if promoted is not None:
            # A newer API server's default is no other template.
            wanted, running = ((one.template.rstrip("+"), one.configs) for one in (applied, promoted))
            self.demand(Law.ONLY_NEWS_START_A_ROLLOUT, wanted != running, "this was promoted")

    def routed(self, world: Simulation, seen: Observation, routes: Routes) -> None:
        """Weights rise after a full interval, and fall for a reason."""
        before = world.route.written if world.route is not None and not world.route.released else ALL_TO_PRIMARY
        self.demand(Law.WEIGHTS_ADD_UP_TO_100, routes.primary + routes.canary == 100, routes)
        self.cookies(world, routes.cookies)
        wanted = world.spec.analysis.mirror or not routes.mirrored or before.mirrored
        self.demand(Law.COPIES_ARE_ASKED_FOR, wanted, routes)
        self.sized(world, before, routes)
        self.widened(world, seen, before, routes)
        old = before.canary
        status = world.status
        new = routes.canary
        by_itself = not status.rollout.failing and status.rollout.advance is None and seen.primary is not None
        held = old > 0 or before.mirrored
        if status.phase in ANALYSIS and new > old and held and by_itself and self.moved_at is not None:
            interval = world.spec.analysis.interval
            held_for = world.now - self.moved_at
            self.demand(Law.WEIGHTS_ARE_HELD_FOR_AN_INTERVAL, held_for >= interval, f"{old}% for {held_for} only")
        if new < old and status.phase in ANALYSIS:
            reasons = (
                status.rollout.failing,
                seen.target is None or seen.target.deleting or seen.target.replicas == 0,
                seen.target is not None and seen.target.available_replicas == 0,
                seen.target and not revision.same(status.rollout.applied, seen, seen.target),
                self.moved_at is None,
                self._of_more_users(world),
                new == status.rollout.step.weight == 0,  # a first step that a crash left unrecorded, and gates closed
            )
            self.demand(Law.WEIGHT_FALLS_FOR_A_REASON, any(reasons), f"from {old} to {new}")
        if new < old and status.phase is Phase.PROMOTING:
            self.returned(world, seen)
        if new < old and status.phase in {*IDLE, Phase.WAITING, Phase.FINALISING}:
            returns = status.rollout.serving_canary or self.moved_at is None
            self.demand(Law.WEIGHT_FALLS_FOR_A_REASON, returns, f"{status.phase}: from {old} to {new}")
        if new > old and status.phase not in ANALYSIS and self.moved_at is not None:
            admitted = (
                new == 100 and (seen.primary is None or status.phase in {Phase.PROMOTING, Phase.FINALISING}),
                world.route is None or new == status.rollout.step.weight,  # written again
            )
            words = f"{status.phase}: the weight rose from {old} to {new} outside of an analysis"
            self.demand(Law.NO_PROMOTION_WITHOUT_EVERY_GATE, any(admitted), words)
        if routes.traffic != before.traffic:
            self.moved_at = world.now

    def measured(self, world: Simulation) -> None:
        """What is measured is of the step that is judged, and of no step before it."""
        route = world.route
        heard = world.numbers and route is not None and route.served is not None
        if route is None or not heard or world.status.canary_weight == 0 or self.moved_at is None:
            return
        served = world.now - route.served_since if route.accepted and route.served_since else timedelta()
        live = served >= world.spec.analysis.interval / 2
        self.demand(Law.STEPS_ARE_JUDGED_LIVE, live, f"served for {served}")

    def cookies(self, world: Simulation, cookies: Cookies) -> None:
        """A route knows no cookie that is not recorded, and one that was taken back never comes again."""
        status = world.status
        recorded = (
            cookies.canary in {"", status.session_affinity_cookie},
            cookies.primary in {"", status.primary_session_affinity_cookie},
            cookies.expired in {"", status.session_affinity_cookie, status.previous_session_affinity_cookie},
        )
        self.demand(Law.COOKIES_ARE_KEPT_AND_END, all(recorded), f"a crash would change {cookies}")
        again = cookies.canary in self.expired
        self.demand(Law.COOKIES_ARE_KEPT_AND_END, not again, f"{cookies.canary} was taken back from its users")
        self.expired |= {cookies.expired} - {""}

    def widened(self, world: Simulation, seen: Observation, before: Routes, routes: Routes) -> None:
        """A share of an audience becomes one of everybody by a step that begins with nobody."""
        alone = world.status.rollout.serving_canary or seen.primary is None or not seen.primary.available_replicas
        step, route = world.status.rollout.step, world.route
        if route is None or not before.canary or not routes.canary or not step.weight or alone or self.sabotaged:
            return
        now, wider = users_of(world.spec.analysis), self._of_more_users(world)
        words = f"{before.canary}% of {route.users} became {routes.canary}% of {now}"
        self.demand(Law.AN_EDIT_SHOWS_THE_CANARY_TO_NOBODY, not wider or step.whose == now, words)

    @staticmethod
    def _of_more_users(world: Simulation) -> bool:
        """Whether the share that the canary has would be one of more users after an edit."""
        route = world.route
        if route is None or (route.users == "everybody" and route.written.canary == 100):
            return False
        change = (route.users, users_of(world.spec.analysis))
        return change in WIDER or ("whole_audience" not in world.cannot and change == ("everybody", "audience"))

    def sized(self, world: Simulation, before: Routes, routes: Routes) -> None:
        """A share that grows finds its pods ready, unless nobody else serves or they had their time to come."""
        spec, target, primary, growth = world.spec, world.target, world.primary, world.status.rollout.step.growth
        scaled = spec.analysis.sized_by_share and spec.autoscaler_ref is None and self._has_replicas(target)
        if not scaled or self.sabotaged or target is None or primary is None or primary.available == 0:
            return
        copies = (0 if "mirror_weight" in world.cannot else spec.analysis.mirror_weight) or 100
        share = copies if routes.mirrored else routes.canary
        if share <= (copies if before.mirrored else before.canary) or world.status.rollout.serving_canary:
            return
        needed = math.ceil(primary.replicas * share / 100)
        late = growth is not None and world.now - growth.since >= DEADLINE
        words = f"{target.available} of {needed} pods for {share}%"
        self.demand(Law.A_SHARE_HAS_ITS_PODS, late or target.available >= needed, words)

    @staticmethod
    def _has_replicas(target: object) -> bool:
        return type(target).__name__ == "Deployment"

    def returned(self, world: Simulation, seen: Observation) -> None:
        """An autoscaled primary gets users back once it has the canary's pods, or had its time to get them."""
        record, target, primary = world.status.rollout.scaler, seen.target, seen.primary
        if seen.scaler is None or target is None or primary is None or self.sabotaged:
            return
        if not revision.same(world.status.rollout.applied, seen, target) or target.available_replicas == 0:
            return
        late = record is not None and record.since is not None and world.now - record.since >= DEADLINE
        there, needed = primary.available_replicas, min(target.available_replicas, seen.scaler.primary.high)
        enough = late or there >= needed
        self.demand(Law.USERS_RETURN_TO_ENOUGH_PODS, enough, f"users return to {there} pods from {needed}")

    def route_turned(self, world: Simulation) -> None:
        self.moved_at = None

    def created(self, world: Simulation, seen: Observation) -> None:
        """A primary is cloned from a target that asks for what was promoted or, in a bootstrap, where nothing was."""
        rollout, phase = world.status.rollout, world.status.phase
        assert seen.target is not None
        kept = seen.kept.revision
        if phase in BOOTSTRAP:
            analysed = kept is None or revision.same(kept, seen, seen.target)
        else:
            record = rollout.applied if phase is Phase.PROMOTING else rollout.promoted
            analysed = revision.same(record, seen, seen.target)
        self.demand(Law.WHAT_IS_PROMOTED_WAS_ANALYSED, analysed, f"{phase}: a primary from {seen.target}")
        self.analysed.add(seen.target.template.rstrip("+"))

    def kept(self, world: Simulation, seen: Observation, template: str) -> None:
        """Only what went through an analysis or a bootstrap is kept."""
        if world.status.phase is Phase.PROMOTING:
            self.promoted(world, seen)
        analysed = template.rstrip("+") in self.analysed
        self.demand(Law.WHAT_IS_PROMOTED_WAS_ANALYSED, analysed, f"{template} is kept")

    def restored(self, template: str) -> None:
        """Only what went through an analysis or a bootstrap comes back."""
        analysed = template.rstrip("+") in self.analysed
        self.demand(Law.WHAT_IS_PROMOTED_WAS_ANALYSED, analysed, f"{template} comes back")

    def promoted(self, world: Simulation, seen: Observation) -> None:
        """What is written into the primary is what was analysed, after every gate."""
        status = world.status
        assert seen.target is not None
        if status.phase is not Phase.PROMOTING:
            words = f"the primary is written in {status.phase}"
            self.demand(Law.WHAT_IS_PROMOTED_WAS_ANALYSED, status.phase in BOOTSTRAP, words)
            unused = status.phase is not Phase.INITIALIZING or "primary" not in world.destinations()
            self.demand(Law.USERS_ARE_SERVED, unused or self.sabotaged, "users are on the primary that is written")
            self.analysed.add(seen.target.template.rstrip("+"))
            return
        applied = status.rollout.applied
        assert applied is not None
        configs, template = applied.configs == world.primary_configs, revision.same(applied, seen, seen.target)
        self.demand(Law.WHAT_IS_PROMOTED_WAS_ANALYSED, configs, "with other configs")
        self.demand(Law.WHAT_IS_PROMOTED_WAS_ANALYSED, template, "with another template")
        self.analysed.add(seen.target.template.rstrip("+"))
        if self.skipped or self.overruled:
            return
        assert world.target is not None
        read = {pod.reads for pod in world.target.pods}
        same_configs = read <= {world.target.reads} or status.rollout.serving_canary
        self.demand(Law.WHAT_IS_PROMOTED_WAS_ANALYSED, same_configs, f"analysed with the configs {read}")
        passed = {
            world.spec.analysis.webhooks[check.index].name
            for _, check, answer in world.asked[self.began :]
            if isinstance(check, HookCheck) and answer.passed
        }
        wanted = {hook.name for hook in world.spec.analysis.webhooks if hook.type in self._gates(status)}
        self.demand(Law.NO_PROMOTION_WITHOUT_EVERY_GATE, wanted <= passed, f"promoted without {wanted - passed}")

    @staticmethod
    def _gates(status: CanaryStatus) -> tuple[HookType, ...]:
        if status.rollout.serving_canary:
            return (HookType.CONFIRM_PROMOTION,)
        return (HookType.PRE_ROLLOUT, HookType.CONFIRM_PROMOTION)
