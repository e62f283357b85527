"""Strangers, crashes and time in any order: what the laws say of every instant, and how it all ends.

The laws themselves are in laws.py and hold in every test of this folder. Here Hypothesis looks for a history that
breaks them, and for one that does not end.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import timedelta
from types import MappingProxyType
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from flaggerpy.api.request import Verb
from flaggerpy.api.status import Phase
from flaggerpy.rollout.checks import Verdict
from flaggerpy.rollout.decision import Plan
from flaggerpy.rollout.transition import IDLE
from tests.rollout.laws import Law
from tests.rollout.simulation import NAME, START
from tests.rollout.workloads import Autoscaler, DaemonSet, Deployment, PlainService
from tests.rollout.world import BY_REPLICAS, COOKIES, DAEMON_SET, SCALED_OBJECT, SCALER, SIZED, World, hook, spec

pytestmark = [pytest.mark.laws, pytest.mark.timeout(600)]

TEMPLATES = st.sampled_from(["v1", "v2", "v3", "v4"])
GATES = ["confirm-rollout", "pre-rollout", "rollout", "confirm-traffic-increase", "confirm-promotion", "rollback"]
AUDIENCE: dict[str, Any] = {"match": [{"headers": {"x-user": {"exact": "me"}}}]}
STRATEGIES: list[dict[str, Any]] = [
    {},
    {"stepWeights": [5, 50, 100]},
    {"stepWeight": 40, "maxWeight": 50, "stepWeightPromotion": 30},
    {"iterations": 2},
    {"iterations": 2, **AUDIENCE},
    {"iterations": 2, **AUDIENCE, "stepWeightPromotion": 40},
    {"stepWeights": [5, 50], **AUDIENCE, "matchFirst": True},
    {"_skipAnalysis": True},
    {"mirror": True},
    {"iterations": 2, "mirror": True},
    {"sessionAffinity": COOKIES},
    {"sessionAffinity": COOKIES, "stepWeight": 60, "maxWeight": 100, "stepWeightPromotion": 30, "mirror": True},
]
BY_PODS: dict[str, dict[str, Any]] = {
    "steps": SIZED,
    "everything": {"stepWeights": [5, 50, 100], "stepWeightPromotion": 60, "mirror": True, **SIZED},
    "Blue/Green": {"iterations": 2, **SIZED},
    "Blue/Green with copies": {"iterations": 2, "mirror": True, **SIZED},
    "by replicas": {"stepWeights": [10, 50, 100], **BY_REPLICAS},
}
"""Strategies in which the canary's pods follow its share."""
TARGETS = {
    Deployment: {**DAEMON_SET, "kind": "Deployment"},
    DaemonSet: DAEMON_SET,
    PlainService: {**DAEMON_SET, "apiVersion": "v1", "kind": "Service"},
}


LATENCY: dict[str, Any] = {"name": "latency", "interval": "1m", "thresholdRange": {"max": 1}, "query": "x"}
TRIED = {**LATENCY, "name": "tried", "dryRun": True}
GUARDS: list[dict[str, Any]] = [
    {},
    {"initialDelay": "25s"},
    {"window": "step", "oncePerInterval": True},
    {"failureLimit": 1},
    {"consecutiveFailureLimit": 1, "consecutiveErrorLimit": 1},
    {"dryRun": True},
]


