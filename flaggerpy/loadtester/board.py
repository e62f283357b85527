"""What the load tester remembers: texts by name, in memory or wherever several replicas see the same.

Only the seam and the kind in memory live here; the one in the cluster is in configmap.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

Edit = Callable[[Mapping[str, str]], Mapping[str, str]]
"""Makes new texts of those that are there; it may be asked again when somebody else was faster."""


class BoardUnavailable(Exception):
    """What is remembered cannot be read or written now; the text is for whoever asked."""


class Board(Protocol):
    """Texts by name. Both methods raise `BoardUnavailable`."""

    async def read(self) -> Mapping[str, str]:
        """Return what is there now."""
        ...

    async def change(self, edit: Edit) -> None:
        """Replace what is there by what the edit makes of it, with nobody else's change in between."""
        ...


class MemoryBoard:
    """A board that is lost with the process, and that other replicas do not see."""

    def __init__(self) -> None:
        self._texts: dict[str, str] = {}

    async def read(self) -> Mapping[str, str]:
        """Return what is there now."""
        return dict(self._texts)

    async def change(self, edit: Edit) -> None:
        """Replace what is there."""
        self._texts = dict(edit(dict(self._texts)))
