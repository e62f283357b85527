"""``flaggerpy status``: wait for the end of a rollout, and say by the exit code how it ended."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import NoReturn

import click

from flaggerpy.cli.access import Access, access, run
from flaggerpy.cli.ending import Ending, Exit, ending
from flaggerpy.cli.flags import DurationType
from flaggerpy.cli.lines import Teller
from flaggerpy.cli.look import Looker
from flaggerpy.cli.progress import problem, why
from flaggerpy.cli.snapshot import Snapshot
from flaggerpy.durations import format_duration

STALLED_FOR = timedelta(seconds=15)
"""How long a mistake may stand: what is applied in several parts is a mistake for a moment."""


@click.command("status")
@click.argument("canary")
@click.option("--timeout", default="10m", type=DurationType(), show_default=True, help="How long to wait.")
@click.option("--wait-when-paused", is_flag=True, help="Go on waiting while the rollout waits for a person.")
@access()
def status(at: Access, *, canary: str, timeout: timedelta, wait_when_paused: bool) -> None:
    """Wait until the rollout of what the target of CANARY asks for now has ended.

    The end of an earlier rollout is not taken for it, however soon after a change of the target this is called. What
    changes meanwhile is printed, and last how it ended.

    \b
    Exit codes:
      0  succeeded: users are served what the target asks for
      1  error: no such canary, it is deleted or released, no access, a mistake that stays
      2  the command line cannot be understood
      3  failed: the revision was rolled back, or its promotion failed
      4  paused, suspended, or waiting for approval (not with --wait-when-paused)
      5  not ended within --timeout
    """  # noqa: D301 -- the character \b keeps click from filling the table
    finish(run(_status(at, canary, timeout, stop_at_pause=not wait_when_paused)))


def finish(end: Ending) -> NoReturn:
    """Say how it ended, which is what was asked for whatever it is, and leave with its exit code."""
    click.echo(end.sentence)
    raise click.exceptions.Exit(end.code)


class Patience:
    """Says when there is nothing more to wait for: the rollout has ended, or a mistake has stood for a while."""

    def __init__(self, *, stop_at_pause: bool) -> None:
        self._stop_at_pause = stop_at_pause
        self._problem = ""
        self._since = datetime.min

    def over(self, seen: Snapshot) -> Ending | None:
        """Return the end once it has come."""
        if (end := ending(seen, stop_at_pause=self._stop_at_pause)) is not None:
            return end
        now = problem(seen.canary)
        if now != self._problem:
            self._problem, self._since = now, seen.now
        if now and seen.now - self._since >= STALLED_FOR:
            return Ending(Exit.ERROR, f"{seen.name} cannot go on: {now}")
        return None


async def _status(at: Access, name: str, timeout: timedelta, *, stop_at_pause: bool) -> Ending:
    teller, patience = Teller(click.echo, events=False), Patience(stop_at_pause=stop_at_pause)
    last: Snapshot | None = None

    def see(seen: Snapshot) -> Ending | None:
        nonlocal last
        last = seen
        teller.tell(seen)
        return patience.over(seen)

    async with at.client() as client:
        try:
            async with asyncio.timeout(timeout.total_seconds()):
                return await Looker(client, at.canary(name), events=False).until(see)
        except TimeoutError:
            return Ending(Exit.TIMED_OUT, _timed_out(last, timeout))


def _timed_out(last: Snapshot | None, timeout: timedelta) -> str:
    within = f"within {format_duration(timeout)}"
    if last is None:
        return f"the API server has not answered {within}."
    phase = last.canary.status.phase or "new: is the controller running?"
    reason = why(last.canary)
    return f"{last.name} has not ended {within}; it is {phase}" + (f": {reason}" if reason else "")
