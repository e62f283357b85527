"""The picture on a terminal, redrawn in place: all that is written goes out at once, so nothing flickers."""

from __future__ import annotations

from collections.abc import Callable

from rich.console import Console
from rich.live import Live

from flaggerpy.cli.ending import Ending
from flaggerpy.cli.look import Looker
from flaggerpy.cli.picture import picture
from flaggerpy.cli.snapshot import Snapshot

MOST_EVENTS = 12


def show(seen: Snapshot) -> None:
    """Print one picture."""
    Console(highlight=False).print(picture(seen))


async def keep_showing(looker: Looker, over: Callable[[Snapshot], Ending | None]) -> Ending:
    """Draw until the end has come; the last picture stays."""
    console = Console(highlight=False)
    with Live(console=console, auto_refresh=False, vertical_overflow="crop") as live:

        def see(seen: Snapshot) -> Ending | None:
            live.update(picture(seen, events=_room(console, seen)), refresh=True)
            return over(seen)

        return await looker.until(see)


def _room(console: Console, seen: Snapshot) -> int:
    """Return how many events fit below the rest."""
    taken = len(console.render_lines(picture(seen, events=0), pad=False))
    return max(0, min(MOST_EVENTS, console.height - taken - 2))
