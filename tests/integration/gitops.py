"""Plays a GitOps tool: applies what is in Git again and again, by force and under its own name.

Argo CD heals five seconds after it sees a difference, Flux once in an interval of minutes: this is worse than either.
"""

from __future__ import annotations

import asyncio
import copy
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

from flaggerpy.kube.client import Client
from flaggerpy.kube.objects import JsonObject, labels_of
from flaggerpy.kube.transport import connect
from tests.integration.site import IMAGE, Site

EVERY = 3.0
"""Seconds between two rounds."""


@dataclass(slots=True)
class Tool:
    """What is in Git, and the hands that apply it."""

    hands: Site
    deployment: JsonObject
    canary: JsonObject
    route: JsonObject | None = None
    heals_route: bool = True
    """Whether a route that differs is put back; else it is only written when it changed in Git."""
    rounds: int = 0

    def push(self, tag: str) -> None:
        """Commit a new revision."""
        self.deployment["spec"]["template"]["spec"]["containers"][0]["image"] = f"{IMAGE}:{tag}"

    def leave_replicas_alone(self) -> None:
        """Commit what docs/gitops.md asks for."""
        del self.deployment["spec"]["replicas"]

    async def goes_round(self, times: int) -> None:
        """Wait until everything was applied so many times more."""
        enough = self.rounds + times

        async def there() -> bool:
            return self.rounds >= enough

        await self.hands.until(there, f"{times} rounds of the tool", patience=times * EVERY + 30)

    async def run(self) -> None:
        """Apply until cancelled; the labels tell of the round, so that no round is without a change."""
        applied: JsonObject | None = None
        while True:
            stamp = {"team": "payments", "example.com/round": str(self.rounds)}
            await self.hands.apply(*(_labelled(obj, stamp) for obj in (self.deployment, self.canary)))
            if self.route is not None and (self.heals_route or self.route != applied):
                applied = copy.deepcopy(self.route)
                await self.hands.apply(_labelled(self.route, stamp))
            self.rounds += 1
            await asyncio.sleep(EVERY)


def _labelled(obj: JsonObject, labels: dict[str, str]) -> JsonObject:
    return {**obj, "metadata": {**obj["metadata"], "labels": labels_of(obj) | labels}}


@asynccontextmanager
async def syncing(
    site: Site, manager: str, deployment: JsonObject, canary: JsonObject, route: JsonObject | None = None
) -> AsyncIterator[Tool]:
    """Keep a Deployment, a Canary and perhaps a route as they are in Git for as long as the block lasts."""
    async with await connect() as transport:
        hands = replace(site, client=Client(transport, field_manager=manager))
        tool = Tool(hands, deployment, canary, route)
        task = asyncio.create_task(tool.run())
        try:
            await tool.goes_round(1)
            yield tool
        finally:
            if task.done():
                task.result()
            task.cancel()
            await asyncio.wait([task])
