"""A watch for those who may not miss anything."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

from flaggerpy.kube.client import Client, WatchEvent
from flaggerpy.kube.errors import Expired, TooManyRequests
from flaggerpy.kube.resources import Resource


async def changes_from(client: Client, resource: Resource, namespace: str, version: str) -> AsyncGenerator[WatchEvent]:
    """Yield what is added, modified and deleted after a resourceVersion, for a quarter of an hour at most.

    A kind that the API server has just got can be listed a moment before it can be watched: it asks for patience, and
    then remembers nothing from before it was asked for the first time. What was made in that moment is listed.
    """
    heard = False
    while True:
        watch = client.watch(resource, namespace, resource_version=version, timeout_seconds=900)
        try:
            async with aclosing(watch) as events:
                async for event in events:
                    if event.type in {"ADDED", "MODIFIED", "DELETED"}:
                        heard = True
                        yield event
            raise AssertionError(f"the watch of {resource.plural} ended")
        except TooManyRequests as error:
            await asyncio.sleep(error.retry_after)
        except Expired:
            if heard:
                raise
            items, version = await client.list(resource, namespace)
            for item in items:
                yield WatchEvent("ADDED", item)
