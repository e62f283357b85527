"""A small server that plays the user's hooks and Prometheus, and writes down what it was asked."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from tests.crash.journal import Asked, Journal, now
from tests.metrics.loopback import Asked as Request
from tests.metrics.loopback import Say, loopback

METRIC = "metric"


@dataclass(slots=True)
class Oracle:
    """What the answers are: hooks pass, and so does the metric while ``good``; ``holding`` gives no answer at all.

    Without an answer a rollout neither goes on nor fails. A rollback hook passes only while ``calling_back``; that it
    does not is worth no line.
    """

    journal: Journal
    url: str = ""
    good: bool = True
    holding: bool = False
    calling_back: bool = False

    async def answer(self, request: Request) -> Say:
        """Answer one question."""
        if request.path == "/api/v1/query":
            if self.holding:
                return Say(503)
            self.journal.add(Asked(METRIC, self.good, now()))
            value = "100" if self.good else "50"
            result = [{"metric": {}, "value": [0, value]}]
            return Say(
                body=json.dumps({"status": "success", "data": {"resultType": "vector", "result": result}}).encode()
            )
        if request.path == "/rollback" and not self.calling_back:
            return Say(403)
        payload = json.loads(request.body)
        self.journal.add(
            Asked(
                request.path.strip("/"),
                True,
                now(),
                key=request.headers["Idempotency-Key"],
                checksum=payload["checksum"],
                phase=payload["phase"],
            )
        )
        return Say()


@asynccontextmanager
async def oracle(journal: Journal) -> AsyncIterator[Oracle]:
    """Run the server while the block runs."""
    async with loopback() as server:
        one = Oracle(journal, server.url)
        server.says(one.answer)
        yield one
