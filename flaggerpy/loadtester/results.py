"""How tasks ended that have an id: the last result of each, kept on a board for a later hook to ask. No HTTP."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from flaggerpy.loadtester.board import Board, BoardUnavailable
from flaggerpy.loadtester.tasks import Question

MOST = 500
"""As many results are kept, the newest ones."""
KEPT = timedelta(days=1)
_PREFIX = "result."
_SENTENCE = 600

_log: structlog.typing.FilteringBoundLogger = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Result:
    """How one run ended, and of which revision it was; the sentence says why it did not pass."""

    at: datetime
    passed: bool
    revision: str
    sentence: str

    def text(self) -> str:
        """Write it as it stands on the board."""
        row = {"at": self.at.isoformat(), "passed": self.passed, "revision": self.revision, "why": self.sentence}
        return json.dumps(row, ensure_ascii=False)


def read_result(text: str) -> Result | None:
    """Read what stands on the board, None for what nobody can read."""
    try:
        row = json.loads(text)
        at = datetime.fromisoformat(row["at"])
        result = Result(at=at, passed=row["passed"] is True, revision=str(row["revision"]), sentence=str(row["why"]))
    except (ValueError, KeyError, TypeError):
        return None
    return result if at.tzinfo else None


class Results:
    """The last results, by canary and id of the task.

    `look_again` are seconds between two looks at a board that another replica may have written to.
    """

    def __init__(self, board: Board, now: Callable[[], datetime], *, look_again: float = 2.0) -> None:
        self._board = board
        self._now = now
        self._look_again = look_again
        self._news = asyncio.Condition()

    async def file(self, canary: str, task: str, *, revision: str, fault: str) -> None:
        """Keep how a run ended, in place of how the one before did; no fault is a pass. Never raises."""
        result = Result(at=self._now(), passed=not fault, revision=revision, sentence=_shortened(fault))

        def edit(before: Mapping[str, str]) -> dict[str, str]:
            return self._bounded({**before, _name(canary, task): result.text()})

        try:
            await self._board.change(edit)
        except BoardUnavailable as error:
            _log.error("the result of a task is lost", canary=canary, task=task, error=str(error))
        async with self._news:
            self._news.notify_all()

    async def last(self, question: Question) -> Result | None:
        """Return the result that is asked for, when there is one in time."""
        found = await self._find(question)
        try:
            async with asyncio.timeout(question.patience):
                while found is None:
                    await self._wait_for_news()
                    found = await self._find(question)
        except TimeoutError:
            return None
        return found

    async def _wait_for_news(self) -> None:
        async with self._news:
            try:
                async with asyncio.timeout(self._look_again):
                    await self._news.wait()
            except TimeoutError:
                return

    async def _find(self, question: Question) -> Result | None:
        text = (await self._board.read()).get(_name(question.canary, question.task))
        found = read_result(text) if text is not None else None
        if found is None or self._now() - found.at > question.max_age:
            return None
        return found if question.revision in {"", found.revision} else None

    def _bounded(self, texts: Mapping[str, str]) -> dict[str, str]:
        """Drop results that nobody will ask for any more."""
        results = {name: read_result(text) for name, text in texts.items() if name.startswith(_PREFIX)}
        fresh = [(result.at, name) for name, result in results.items() if result and self._now() - result.at <= KEPT]
        kept = {name for _, name in sorted(fresh)[-MOST:]}
        return {name: text for name, text in texts.items() if name not in results or name in kept}


def _name(canary: str, task: str) -> str:
    return f"{_PREFIX}{canary}.{task}"


def _shortened(sentence: str) -> str:
    """Keep the beginning, which says what ran, and the end, which says what went wrong."""
    if len(sentence) <= _SENTENCE:
        return sentence
    half = _SENTENCE // 2
    return f"{sentence[:half]} … {sentence[-half:]}"
