"""A whole controller on a fake API server: whose series are there, and when they go."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from io import StringIO
from typing import Any

import httpx
import pytest

from flaggerpy.api.crds import KINDS, definition
from flaggerpy.app import App
from flaggerpy.clock import SystemClock
from flaggerpy.kube.resources import CANARIES, CRDS, DEPLOYMENTS, LEASES, Ref
from flaggerpy.kube.sessions import HttpTransport, Server
from flaggerpy.metrics.outbound import Outbound
from flaggerpy.settings import Settings
from flaggerpy.telemetry.logging import configure
from tests.builders import canary_json
from tests.kube.fake_apiserver import FakeApiServer, Fault
from tests.telemetry.test_logging import stream

__all__ = ["stream"]

CANARY = Ref(CANARIES, "shop", "web")
LEASE = Ref(LEASES, "kube-system", "flagger-leader-election")
STALLED = 'flaggerpy_canary_stalled{name="web",namespace="shop"}'
PHASE = 'flaggerpy_canary_phase{name="web",namespace="shop",phase="Initializing"}'


@dataclass(slots=True)
class Scraped:
    """A running controller, seen by Prometheus."""

    url: str

    async def series(self) -> dict[str, float]:
        async with httpx.AsyncClient(trust_env=False) as http:
            text = (await http.get(f"{self.url}/metrics")).text
        samples = (line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
        return {name: float(value) for name, value in samples}

    async def of_canaries(self) -> list[str]:
        return [name for name in await self.series() if name.startswith(("flagger_canary_", "flaggerpy_canary_"))]

    async def until(self, true: Callable[[dict[str, float]], object]) -> dict[str, float]:
        """Scrape until it is so, for a limited time."""
        found: dict[str, float] = {}
        try:
            async with asyncio.timeout(20):
                while not true(found := await self.series()):  # noqa: ASYNC110 -- a scrape is how one learns
                    await asyncio.sleep(0.02)
        except TimeoutError:
            raise AssertionError(f"did not become true; last seen: {found}") from None
        return found


@asynccontextmanager
async def running(server: FakeApiServer, **changes: Any) -> AsyncIterator[Scraped]:
    """Run a controller, as a process of its own would be, and stop it kindly."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    settings = Settings(mesh_provider="kubernetes", port=port, **changes)
    stop = asyncio.Event()
    async with HttpTransport(Server(server.url)) as transport, Outbound(trust_env=False) as outbound:
        task = asyncio.create_task(App(settings, transport, outbound, SystemClock()).run(stop))
        try:
            await listening(port)
            yield Scraped(f"http://127.0.0.1:{port}")
        finally:
            stop.set()
            await task


async def listening(port: int) -> None:
    """Return when somebody listens there."""
    async with asyncio.timeout(10):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except ConnectionError:
                await asyncio.sleep(0.01)
            else:
                writer.close()
                await writer.wait_closed()
                return


@pytest.fixture
async def server() -> AsyncIterator[FakeApiServer]:
    """Serve one canary whose target does not exist."""
    async with FakeApiServer() as running_server:
        running_server.put(CRDS, definition(KINDS[0]))
        running_server.put(CANARIES, canary_json(spec={"provider": "kubernetes"}))
        yield running_server


async def test_a_canary_is_shown_from_its_first_tick_and_forgotten_when_it_was_let_go(server: FakeApiServer) -> None:
    async with running(server) as scraped:
        found = await scraped.until(lambda seen: seen.get(STALLED) == 1)
        assert found['flagger_canary_total{namespace="shop"}'] == 1
        assert found[PHASE] == 1

        server.delete(CANARY, {})
        await scraped.until(lambda seen: STALLED not in seen)
        assert CANARY not in server.objects, "let go by us, which nobody tells us of"
        assert await scraped.of_canaries() == []


async def test_the_follower_shows_no_canary_and_all_of_them_once_it_leads(server: FakeApiServer) -> None:
    async with running(server, leader_election=True) as first:
        await first.until(lambda seen: seen.get(STALLED) == 1)
        async with running(server, leader_election=True) as second:
            await second.until(lambda seen: any(name.startswith("flaggerpy_watch_age") for name in seen))
            follower = await second.series()
            assert follower["flaggerpy_leader"] == 0
            assert await second.of_canaries() == []
            assert (await first.series())["flaggerpy_leader"] == 1

            server.change(LEASE, lambda lease: lease["spec"].update(holderIdentity="stranger", leaseDurationSeconds=1))
            taken = await first.until(lambda seen: seen["flaggerpy_leader"] == 0)
            assert STALLED not in taken, "what it knew of canaries went with the lease"
            both = (first, second)

            async def somebody_leads() -> Scraped:
                while True:
                    for one in both:
                        if STALLED in await one.series():
                            return one

            async with asyncio.timeout(20):
                leader = await somebody_leads()
            (other,) = (one for one in both if one is not leader)
            assert (await leader.series())['flagger_canary_total{namespace="shop"}'] == 1
            assert await other.of_canaries() == []


async def test_how_ticks_ended_is_counted_and_their_log_lines_name_the_canary(
    server: FakeApiServer, stream: StringIO
) -> None:
    configure(stream=stream)
    server.fail(Fault("status", method="PUT", path="/canaries/web/status"))
    async with running(server) as scraped:
        await scraped.until(lambda seen: seen.get(STALLED) == 1)
        found = await scraped.until(
            lambda seen: seen['flaggerpy_reconcile_duration_seconds_count{result="success"}'] >= 1
        )
        assert found['flaggerpy_reconcile_duration_seconds_count{result="retry"}'] >= 1
        assert found["flaggerpy_last_reconcile_timestamp_seconds"] > 0
        assert found['flaggerpy_api_requests_total{code="500",verb="PUT"}'] == 1
        assert found['flaggerpy_watch_age_seconds{resource="deployments.apps",scope="*"}'] < 60
        server.forbidden.add(DEPLOYMENTS)
        server.break_watches()
        async with asyncio.timeout(20):
            while "cannot follow" not in stream.getvalue():  # noqa: ASYNC110 -- what is waited for happens elsewhere
                await asyncio.sleep(0.01)

    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    (again,) = {line["canary"] for line in lines if line["msg"] == "will be tried again"}
    assert again == "web.shop"
    follows = [line for line in lines if line["msg"] == "cannot follow"]
    assert follows, "a watch broke"
    assert not [line for line in follows if "canary" in line], "watches are nobody's in particular"
