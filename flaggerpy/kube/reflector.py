"""Keep a sink up to date with one kind of object: list, watch, list again when the server has forgotten too much.

Decides when to ask the server and what its silence means; what is kept of the news is the sink's business.
"""

from __future__ import annotations

import random
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import NoReturn, Protocol

import structlog

from flaggerpy.clock import Clock
from flaggerpy.kube.client import Client, WatchEvent
from flaggerpy.kube.errors import Expired, Forbidden, KubeError, NotFound
from flaggerpy.kube.objects import JsonObject, resource_version_of
from flaggerpy.kube.resources import Ref, Resource, ref_of

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Pace:
    """How patient a reflector is, in seconds."""

    page: int = 100
    watch_at_least: int = 300
    watch_at_most: int = 600
    inactivity: float = 150.0
    """Bookmarks come about once a minute; a watch without any is opened anew, which costs one request."""
    first_delay: float = 0.5
    longest_delay: float = 30.0
    longest_probe: float = 60.0
    """How long a kind that is missing or forbidden may go without being asked for again."""
    relist_jitter: float = 5.0
    """After a 410 all controllers of a cluster want to list at once."""


@dataclass(frozen=True, slots=True)
class Subject:
    """What one reflector follows."""

    resource: Resource
    namespace: str | None = None
    metadata_only: bool = False

    def __str__(self) -> str:
        where = f" in namespace {self.namespace}" if self.namespace else ""
        return f"{self.resource.title}{where}"


class Sink(Protocol):
    """Who hears the news."""

    def list_begins(self) -> frozenset[Ref]:
        """Return what is followed at this moment, for `list_ended`."""
        ...

    def shown(self, obj: JsonObject) -> None:
        """Take an object that a list shows."""
        ...

    def list_ended(self, known: frozenset[Ref], seen: set[Ref], resource_version: str) -> None:
        """Take it that the list was whole: what it did not show is gone."""
        ...

    def changed(self, obj: JsonObject) -> None:
        """Take an object that was added or modified."""
        ...

    def deleted(self, obj: JsonObject) -> None:
        """Take the last state of an object that is gone."""
        ...

    def troubled(self, sentence: str) -> None:
        """Take it that the kind cannot be read at all, and why."""
        ...

    async def wanted(self) -> None:
        """Return when anybody is interested."""
        ...


class Reflector:
    """One list and one watch, kept alive until cancelled."""

    def __init__(
        self,
        client: Client,
        subject: Subject,
        sink: Sink,
        clock: Clock,
        *,
        pace: Pace | None = None,
        rng: random.Random | None = None,
    ) -> None:
        self.subject = subject
        self._client = client
        self._sink = sink
        self._clock = clock
        self._pace = pace or Pace()
        self._rng = rng or random.Random()  # noqa: S311 - spreads requests over time, keeps no secret
        self.resting = False
        self._sign_of_life = clock.monotonic()
        self._failures = 0
        self._refused = False
        self._complaint = ""

    def age_seconds(self) -> float:
        """Return the seconds since the server last said anything, a bookmark included."""
        return self._clock.monotonic() - self._sign_of_life

    async def run(self) -> NoReturn:
        """List and watch until cancelled; no error ends it."""
        while True:
            await self._rest()
            try:
                version = await self._list()
                self._failures, self._refused, self._complaint = 0, False, ""
                await self._watch_from(version)
            except Expired:
                log.info("listing again: the server has forgotten where we were", subject=str(self.subject))
                await self._clock.sleep(self._rng.uniform(0, self._pace.relist_jitter))
            except (Forbidden, NotFound) as error:
                self._sink.troubled(trouble_sentence(self.subject, error))
                self._first_refusal()
                await self._back_off(error, self._pace.longest_probe)
            except KubeError as error:
                await self._back_off(error, self._pace.longest_delay)
            except Exception as error:
                log.exception("a reflector failed unexpectedly", subject=str(self.subject))
                await self._back_off(error, self._pace.longest_delay)

    def _first_refusal(self) -> None:
        """Ask again soon: an API server that has just started refuses everything until it has read the roles."""
        if not self._refused:
            self._failures, self._refused = 0, True

    async def _rest(self) -> None:
        """Wait until anybody is interested; meanwhile silence means nothing."""
        began = self._clock.monotonic()
        self.resting = True
        await self._sink.wanted()
        self.resting = False
        self._sign_of_life += self._clock.monotonic() - began

    async def _list(self) -> str:
        subject, seen, version = self.subject, set[Ref](), ""
        known = self._sink.list_begins()
        pages = self._client.pages(
            subject.resource, subject.namespace, metadata_only=subject.metadata_only, page=self._pace.page
        )
        async with aclosing(pages):
            async for page in pages:
                self._alive()
                version = page.resource_version
                for obj in page.items:
                    seen.add(ref_of(subject.resource, obj))
                    self._sink.shown(obj)
        self._sink.list_ended(known, seen, version)
        return version

    async def _watch_from(self, version: str) -> NoReturn:
        """Watch and watch again from where the last watch stopped; only errors that need a new list get out."""
        while True:
            began = self._clock.monotonic()
            news = False
            try:
                async with aclosing(self._open(version)) as events:
                    async for event in events:
                        self._alive()
                        if event.type == "OPENED":
                            continue
                        news = True
                        self._failures = 0
                        version = self._take(event) or version
            except (Expired, Forbidden, NotFound):
                raise
            except KubeError as error:
                # A watch that was silent for long was a good one: start again with the shortest delay.
                if self._clock.monotonic() - began >= self._pace.longest_delay:
                    self._failures = 0
                await self._back_off(error, self._pace.longest_delay)
            else:
                if not news and self._clock.monotonic() - began < 1:
                    await self._back_off(None, self._pace.longest_delay)

    def _open(self, version: str) -> AsyncGenerator[WatchEvent, None]:
        pace, subject = self._pace, self.subject
        return self._client.watch(
            subject.resource,
            subject.namespace,
            resource_version=version,
            timeout_seconds=self._rng.randint(pace.watch_at_least, pace.watch_at_most),
            inactivity=pace.inactivity,
            metadata_only=subject.metadata_only,
        )

    def _take(self, event: WatchEvent) -> str:
        match event.type:
            case "ADDED" | "MODIFIED":
                self._sink.changed(event.object)
            case "DELETED":
                self._sink.deleted(event.object)
            case "BOOKMARK" | "OPENED":
                pass
        return resource_version_of(event.object)

    def _alive(self) -> None:
        self._sign_of_life = self._clock.monotonic()

    async def _back_off(self, error: Exception | None, longest: float) -> None:
        delay = min(longest, self._pace.first_delay * 2.0 ** min(self._failures, 32))
        delay *= self._rng.uniform(0.5, 1.0)
        self._failures += 1
        complaint = str(error or "the server closes the watch at once")
        if self._failures > 1 and complaint != self._complaint:
            self._complaint = complaint
            log.warning("cannot follow", subject=str(self.subject), error=complaint)
        await self._clock.sleep(delay)


def trouble_sentence(subject: Subject, error: Forbidden | NotFound) -> str:
    """Say why a kind cannot be read and what would heal it."""
    if isinstance(error, Forbidden):
        return f"flaggerpy may not list and watch {subject}: {error.message}"
    return (
        f"the cluster does not serve {subject.resource.title} in version {subject.resource.version}: "
        "install its CustomResourceDefinition, and it is picked up"
    )
