"""Kubernetes Events: recorded without waiting, aggregated, and never in the way of anything.

Which events there are and what they say is decided elsewhere.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import structlog

from flaggerpy.clock import Clock, SystemClock
from flaggerpy.kube.client import Client
from flaggerpy.kube.errors import KubeError, NotFound
from flaggerpy.kube.objects import JsonObject, name_of, namespace_of, resource_version_of, uid_of
from flaggerpy.kube.resources import EVENTS, Ref
from flaggerpy.kube.throttle import TokenBucket

log = structlog.get_logger(__name__)

EventType = Literal["Normal", "Warning"]

COMPONENT = "flagger"
WINDOW_SECONDS = 600.0
BURST = 25
REFILL_PER_SECOND = 0.1
KEPT_FOR_NEWS = 10
"""Of the burst: what is only told again, round after round of an outage, must not use up the place of what is new."""
CAPACITY = 1000
REMEMBERED = 4096
FLUSH_SECONDS = 5.0
ATTEMPTS_IF_IMPORTANT = 3
LONGEST_MESSAGE = 1024

_Same = tuple[str, str, str]
"""What makes two events the same: the object's uid, the type and the message."""


@dataclass(slots=True)
class _Pending:
    involved: JsonObject
    type: EventType
    message: str
    reason: str
    important: bool
    first: datetime
    last: datetime
    count: int = 1


@dataclass(slots=True)
class _Sent:
    ref: Ref
    count: int
    at: float


class EventRecorder:
    """Records events about objects; `run` sends them.

    An object may have a burst of 25 events and one in 10 seconds after that; what exceeds this, and what exceeds the
    queue, is dropped unless it is important. Repetitions leave room for ten that say something new. Give it a client
    without a fence: what happened, happened.
    """

    def __init__(self, client: Client, *, clock: Clock | None = None) -> None:
        self._client = client
        self._clock = clock or SystemClock()
        self._pending: OrderedDict[_Same, _Pending] = OrderedDict()
        self._sent: OrderedDict[_Same, _Sent] = OrderedDict()
        self._buckets: OrderedDict[str, TokenBucket] = OrderedDict()
        self._arrived = asyncio.Event()
        self.dropped = 0

    def event(
        self,
        involved: JsonObject,
        type_: EventType,
        message: str,
        reason: str = "Synced",
        *,
        important: bool = False,
    ) -> None:
        """Record that something happened to an object; returns at once."""
        same, now = (uid_of(involved), type_, message), self._clock.now()
        if not important and (len(self._pending) >= CAPACITY or not self._may_speak(same)):
            self.dropped += 1
            return
        waiting = self._pending.get(same)
        if waiting is not None:
            waiting.count += 1
            waiting.last = now
            waiting.important |= important
        else:
            self._pending[same] = _Pending(involved, type_, _shortened(message), reason, important, first=now, last=now)
        self._arrived.set()

    async def run(self) -> None:
        """Send what is recorded until cancelled; then what is left gets a few seconds."""
        try:
            while True:
                await self._arrived.wait()
                self._arrived.clear()
                await self.flush()
        except asyncio.CancelledError:
            try:
                async with asyncio.timeout(FLUSH_SECONDS):
                    await self.flush()
            except TimeoutError:
                log.warning("events were lost at shutdown", count=len(self._pending))
            raise

    async def flush(self) -> None:
        """Send all that waits."""
        while self._pending:
            same, pending = self._pending.popitem(last=False)
            try:
                await self._send(same, pending)
            except asyncio.CancelledError:
                self._pending[same] = pending
                self._pending.move_to_end(same, last=False)
                raise

    async def _send(self, same: _Same, pending: _Pending) -> None:
        attempts = ATTEMPTS_IF_IMPORTANT if pending.important else 1
        for left in reversed(range(attempts)):
            try:
                await self._send_once(same, pending)
            except KubeError as error:
                log.warning("an event could not be recorded", message=pending.message, error=str(error))
                if left:
                    await self._clock.sleep(1)
            else:
                return

    async def _send_once(self, same: _Same, pending: _Pending) -> None:
        now = self._clock.monotonic()
        known = self._sent.get(same)
        if known is not None and now - known.at < WINDOW_SECONDS:
            count = known.count + pending.count
            patch = {"count": count, "lastTimestamp": _time(pending.last)}
            try:
                await self._client.merge_patch(known.ref, patch)
            except NotFound:
                pass  # its time to live has passed: a new one begins
            else:
                self._remember(same, _Sent(known.ref, count, now))
                return
        body = _body(pending)
        await self._client.create(EVENTS, body)
        self._remember(same, _Sent(Ref(EVENTS, namespace_of(body), name_of(body)), pending.count, now))

    def _remember(self, same: _Same, sent: _Sent) -> None:
        self._sent[same] = sent
        self._sent.move_to_end(same)
        while len(self._sent) > REMEMBERED:
            self._sent.popitem(last=False)

    def _may_speak(self, same: _Same) -> bool:
        uid, now = same[0], self._clock.monotonic()
        bucket = self._buckets.get(uid)
        if bucket is None:
            bucket = self._buckets[uid] = TokenBucket.full(REFILL_PER_SECOND, BURST, now)
        self._buckets.move_to_end(uid)
        while len(self._buckets) > REMEMBERED:
            self._buckets.popitem(last=False)
        return bucket.take(now, KEPT_FOR_NEWS if same in self._pending or same in self._sent else 0)


def _body(pending: _Pending) -> JsonObject:
    involved = pending.involved
    namespace = namespace_of(involved) or "default"
    return {
        "apiVersion": EVENTS.api_version,
        "kind": EVENTS.kind,
        "metadata": {"name": f"{name_of(involved)}.{secrets.token_hex(8)}", "namespace": namespace},
        "involvedObject": {
            "apiVersion": involved.get("apiVersion"),
            "kind": involved.get("kind"),
            "namespace": namespace_of(involved),
            "name": name_of(involved),
            "uid": uid_of(involved),
            "resourceVersion": resource_version_of(involved),
        },
        "type": pending.type,
        "reason": pending.reason,
        "message": pending.message,
        "source": {"component": COMPONENT},
        "reportingComponent": COMPONENT,
        "reportingInstance": "",
        "count": pending.count,
        "firstTimestamp": _time(pending.first),
        "lastTimestamp": _time(pending.last),
    }


def _shortened(message: str) -> str:
    raw = message.encode()
    if len(raw) <= LONGEST_MESSAGE:
        return message
    return raw[: LONGEST_MESSAGE - 3].decode(errors="ignore") + "…"


def _time(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")