class Histories(RuleBasedStateMachine):
    """What happens to a canary; nobody takes pods or routes away from users."""

    sabotage = False
    law: Law | None = None
    """The one law that is looked at; all of them if None."""
    looked_at: ClassVar[Counter[Law]] = Counter()
    """How often each law was looked at, in all histories of a machine."""
    always: Mapping[str, Any] = MappingProxyType({})
    """What is not left to chance of how a history begins."""
    default = ""
    """What the API server has learnt to add to every template."""

    @initialize(
        routed=st.booleans(),
        strategy=st.sampled_from(STRATEGIES),
        kinds=st.sets(st.sampled_from(GATES)),
        gateway=st.tuples(st.sampled_from([1, 0, 8, 90]), st.integers(0, 2), st.booleans()),
        bootstrapped=st.sampled_from([True, True, False]),
        scaled=st.sampled_from([None, SCALER, SCALED_OBJECT]),
        kind=st.sampled_from([Deployment, Deployment, DaemonSet, PlainService]),
    )
    def begin_somehow(self, **drawn: Any) -> None:
        self.begin(**{**drawn, **self.always})

    def begin(
        self,
        *,
        routed: bool,
        strategy: dict[str, Any],
        kinds: set[str],
        gateway: tuple[int, int, bool],
        bootstrapped: bool,
        scaled: dict[str, str] | None,
        kind: type[Deployment],
    ) -> None:
        self.kind = kind
        accept, ahead, numbers = gateway
        scaled = scaled if kind is Deployment else None
        self.scaler = scaled or SCALER
        hooks = [hook(kind) for kind in sorted(kinds)]
        self.strategy = strategy
        self.more: dict[str, Any] = {
            "webhooks": hooks,
            "metrics": [LATENCY, TRIED],
            "_autoscalerRef": scaled,
            "_targetRef": TARGETS[kind],
        }
        self.world = World(
            spec=spec(**strategy, **self.more),
            routed=routed,
            accept_after=timedelta(seconds=accept),
            ahead=ahead,
            numbers=numbers,
            autoscaler=self._autoscaler(),
            target=kind(NAME, "v1", 5 if strategy in BY_PODS.values() else 2, START),
            may_keep=kind is not PlainService,
        )
        # A data plane slower than the time we give it may drop users, unless it says which version it serves.
        self.world.laws.sabotaged = self.sabotage or (accept > 60 and not numbers)
        self.world.laws.only, self.world.laws.looked_at = self.law, self.looked_at
        if bootstrapped:
            self.world.run()

    def _autoscaler(self) -> Autoscaler:
        return Autoscaler(1, 6, keda=self.scaler == SCALED_OBJECT)

    def _alive(self) -> bool:
        return not self.world.gone

    def _rolls(self) -> bool:
        return self._alive() and self.world.target is not None

    @rule(ticks=st.integers(1, 15))
    def time_passes(self, ticks: int) -> None:
        for _ in range(ticks):
            if self.world.advance():
                self.world.tick()

    @rule(before=st.integers(0, 6), crash_after=st.integers(0, 6))
    def controller_dies(self, before: int, crash_after: int) -> None:
        self.time_passes(before)
        if self.world.advance():
            self.world.tick(crash_after=crash_after)

    @rule(template=TEMPLATES, ticks=st.integers(1, 15))
    def a_rollout_goes_on(self, template: str, ticks: int) -> None:
        self.new_revision(template)
        self.time_passes(ticks)

    @rule(seconds=st.floats(0.1, 100))
    def something_unrelated_happens(self, seconds: float) -> None:
        self.world.run_for(seconds)
        self.world.touch()

    @rule(template=TEMPLATES)
    def new_revision(self, template: str) -> None:
        if self._rolls():
            self.world.push(template)

    @rule(template=TEMPLATES)
    def new_revision_between_look_and_write(self, template: str) -> None:
        if self._rolls() and self.world.advance():
            self.world.meanwhile = lambda world: world.push(template)
            self.world.tick()

    @rule(value=st.sampled_from(["1", "2"]))
    def new_config(self, value: str) -> None:
        if self.kind is not PlainService:
            self.world.configure(settings=value)

    @rule(templates=st.sets(st.sampled_from(["v2", "v3"])))
    def revisions_that_never_become_ready(self, templates: set[str]) -> None:
        if self._rolls() and self.world.target and not templates & self._running():
            self.world.target.broken = templates

    @rule(templates=st.sets(st.sampled_from(["v2", "v3", "v4"])))
    def revisions_that_fail_as_primary_only(self, templates: set[str]) -> None:
        if self.world.primary is not None and not templates & self._running():
            self.world.primary.broken = self.world.primary_breaks = templates

    @rule(templates=st.sets(st.sampled_from(["v2", "v3", "v4"])), pods=st.integers(0, 2), primary=st.booleans())
    def revisions_whose_containers_cannot_start(self, templates: set[str], pods: int, primary: bool) -> None:
        workload = self.world.primary if primary else self.world.target
        if workload is not None and not templates & self._running():
            workload.blocked, workload.blocked_pods = dict.fromkeys(templates, "ImagePullBackOff"), pods
            self.world.touch()

    @rule(known=st.booleans(), blind=st.sampled_from(["", "pods may not be read"]))
    def pods_are_seen_or_not(self, known: bool, blind: str) -> None:
        self.world.pods_are_known, self.world.blind = known, blind
        self.world.touch()

    def _running(self) -> set[str]:
        workloads = [workload for workload in (self.world.target, self.world.primary) if workload]
        return {pod.version.split("|")[0] for workload in workloads for pod in workload.pods if workload.is_ready(pod)}

    @rule(kind=st.sampled_from([*GATES, "latency", "tried"]), verdict=st.sampled_from(Verdict))
    def answers_change(self, kind: str, verdict: Verdict) -> None:
        (self.world.hooks if kind in GATES else self.world.metrics)[kind] = verdict

    @rule(guards=st.sampled_from(GUARDS))
    def the_guards_of_a_metric_are_edited(self, guards: dict[str, Any]) -> None:
        self.more["metrics"] = [LATENCY | guards, TRIED]
        self.the_canary_is_edited_to(self.strategy, self.more.get("interval", "10s"))

    @rule(suspended=st.booleans())
    def suspension(self, suspended: bool) -> None:
        self.world.suspend(suspended)

    @rule(strategy=st.sampled_from(STRATEGIES), interval=st.sampled_from(["10s", "30s"]))
    def the_canary_is_edited(self, strategy: dict[str, Any], interval: str) -> None:
        self.the_canary_is_edited_to(strategy, interval)

    def the_canary_is_edited_to(self, strategy: dict[str, Any], interval: str) -> None:
        self.strategy, self.more["interval"] = strategy, interval
        self.world.edit(**strategy, **self.more)
        self.world.laws.moved_at = None  # the new interval counts from the next step

    @rule(verb=st.sampled_from([*Verb, "dance"]))
    def a_person_asks(self, verb: str) -> None:
        self.world.ask(verb)

    @rule(
        problems=st.sampled_from([(), ("spec.x is wrong: write y",)]), routable=st.booleans(), returnable=st.booleans()
    )
    def a_mistake_comes_or_goes(self, problems: tuple[str, ...], routable: bool, returnable: bool) -> None:
        self.world.err(*problems, routable=routable, returnable=routable or returnable)

    @rule(canary=st.integers(0, 8), primary=st.integers(0, 8))
    def load_comes_and_goes(self, canary: int, primary: int) -> None:
        self.world.load(target=canary, primary=primary)

    @rule(low=st.integers(1, 3), high=st.integers(3, 6))
    def the_autoscaler_is_edited(self, low: int, high: int) -> None:
        if self.world.autoscaler is not None:
            self.world.autoscaler.low, self.world.autoscaler.high = low, high
            self.world.touch()

    @rule(there=st.booleans())
    def the_autoscaler_goes_or_comes(self, there: bool) -> None:
        self.world.autoscaler = self._autoscaler() if there else None
        self.world.touch()

    @rule(scaled=st.booleans())
    def the_canary_names_an_autoscaler_or_none(self, scaled: bool) -> None:
        if (self.scaler == SCALED_OBJECT and not scaled) or self.kind is not Deployment:
            return  # KEDA would wake the target for ever, and nothing else is scaled
        self.more["_autoscalerRef"] = self.scaler if scaled else None
        self.world.spec = self.world.spec.model_copy(update={"autoscaler_ref": spec(**self.more).autoscaler_ref})
        self.world.generation += 1
        self.world.touch()

    @rule(paused=st.booleans(), asleep=st.booleans())
    def the_target_is_not_rolled(self, paused: bool, asleep: bool) -> None:
        target = self.world.target
        if target is not None and self.kind is Deployment:
            target.generation += target.paused != paused
            target.paused, target.asleep = paused, asleep
            self.world.touch()

    @rule()
    def the_api_server_learns_a_default(self) -> None:
        self.default += "+"
        for workload in (self.world.target, self.world.primary):
            if workload is not None:
                workload.default = self.default
        self.world.touch()

    @precondition(lambda self: self.world.ticks > 25)
    @rule(wanted=st.booleans())
    def release_is_asked_for_or_taken_back(self, wanted: bool) -> None:
        self.world.release(wanted)

    @precondition(lambda self: self.world.ticks > 40)
    @rule()
    def deletion(self) -> None:
        self.world.delete()

    def teardown(self) -> None:
        """Everything is mended, every gate opens: then every path ends, and users are served."""
        if not hasattr(self, "world"):
            return
        world = self.world
        world.hooks, world.metrics = {}, {}
        world.err()
        if self.strategy in BY_PODS.values() or world.autoscaler is None:
            world.autoscaler = self._autoscaler()  # another one may want fewer pods than the canary's users for ever
        if world.target is not None:
            world.target.generation += world.target.paused
            world.target.paused = world.target.asleep = False
        if not world.gone:
            world.suspend(False)
            world.ask(Verb.RESUME)
        world.run()
        self._rests(world)

    @staticmethod
    def _rests(world: World) -> None:
        if world.gone:
            return
        stalled = world.status.conditions and world.condition("Stalled") == "True"
        primary = world.primary
        broken = primary is not None and primary.template in {*primary.broken, *primary.blocked}
        assert (
            world.phase in IDLE
            or world.phase is Phase.TERMINATED
            or stalled
            or (world.phase is Phase.INITIALIZING and broken)
        ), f"rests in {world.phase}: {world.status.rollout.reason}"
        assert world.tick() == Plan(), "a fixed point stays one"
        if world.routed and not stalled and world.phase in IDLE:
            workloads = {"primary": world.primary, "target": world.target}
            able = {name for name, workload in workloads.items() if workload is not None and workload.available}
            assert not able or world.destinations() <= able, f"users are sent to {world.destinations() - able}"
            assert not world.status.rollout.pending
        if not stalled and world.phase in IDLE and world.primary is not None:
            scaler, live = world.spec.autoscaler_ref, world.primary_autoscaler
            assert (live is None) == (scaler is None)
            bounds = (world.autoscaler.low, world.autoscaler.high) if world.autoscaler else None
            assert live is None or (live.low, live.high) == bounds
        keda = world.autoscaler is not None and world.autoscaler.keda
        if keda and not stalled and world.phase in IDLE and world.target is not None and world.autoscaler is not None:
            assert world.autoscaler.paused is not world.status.rollout.serving_canary, "paused exactly while it sleeps"


