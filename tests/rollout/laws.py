"""What must hold at every instant of every simulated rollout; the world calls these after each write and time jump."""

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
from flaggerpy.rollout.traffic import Routes
from flaggerpy.rollout.transition import ANALYSIS, IDLE, NEXT

if TYPE_CHECKING:
    from tests.rollout.simulation import Simulation

BOOTSTRAP = (Phase.NEW, Phase.INITIALIZING, Phase.TERMINATING, Phase.TERMINATED)
"""Phases stored while a (new) bootstrap may begin."""

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
        old = world.route.written.canary if world.route is not None and not world.route.released else 0
        status = world.status
        new = routes.canary
        by_itself = not status.rollout.failing and status.rollout.advance is None and seen.primary is not None
        if status.phase in ANALYSIS and new > old > 0 and by_itself and self.moved_at is not None:
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
        if new != old:
            self.moved_at = world.now

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
