"""Give routes back: those that a spec asked for before it was edited, and all where nothing is left to serve."""

from __future__ import annotations

from collections.abc import Iterable

from flaggerpy.controller.removal import Remover
from flaggerpy.controller.writes import Writes
from flaggerpy.routers.former import Former


async def leave(formers: Iterable[Former], writes: Writes, remover: Remover) -> None:
    """Take the next step of giving former routes back, or delete what is left of ours when there is no such step."""
    for former in formers:
        for ref in former.remains(writes.live):
            await remover.ours(ref)
        for body in former.bodies(writes.live):
            await writes.apply(former.ref_of(body), body)


async def clear(every: Iterable[Former], writes: Writes, remover: Remover) -> None:
    """Delete routes that we made, and give the others back to their users at once: they lead nobody anywhere."""
    for routes in every:
        for ref in routes.ours(writes.live):
            await remover.ours(ref)
        for body in routes.of_users(writes.live):
            await writes.apply(routes.ref_of(body), body)
