"""``flaggerpy release``: give canaries' traffic back to their own workloads and let go of them.

The controller does the work; the command asks for it by an annotation that outlives both, and waits.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta

import click

from flaggerpy.api.constants import FINALIZER, RELEASE
from flaggerpy.cli.access import Access, access, find_canary, run
from flaggerpy.cli.flags import DurationType
from flaggerpy.kube.client import Client
from flaggerpy.kube.errors import NotFound
from flaggerpy.kube.objects import JsonObject, finalizers_of, is_deleting
from flaggerpy.kube.resources import CANARIES, Ref, ref_of

SECONDS_BETWEEN_LOOKS = 0.5


@click.command("release")
@click.argument("name", required=False)
@click.option("--all", "everything", is_flag=True, help="Release every canary (of the namespace, if one is given).")
@click.option("--undo", is_flag=True, help="Take canaries under control again.")
@click.option("--wait/--no-wait", default=True, help="Wait until users are served by the targets.", show_default=True)
@click.option("--timeout", default="15m", type=DurationType(), help="How long to wait.", show_default=True)
@access(namespace="Namespace; default: the context's, and with --all every one.")
def release(at: Access, *, name: str | None, everything: bool, undo: bool, wait: bool, timeout: timedelta) -> None:
    """Give the traffic of NAME, or of all canaries, back to the user's own workloads.

    The Canary stays, inert and without a finalizer; its primary and our Services go once the target serves.
    """
    if bool(name) == everything:
        raise click.UsageError("name one canary, or say --all.")
    left = run(_release(at, name, undo=undo, seconds=timeout.total_seconds() if wait else None))
    if left:
        raise click.ClickException(
            f"not released within {timeout.total_seconds():g}s: {', '.join(left)}. Is the controller running? "
            "`kubectl describe` of each tells what it waits for."
        )


async def _release(at: Access, name: str | None, *, undo: bool, seconds: float | None) -> list[str]:
    async with at.client() as client:
        found = await _chosen(client, at, name)
        refs = [ref for obj in found if (ref := await _asked(client, obj, undo=undo, alone=name is not None))]
        if undo or seconds is None:
            return []
        try:
            async with asyncio.timeout(seconds):
                for ref in refs:
                    await _released(client, ref)
        except TimeoutError:
            return [f"{ref.namespace}/{ref.name}" for ref in refs if await _is_held(client, ref)]
        return []


async def _chosen(client: Client, at: Access, name: str | None) -> list[JsonObject]:
    if name is not None:
        return [await find_canary(client, at.canary(name))]
    try:
        items, _ = await client.list(CANARIES, at.namespace)
    except NotFound:  # the kind itself is gone, and with it every Canary
        return []
    return items


async def _asked(client: Client, obj: JsonObject, *, undo: bool, alone: bool) -> Ref | None:
    """Ask for what is wanted of a Canary and return it where it is to be waited for.

    One that is being deleted needs the controller as well until our finalizer is off, but not to be asked.
    """
    ref = ref_of(CANARIES, obj)
    title = f"{ref.namespace}/{ref.name}"
    if is_deleting(obj) and undo:
        if alone:
            raise click.ClickException(f"{title} is being deleted, which nobody can take back: create it anew.")
        return None
    if is_deleting(obj):
        if FINALIZER not in finalizers_of(obj):
            return None
        click.echo(f"{title} is being deleted and gives its traffic back by itself")
        return ref
    try:
        await client.merge_patch(ref, {"metadata": {"annotations": {RELEASE: None if undo else "true"}}})
    except NotFound:
        click.echo(f"{title} is gone")
        return None
    click.echo(f"{title} {'taken back' if undo else 'asked to be released'}")
    return ref


async def _released(client: Client, ref: Ref) -> None:
    while await _is_held(client, ref):  # noqa: ASYNC110 -- what is waited for happens in the API server
        await asyncio.sleep(SECONDS_BETWEEN_LOOKS)
    click.echo(f"{ref.namespace}/{ref.name} released")


async def _is_held(client: Client, ref: Ref) -> bool:
    try:
        return FINALIZER in finalizers_of(await client.get(ref))
    except NotFound:
        return False
