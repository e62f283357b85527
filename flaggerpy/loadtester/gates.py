"""Manual gates: who may go on, and until when. Kept on a board, so that they may outlive the process. No HTTP.

A gate on the board is one text that a person can read and write too: `open`, `open until 2026-11-27T20:00:00+00:00`,
`open for one revision` before it was used and `open for revision 85d5` from then on. Anything else is closed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from flaggerpy.loadtester.board import Board

MOST = 2000
"""As many gates may be open at the same time; a ConfigMap holds no more than a mebibyte."""
_NAME = re.compile(r"(?:gate|rollback)\.[A-Za-z0-9](?:[-.A-Za-z0-9]*[A-Za-z0-9])?")
_LONGEST_NAME = 253
_OPEN = re.compile(r"open(?: until (?P<until>\S+))?(?: for (?:(?P<once>one revision)|revision (?P<revision>\S+)))?")


class InvalidGate(Exception):
    """A gate that cannot be; the text is for whoever asked."""


@dataclass(frozen=True, slots=True)
class Opening:
    """An open gate.

    Attributes:
        until: when it closes by itself, None for never.
        once: whether it is open for one revision only, the one that asks first.
        revision: the one that has asked first.

    """

    until: datetime | None = None
    once: bool = False
    revision: str = ""

    def text(self) -> str:
        """Write it as it stands on the board."""
        until = f" until {self.until.isoformat()}" if self.until else ""
        used = f" for revision {self.revision}" if self.revision else " for one revision"
        return f"open{until}{used if self.once else ''}"


def read_opening(text: str) -> Opening | None:
    """Read what stands on the board, None for a gate that is closed or that nobody can read."""
    found = _OPEN.fullmatch(text.strip())
    if found is None:
        return None
    revision = found["revision"] or ""
    try:
        until = datetime.fromisoformat(found["until"]) if found["until"] else None
    except ValueError:
        return None
    if until is not None and until.tzinfo is None:
        return None
    return Opening(until=until, once=bool(found["once"] or revision), revision=revision)


class Gates:
    """The gates by name, which begins with `gate.` or `rollback.`; closed unless somebody opened them."""

    def __init__(self, board: Board, now: Callable[[], datetime]) -> None:
        self._board = board
        self._now = now
        self.open_when_last_seen = 0

    async def open(self, gate: str, seconds: float | None = None, *, once: bool = False) -> None:
        """Open a gate, for good, for so many seconds or for one revision; opening again replaces what was."""
        _check_name(gate)
        until = None if seconds is None else self._now() + timedelta(seconds=seconds)
        opening = Opening(until=until, once=once)

        def edit(before: Mapping[str, str]) -> dict[str, str]:
            after = self._without_expired(before) | {gate: opening.text()}
            if self._count(after) > MOST:
                raise InvalidGate(f"{MOST} gates are open, which is the most that is allowed: close some")
            return after

        await self._change(edit)

    async def close(self, gate: str) -> None:
        """Close a gate; one that is closed stays so."""
        _check_name(gate)
        await self._change(
            lambda before: {name: text for name, text in self._without_expired(before).items() if name != gate}
        )

    async def is_open(self, gate: str, revision: str = "") -> bool:
        """Whether a gate is open now for a revision; no revision is a person, who uses nothing up."""
        _check_name(gate)
        texts = await self._board.read()
        self.open_when_last_seen = self._count(texts)
        opening = self._opening(texts, gate)
        if opening is None or not opening.once or not revision or opening.revision == revision:
            return opening is not None
        return await self._use(gate, revision)

    async def _use(self, gate: str, revision: str) -> bool:
        """Have one revision use a gate that is open for one; for another it closes."""
        answer = False

        def edit(before: Mapping[str, str]) -> dict[str, str]:
            nonlocal answer
            after = self._without_expired(before)
            opening = self._opening(after, gate)
            answer = opening is not None and (not opening.once or opening.revision in {"", revision})
            if opening is not None and not answer:
                del after[gate]
            elif opening is not None and opening.once:
                after[gate] = replace(opening, revision=revision).text()
            return after

        await self._change(edit)
        return answer

    async def _change(self, edit: Callable[[Mapping[str, str]], dict[str, str]]) -> None:
        def counted(before: Mapping[str, str]) -> dict[str, str]:
            after = edit(before)
            self.open_when_last_seen = self._count(after)
            return after

        await self._board.change(counted)

    def _opening(self, texts: Mapping[str, str], gate: str) -> Opening | None:
        opening = read_opening(texts.get(gate, ""))
        return None if opening is None or self._is_over(opening) else opening

    def _without_expired(self, texts: Mapping[str, str]) -> dict[str, str]:
        read = {name: read_opening(text) if _NAME.fullmatch(name) else None for name, text in texts.items()}
        return {name: text for name, text in texts.items() if not (found := read[name]) or not self._is_over(found)}

    def _is_over(self, opening: Opening) -> bool:
        return opening.until is not None and opening.until <= self._now()

    def _count(self, texts: Mapping[str, str]) -> int:
        return sum(self._opening(texts, name) is not None for name in texts if _NAME.fullmatch(name))


def _check_name(gate: str) -> None:
    if len(gate) > _LONGEST_NAME or not _NAME.fullmatch(gate):
        raise InvalidGate(
            "a gate belongs to a canary: name and namespace must be those of one, made of letters, digits, - and ."
        )
