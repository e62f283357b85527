"""A real Prometheus reads the alerts, and answers every query of the dashboard from a controller's own /metrics."""

from __future__ import annotations

import asyncio
import socket
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

import httpx
import pytest
import yaml

from flaggerpy.api.status import CanaryStatus, Condition, Phase
from flaggerpy.rollout.checks import Verdict
from flaggerpy.telemetry.recorder import METRIC, CheckName, Labels, Recorder
from flaggerpy.telemetry.server import make_app, serving
from tests.cluster.build import obtain
from tests.cluster.progress import Progress
from tests.telemetry.asking import Prometheus
from tests.telemetry.queries import RULES, filled, panels, variables

pytestmark = [pytest.mark.timeout(180)]

GOOD = Labels("web", "web-primary", "shop")
BAD = Labels("api", "api-primary", "shop")
CHECK = CheckName(METRIC, "request-success-rate")
WAITS_FOR_A_DAY = "How long rollouts take"
"""Its window is a day, so that a rate has nothing to compare with in a test."""

EXPECTED: dict[str, dict[tuple[str, ...], float]] = {
    "Canaries": {(): 2},
    "Rollouts now": {(): 1},
    "Last rollout failed": {(): 1},
    "Stalled": {(): 0},
    "Canary's share of traffic": {("shop", "api"): 0, ("shop", "web"): 40},
    "Phases": {("shop", "api"): 8, ("shop", "web"): 3},
    "Leaders": {(): 1},
}


class Shop:
    """A controller with two canaries, as its registry shows it: one rolls out and one has failed.

    Every scrape sees it a little further.
    """

    def __init__(self) -> None:
        self.recorder = Recorder(version="1", mesh_provider="kubernetes")
        self.recorder.introduce(GOOD, "canary", {CHECK})
        self.recorder.introduce(BAD, "blue-green", {CHECK})

    def go_on(self) -> None:
        recorder, controller = self.recorder, self.recorder.controller
        now = datetime.now(UTC)
        recorder.set_totals({"shop": 2})
        recorder.show(GOOD, status(Phase.PROGRESSING, now, weight=40))
        recorder.show(BAD, status(Phase.FAILED, now))
        recorder.set_measured(GOOD, CHECK.name, 99.5)
        recorder.observe_duration(GOOD, 0.3)
        recorder.count_check(GOOD, CHECK, Verdict.FAILED)
        recorder.count_success(GOOD, "canary")
        recorder.count_failure(BAD, "blue-green")
        recorder.observe_rollout("canary", "succeeded", 600)
        controller.set_work(leading=True, waiting=0, longest=0.5)
        controller.set_watch_ages({("canaries.flagger.app", None): 3})
        controller.observe_reconcile("success", 0.1, now.timestamp())
        controller.observe_query("prometheus", "value", 0.02)
        controller.observe_webhook("rollout", "passed", 0.02)
        controller.count_alert("slack", sent=True)
        controller.count_request("GET", 200)
        controller.count_request("PUT", 409)


def status(phase: Phase, now: datetime, *, weight: int = 0) -> CanaryStatus:
    began = (now - timedelta(minutes=10)).isoformat()
    row = {"type": "Promoted", "status": "Unknown", "reason": phase.value, "lastTransitionTime": began}
    return CanaryStatus(
        phase=phase, canary_weight=weight, conditions=[Condition.model_validate(row)], last_transition_time=now
    )


@cache
def program() -> str:
    """Prometheus itself; made now where the cache does not have it."""
    return str(obtain(["prometheus"], Progress())["prometheus"] / "bin" / "prometheus")


@asynccontextmanager
async def running(folder: Path, scraped: int) -> AsyncIterator[Prometheus]:
    """Run a Prometheus with the chart's alerts that scrapes a port."""
    settings = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(RULES)],
        "scrape_configs": [{"job_name": "flaggerpy", "static_configs": [{"targets": [f"127.0.0.1:{scraped}"]}]}],
    }
    file = folder / "prometheus.yml"
    file.write_text(yaml.safe_dump(settings), encoding="utf-8")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"127.0.0.1:{listener.getsockname()[1]}"
    options = (f"--config.file={file}", f"--storage.tsdb.path={folder / 'data'}", f"--web.listen-address={address}")
    with (folder / "log").open("wb") as log:
        child = await asyncio.create_subprocess_exec(program(), *options, stdout=log, stderr=subprocess.STDOUT)
    try:
        async with httpx.AsyncClient(base_url=f"http://{address}", timeout=10, trust_env=False) as http:
            await ready(http, child)
            yield Prometheus(http)
    finally:
        if child.returncode is None:
            child.terminate()
        await child.wait()


async def ready(http: httpx.AsyncClient, child: asyncio.subprocess.Process) -> None:
    """Return when it answers."""
    async with asyncio.timeout(60):
        while True:
            assert child.returncode is None, "it ended; its log lies beside its settings"
            try:
                if (await http.get("/-/ready")).status_code == 200:
                    return
            except httpx.TransportError:
                pass
            await asyncio.sleep(0.1)


@pytest.fixture
async def prometheus(tmp_path: Path) -> AsyncIterator[Prometheus]:
    shop = Shop()
    app = make_app(live=lambda: None, ready=lambda: None, registry=shop.recorder.registry, refresh=shop.go_on)
    async with serving(app, 0, "127.0.0.1") as port, running(tmp_path, port) as asked:
        # Three scrapes, so that every rate has something to compare.
        await asked.until("count_over_time(flaggerpy_leader[1m])", lambda rows: rows and int(rows[0]["value"][1]) >= 3)
        yield asked


async def test_every_panel_and_variable_gets_an_answer(prometheus: Prometheus) -> None:
    empty = [
        query.where
        for title, queries in panels().items()
        for query in queries
        if WAITS_FOR_A_DAY not in title and not await prometheus.query(filled(query.expression))
    ]
    assert empty == []
    offered = [
        await prometheus.labels(label, filled(query.expression)) for query in variables() for label in query.named
    ]
    assert offered == [["shop"], ["api", "web"]]


async def test_panels_show_what_is_so(prometheus: Prometheus) -> None:
    assert {title: await shown(prometheus, title) for title in EXPECTED} == EXPECTED


async def shown(prometheus: Prometheus, title: str) -> dict[tuple[str, ...], float]:
    """Return the values of a panel with one query, by namespace and name."""
    (query,) = next(queries for name, queries in panels().items() if name.partition(" ")[2] == title)
    return {
        tuple(row["metric"][label] for label in ("namespace", "name") if label in row["metric"]): float(row["value"][1])
        for row in await prometheus.query(filled(query.expression))
    }


async def test_alerts_are_read_evaluated_and_fire_for_whom_they_are_meant(prometheus: Prometheus) -> None:
    rows = await prometheus.until('ALERTS{alertstate="firing"}')
    assert {(row["metric"]["alertname"], row["metric"].get("name")) for row in rows} == {
        ("FlaggerpyRolloutFailed", "api")
    }
    rules = await prometheus.alerting_rules()
    assert {rule["health"] for rule in rules} == {"ok"}, [rule.get("lastError") for rule in rules]
    (failed,) = (alert for rule in rules for alert in rule["alerts"] if alert["state"] == "firing")
    assert failed["annotations"]["summary"] == "The last rollout of shop/api failed"
