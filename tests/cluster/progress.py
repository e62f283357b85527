"""Progress lines for a person: what is being made and for how long. Nothing is decided here."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Iterator
from typing import TextIO

QUIET_PERIOD = 15.0
"""Seconds between two lines about the same part where the output is no terminal."""


class Progress:
    """Writes one line a part with the seconds it took; on a terminal the line counts while it works."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._terminal = self._stream.isatty()

    def say(self, sentence: str) -> None:
        """One line, at once."""
        self._stream.write(f"{sentence}\n")
        self._stream.flush()

    @contextlib.contextmanager
    def part(self, title: str) -> Iterator[None]:
        """Show `title` with its elapsed seconds until the block ends."""
        started = time.monotonic()
        done = threading.Event()
        ticker = threading.Thread(target=self._tick, args=(title, started, done), daemon=True)
        ticker.start()
        outcome = "FAILED"
        try:
            yield
            outcome = "done"
        finally:
            done.set()
            ticker.join()
            self._line(title, started, outcome)
            self._stream.write("\n" if self._terminal else "")
            self._stream.flush()

    def _tick(self, title: str, started: float, done: threading.Event) -> None:
        if not self._terminal:
            self._line(title, started, "…")
        while not done.wait(1.0 if self._terminal else QUIET_PERIOD):
            self._line(title, started, "…")

    def _line(self, title: str, started: float, state: str) -> None:
        text = f"  {title:<40} {time.monotonic() - started:6.1f} s  {state}"
        self._stream.write(f"\r{text:<60}" if self._terminal else f"{text}\n")
        self._stream.flush()
