"""The cluster's Prometheus, which measures what goes through Envoy: asked from the node."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx

from flaggerpy.kube.resources import SERVICES, Ref
from tests.e2e.place import Place
from tests.telemetry.asking import Prometheus

_LATE = 90.0
"""Seconds that a window and late scrapes may take together."""


@asynccontextmanager
async def prometheus(place: Place) -> AsyncIterator[Prometheus]:
    """Ask the cluster's Prometheus while the block lasts."""
    service = await place.client.get(Ref(SERVICES, "monitoring", "prometheus"))
    address = f"http://{service['spec']['clusterIP']}:9090"
    async with httpx.AsyncClient(base_url=address, timeout=10, trust_env=False) as http:
        yield Prometheus(http)


async def forgotten(place: Place, *, window: str) -> None:
    """Wait until a window of the metrics has requests to the primary and none to the canary any more.

    One that begins sooner would be judged by the answers of the last one: Envoy counts for their common Service.
    """
    async with prometheus(place) as asked:

        async def counts(role: str) -> bool:
            series = f'envoy_cluster_upstream_rq{{envoy_cluster_name=~"{place.namespace}_podinfo-{role}_.+"}}'
            rows = await asked.query(f"sum(changes({series}[{window}]))")
            return any(float(row["value"][1]) > 0 for row in rows)

        async def none() -> bool:
            # A Prometheus that is late with its scrapes has nothing of the canary either.
            return await counts("primary") and not await counts("canary")

        await place.until(none, f"{window} without a request to the canary", patience=_LATE)
