"""Take the README's picture of the live view: `python -m tools.portrait CANARY -n NAMESPACE --at WEIGHT FILE.svg`.

It waits until a real rollout stands at that weight with its checks measured, and writes what `flaggerpy watch` shows.
"""

from __future__ import annotations

import io
import re
from pathlib import Path

import click
from rich.console import Console

from flaggerpy.cli.access import Access, access, run
from flaggerpy.cli.look import Looker
from flaggerpy.cli.picture import picture
from flaggerpy.cli.snapshot import Snapshot

WIDTH = 104
_WEB_FONT = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)
"""rich names a font on the internet; readers of a README get their own."""


@click.command()
@click.argument("canary")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--at", "weight", type=int, required=True, help="The canary's share in percent.")
@access()
def portrait(at: Access, canary: str, file: Path, weight: int) -> None:
    """Write a picture of CANARY to FILE as soon as it stands at this weight."""
    run(_wait_and_draw(at, canary, file, weight))


async def _wait_and_draw(at: Access, name: str, file: Path, weight: int) -> None:
    async with at.client() as client:

        def see(seen: Snapshot) -> bool | None:
            if not _stands(seen, weight):
                return None
            file.write_text(drawn(seen), encoding="utf-8")
            return True

        await Looker(client, at.canary(name), events=True).until(see)


def _stands(seen: Snapshot, weight: int) -> bool:
    status = seen.canary.status
    return status.canary_weight == weight and bool(status.rollout.checks)


def drawn(seen: Snapshot) -> str:
    """Return the picture as SVG."""
    console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True, highlight=False)
    console.print(picture(seen))
    svg = console.export_svg(title=f"flaggerpy watch {seen.canary.name}")
    return _WEB_FONT.sub("", svg)


if __name__ == "__main__":
    portrait()
