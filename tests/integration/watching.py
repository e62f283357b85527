"""A watch for those who may not miss anything."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

from flaggerpy.kube.client import Client, WatchEvent
from flaggerpy.kube.errors import TooManyRequests
from flaggerpy.kube.resources import Resource


async def changes_from(client: Client, resource: Resource, namespace: str, version: str) -> AsyncGenerator[WatchEvent]:
    """Yield what is added, modified and deleted after a resourceVersion, for a quarter of an hour at most.

    A kind that the API server has just got can be listed before it can be watched; that is waited for.
    """
    while True:
        watch = client.watch(resource, namespace, resource_version=version, timeout_seconds=900)
        try:
            async with aclosing(watch) as events:
                async for event in events:
                    if event.type in {"ADDED", "MODIFIED", "DELETED"}:
                        yield event
        except TooManyRequests as error:
            await asyncio.sleep(error.retry_after)
        else:
            raise AssertionError(f"the watch of {resource.plural} ended")
