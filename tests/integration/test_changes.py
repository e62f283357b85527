"""The table of docs/changes.md on a real API server: every cell has its canary, and all play at the same time."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass

import pytest
import pytest_asyncio

from flaggerpy.kube.errors import NotFound
from flaggerpy.kube.objects import JsonObject, uid_of
from flaggerpy.kube.resources import (
    CANARIES,
    CONFIG_MAPS,
    DEPLOYMENTS,
    HTTP_ROUTES,
    NAMESPACES,
    SERVICES,
    Ref,
    Resource,
)
from tests import changes
from tests.changes import GONE, SERVING, Cell
from tests.integration.objects import blue_green, config_map, deployment, progressive
from tests.integration.servers import Hooks, receiving
from tests.integration.site import Site, new_site
from tests.integration.stage import Stage, staging

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600), pytest.mark.asyncio(loop_scope="module")]

AT_ONCE = 24
"""How many canaries play at the same time."""

TAGS = {changes.A: "6.0.0", changes.B: "6.0.1", changes.C: "6.0.2"}
GATES = ("confirm-rollout", "rollout", "confirm-promotion")
BREAKS_PODS = frozenset({"Initializing", "Promoting", "Finalising", SERVING, "Terminating"})
PORT, OTHER_PORT = 80, 8080
OWN_WAY = 70
"""A weight that no step has."""
BEFORE, AFTER = "1", "2"
STEPS, MORE_STEPS = 3, 5


def analysis(routed: bool, steps: int) -> JsonObject:
    return {"stepWeight": 10, "maxWeight": 10 * steps} if routed else {"iterations": steps}


@dataclass(slots=True)
class Play:
    """One canary that is brought to a phase, and the change that is made then."""

    stage: Stage
    cell: Cell
    name: str
    share: int = 0

    @property
    def site(self) -> Site:
        return self.stage.site

    @property
    def primary(self) -> str:
        return f"{self.name}-primary"

    async def run(self) -> None:
        await self.apply()
        await SCENES[self.cell.phase](self)
        self.share = self.stage.share(self.name)
        phases, places = len(self.stage.phases[self.name]), len(self.stage.places[self.name])
        await ACTS[self.cell.change](self)
        await self.answers(phases, places)
        await LOOKS.get(self.cell.change, nothing_more)(self)
        await self.let_go()
        await self.ends()

    async def apply(self) -> None:
        """Write the workload, its config and the Canary."""
        self.stage.hooks.close(self.path("rollback"))
        workload = deployment(
            self.name, replicas=1, volumes=[{"name": "settings", "configMap": {"name": f"{self.name}-settings"}}]
        )
        webhooks = [self.stage.hooks.webhook(kind, self.path(kind)) for kind in (*GATES, "rollback")]
        given = {"webhooks": webhooks, "threshold": 1000}
        if self.cell.routed:
            canary = progressive(self.name, step=10, most=10 * STEPS, **given)
        else:
            canary = blue_green(self.name, iterations=STEPS, **given)
        canary["spec"]["progressDeadlineSeconds"] = 600
        if self.cell.phase in BREAKS_PODS:
            # Pods of the control plane are ready at first, until they are broken, which may take a while.
            workload["spec"]["minReadySeconds"] = 15
        if self.cell.phase == SERVING:
            workload["spec"]["progressDeadlineSeconds"] = canary["spec"]["progressDeadlineSeconds"] = 45
        if self.cell.phase == "Initializing":
            self.stage.pods.break_pods(self.primary)
        await self.site.apply(config_map(f"{self.name}-settings", {"value": BEFORE}), workload, canary)

    def path(self, hook: str) -> str:
        return f"{self.name}-{hook}"

    async def until(self, look: Callable[[], object], what: str) -> None:
        await self.stage.until(self.name, look, f"{what} ({self.cell})")

    async def phase_is(self, phase: str) -> None:
        await self.until(lambda: self.stage.phase(self.name) == phase, f"phase {phase}")

    async def rests_in(self, phase: str) -> None:
        await self.phase_is(phase)
        await self.until(lambda: self.stage.replicas(self.name) == 0, "sleep of the target")

    async def push(self, revision: str) -> None:
        await self.site.set_image(TAGS[revision], self.name)

    async def edit(self, spec: JsonObject) -> None:
        await self.site.edit(CANARIES, self.name, {"spec": spec})

    async def ask(self, verb: str) -> None:
        request = json.dumps({"id": f"{self.name}-{verb}", "verb": verb, "by": "alice", "at": "2026-11-27T08:00:00Z"})
        await self.site.edit(CANARIES, self.name, {"metadata": {"annotations": {"flaggerpy.dev/request": request}}})

    async def delete(self) -> None:
        await self.site.client.delete(self.site.ref(CANARIES, self.name))

    # What must come of it

    async def answers(self, phases: int, places: int) -> None:
        """See the change being answered, while whatever held the canary in its phase still does."""
        stage, outcome = self.stage, self.cell.outcome
        if outcome.now:
            wanted = set(outcome.now)
            # Where the phase begins again, nothing new is written down.
            since = phases - (self.cell.phase in wanted)
            await self.until(lambda: wanted & set(stage.phases[self.name][since:]), " or ".join(outcome.now))
        if outcome.users and self.cell.routed:
            await self.until(
                lambda: outcome.users in stage.places[self.name][places - 1 :], f"users on the {outcome.users}"
            )

    async def let_go(self) -> None:
        """Open every gate and let every pod become ready."""
        self.stage.hooks.open(*(self.path(gate) for gate in GATES))
        for app in (self.name, self.primary):
            self.stage.pods.heal_pods(app)
        if self.cell.phase == "Finalising":
            with suppress(NotFound):
                await self.edit({"analysis": {"interval": "1s"}})

    async def ends(self) -> None:
        """See where it all ends, and that it stays there."""
        end, stage = self.cell.end, self.stage
        if end.phase == GONE:
            await self.handed_back()
            return
        await self.until(lambda: stage.phase(self.name) == end.phase and self.serves(end.runs), f"{end} with all users")
        await stage.quiet(self.name)
        assert stage.phase(self.name) == end.phase
        assert self.serves(end.runs)
        restarted = self.cell.change == "config edited" and self.cell.word == "begins again"
        assert not restarted or 0 in stage.sizes[self.name][-3:-1], "pods of the old config are not analysed"

    def serves(self, revision: str) -> bool:
        """Tell whether the primary serves all users with a revision and its config, and the target sleeps."""
        stage = self.stage
        copy = stage.find(CONFIG_MAPS, f"{self.name}-settings-primary")
        edited = self.cell.change == "config edited" and self.cell.outcome.runs == "change"
        return (
            stage.image(self.primary) == TAGS[revision]
            and stage.is_ready(self.primary)
            and copy is not None
            and copy["data"]["value"] == (AFTER if edited else BEFORE)
            and stage.place(self.name) == "primary"
            and stage.replicas(self.name) == 0
        )

    async def handed_back(self) -> None:
        stage = self.stage
        await self.until(lambda: stage.phase(self.name) == GONE, "end of the Canary")
        if self.cell.change == "namespace deleted":
            await self.until(lambda: not stage.objects, "end of everything in the namespace")
            return
        # What is told of one kind may be behind what is told of another.
        await self.until(self.is_left_serving, "target that serves without us")
        await stage.quiet(self.name)
        assert self.is_left_serving()

    def is_left_serving(self) -> bool:
        """Tell whether the target serves its users with what was asked for last, and the primary is gone."""
        stage = self.stage
        # Before the bootstrap has moved users there is no Service but one of the user's own.
        nowhere = self.cell.change == "Services deleted" or self.cell.phase == "Initializing"
        return (
            stage.find(DEPLOYMENTS, self.primary) is None
            and stage.find(SERVICES, self.primary) is None
            and stage.image(self.name) == TAGS[self.cell.asked]
            and stage.replicas(self.name) >= 1
            and stage.is_ready(self.name)
            and stage.place(self.name) == ("" if nowhere else "target")
        )


# How a canary comes to a phase, and what keeps it there


async def initializing(play: Play) -> None:
    await play.until(lambda: "to become ready" in play.stage.rollout(play.name).get("reason", ""), "bootstrap")


async def initialized(play: Play) -> None:
    await play.rests_in("Initialized")


async def waiting(play: Play) -> None:
    await initialized(play)
    play.stage.hooks.close(play.path("confirm-rollout"))
    await play.push(changes.B)
    await play.phase_is("Waiting")


async def progressing(play: Play) -> None:
    """A rollout hook that fails holds the first step."""
    await initialized(play)
    play.stage.hooks.close(play.path("rollout"))
    await play.push(changes.B)
    await play.until(lambda: int(play.stage.status(play.name).get("failedChecks") or 0) > 0, "failed check")
    assert play.stage.phase(play.name) == "Progressing"


async def waiting_promotion(play: Play) -> None:
    await initialized(play)
    play.stage.hooks.close(play.path("confirm-promotion"))
    await play.push(changes.B)
    await play.phase_is("WaitingPromotion")


async def promoting(play: Play) -> None:
    """The primary has the new template and cannot become ready."""
    await initialized(play)
    play.stage.pods.break_pods(play.primary, TAGS[changes.B])
    await play.push(changes.B)
    await play.phase_is("Promoting")
    await play.until(lambda: play.stage.image(play.primary) == TAGS[changes.B], "new template of the primary")


async def finalising(play: Play) -> None:
    """Users are given time to leave the target: as much as an interval, at most 30 seconds."""
    await promoting(play)
    await play.edit({"analysis": {"interval": "600s"}})
    play.stage.pods.heal_pods(play.primary)
    await play.phase_is("Finalising")
    await play.until(lambda: play.stage.place(play.name) == "primary", "users on the primary")


async def succeeded(play: Play) -> None:
    await initialized(play)
    await play.push(changes.B)
    await play.rests_in("Succeeded")


async def failed(play: Play) -> None:
    await progressing(play)
    await play.ask("abort")
    await play.rests_in("Failed")
    play.stage.hooks.open(play.path("rollout"))


async def failed_serving(play: Play) -> None:
    await promoting(play)
    await play.until(lambda: play.stage.rollout(play.name).get("servingCanary"), "target that serves")
    await play.phase_is("Failed")
    await play.until(lambda: play.stage.place(play.name) == "target", "users on the target")


async def terminating(play: Play) -> None:
    await initialized(play)
    play.stage.pods.break_pods(play.name)
    await play.delete()
    await play.phase_is("Terminating")
    await play.until(lambda: play.stage.replicas(play.name) == 1, "target that comes back")


SCENES: dict[str, Callable[[Play], Awaitable[None]]] = {
    "Initializing": initializing,
    "Initialized": initialized,
    "Waiting": waiting,
    "Progressing": progressing,
    "WaitingPromotion": waiting_promotion,
    "Promoting": promoting,
    "Finalising": finalising,
    "Succeeded": succeeded,
    "Failed": failed,
    SERVING: failed_serving,
    "Terminating": terminating,
}


# The changes


async def fire_rollback(play: Play) -> None:
    play.stage.hooks.open(play.path("rollback"))


async def delete_primary(play: Play) -> None:
    async with heard_of(play, DEPLOYMENTS, play.primary):
        await play.site.client.delete(play.site.ref(DEPLOYMENTS, play.primary))
        if play.cell.phase == "Finalising":
            # Were the new one ready before anybody looked, nobody would have to leave.
            play.stage.pods.break_pods(play.primary)


async def delete_services(play: Play) -> None:
    names = (play.name, play.primary, f"{play.name}-canary")
    async with heard_of(play, SERVICES, *names):
        for name in names:
            with suppress(NotFound):
                await play.site.client.delete(play.site.ref(SERVICES, name))


async def delete_route(play: Play) -> None:
    async with heard_of(play, HTTP_ROUTES, play.name):
        await play.site.client.delete(play.site.ref(HTTP_ROUTES, play.name))


@asynccontextmanager
async def heard_of(play: Play, resource: Resource, *names: str) -> AsyncIterator[None]:
    """Go on when our watch has told that these objects are gone: what stands there now would pass for the next ones."""

    def there(name: str) -> str:
        found = play.stage.find(resource, name)
        return "" if found is None else uid_of(found)

    before = {name: there(name) for name in names if there(name)}
    yield
    await play.until(lambda: all(there(name) != uid for name, uid in before.items()), f"news of the end of {before}")


async def delete_namespace(play: Play) -> None:
    await play.site.client.delete(Ref(NAMESPACES, "", play.site.namespace))


async def edit_config(play: Play) -> None:
    await play.site.apply(config_map(f"{play.name}-settings", {"value": AFTER}))


ACTS: dict[str, Callable[[Play], Awaitable[None]]] = {
    "new revision": lambda play: play.push(changes.C),
    "old revision put back": lambda play: play.push(changes.A),
    "config edited": edit_config,
    "retry": lambda play: play.ask("retry"),
    "rollback hook passes": fire_rollback,
    "suspended, then resumed": lambda play: play.edit({"suspend": True}),
    "spec.service edited": lambda play: play.edit({"service": {"port": OTHER_PORT}}),
    "analysis edited": lambda play: play.edit({"analysis": analysis(play.cell.routed, MORE_STEPS)}),
    "skipAnalysis set": lambda play: play.edit({"skipAnalysis": True}),
    "Canary deleted": lambda play: play.delete(),
    "namespace deleted": delete_namespace,
    "target scaled up": lambda play: play.site.scale(3, play.name),
    "primary deleted": delete_primary,
    "Services deleted": delete_services,
    changes.ROUTE: delete_route,
    changes.WEIGHTS: lambda play: play.site.set_weights(100 - OWN_WAY, OWN_WAY, play.name),
}


# What is to be seen besides, before the canary is let go


async def nothing_more(_: Play) -> None:
    """The outcome says it all."""


async def answered(play: Play) -> None:
    def request() -> JsonObject:
        return dict(play.stage.rollout(play.name).get("request") or {})

    await play.until(lambda: request().get("id") == f"{play.name}-retry", "answer")
    assert request().get("accepted", False) is (play.cell.word == "tried again"), request()


async def held(play: Play) -> None:
    """Nothing moves although nothing is in the way any more."""
    if play.cell.word != "held":
        return
    stage, name = play.stage, play.name
    await play.until(lambda: stage.rollout(name).get("reason") == "suspended by spec.suspend", "suspension")
    await stage.quiet(name)
    before = (stage.phase(name), stage.place(name), stage.image(play.primary), stage.replicas(name))
    await play.let_go()
    await stage.quiet(name)
    assert (stage.phase(name), stage.place(name), stage.image(play.primary), stage.replicas(name)) == before
    await play.edit({"suspend": False})


async def written(play: Play) -> None:
    def port() -> int:
        return int(play.stage.get(SERVICES, f"{play.name}-canary")["spec"]["ports"][0]["port"])

    if play.cell.word == "nothing":
        assert port() == PORT
        return
    if play.cell.phase == "Finalising":
        await play.let_go()  # Services are mended once an interval, which is long here
    await play.until(lambda: port() == OTHER_PORT, "new port")
    assert play.stage.share(play.name) == play.share


async def goes_by_it(play: Play) -> None:
    if play.cell.word == "nothing":
        return
    stage, name = play.stage, play.name
    await play.let_go()
    if play.cell.routed:
        await play.until(lambda: max(stage.gateway.shares(name)) == 10 * MORE_STEPS, "last one of more steps")
    else:
        await play.until(lambda: stage.iterations[name] == MORE_STEPS, "last one of more iterations")


async def scaled(play: Play) -> None:
    stage, name = play.stage, play.name
    await play.until(lambda: 3 in stage.sizes[name], "scaled target")
    if play.cell.word == "put back":
        await play.until(lambda: stage.sizes[name][-2:] == [3, 0], "target that is put back")
    elif play.cell.word == "taken over":
        await play.until(lambda: stage.replicas(play.primary) == 3, "primary of the same size")
    elif play.cell.phase != "Finalising":
        await stage.quiet(name)
        assert stage.replicas(name) == 3


async def primary_made(play: Play) -> None:
    if play.cell.word != "nothing":
        await play.until(lambda: play.stage.find(DEPLOYMENTS, play.primary), "new primary")


async def services_made(play: Play) -> None:
    if play.cell.word == "nothing":
        return
    if play.cell.phase == "Finalising":
        await play.let_go()  # Services are mended once an interval, which is long here
    apex = [] if play.cell.phase == "Initializing" else [play.name]
    names = (*apex, play.primary, f"{play.name}-canary")
    await play.until(lambda: all(play.stage.find(SERVICES, name) for name in names), "new Services")


async def route_made(play: Play) -> None:
    if play.cell.word == "nothing":
        return
    await play.until(lambda: play.stage.find(HTTP_ROUTES, play.name), "new route")
    assert play.stage.share(play.name) == play.share


async def weights_put_back(play: Play) -> None:
    shares = play.stage.gateway.shares
    await play.until(lambda: OWN_WAY in shares(play.name), "weights of somebody else")
    if play.cell.phase == "Finalising":
        await play.let_go()  # weights are put back once an interval, which is long here
    await play.until(lambda: shares(play.name)[-2:] == [OWN_WAY, play.share], "weights as they were")


LOOKS: dict[str, Callable[[Play], Awaitable[None]]] = {
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


async def play_alone(hooks: Hooks, cell: Cell, name: str, room: asyncio.Semaphore) -> None:
    """Play in a namespace of its own, which can be deleted."""
    async with room, new_site() as site, staging(site, hooks) as stage:
        await Play(stage, cell, name).run()


async def play_together(stage: Stage, cell: Cell, name: str, room: asyncio.Semaphore) -> None:
    async with room:
        await Play(stage, cell, name).run()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def plays(request: pytest.FixtureRequest, crds: None) -> AsyncIterator[dict[str, asyncio.Task[None]]]:
    """Begin with all cells that are asked for."""
    ids = {item.name for item in request.session.items}
    wanted = [cell for cell in changes.cells() if f"test_each_cell[{cell}]" in ids]
    room = asyncio.Semaphore(AT_ONCE)
    async with AsyncExitStack() as stack:
        hooks = await stack.enter_async_context(receiving())
        stage = await stack.enter_async_context(staging(await stack.enter_async_context(new_site()), hooks))
        tasks = {}
        for number, cell in enumerate(wanted, start=1):
            if cell.change == "namespace deleted":
                play = play_alone(hooks, cell, f"c{number}", room)
            else:
                play = play_together(stage, cell, f"c{number}", room)
            tasks[str(cell)] = asyncio.create_task(play)
        yield tasks
        for task in tasks.values():
            task.cancel()
        await asyncio.gather(*tasks.values(), return_exceptions=True)


@pytest.mark.parametrize("cell", changes.cells(), ids=str)
async def test_each_cell(plays: dict[str, asyncio.Task[None]], cell: Cell) -> None:
    await plays[str(cell)]
