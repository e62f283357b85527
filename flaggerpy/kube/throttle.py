"""Token buckets: how often something may happen, as a pure rule and as a gate in front of the API server."""

from __future__ import annotations

from dataclasses import dataclass

from flaggerpy.clock import Clock, SystemClock


@dataclass(slots=True)
class TokenBucket:
    """At most `burst` at once, refilled with `rate` tokens a second. Time is handed in."""

    rate: float
    burst: float
    tokens: float
    at: float

    @classmethod
    def full(cls, rate: float, burst: float, now: float) -> TokenBucket:
        """Return a bucket that nobody has taken from."""
        return cls(rate, burst, burst, now)

    def refill(self, now: float) -> None:
        """Add what has flowed in since the last look."""
        self.tokens = min(self.burst, self.tokens + max(0.0, now - self.at) * self.rate)
        self.at = now

    def take(self, now: float, leaving: float = 0) -> bool:
        """Take a token if there is one, and so many are left."""
        self.refill(now)
        if self.tokens < 1 + leaving:
            return False
        self.tokens -= 1
        return True

    def reserve(self, now: float) -> float:
        """Take a token, if need be one that is still to come, and return the seconds to wait for it."""
        self.refill(now)
        self.tokens -= 1
        return max(0.0, -self.tokens / self.rate)


class Throttle:
    """The gate before every request: unlimited, or so many a second with a burst."""

    def __init__(self, clock: Clock | None = None, *, qps: float | None = None, burst: int = 1) -> None:
        self._clock = clock or SystemClock()
        now = self._clock.monotonic()
        self._bucket = TokenBucket.full(qps, max(1, burst), now) if qps else None

    async def admit(self) -> None:
        """Return when the next request may go; requests go in the order they came."""
        if self._bucket is not None and (wait := self._bucket.reserve(self._clock.monotonic())):
            await self._clock.sleep(wait)

    async def pause(self, seconds: float) -> None:
        """Return after the pause that the server asked for."""
        await self._clock.sleep(seconds)
