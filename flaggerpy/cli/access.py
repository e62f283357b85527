"""What commands share: the flags that say which cluster and namespace are meant, and how failures are told.

Every command that talks to an API server takes its flags from `access` and does its work in `run`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import wraps
from typing import Any, TypeVar

import click

from flaggerpy.api.errors import InvalidObject
from flaggerpy.kube.client import Client, Only
from flaggerpy.kube.errors import Forbidden, KubeError, NotFound, Unauthorized, Unreachable
from flaggerpy.kube.objects import JsonObject, name_of, namespace_of
from flaggerpy.kube.resources import CANARIES, Ref
from flaggerpy.kube.transport import connect, find_namespace
from flaggerpy.kube.wire import Transport

T = TypeVar("T")
Command = Callable[..., Any]

_CLUSTER = (
    click.option(
        "--context", default=None, metavar="NAME", help="Context of the kubeconfig; default: its current one."
    ),
    click.option(
        "--kubeconfig",
        default=None,
        metavar="FILE",
        help="Kubeconfig file; default: $KUBECONFIG, the Pod's account, ~/.kube/config.",
    ),
)


@dataclass(frozen=True, slots=True)
class Access:
    """What was said on the command line about where to look; None is what was not said."""

    kubeconfig: str | None = None
    context: str | None = None
    namespace: str | None = None

    @property
    def meant(self) -> str:
        """Return the namespace that is meant: the one named, else the context's."""
        return self.namespace or find_namespace(self.kubeconfig, self.context)

    def canary(self, name: str) -> Ref:
        """Return the reference to a Canary of this name."""
        return Ref(CANARIES, self.meant, name)

    @asynccontextmanager
    async def client(self) -> AsyncIterator[Client]:
        """Connect for the length of a block."""
        async with self.transport() as transport:
            yield Client(transport)

    @asynccontextmanager
    async def transport(self) -> AsyncIterator[Transport]:
        """Connect for the length of a block, for what asks the API server by itself."""
        async with await connect(self.kubeconfig, self.context) as transport:
            yield transport


def access(*, namespace: str = "Namespace; default: the context's.") -> Callable[[Command], Command]:
    """Add the flags and hand them to the command as ``at``, an `Access`; an empty text leaves ``--namespace`` out."""

    def decorate(command: Command) -> Command:
        @wraps(command)
        def with_access(
            *words: Any, kubeconfig: str | None, context: str | None, namespace: str | None = None, **flags: Any
        ) -> Any:
            return command(*words, at=Access(kubeconfig, context, namespace), **flags)

        wrapped: Command = with_access
        for option in reversed(_CLUSTER):
            wrapped = option(wrapped)
        if namespace:
            wrapped = click.option("-n", "--namespace", default=None, metavar="NAME", help=namespace)(wrapped)
        return wrapped

    return decorate


def run(work: Coroutine[Any, Any, T]) -> T:
    """Do a command's work; what goes wrong with the API server or an object becomes one sentence and exit code 1."""
    try:
        return asyncio.run(work)
    except KubeError as error:
        raise click.ClickException(sentence(error)) from error
    except InvalidObject as error:
        raise click.ClickException(f"the Canary cannot be read: {error}") from error


def sentence(error: KubeError) -> str:
    """Say to a person what went wrong, and what to do where that is known."""
    match error:
        case NotFound() if error.kind_is_missing:
            return "this cluster has no Canaries: `flaggerpy crds apply` installs their kind, Helm the controller."
        case Forbidden():
            return f"not allowed: {error.message}"
        case Unauthorized():
            return "the API server does not accept these credentials: log in again, or name others with --context."
        case Unreachable():
            return f"the API server does not answer: {error}"
        case _:
            return str(error)


async def find_canary(client: Client, ref: Ref) -> JsonObject:
    """Return a Canary; one that does not exist is answered with where there is one, or what there is instead."""
    try:
        return await client.get(ref)
    except NotFound as error:
        if error.kind_is_missing:
            raise
        hint = await _hint(client, ref)
        raise click.ClickException(f"there is no canary {ref.name} in namespace {ref.namespace}{hint}") from error


async def _hint(client: Client, ref: Ref) -> str:
    try:
        elsewhere, _ = await client.list(CANARIES, only=Only(fields=f"metadata.name={ref.name}"))
        if elsewhere:
            return f"; there is one in {_listed([namespace_of(obj) for obj in elsewhere])}: say which with -n"
        beside, _ = await client.list(CANARIES, ref.namespace)
    except KubeError:  # whoever may see one canary may not be allowed to see others
        return ""
    return f"; there are: {_listed([name_of(obj) for obj in beside])}" if beside else ", nor any other"


def _listed(names: list[str]) -> str:
    return ", ".join(names[:10]) + (" and others" if len(names) > 10 else "")
