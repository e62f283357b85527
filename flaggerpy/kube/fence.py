"""The fence: whether this process may still write, by its own monotonic clock.

The elector moves it, the client asks it before every write and again when the bytes are about to leave.
"""

from __future__ import annotations

import math

from flaggerpy.clock import Clock
from flaggerpy.kube.errors import Fenced


class Fence:
    """Open from a successful renewal until the renew deadline after that renewal was *begun*.

    Counting from the beginning is what makes it safe: nobody else can count our lease as expired before they
    have seen the renewal and waited a whole lease duration, however late the answer came to us.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._writes_until = -math.inf
        self._ours_until = -math.inf

    @property
    def is_open(self) -> bool:
        """Tell whether a write may be sent now."""
        return self._clock.monotonic() < self._writes_until

    def renewed(self, began: float, *, renew_deadline: float, duration: float) -> None:
        """Move the deadlines after a renewal that began at this monotonic time."""
        self._writes_until = began + renew_deadline
        self._ours_until = began + duration

    def close(self) -> None:
        """Allow nothing more: the lease is given up or lost."""
        self._writes_until = self._ours_until = -math.inf

    def check(self) -> None:
        """Raise `Fenced` when the renew deadline has passed."""
        if not self.is_open:
            raise Fenced("the lease is not held (or was not renewed in time), so nothing was sent")

    def limit(self, timeout: float) -> float:
        """Return a time-out that ends no later than the moment when somebody else may take the lease."""
        return min(timeout, max(0.0, self._ours_until - self._clock.monotonic()))