class Sabotage(Histories):
    """The same with strangers who scale, route and delete as they like."""

    sabotage = True

    @rule(replicas=st.integers(0, 3))
    def somebody_scales(self, replicas: int) -> None:
        if self._rolls():
            self.world.scale(replicas)

    @rule(back=st.booleans())
    def all_pods_of_the_canary_go_down_or_come_back(self, back: bool) -> None:
        if self._rolls():
            (self.world.come_back if back else self.world.go_down)()

    @rule(weight=st.sampled_from([0, 5, 10, 20, 50, 100]))
    def somebody_turns_the_route(self, weight: int) -> None:
        if self.world.route is not None:
            self.world.turn_route(weight)

    @rule()
    def somebody_edits_the_route(self) -> None:
        if self.world.route is not None:
            self.world.route.drifted = True
            self.world.touch()

    @rule()
    def somebody_deletes_the_route(self) -> None:
        self.world.delete_route()

    @rule()
    def somebody_deletes_the_primary(self) -> None:
        self.world.delete_primary()

    @rule(template=TEMPLATES)
    def the_primary_is_lost_and_a_new_revision_comes(self, template: str) -> None:
        self.world.delete_primary()
        self.new_revision(template)

    @rule()
    def somebody_deletes_what_is_kept(self) -> None:
        self.world.forget()

    @rule(may_keep=st.booleans())
    def the_right_to_keep_comes_or_goes(self, may_keep: bool) -> None:
        self.world.may_keep = may_keep and self.kind is not PlainService
        self.world.touch()

    @rule(lacking=st.sampled_from([(), ("ConfigMap settings",)]))
    def configs_are_lost_for_good(self, lacking: tuple[str, ...]) -> None:
        self.world.lacking = lacking
        self.world.touch()

    @precondition(lambda self: not self.world.deleting)
    @rule(template=TEMPLATES, status=st.booleans())
    def the_cluster_is_built_again(self, template: str, status: bool) -> None:
        """Everything that is in Git is applied at once; of the rest a backup has what is kept, perhaps the status."""
        before = self.world.status
        self.world.rebuild(template)
        if status:
            self.world.status = before

    @rule(back=st.booleans())
    def somebody_deletes_the_target(self, back: bool) -> None:
        world = self.world
        if world.target is not None:
            world.delete_target()
        elif back:
            uid = f"uid-{world.ticks}"
            world.target = self.kind(NAME, "v1", 2, world.now, uid=uid, default=self.default)
            world.reread()
            world.touch()

    @rule()
    def somebody_takes_the_services(self) -> None:
        self.world.services.clear()
        self.world.apex = "target"
        self.world.touch()


TestHistories = Histories.TestCase
TestSabotage = Sabotage.TestCase
_profile = settings(
    max_examples=settings().max_examples,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
TestHistories.settings = _profile
TestSabotage.settings = _profile
