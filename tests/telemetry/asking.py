"""A running Prometheus, asked over its API as Grafana asks it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Prometheus:
    """A server; an expression that it refuses fails the test with its own words."""

    http: httpx.AsyncClient

    async def query(self, expression: str) -> list[Row]:
        """Return the series of an expression now."""
        answer = (await self.http.post("/api/v1/query", data={"query": expression})).json()
        assert answer["status"] == "success", f"{expression}: {answer.get('error')}"
        remarks = [*answer.get("warnings", ()), *answer.get("infos", ())]
        assert not remarks, f"{expression}: {remarks}"
        result = answer["data"]["result"]
        return list(result) if answer["data"]["resultType"] == "vector" else [{"metric": {}, "value": result}]

    async def labels(self, name: str, selector: str) -> list[str]:
        """Return the values of a label among the series that match, as Grafana's variables offer them."""
        answer = (await self.http.get(f"/api/v1/label/{name}/values", params={"match[]": selector})).json()
        assert answer["status"] == "success", f"{selector}: {answer.get('error')}"
        return list(answer["data"])

    async def alerting_rules(self) -> list[Row]:
        """Return the alerts with their state and health."""
        groups = (await self.http.get("/api/v1/rules")).json()["data"]["groups"]
        return [rule for group in groups for rule in group["rules"]]

    async def until(
        self, expression: str, enough: Callable[[list[Row]], object] = bool, *, within: float = 30.0
    ) -> list[Row]:
        """Ask until the answer will do, for a limited time."""
        rows: list[Row] = []
        try:
            async with asyncio.timeout(within):
                while not enough(rows := await self.query(expression)):  # noqa: ASYNC110 -- it has to be asked
                    await asyncio.sleep(0.2)
        except TimeoutError:
            raise AssertionError(f"{expression} did not become right within {within:g} s: {rows}") from None
        return rows
