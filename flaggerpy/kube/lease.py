"""Leader election on a Lease: who may write, decided by conditional writes and by our own monotonic clock.

The clocks of other processes are never compared with ours: a lease is free when it was *seen* unchanged for as long
as it says. What a leader does is handed in; whether it may still write is the `Fence`'s word.
"""

from __future__ import annotations

import asyncio
import math
import os
import random
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto

import structlog

from flaggerpy.clock import Clock
from flaggerpy.kube.client import Client
from flaggerpy.kube.errors import AlreadyExists, Conflict, KubeError, NotFound
from flaggerpy.kube.fence import Fence
from flaggerpy.kube.objects import JsonObject
from flaggerpy.kube.resources import LEASES, Ref

__all__ = ["Elector", "Fence", "LeaseTiming", "new_identity"]

log = structlog.get_logger(__name__)

LEASE_NAME = "flagger-leader-election"
"""Flagger's own name, so that the two never lead at the same time."""


@dataclass(frozen=True, slots=True)
class LeaseTiming:
    """The three times of leader election, in seconds."""

    duration: float = 15.0
    """How long others wait after the last renewal they saw."""
    renew_deadline: float = 10.0
    """How long after the last renewal we still write."""
    retry: float = 2.0

    def __post_init__(self) -> None:
        if not 0 < self.retry < self.renew_deadline < self.duration:
            raise ValueError("a lease needs retry < renew deadline < duration, all above zero")

    @property
    def request_timeout(self) -> float:
        """Return the time-out for calls about the lease: below what lies between our last write and theirs."""
        return min(0.9 * (self.duration - self.renew_deadline), self.renew_deadline / 3)


class Outcome(Enum):
    """How an attempt to take or keep the lease went."""

    OURS = auto()
    TAKEN = auto()
    UNKNOWN = auto()


def new_identity() -> str:
    """Return a name for this process that no other, before or after, has."""
    return f"{os.uname().nodename}_{uuid.uuid4()}"


