"""``flaggerpy crds``: install and upgrade the CustomResourceDefinitions, which Helm installs but never upgrades."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from flaggerpy.api.crds import definitions, write
from flaggerpy.cli.access import Access, access, run
from flaggerpy.kube.client import Client
from flaggerpy.kube.resources import CRDS, ref_of

ESTABLISHED_WITHIN = 30.0


@click.group("crds")
def crds() -> None:
    """Install, upgrade or print the CustomResourceDefinitions."""


@crds.command("apply")
@access(namespace="")
def apply(at: Access) -> None:
    """Install the CustomResourceDefinitions, or upgrade older ones (Flagger's included)."""
    try:
        run(_apply(at))
    except TimeoutError:
        raise click.ClickException(
            f"the API server did not serve the new kinds within {ESTABLISHED_WITHIN:g} s; 'kubectl describe crd "
            f"canaries.flagger.app' says why. Run the command again: it goes on where it stopped."
        ) from None


@crds.command("generate")
@click.argument("directory", type=click.Path(file_okay=False, path_type=Path))
def generate(directory: Path) -> None:
    """Write the CustomResourceDefinitions as files."""
    try:
        paths = write(directory)
    except OSError as error:
        raise click.ClickException(
            f"{error.filename or directory} cannot be written: {error.strerror}. Name a folder that can."
        ) from error
    for path in paths:
        click.echo(path)


async def _apply(at: Access) -> None:
    async with at.client() as client:
        for body in definitions():
            ref = ref_of(CRDS, body)
            await client.apply(ref, body)
            click.echo(f"{ref.name} applied")
        async with asyncio.timeout(ESTABLISHED_WITHIN):
            for body in definitions():
                await _established(client, body["metadata"]["name"])


async def _established(client: Client, name: str) -> None:
    """Return once the API server serves the kind as just applied."""
    ref = ref_of(CRDS, {"metadata": {"name": name}})
    while True:
        conditions = ((await client.get(ref)).get("status") or {}).get("conditions") or ()
        if any(row.get("type") == "Established" and row.get("status") == "True" for row in conditions):
            return
        await asyncio.sleep(0.2)
