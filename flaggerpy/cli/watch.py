"""``flaggerpy watch``: look at a canary while it rolls, as a picture on a terminal and as lines everywhere else."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from importlib.util import find_spec

import click

from flaggerpy.cli.access import Access, access, run
from flaggerpy.cli.ending import Ending
from flaggerpy.cli.lines import Teller
from flaggerpy.cli.look import Looker
from flaggerpy.cli.snapshot import Snapshot
from flaggerpy.cli.status import Patience, finish

INTERRUPTED = 130


@click.command("watch")
@click.argument("canary")
@click.option("--once", is_flag=True, help="Print one picture and leave.")
@click.option("--until-done", is_flag=True, help="Leave when the rollout has ended, with the exit code of status.")
@access()
def watch(at: Access, *, canary: str, once: bool, until_done: bool) -> None:
    """Show CANARY: its phase, weight and steps, checks, pods, events, and why it waits.

    On a terminal the picture is redrawn as things change, until Ctrl-C. Elsewhere every change is one line.

    With --until-done it leaves when the rollout of what the target asks for now has ended: with 0 when it succeeded, 3
    when it failed, 1 on an error. While the rollout waits for a person it goes on.
    """
    if once and until_done:
        raise click.UsageError("--once leaves at once: say either it or --until-done.")
    over = Patience(stop_at_pause=False).over if until_done else _never
    try:
        end = run(_watch(at, canary, once=once, over=over))
    except KeyboardInterrupt:
        raise click.exceptions.Exit(INTERRUPTED) from None
    if end is not None:
        finish(end)


async def _watch(at: Access, name: str, *, once: bool, over: Callable[[Snapshot], Ending | None]) -> Ending | None:
    async with at.client() as client:
        looker = Looker(client, at.canary(name), events=True)
        if once:
            _print(await looker.once())
            return None
        if _is_terminal() and _can_draw():
            from flaggerpy.cli.live import keep_showing  # noqa: PLC0415 -- rich is an extra

            return await keep_showing(looker, over)
        return await _tell(looker, over)


def _print(seen: Snapshot) -> None:
    if not _can_draw():
        Teller(click.echo, events=False).tell(seen)
        return
    from flaggerpy.cli.live import show  # noqa: PLC0415 -- rich is an extra

    show(seen)


async def _tell(looker: Looker, over: Callable[[Snapshot], Ending | None]) -> Ending:
    teller = Teller(click.echo, events=True)

    def see(seen: Snapshot) -> Ending | None:
        teller.tell(seen)
        return over(seen)

    return await looker.until(see)


def _never(_: Snapshot) -> None:
    return None


def _is_terminal() -> bool:
    return sys.stdout.isatty() and os.environ.get("TERM") != "dumb"


def _can_draw() -> bool:
    """Tell whether rich is there, and say once how to get it where it is not."""
    if find_spec("rich") is not None:
        return True
    click.echo(
        "pictures need the package rich (flaggerpy's extra `cli`), which is not installed: lines instead.", err=True
    )
    return False
