"""What must hold at every instant of every simulated rollout; the world calls these after each write and time jump.

| law | where |
|---|---|
| weights add up to 100 | ``Routes`` itself, shown in test_ways_out.py |
| the canary's weight falls by rollback, restart, cancellation, promotion or deletion only | ``routed`` |
| every weight is held for an interval at least, under any crash | ``routed``, in test_crash.py and test_laws.py |
| no promotion without every gate; what is promoted is what was analysed | ``promoted`` |
| users are sent to workloads that can serve, and after Failed to one only | ``look``, ``status_written`` |
| users can be taken off a new revision in every phase, and traffic be given back | test_ways_out.py, test_requests.py |
| every path ends | the end of every history in test_laws.py, and test_crash.py |
| a decision is made of any observation | test_total.py |
| phases follow each other as drawn; conditions do not contradict them | ``status_written``, ``truthful`` |
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from flaggerpy.api.analysis import HookType
from flaggerpy.api.status import CanaryStatus, Phase
from flaggerpy.rollout import revision
from flaggerpy.rollout.checks import HookCheck
from flaggerpy.rollout.decision import Plan
from flaggerpy.rollout.observation import Observation
from flaggerpy.rollout.traffic import ALL_TO_PRIMARY, Cookies, Routes
from flaggerpy.rollout.transition import ANALYSIS, IDLE, NEXT

if TYPE_CHECKING:
    from tests.rollout.simulation import Simulation

BOOTSTRAP = (Phase.NEW, Phase.INITIALIZING, Phase.TERMINATING, Phase.TERMINATED)
"""Phases stored while a (new) bootstrap may begin."""

CONDITIONS = ("Ready", "Reconciling", "Stalled", "Promoted")
DEADLINE = timedelta(seconds=60)
SECOND, MOST = timedelta(seconds=1), timedelta(seconds=10)


@dataclass
class Laws:
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
            assert serving or world.now - last > drain, (
                f"at {world.now:%H:%M:%S} users are sent to {name}, which cannot serve: {workload}"
            )

    def planned(self, world: Simulation, seen: Observation, plan: Plan) -> None:
        """Nothing is decided in a hot loop."""
        if self.instant != world.now:
            self.instant, self.ticks = world.now, 0
        self.ticks += 1
        assert self.ticks <= 15, f"hot loop in {seen.canary.status.phase}: {plan.actions} {plan.wake_at}"
        assert plan.wake_at is None or plan.wake_at >= world.now - timedelta(0)

    def status_written(self, world: Simulation, status: CanaryStatus) -> None:
        """Phases follow each other as the table says."""
        old = world.status
        if old.phase is not status.phase:
            allowed = NEXT[old.phase] | {Phase.TERMINATING}
            if not world.finalizer:
                allowed = allowed | {Phase.TERMINATED}
            assert status.phase in allowed, f"{old.phase} → {status.phase}"
        assert status != old, "a status write changes something"
        assert status.observed_generation == world.generation
        self.truthful(status)
        if status.phase is Phase.FAILED:
            weight = 100 if status.rollout.serving_canary else 0
            assert status.rollout.step.weight == status.canary_weight == weight, (
                "after Failed users are on one workload"
            )
        if old.phase in ANALYSIS and status.phase is Phase.PROMOTING:
            self.skipped = world.spec.skip_analysis
        if old.phase in {*IDLE, Phase.WAITING} and status.phase is Phase.PROGRESSING:
            self.started(status)
        if not revision.alike(old.rollout.applied, status.rollout.applied):
            self.began = len(world.asked)
            self.overruled = False
        if status.rollout.advance is not None:
            self.overruled = True

    @staticmethod
    def truthful(status: CanaryStatus) -> None:
        """Conditions are of the generation that was looked at, and never contradict each other or the phase."""
        rows = {row.type: row for row in status.conditions if row.type in CONDITIONS}
        assert {row.observed_generation for row in rows.values()} == {status.observed_generation}
        ready, reconciling, stalled, promoted = (rows[kind].status for kind in CONDITIONS)
        assert (reconciling, stalled) != ("True", "True")
        assert ready == "False" or stalled == "False"
        assert stalled == "True" or ready != "False"
        assert stalled == "True" or status.phase is not Phase.FAILED
        assert ready != "True" or reconciling == "False"
        assert (promoted == "False") == (status.phase is Phase.FAILED)
        assert stalled == "False" or rows["Stalled"].message
        assert status.phase is not Phase.FAILED or rows["Ready"].message

    @staticmethod
    def started(status: CanaryStatus) -> None:
        """A rollout starts for another template or config; replicas and autoscalers never start one."""
        applied, promoted = status.rollout.applied, status.rollout.promoted
        assert applied is not None
        if promoted is not None:
            # A newer API server's default is no other template.
            wanted, running = ((one.template.rstrip("+"), one.configs) for one in (applied, promoted))
            assert wanted != running, "a rollout starts for what was promoted"

    def routed(self, world: Simulation, seen: Observation, routes: Routes) -> None:
        """Weights rise after a full interval, and fall for a reason."""
        before = world.route.written if world.route is not None and not world.route.released else ALL_TO_PRIMARY
        self.cookies(world, routes.cookies)
        assert world.spec.analysis.mirror or not routes.mirrored or before.mirrored, "copies that nobody asked for"
        old = before.canary
        status = world.status
        new = routes.canary
        by_itself = not status.rollout.failing and status.rollout.advance is None and seen.primary is not None
        held = old > 0 or before.mirrored
        if status.phase in ANALYSIS and new > old and held and by_itself and self.moved_at is not None:
            interval = world.spec.analysis.interval
            assert world.now - self.moved_at >= interval, f"{old}% was held for {world.now - self.moved_at} only"
        if new < old and status.phase in ANALYSIS:
            reasons = (
                status.rollout.failing,
                seen.target is None or seen.target.deleting or seen.target.replicas == 0,
                seen.target and not revision.same(status.rollout.applied, seen, seen.target),
                self.moved_at is None,
                new == status.rollout.step.weight == 0,  # a first step that a crash left unrecorded, and gates closed
            )
            assert any(reasons), f"the weight fell from {old} to {new} for no reason"
        if new < old and status.phase is Phase.PROMOTING:
            self.returned(world, seen)
        if new < old and status.phase in {*IDLE, Phase.WAITING, Phase.FINALISING}:
            assert status.rollout.serving_canary or self.moved_at is None, f"{status.phase}: from {old} to {new}"
        if new > old and status.phase not in ANALYSIS and self.moved_at is not None:
            admitted = (
                new == 100 and (seen.primary is None or status.phase in {Phase.PROMOTING, Phase.FINALISING}),
                world.route is None or new == status.rollout.step.weight,  # written again
            )
            assert any(admitted), f"{status.phase}: the weight rose from {old} to {new} outside of an analysis"
        if routes.traffic != before.traffic:
            self.moved_at = world.now

    def cookies(self, world: Simulation, cookies: Cookies) -> None:
        """A route knows no cookie that is not recorded, and one that was taken back never comes again."""
        status = world.status
        assert cookies.canary in {"", status.session_affinity_cookie}, "a crash would change the cookie"
        assert cookies.primary in {"", status.primary_session_affinity_cookie}
        assert cookies.expired in {"", status.session_affinity_cookie, status.previous_session_affinity_cookie}
        assert cookies.canary not in self.expired, "users of an old canary would be users of the new one at once"
        self.expired |= {cookies.expired} - {""}

    def returned(self, world: Simulation, seen: Observation) -> None:
        """An autoscaled primary gets users back once it has the canary's pods, or had its time to get them."""
        record, target, primary = world.status.rollout.scaler, seen.target, seen.primary
        if seen.scaler is None or target is None or primary is None or self.sabotaged:
            return
        if not revision.same(world.status.rollout.applied, seen, target) or target.available_replicas == 0:
            return
        late = record is not None and record.since is not None and world.now - record.since >= DEADLINE
        there, needed = primary.available_replicas, min(target.available_replicas, seen.scaler.primary.high)
        assert late or there >= needed, f"users return to {there} pods from {needed}"

    def route_turned(self, world: Simulation) -> None:
        self.moved_at = None

    def created(self, world: Simulation, seen: Observation) -> None:
        """A primary is cloned from a target that asks for what was promoted or, in a bootstrap, where nothing was."""
        rollout, phase = world.status.rollout, world.status.phase
        assert seen.target is not None
        kept = seen.kept.revision
        if phase in BOOTSTRAP:
            assert kept is None or revision.same(kept, seen, seen.target), "a bootstrap goes past what is kept"
        else:
            record = rollout.applied if phase is Phase.PROMOTING else rollout.promoted
            assert revision.same(record, seen, seen.target), f"{phase}: a primary from what nobody analysed"
        self.analysed.add(seen.target.template.rstrip("+"))

    def kept(self, world: Simulation, seen: Observation, template: str) -> None:
        """Only what went through an analysis or a bootstrap is kept."""
        if world.status.phase is Phase.PROMOTING:
            self.promoted(world, seen)
        assert template.rstrip("+") in self.analysed, f"{template} is kept and was never analysed"

    def restored(self, template: str) -> None:
        """Only what went through an analysis or a bootstrap comes back."""
        assert template.rstrip("+") in self.analysed, f"{template} comes back and was never analysed"

    def promoted(self, world: Simulation, seen: Observation) -> None:
        """What is written into the primary is what was analysed, after every gate."""
        status = world.status
        assert seen.target is not None
        if status.phase is not Phase.PROMOTING:
            assert status.phase in BOOTSTRAP, f"the primary is written in {status.phase}"
            unused = status.phase is not Phase.INITIALIZING or "primary" not in world.destinations()
            assert unused or self.sabotaged, "users are on the primary that is written"
            self.analysed.add(seen.target.template.rstrip("+"))
            return
        applied = status.rollout.applied
        assert applied is not None
        assert applied.configs == world.primary_configs, "the configs are not the analysed ones"
        assert revision.same(applied, seen, seen.target), "the template is not the analysed one"
        self.analysed.add(seen.target.template.rstrip("+"))
        if self.skipped or self.overruled:
            return
        assert world.target is not None
        read = {pod.reads for pod in world.target.pods}
        assert read <= {world.target.reads} or status.rollout.serving_canary, f"analysed with the configs {read}"
        passed = {
            world.spec.analysis.webhooks[check.index].name
            for _, check, answer in world.asked[self.began :]
            if isinstance(check, HookCheck) and answer.passed
        }
        wanted = {hook.name for hook in world.spec.analysis.webhooks if hook.type in self._gates(status)}
        assert wanted <= passed, f"promoted without {wanted - passed}"

    @staticmethod
    def _gates(status: CanaryStatus) -> tuple[HookType, ...]:
        if status.rollout.serving_canary:
            return (HookType.CONFIRM_PROMOTION,)
        return (HookType.PRE_ROLLOUT, HookType.CONFIRM_PROMOTION)
