"""The picture on a terminal, drawn over the one before.

A line is overwritten and only what is left of the old one is erased behind it, so no part of the picture is ever blank:
nothing flickers, however slow the way to the terminal is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console

from flaggerpy.cli.ending import Ending
from flaggerpy.cli.look import Looker
from flaggerpy.cli.picture import picture
from flaggerpy.cli.snapshot import Snapshot

MOST_EVENTS = 12

_UP = "\r\x1b[{}A"
_ERASE_REST_OF_LINE = "\x1b[K"
_ERASE_BELOW = "\x1b[J"
_ERASE_ALL = "\x1b[H\x1b[2J"
_HIDE_CURSOR, _SHOW_CURSOR = "\x1b[?25l", "\x1b[?25h"


def show(seen: Snapshot) -> None:
    """Print one picture."""
    Console(highlight=False).print(picture(seen))


async def keep_showing(looker: Looker, over: Callable[[Snapshot], Ending | None]) -> Ending:
    """Draw until the end has come; the last picture stays."""
    with _screen() as screen:

        def see(seen: Snapshot) -> Ending | None:
            screen.draw(seen)
            return over(seen)

        return await looker.until(see)


class Screen:
    """The part of a terminal that the picture takes: as much as it needs, at most all of it."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._size = console.size
        self._rows = 0
        self._last: Snapshot | None = None

    def draw(self, seen: Snapshot) -> None:
        """Draw a picture over the last one; what the terminal is too short for is left out, events first."""
        if self._console.size != self._size:
            # The terminal has broken its lines anew: where the last picture begins is not known any more.
            self._write(_ERASE_ALL)
            self._size, self._rows = self._console.size, 0
        room = self._size.height - 1
        spare = room - len(self._lines(seen, 0)) - 1
        self._put(self._lines(seen, max(0, min(MOST_EVENTS, spare)))[:room])
        self._last = seen

    def close(self) -> None:
        """Leave the last picture behind, whole."""
        if self._last is not None:
            self._put(self._lines(self._last, MOST_EVENTS))

    def _lines(self, seen: Snapshot, events: int) -> list[str]:
        with self._console.capture() as captured:
            self._console.print(picture(seen, events=events))
        return captured.get().splitlines()

    def _put(self, lines: list[str]) -> None:
        up = _UP.format(self._rows) if self._rows else ""
        self._write(up + "".join(f"{line}{_ERASE_REST_OF_LINE}\n" for line in lines) + _ERASE_BELOW)
        self._rows = len(lines)

    def _write(self, text: str) -> None:
        self._console.file.write(text)
        self._console.file.flush()


@contextmanager
def _screen() -> Iterator[Screen]:
    console = Console(highlight=False)
    screen = Screen(console)
    console.file.write(_HIDE_CURSOR)
    try:
        yield screen
    finally:
        screen.close()
        console.file.write(_SHOW_CURSOR)
        console.file.flush()
