"""``flaggerpy pause``, ``resume``, ``promote``, ``abort`` and ``retry``: ask the controller, and tell its answer.

The request is an annotation on the Canary, so it outlives the command and a restart of the controller, which answers
in the Canary's status.
"""

from __future__ import annotations

import asyncio
import getpass
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import uuid4

import click

from flaggerpy.api.canary import Canary, parse_canary
from flaggerpy.api.constants import REQUEST
from flaggerpy.api.request import Request, Verb, request_on, unanswered
from flaggerpy.api.status import AnsweredRequest
from flaggerpy.cli.access import Access, access, find_canary, run
from flaggerpy.cli.flags import DurationType
from flaggerpy.cli.news import PASSING, news_of
from flaggerpy.clock import Clock, SystemClock
from flaggerpy.durations import format_duration
from flaggerpy.kube.client import Client
from flaggerpy.kube.errors import Conflict, Forbidden, KubeError, NotFound
from flaggerpy.kube.objects import resource_version_of
from flaggerpy.kube.resources import SELF_SUBJECT_REVIEWS, Ref
from flaggerpy.rollout.errors import UserError
from flaggerpy.targets.registry import target_for

TRIES = 10
"""The controller writes the status of a canary that rolls every few seconds at most."""

OF_A_REVISION = frozenset({Verb.PROMOTE, Verb.PROMOTE_FULL, Verb.RETRY})
"""What holds for the revision that the target has when it is asked, and for no other."""

Command = Callable[..., Any]


def _asking(command: Command) -> Command:
    """Add the argument and the flags that all requests share."""
    command = access()(command)
    wait = click.option("--wait/--no-wait", default=True, show_default=True, help="Wait for the controller's answer.")
    most = click.option("--timeout", default="30s", type=DurationType(), show_default=True, help="How long to wait.")
    return click.argument("canary")(wait(most(command)))


@click.command("pause")
@_asking
def pause(at: Access, *, canary: str, wait: bool, timeout: timedelta) -> None:
    """Hold the rollout of CANARY where it is; checks go on, and a bad canary is still rolled back."""
    _ask(at, canary, Verb.PAUSE, timeout if wait else None)


@click.command("resume")
@_asking
def resume(at: Access, *, canary: str, wait: bool, timeout: timedelta) -> None:
    """Let a paused rollout of CANARY go on."""
    _ask(at, canary, Verb.RESUME, timeout if wait else None)


@click.command("promote")
@click.option("--full", is_flag=True, help="Skip all steps that are left, and promote.")
@_asking
def promote(at: Access, *, canary: str, full: bool, wait: bool, timeout: timedelta) -> None:
    """Take the next step of CANARY now, past a gate or a pause; with --full promote it now."""
    _ask(at, canary, Verb.PROMOTE_FULL if full else Verb.PROMOTE, timeout if wait else None)


@click.command("abort")
@_asking
def abort(at: Access, *, canary: str, wait: bool, timeout: timedelta) -> None:
    """Roll CANARY back now: all traffic goes to the primary, and the rollout has failed."""
    _ask(at, canary, Verb.ABORT, timeout if wait else None)


@click.command("retry")
@_asking
def retry(at: Access, *, canary: str, wait: bool, timeout: timedelta) -> None:
    """Roll the revision of CANARY that failed out once more, from the start."""
    _ask(at, canary, Verb.RETRY, timeout if wait else None)


def _ask(at: Access, name: str, verb: Verb, patience: timedelta | None) -> None:
    answer = run(_asked(at, name, verb, patience))
    if answer is None:
        return
    said = answer.answer or f"{verb} was {'accepted' if answer.accepted else 'refused'}."
    if not answer.accepted:
        raise click.ClickException(said)
    click.echo(said)


async def _asked(at: Access, name: str, verb: Verb, patience: timedelta | None) -> AnsweredRequest | None:
    """Write a request and wait for its answer; None when it is not to be waited for."""
    clock, ref = SystemClock(), at.canary(name)
    async with at.client() as client:
        request = Request(id=str(uuid4()), verb=verb, by=await who(client), at=clock.now())
        await put(client, ref, request)
        if patience is None:
            click.echo(f"asked {ref.namespace}/{ref.name} to {verb}.")
            return None
        try:
            async with asyncio.timeout(patience.total_seconds()):
                return await _answer(client, ref, request, clock)
        except TimeoutError:
            raise click.ClickException(
                f"nobody answered within {format_duration(patience)}: is the controller running? The request stays in "
                "the Canary and is answered when it does."
            ) from None


async def who(client: Client) -> str:
    """Return the name under which the API server knows us; where it does not tell, the local user's, marked as such."""
    body = {"apiVersion": SELF_SUBJECT_REVIEWS.api_version, "kind": SELF_SUBJECT_REVIEWS.kind}
    try:
        review = await client.create(SELF_SUBJECT_REVIEWS, body)
    except (Forbidden, NotFound):
        review = {}
    name = ((review.get("status") or {}).get("userInfo") or {}).get("username")
    return str(name) if name else f"{_local_user()} (unverified)"


def _local_user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user often has no name
        return "somebody"


async def put(client: Client, ref: Ref, request: Request) -> None:
    """Write the request on the Canary as it was read; another writer in between means to read again."""
    for _ in range(TRIES):
        obj = await find_canary(client, ref)
        canary = parse_canary(obj)
        seen = await _template(client, canary) if request.verb in OF_A_REVISION else None
        asked = request.model_copy(update={"template": seen})
        metadata = {
            "resourceVersion": resource_version_of(obj),
            "annotations": {REQUEST: asked.to_annotation()},
        }
        try:
            await client.merge_patch(ref, {"metadata": metadata})
        except Conflict:
            continue
        _tell_replaced(canary, request)
        return
    raise click.ClickException(f"{ref} changes all the time: nothing was asked. Try again.")


async def _template(client: Client, canary: Canary) -> str | None:
    """Return which pod template the target has now, None where that cannot be seen.

    Nobody is to promote by it what is pushed before the controller has come to answer.
    """
    try:
        kind = target_for(canary)
        return kind.state(await client.get(kind.ref(canary))).template
    except (UserError, Forbidden, NotFound):
        return None


def _tell_replaced(canary: Canary, request: Request) -> None:
    """Say so when somebody else's request is lost by ours."""
    before = unanswered(canary)
    if before is not None and before.by != request.by:
        asked = f"{before.by} asked to {before.verb} at {before.at:%H:%M:%S} UTC"
        click.echo(f"{asked}, which nobody had answered yet: this request takes its place.", err=True)


async def _answer(client: Client, ref: Ref, request: Request, clock: Clock) -> AnsweredRequest:
    async with news_of(client, ref, clock) as news:
        while True:
            match await news.get():
                case NotFound() as error if not error.kind_is_missing:
                    raise click.ClickException(f"canary {ref.namespace}/{ref.name} was deleted.")
                case KubeError() as error if not isinstance(error, PASSING):
                    raise error
                case KubeError():
                    continue
                case obj:
                    canary = parse_canary(obj)
            answered, standing = canary.status.rollout.request, request_on(canary)
            if answered is not None and answered.id == request.id:
                return answered
            if standing is None or standing.id != request.id:
                other = f"replaced by {standing.by}, who asked to {standing.verb}" if standing else "taken back"
                raise click.ClickException(f"before anybody answered it, the request was {other}.")
