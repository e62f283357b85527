"""A checker, the server it asks, and what that says."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from prometheus_client import generate_latest

from flaggerpy.api.canary import Canary
from flaggerpy.api.templates import MetricTemplate
from flaggerpy.controller.check import Checker
from flaggerpy.controller.hooks import WebhookClient
from flaggerpy.controller.questions import Sources
from flaggerpy.kube.errors import Unreachable
from flaggerpy.metrics.outbound import Outbound
from flaggerpy.rollout.checks import Answer, Check, MetricCheck, MetricSource
from flaggerpy.telemetry.recorder import Recorder
from tests.builders import canary
from tests.kube.clocks import ManualClock
from tests.metrics.loopback import Loopback, Say


class Desk:
    """A checker, the server it asks, and what it can look up."""

    def __init__(self, outbound: Outbound, server: Loopback, *, confined: bool = False) -> None:
        self.server = server
        self.templates: dict[tuple[str, str], MetricTemplate] = {}
        self.secrets: dict[tuple[str, str], Mapping[str, str]] = {}
        self.secrets_unreachable = False
        self.recorder = Recorder(version="1", mesh_provider="kubernetes")
        sources = Sources(
            find_template=lambda namespace, name: self.templates.get((namespace, name)),
            read_secret=self._secret,
            metrics_server=server.url,
            mesh_provider="kubernetes",
            confined=confined,
        )
        self.clock = ManualClock()
        self.checker = Checker(WebhookClient(outbound, self._secret), outbound, sources, self.recorder, self.clock)

    async def metric(self, source: MetricSource, written: dict[str, Any], spec: dict[str, Any] | None = None) -> Answer:
        """Ask for the only metric of a canary."""
        check = MetricCheck(0, source, "a")
        return (await self.run(canary(spec=spec, analysis={"metrics": [written]}), check))[check]

    async def run(self, of: Canary, *checks: Check) -> dict[Check, Answer]:
        return await self.checker.run(of, checks, "664667f95d")

    def exported(self) -> list[str]:
        text = generate_latest(self.recorder.registry).decode()
        return [line for line in text.splitlines() if line.startswith("flagger_canary_metric_analysis{")]

    def counted(self, series: str, *words: str) -> dict[str, float]:
        """Read a counter for each of these words in its name; what was never counted is zero."""
        lines = generate_latest(self.recorder.registry).decode().splitlines()
        found = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
        return {word: float(found.get(series % word, 0)) for word in words or ("passed", "failed", "error")}

    async def _secret(self, namespace: str, name: str) -> Mapping[str, str] | None:
        if self.secrets_unreachable:
            raise Unreachable("no answer within 10 s")
        return self.secrets.get((namespace, name))


def value(text: str) -> Say:
    series = {"metric": {}, "value": [1, text]}
    return Say(body=json.dumps({"status": "success", "data": {"resultType": "vector", "result": [series]}}).encode())
