"""The table of docs/changes.md on the core: each change in each phase, and what comes of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

import pytest

from flaggerpy.api.status import Phase
from flaggerpy.rollout import decision as d
from flaggerpy.rollout.checks import Verdict
from flaggerpy.rollout.transition import IDLE
from tests import changes
from tests.changes import GONE, SERVING, A, B, C, Cell
from tests.rollout.world import World, hook, spec

AT_ONCE = timedelta(seconds=2)
"""The data plane takes a second, no pod is ready before three, and no step is due before ten."""
ASKED = timedelta(seconds=12)
"""Hooks are asked once an interval, which is ten seconds."""

GATES = ("confirm-rollout", "rollout", "confirm-promotion")
BEFORE, AFTER = "1", "2"
"""The tracked config before and after its edit."""


def settings(*, routed: bool, steps: int = 3) -> dict[str, object]:
    hooks = [hook(kind) for kind in (*GATES, "rollback")]
    steps_taken = {"stepWeight": 10, "maxWeight": 10 * steps} if routed else {"iterations": steps}
    return {"webhooks": hooks, "threshold": 1000, **steps_taken}


def bootstrapping(*, routed: bool, broken: set[str]) -> World:
    made = spec(**settings(routed=routed))
    return World(spec=made, routed=routed, configs={"configmap/app": BEFORE}, primary_breaks=broken)


def initializing(routed: bool) -> World:
    return bootstrapping(routed=routed, broken={A, B, C}).run(Phase.INITIALIZING).run_for(10)


def initialized(routed: bool) -> World:
    return bootstrapping(routed=routed, broken=set()).run()


def rolling(routed: bool, *until: Phase, closed: str = "") -> World:
    """A rollout of B that has come to a phase, perhaps before something that is closed."""
    world = initialized(routed)
    if closed:
        world.hooks[closed] = Verdict.FAILED
    return world.push(B).run(*until)


def progressing(routed: bool) -> World:
    world = rolling(routed, Phase.PROGRESSING, closed="rollout")
    return world.run_for(15)


def promoting(routed: bool) -> World:
    """The primary has B and is not ready."""
    world = initialized(routed)
    assert world.primary
    world.primary_breaks, world.primary.broken = {B}, {B}
    return world.push(B).run(Phase.PROMOTING).run_for(1)


def failed(routed: bool) -> World:
    world = rolling(routed, Phase.PROGRESSING, closed="rollout").run_for(15)
    world.ask("abort").run()
    world.hooks.clear()
    return world


def failed_serving(routed: bool) -> World:
    return promoting(routed).run(Phase.FAILED).run()


def terminating(routed: bool) -> World:
    world = initialized(routed)
    assert world.target
    world.target.broken = {A, B, C}
    return world.delete().run(Phase.TERMINATING).run_for(5)


SCENES: dict[str, Callable[[bool], World]] = {
    "Initializing": initializing,
    "Initialized": initialized,
    "Waiting": lambda routed: rolling(routed, Phase.WAITING, closed="confirm-rollout"),
    "Progressing": progressing,
    "WaitingPromotion": lambda routed: rolling(routed, Phase.WAITING_PROMOTION, closed="confirm-promotion"),
    "Promoting": promoting,
    "Finalising": lambda routed: rolling(routed, Phase.FINALISING).run_for(2),
    "Succeeded": lambda routed: rolling(routed, Phase.SUCCEEDED).run(),
    "Failed": failed,
    SERVING: failed_serving,
    "Terminating": terminating,
}


def edit_service(world: World) -> None:
    """Services and route are no longer what the Canary asks for."""
    world.services.discard(d.ServiceRole.CANARY)
    if world.route is not None:
        world.route.drifted = True
    world.generation += 1
    world.touch()


def delete_services(world: World) -> None:
    world.laws.sabotaged = True
    world.services.clear()
    world.apex = None
    world.touch()


def delete_namespace(world: World) -> None:
    world.laws.sabotaged = True
    world.target = world.primary = world.apex = world.route = None
    world.services.clear()
    world.delete()


def skip_analysis(world: World) -> None:
    world.spec = world.spec.model_copy(update={"skip_analysis": True})
    world.generation += 1
    world.touch()


def fire_rollback(world: World) -> None:
    world.hooks["rollback"] = Verdict.PASSED
    world.touch()


ACTS: dict[str, Callable[[World], object]] = {
    "new revision": lambda world: world.push(C),
    "old revision put back": lambda world: world.push(A),
    "config edited": lambda world: world.configure(app=AFTER),
    "retry": lambda world: world.ask("retry"),
    "rollback hook passes": fire_rollback,
    "suspended, then resumed": lambda world: world.suspend(),
    "spec.service edited": edit_service,
    "analysis edited": lambda world: world.edit(**settings(routed=world.routed, steps=5)),
    "skipAnalysis set": skip_analysis,
    "Canary deleted": lambda world: world.delete(),
    "namespace deleted": delete_namespace,
    "target scaled up": lambda world: world.scale(3),
    "primary deleted": lambda world: world.delete_primary(),
    "Services deleted": delete_services,
    changes.ROUTE: lambda world: world.delete_route(),
    changes.WEIGHTS: lambda world: world.turn_route(70),
}


def let_go(world: World) -> None:
    """Open every gate and let every pod become ready."""
    world.hooks.clear()
    world.primary_breaks = set()
    for workload in (world.primary, world.target):
        if workload is not None:
            workload.broken.clear()
    world.touch()


@dataclass(frozen=True, slots=True)
class Before:
    """What was there before the change."""

    weight: int
    users: frozenset[str]
    primary: int
    asked: int


def phase(world: World) -> str:
    return GONE if world.gone else world.phase.value


def at_once(world: World, cell: Cell) -> tuple[set[str], list[set[str]]]:
    """Let the core answer a change; return the phases and the places of users that followed."""
    end = world.now + (ASKED if cell.change == "rollback hook passes" and cell.outcome.now else AT_ONCE)
    phases, places = {phase(world)}, [world.destinations()]
    while world.advance(end):
        world.tick()
        phases.add(phase(world))
        places.append(world.destinations())
    world.now = end
    return phases, places


def answered(world: World, cell: Cell, before: Before) -> None:
    request = world.status.rollout.request
    assert request is not None
    assert (request.id, request.accepted) == (f"request-{world.asks}", cell.word == "tried again"), request.answer


def held(world: World, cell: Cell, before: Before) -> None:
    """Nothing moves although nothing is in the way any more, until it is resumed."""
    was, written = phase(world), len(world.actions)
    let_go(world)
    world.run_for(300)
    if cell.word == "held":
        assert (phase(world), frozenset(world.destinations())) == (was, before.users)
        assert len(world.actions) == written
        assert world.status.rollout.reason == "suspended by spec.suspend"
    world.suspend(False)


def written(world: World, cell: Cell, before: Before) -> None:
    assert (d.ServiceRole.CANARY in world.services) is (cell.word == "written")
    if world.route is not None:
        assert world.route.drifted is (cell.word == "nothing")
        assert world.weight == before.weight


def goes_by_it(world: World, cell: Cell, before: Before) -> None:
    assert world.weight == before.weight
    let_go(world)
    world.run()
    steps = 5 if cell.word == "goes by it" else 3
    shares = [action.routes.canary for _, action in world.actions if isinstance(action, d.SetRoutes)]
    if world.routed and cell.end.runs == B and cell.phase != SERVING:
        assert max(shares) == 10 * steps
    if not world.routed and cell.word == "goes by it":
        assert world.texts.count(f"Advance payment.shop canary iteration {steps}/{steps}") == 1


def scaled(world: World, cell: Cell, before: Before) -> None:
    assert world.sizes[0] == (0 if cell.word == "put back" else 3)
    if cell.word == "taken over":
        assert world.sizes[1] == 3
    if cell.word == "put back":
        assert "something else scales payment.shop up" in world.status.rollout.reason


def primary_made(world: World, cell: Cell, before: Before) -> None:
    assert (world.primary is not None) is (cell.word != "nothing")


def services_made(world: World, cell: Cell, before: Before) -> None:
    made = cell.word == "made again"
    assert world.services >= {d.ServiceRole.PRIMARY, d.ServiceRole.CANARY} if made else not world.services
    if cell.phase != "Initializing":
        assert world.apex == ("primary" if made else None)


def route_made(world: World, cell: Cell, before: Before) -> None:
    assert (world.route is not None) is (cell.word == "made again")
    assert world.weight == (before.weight if world.route else 0)


def weights_put_back(world: World, cell: Cell, before: Before) -> None:
    assert world.weight == before.weight


LOOKS: dict[str, Callable[[World, Cell, Before], None]] = {
    "retry": answered,
    "suspended, then resumed": held,
    "spec.service edited": written,
    "analysis edited": goes_by_it,
    "target scaled up": scaled,
    "primary deleted": primary_made,
    "Services deleted": services_made,
    changes.ROUTE: route_made,
    changes.WEIGHTS: weights_put_back,
}


def ends(world: World, cell: Cell) -> None:
    """Check where it all ends once nothing is in the way any more."""
    end = cell.end
    assert phase(world) == end.phase
    if end.phase == GONE:
        assert world.primary is None
        if cell.change != "namespace deleted":
            assert world.target
            assert (world.target.template, world.target.available) == (cell.asked, max(world.sizes[0], 2))
            assert world.destinations() == ({"target"} if world.apex else set())
        return
    assert world.primary
    configs = AFTER if cell.change == "config edited" and world.target and world.target.template == end.runs else BEFORE
    assert (world.primary.template, world.primary_configs) == (end.runs, {"configmap/app": configs})
    assert world.primary.complete()
    assert (world.destinations(), world.sizes[0]) == ({"primary"}, 0)


def test_the_page_has_every_cell_and_explains_every_word() -> None:
    page = list(changes.table())
    assert [(row, change) for row, change, _ in page if change == changes.CHANGES[0]] == [
        (row, changes.CHANGES[0]) for row in changes.PHASES
    ]
    assert {(row, change) for row, change, _ in page} == {(r, c) for r in changes.PHASES for c in changes.CHANGES}
    assert len(page) == len(changes.PHASES) * len(changes.CHANGES)
    used = {word for _, _, word in page} - {changes.IMPOSSIBLE}
    assert used == set(changes.words()) == set(changes.OUTCOMES)
    assert set(SCENES) == set(changes.PHASES) == set(changes.ENDS)
    assert set(ACTS) == set(changes.CHANGES)


@pytest.mark.parametrize("cell", changes.cells(), ids=str)
def test_each_cell(cell: Cell) -> None:
    world = SCENES[cell.phase](cell.routed)
    if world.phase in IDLE:
        world.run_for(60)
    assert (world.phase.value, world.status.rollout.serving_canary) == (cell.phase.split(",")[0], cell.phase == SERVING)
    before = Before(world.weight, frozenset(world.destinations()), *reversed(world.sizes))
    rollouts = len(world.outcomes)

    ACTS[cell.change](world)
    phases, places = at_once(world, cell)
    if cell.outcome.now:
        assert phases & set(cell.outcome.now), phases
    else:
        assert phases == {cell.phase.split(",")[0]}
    if cell.routed and cell.outcome.users:
        assert {cell.outcome.users} in places
    elif not cell.outcome.now and world.apex:
        assert before.users in places
    if cell.change in LOOKS:
        LOOKS[cell.change](world, cell, before)

    let_go(world)
    world.run()
    ends(world, cell)
    if cell.word in {"withdrawn", "forgotten", "cancelled"}:
        assert len(world.outcomes) == rollouts, "neither a success nor a failure"
