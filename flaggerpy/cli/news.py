"""Hear of every state of one Canary from now on, whatever happens to connections."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager, suppress
from typing import NoReturn

from flaggerpy.clock import Clock
from flaggerpy.kube.client import Client
from flaggerpy.kube.errors import Expired, KubeError, NotFound, ServerError, TooManyRequests, Unreachable
from flaggerpy.kube.objects import JsonObject, resource_version_of
from flaggerpy.kube.resources import Ref

PAUSE_SECONDS = 1.0
"""Between two watches, and between two tries to reach the server."""
PASSING = (Unreachable, ServerError, TooManyRequests)
"""What may be over a moment later; every other error is the end."""

News = asyncio.Queue[JsonObject | KubeError]


@asynccontextmanager
async def news_of(client: Client, ref: Ref, clock: Clock) -> AsyncIterator[News]:
    """Hear of an object for the length of a block.

    What comes is the object as it is, then every later state of it; errors that pass, with the object as it is after
    them; and last an error that does not pass, which is `NotFound` when the object was deleted.
    """
    news: News = asyncio.Queue()
    task = asyncio.create_task(_listen(client, ref, clock, news))
    try:
        yield news
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _listen(client: Client, ref: Ref, clock: Clock, news: News) -> None:
    try:
        while True:
            try:
                obj = await client.get(ref)
                news.put_nowait(obj)
                with suppress(Expired):
                    await _watch(client, ref, resource_version_of(obj), news)
            except PASSING as error:
                news.put_nowait(error)
            await clock.sleep(PAUSE_SECONDS)
    except KubeError as error:
        news.put_nowait(error)


async def _watch(client: Client, ref: Ref, version: str, news: News) -> None:
    async with aclosing(client.watch_one(ref, resource_version=version)) as events:
        async for event in events:
            match event.type:
                case "ADDED" | "MODIFIED":
                    news.put_nowait(event.object)
                case "DELETED":
                    _gone(ref)
                case "BOOKMARK" | "OPENED":
                    pass


def _gone(ref: Ref) -> NoReturn:
    raise NotFound(404, "NotFound", f"{ref} was deleted", {"details": {"name": ref.name}})
