"""Manual gates in memory: who may go on, and until when. No HTTP.

They are lost with the process and not shared between replicas; run one replica.
"""

from __future__ import annotations

from collections.abc import Callable


class Gates:
    """A set of gates by name; closed unless somebody opened it."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._open: dict[str, float | None] = {}

    def open(self, gate: str, seconds: float | None = None) -> None:
        """Open a gate, for good or for so many seconds; opening again replaces the earlier period."""
        self._open[gate] = None if seconds is None else self._monotonic() + seconds

    def close(self, gate: str) -> None:
        """Close a gate; one that is closed stays so."""
        self._open.pop(gate, None)

    def is_open(self, gate: str) -> bool:
        """Whether a gate is open now."""
        self._expire()
        return gate in self._open

    def __len__(self) -> int:
        self._expire()
        return len(self._open)

    def _expire(self) -> None:
        now = self._monotonic()
        for gate in [gate for gate, until in self._open.items() if until is not None and until <= now]:
            del self._open[gate]
