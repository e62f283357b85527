from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest
from aiohttp import web

from flaggerpy.telemetry.recorder import Recorder
from flaggerpy.telemetry.server import make_app, serving


class Process:
    """A controller as its probes see it."""

    def __init__(self) -> None:
        self.recorder = Recorder(version="1", mesh_provider="")
        self.stuck: str | None = None
        self.waiting: str | None = None
        self.scrapes = 0

    def app(self) -> web.Application:
        return make_app(live=self.live, ready=self.ready, registry=self.recorder.registry, refresh=self.refresh)

    def live(self) -> str | None:
        return self.stuck

    def ready(self) -> str | None:
        return self.waiting

    def refresh(self) -> None:
        self.scrapes += 1
        self.recorder.set_totals({"shop": self.scrapes})


@pytest.fixture
def process() -> Process:
    return Process()


@pytest.fixture
async def client(process: Process) -> AsyncIterator[httpx.AsyncClient]:
    async with (
        serving(process.app(), 0, "127.0.0.1") as port,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as asked,
    ):
        yield asked


async def test_a_healthy_process_answers_ok(client: httpx.AsyncClient) -> None:
    for path in ("/healthz", "/readyz"):
        answer = await client.get(path)
        assert (answer.status_code, answer.text) == (200, "OK")


async def test_wget_spider_asks_by_head(client: httpx.AsyncClient) -> None:
    assert (await client.head("/healthz")).status_code == 200


async def test_alive_and_ready_are_told_apart_and_the_reason_is_said(
    client: httpx.AsyncClient, process: Process
) -> None:
    process.waiting = "caches are not synced: canaries"

    alive, ready = await client.get("/healthz"), await client.get("/readyz")
    process.stuck, process.waiting = "no worker moved for 60 s", None
    stuck, well = await client.get("/healthz"), await client.get("/readyz")

    assert (alive.status_code, ready.status_code, ready.text) == (200, 503, "caches are not synced: canaries")
    assert (stuck.status_code, stuck.text, well.status_code) == (503, "no worker moved for 60 s", 200)


async def test_a_scrape_brings_gauges_up_to_date_first(client: httpx.AsyncClient) -> None:
    first, second = (await client.get("/metrics")).text, (await client.get("/metrics")).text

    assert 'flagger_canary_total{namespace="shop"} 1.0\n' in first
    assert 'flagger_canary_total{namespace="shop"} 2.0\n' in second


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [("*/*", "text/plain; version="), ("application/openmetrics-text; version=1.0.0", "application/openmetrics-text")],
)
async def test_prometheus_chooses_the_format(client: httpx.AsyncClient, accept: str, content_type: str) -> None:
    answer = await client.get("/metrics", headers={"Accept": accept})

    assert answer.headers["Content-Type"].startswith(content_type)
    assert "flagger_info" in answer.text


async def test_other_paths_do_not_exist(client: httpx.AsyncClient) -> None:
    assert (await client.get("/")).status_code == 404


async def test_a_port_is_free_again_after_serving(process: Process) -> None:
    async with serving(process.app(), 0, "127.0.0.1") as port:
        pass
    async with serving(process.app(), port, "127.0.0.1") as again:
        assert again == port