class Elector:
    """Takes part in the election; `run` leads whenever it is our turn.

    The client must use the transport's lease session, `LeaseTiming.request_timeout` and no fence.
    """

    def __init__(
        self,
        client: Client,
        namespace: str,
        clock: Clock,
        *,
        name: str = LEASE_NAME,
        identity: str | None = None,
        timing: LeaseTiming | None = None,
    ) -> None:
        self.fence = Fence(clock)
        self.identity = identity or new_identity()
        self.holder = ""
        self._client = client
        self._ref = Ref(LEASES, namespace, name)
        self._clock = clock
        self._timing = timing or LeaseTiming()
        self._rng = random.Random()  # noqa: S311 - spreads candidates over time, keeps no secret
        self._ours: JsonObject | None = None
        self._renewal_began = -math.inf
        self._seen_spec: JsonObject | None = None
        self._seen_at = -math.inf

    @property
    def is_leader(self) -> bool:
        """Tell whether we hold the lease and may write."""
        return self.fence.is_open

    async def run(self, lead: Callable[[], Awaitable[None]]) -> None:
        """Wait for our turn and lead; when leadership is lost stop leading and wait again.

        `lead` is cancelled when leadership is lost, and may then still clean up, though no write of it is sent.
        Returns when `lead` returns; its error, or our cancellation, goes on after the lease was given back.
        """
        while True:
            await self._acquire()
            log.info("leading", lease=str(self._ref), identity=self.identity)
            if not await self._lead(lead):
                return
            log.warning("leadership lost", lease=str(self._ref), holder=self.holder)

    async def _acquire(self) -> None:
        while await self._attempt() is not Outcome.OURS:
            await self._clock.sleep(self._until_next_look())

    def _until_next_look(self) -> float:
        """Seconds until the next attempt: a lease that runs out before the next look is looked at just then.

        Jitter keeps candidates apart that started together.
        """
        usual = self._timing.retry * self._rng.uniform(0.8, 1.2)
        left = self._seen_at + self._lasts(self._seen_spec or {}) - self._clock.monotonic()
        return left + self._rng.uniform(0.05, 0.25) if 0 <= left < usual else usual

    async def _lead(self, lead: Callable[[], Awaitable[None]]) -> bool:
        """Lead while we may; returns whether leadership was lost (else `lead` has ended by itself)."""
        leading = asyncio.ensure_future(_as_coroutine(lead))
        renewing = asyncio.ensure_future(self._renew_until_lost())
        try:
            await asyncio.wait({leading, renewing}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            # Renewals go on while the leader finishes its write in flight.
            ended = leading.done()
            await _stop(leading)
            await _stop(renewing)
            await self._give_back()
        if renewing.done() and not renewing.cancelled():
            renewing.result()
        if ended:
            leading.result()
        return not ended

    async def _renew_until_lost(self) -> None:
        while self.fence.is_open:
            await self._clock.sleep(self._timing.retry)
            if await self._attempt() is Outcome.TAKEN:
                break
        self.fence.close()

    async def _attempt(self) -> Outcome:
        try:
            return await self._take_or_renew()
        except KubeError as error:
            log.warning("the lease could not be read or written", lease=str(self._ref), error=str(error))
            return Outcome.UNKNOWN

    async def _take_or_renew(self) -> Outcome:
        if self._ours is not None:
            try:
                return await self._write(self._ours)
            except (Conflict, NotFound):
                # Somebody took it, or our own last write got through although its answer did not: look again.
                self._ours = None
        try:
            lease = await self._read()
            if lease is None or self._is_free(lease):
                return await self._write(lease)
        except (Conflict, AlreadyExists):
            return Outcome.UNKNOWN
        return Outcome.TAKEN

    async def _write(self, lease: JsonObject | None) -> Outcome:
        began = self._clock.monotonic()
        if lease is None:
            self._ours = await self._client.create(LEASES, self._new_lease())
        else:
            self._ours = await self._client.replace(self._ref, self._claim(lease))
        self.holder = self.identity
        self.fence.renewed(began, renew_deadline=self._timing.renew_deadline, duration=self._timing.duration)
        return Outcome.OURS

    async def _read(self) -> JsonObject | None:
        try:
            lease = await self._client.get(self._ref)
        except NotFound as error:
            if error.kind_is_missing:
                raise
            return None
        spec = _spec(lease)
        self.holder = str(spec.get("holderIdentity") or "")
        if spec != self._seen_spec:
            self._seen_spec, self._seen_at = spec, self._clock.monotonic()
        return lease

    def _is_free(self, lease: JsonObject) -> bool:
        if self.holder in {"", self.identity}:
            return True
        return self._clock.monotonic() > self._seen_at + self._lasts(_spec(lease))

    def _lasts(self, spec: JsonObject) -> float:
        return float(spec.get("leaseDurationSeconds") or self._timing.duration)

    def _new_lease(self) -> JsonObject:
        metadata = {"name": self._ref.name, "namespace": self._ref.namespace}
        now = _micro_time(self._clock.now())
        spec = {
            "holderIdentity": self.identity,
            "leaseDurationSeconds": math.ceil(self._timing.duration),
            "acquireTime": now,
            "renewTime": now,
            "leaseTransitions": 0,
        }
        return {"apiVersion": LEASES.api_version, "kind": LEASES.kind, "metadata": metadata, "spec": spec}

    def _claim(self, lease: JsonObject) -> JsonObject:
        """Return the lease as ours; conditional, because its resourceVersion is still in it."""
        old, now = _spec(lease), _micro_time(self._clock.now())
        spec = {
            **old,
            "holderIdentity": self.identity,
            "leaseDurationSeconds": math.ceil(self._timing.duration),
            "renewTime": now,
        }
        if old.get("holderIdentity") != self.identity:
            spec["acquireTime"] = now
            spec["leaseTransitions"] = int(old.get("leaseTransitions") or 0) + 1
        return {**lease, "spec": spec}

    async def _give_back(self) -> None:
        """Free the lease if it is still ours, so that a successor need not wait; nothing is written after this."""
        held, lease = self.fence.is_open, self._ours
        self.fence.close()
        self._ours = None
        if not held or lease is None:
            return
        now = _micro_time(self._clock.now())
        spec = {
            **_spec(lease),
            "holderIdentity": "",
            "leaseDurationSeconds": 1,
            "acquireTime": now,
            "renewTime": now,
        }
        try:
            await self._client.replace(self._ref, {**lease, "spec": spec})
        except KubeError as error:
            log.warning("the lease could not be given back and will run out", error=str(error))
        else:
            self.holder = ""


def _spec(lease: JsonObject) -> JsonObject:
    spec: JsonObject = lease.get("spec") or {}
    return spec


def _micro_time(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


async def _as_coroutine(call: Callable[[], Awaitable[None]]) -> None:
    await call()


async def _stop(task: asyncio.Future[None]) -> None:
    if task.done():
        return
    task.cancel()
    await asyncio.wait({task})
    if not task.cancelled() and (error := task.exception()):
        log.error("a task failed while it was stopped", exc_info=error)
