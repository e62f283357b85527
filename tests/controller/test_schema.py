"""The guard of the CRD's schema: nothing is done while the API server would drop what we write."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import pytest

from flaggerpy.api.crds import KINDS, definition
from flaggerpy.controller.errors import SchemaTooOld
from flaggerpy.controller.schema import SECONDS_BETWEEN_LOOKS, SchemaGuard
from flaggerpy.kube.cache import Caches
from flaggerpy.kube.client import Client
from flaggerpy.kube.controller import Result
from flaggerpy.kube.resources import CANARIES, CRDS, Ref
from flaggerpy.kube.sessions import HttpTransport, Server
from flaggerpy.kube.workqueue import Key
from tests.builders import canary_json, flagger_crd
from tests.kube.clocks import ManualClock
from tests.kube.fake_apiserver import FakeApiServer

KEY = ("shop", "web")
CANARY = Ref(CANARIES, *KEY)


class Stage:
    """A guard over an API server whose CRD tests choose."""

    def __init__(self, server: FakeApiServer, client: Client) -> None:
        self.server = server
        self.clock = ManualClock()
        self.caches = Caches(client, clock=self.clock)
        self.told: list[str] = []
        self.ticks = 0
        self.error: Exception | None = None
        self.guard = SchemaGuard(client, self.caches, self.clock, self.told.append)
        self.tick = self.guard.guarded(self._reconcile)

    async def _reconcile(self, _: Key) -> Result:
        self.ticks += 1
        if self.error is not None:
            raise self.error
        return Result()

    def install(self, crd: dict[str, Any]) -> None:
        self.server.put(CRDS, crd)

    def looks(self) -> int:
        return len(self.server.seen("GET"))


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    async with FakeApiServer() as server, HttpTransport(Server(server.url)) as transport:
        yield Stage(server, Client(transport))


def ours() -> dict[str, Any]:
    return definition(KINDS[0])


async def test_an_older_schema_is_told_and_looked_at_again_until_it_is_current(stage: Stage) -> None:
    stage.install(flagger_crd())
    waiting = asyncio.create_task(stage.guard.wait_until_current())
    async with asyncio.timeout(5):
        while not stage.told:  # noqa: ASYNC110 -- what is waited for happens elsewhere
            await asyncio.sleep(0.001)
    assert "run `flaggerpy crds apply`" in stage.told[0]
    assert not waiting.done()

    stage.install(ours())
    async with asyncio.timeout(5):
        while not waiting.done():
            await stage.clock.advance(SECONDS_BETWEEN_LOOKS)
    assert stage.told[-1] == ""


async def test_a_write_that_was_pruned_stops_every_canary_until_the_schema_is_mended(stage: Stage) -> None:
    stage.install(flagger_crd())
    stage.error = SchemaTooOld()
    await stage.tick(KEY)
    assert "flaggerpy crds apply" in stage.told[0]
    await stage.tick(("shop", "another"))
    assert stage.ticks == 1

    stage.error = None
    healed = asyncio.Event()
    mending = asyncio.create_task(stage.guard.run(healed.set))
    stage.install(ours())
    async with asyncio.timeout(5):
        await healed.wait()
    await stage.tick(KEY)
    assert stage.ticks == 2
    mending.cancel()
    with suppress(asyncio.CancelledError):
        await mending


@pytest.mark.parametrize(
    ("title", "status", "looks"),
    [
        ("a canary that we know", {"phase": "Progressing", "rollout": {}}, 0),
        ("a new canary", {}, 0),
        ("a canary without any record of ours", {"phase": "Progressing"}, 1),
    ],
)
async def test_the_schema_is_looked_at_only_when_a_record_is_missing(
    stage: Stage, title: str, status: dict[str, Any], looks: int
) -> None:
    stage.install(ours())
    stage.caches.record(CANARY, {**canary_json(), "status": status})
    await stage.tick(KEY)
    assert stage.looks() == looks, title
    assert stage.ticks == 1


async def test_a_canary_whose_record_was_pruned_is_not_touched(stage: Stage) -> None:
    stage.install(flagger_crd())
    stage.caches.record(CANARY, {**canary_json(), "status": {"phase": "Progressing"}})
    await stage.tick(KEY)
    assert stage.ticks == 0
    assert stage.told
