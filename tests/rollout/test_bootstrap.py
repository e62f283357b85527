"""Bootstrap: users are served at every instant, and a primary that never becomes ready costs nobody anything."""

from datetime import timedelta

import pytest

from flaggerpy.api.status import Phase
from flaggerpy.rollout import decision as d
from flaggerpy.rollout.readiness import not_looked_at
from flaggerpy.rollout.traffic import ALL_TO_PRIMARY
from tests.rollout.world import World, initialized, spec


def actions(world: World) -> list[d.Action]:
    return [action for _, action in world.actions]


@pytest.mark.parametrize("routed", [True, False])
def test_services_then_a_ready_primary_then_users_then_the_target_sleeps(routed: bool) -> None:
    world = initialized(routed=routed)
    route: list[d.Action] = [d.SetRoutes(ALL_TO_PRIMARY)] if routed else []
    assert actions(world) == [
        d.AddFinalizer(),
        d.WriteService(d.ServiceRole.CANARY),
        d.WriteService(d.ServiceRole.PRIMARY),
        d.CopyConfigs({}),
        d.CreatePrimary(),
        d.WriteService(d.ServiceRole.APEX),
        *route,
        d.KeepRevision({}),
        d.ScaleTarget(0),
    ]
    assert world.phase is Phase.INITIALIZED
    assert (world.condition("Promoted"), world.condition("Ready")) == ("True", "True")


def test_the_target_keeps_running_until_users_had_time_to_leave_it() -> None:
    world = initialized(spec=spec(interval="45s"))
    at = {type(action): when for when, action in world.actions}
    assert (at[d.ScaleTarget] - at[d.SetRoutes]).total_seconds() == 1 + 30, "accepted, then min(interval, 30 s)"


def test_the_primary_gets_the_targets_size_before_it_gets_users() -> None:
    world = World()
    world.advance()
    world.tick()
    world.scale(5)
    world.run()
    assert world.primary
    assert world.primary.replicas == 5


def test_a_template_or_config_changed_while_the_primary_starts_is_taken_over_at_once() -> None:
    world = World(configs={"configmap/app": "1"})
    world.advance()
    world.tick()
    world.push("v2").configure(app="2").run()
    assert world.primary
    assert (world.primary.template, world.primary_configs) == ("v2", {"configmap/app": "2"})
    assert world.phase is Phase.INITIALIZED
    assert not world.outcomes, "nothing to roll out"


def test_a_change_after_users_moved_is_a_rollout_like_any_other() -> None:
    world = World()
    while not any(isinstance(action, d.SetRoutes) for action in actions(world)):
        world.advance()
        world.tick()
    world.push("v2").run()
    assert world.primary
    assert world.outcomes == ["succeeded"]
    assert world.primary.template == "v2"


def test_a_primary_that_needs_time_is_named_in_the_status_and_in_one_event() -> None:
    world = World()
    world.advance()
    world.tick()
    world.touch().advance()
    world.tick()
    assert world.status.rollout.reason == "waiting for payment-primary.shop to become ready"
    assert world.condition("Reconciling") == "True"
    world.touch().run(Phase.INITIALIZED)
    assert [text for text in world.texts if "not ready" in text] == [
        f"payment-primary.shop not ready: {not_looked_at('deployment')}"
    ]


def test_a_stuck_primary_alerts_once_and_the_repaired_template_ends_the_bootstrap() -> None:
    world = World(primary_breaks={"v1"})
    world.run()
    assert world.phase.value == "Initializing"
    assert [severity for severity, _ in world.alerts] == ["error"]
    assert "mend the template" in world.status.rollout.reason
    world.push("v2").run()
    assert world.phase is Phase.INITIALIZED
    assert [severity for severity, _ in world.alerts] == ["error", "info"]


def test_skip_analysis_waits_for_the_primary_all_the_same() -> None:
    assert initialized(spec=spec(_skipAnalysis=True)).phase is Phase.INITIALIZED, "and users were served: see laws.py"


def test_an_interval_below_the_minimum_is_raised_with_one_warning() -> None:
    world = initialized(spec=spec(interval="100ms"))
    assert [text for text in world.texts if "minimum" in text] == [
        "spec.analysis.interval: 100ms is below the controller's minimum (--min-interval), so 1s is used instead: "
        "write 1s or more."
    ]


def test_a_users_mistake_is_a_condition_and_one_event_and_touches_nothing() -> None:
    world = World(problems=("spec.x is wrong: write y",))
    world.run()
    world.touch().run()
    assert not world.actions
    assert world.condition("Stalled") == "True"
    assert world.texts == ["spec.x is wrong: write y"]
    world.problems = ()
    world.touch().run()
    assert world.phase is Phase.INITIALIZED
    assert world.condition("Stalled") == "False"


def test_w60_a_bootstrap_asks_no_metrics_server_and_says_nothing_about_any() -> None:
    world = initialized(spec=spec(metrics=[{"name": "request-success-rate", "thresholdRange": {"min": 99}}]))

    assert world.phase is Phase.INITIALIZED
    assert world.asked == []
    assert not [text for text in world.texts if "etric" in text]
    assert world.push("v2").run().asked, "they are asked in a rollout"


def test_without_a_target_the_canary_says_so_and_waits() -> None:
    world = World(target=None)
    world.apex = None
    world.run()
    assert world.texts == ["Deployment payment.shop does not exist"]
    assert world.condition("Stalled") == "True"


def test_a_router_that_goes_ahead_costs_one_settle_time_more() -> None:
    assert initialized(ahead=1).now - initialized().now == timedelta(seconds=10)
