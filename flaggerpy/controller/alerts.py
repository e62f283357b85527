"""Alerts on their way to people: who gets one, and its delivery in the background.

Addresses and tokens are secrets, whether they come from a Secret or not: they are read when a
message is sent, not kept, and never logged. What a message looks like is the notifiers' business.
"""

from __future__ import annotations

import asyncio
import json
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial

import structlog

from flaggerpy.api.analysis import Severity
from flaggerpy.api.canary import Canary
from flaggerpy.api.templates import AlertProvider
from flaggerpy.api.validation import url_problem
from flaggerpy.clock import Clock, SystemClock
from flaggerpy.controller.credentials import ReadSecret
from flaggerpy.controller.delivery import Attempt, Line
from flaggerpy.controller.hooks import retry_after
from flaggerpy.kube.errors import Forbidden, KubeError
from flaggerpy.metrics.discreet import forms, forms_of_address, hidden
from flaggerpy.metrics.outbound import Call, Outbound, OutboundError, Reply, place
from flaggerpy.notifiers.base import DEFAULT_CHANNEL, DEFAULT_USERNAME, Alert, Notifier, Sender, wants
from flaggerpy.notifiers.link import link_problem
from flaggerpy.notifiers.registry import notifier_for
from flaggerpy.rollout.errors import UserError

TIMEOUT_SECONDS = 5.0
_ANSWER_SIZE = 64 * 1024
_WORTH_RETRYING = frozenset({408, 429, *range(500, 600)}) - {501}
_ADVICE = {
    401: ": check the token and the address",
    403: ": check the token and the address",
    404: ": check the address",
    410: ": check the address",
}

_ADDRESS = "write http:// or https://, a host and a path"

FindProvider = Callable[[str, str], AlertProvider | None]
"""Finds an AlertProvider by namespace and name; a UserError says why one cannot be read."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Receiver:
    """Where alerts go.

    Attributes:
        kind: a name of the notifiers' registry.
        secret: namespace and name of the Secret with ``address`` and, optionally, ``token`` and ``signingKey``.
        token: a token that is known without a Secret.
        name: what it is called in sentences.
        link: template of the link of its alerts; empty for the controller's.

    """

    kind: str
    address: str = field(default="", repr=False)
    sender: Sender = field(default_factory=Sender)
    secret: tuple[str, str] | None = None
    token: str = field(default="", repr=False)
    proxy: str = field(default="", repr=False)
    name: str = "the receiver of all canaries"
    link: str = ""


def receiver_of(provider: AlertProvider) -> Receiver:
    """Read an AlertProvider.

    Raises:
        UserError: nothing can be sent with it; addresses are not quoted, as they can hold a token.

    """
    spec, namespace = provider.spec, provider.metadata.namespace
    secret = spec.secret_ref
    name = f"AlertProvider {provider.metadata.name}.{namespace}"
    if not spec.address and not secret:
        raise UserError(f"{name} has neither address nor secretRef: add one of them.")
    for place_of, address in (("address", spec.address), ("proxy", spec.proxy)):
        if address and url_problem(address):
            raise UserError(f"spec.{place_of} of {name} is no address that can be called: {_ADDRESS}.")
    return Receiver(
        kind=spec.type,
        address=spec.address or "",
        sender=Sender(spec.channel or DEFAULT_CHANNEL, spec.username or DEFAULT_USERNAME),
        secret=(namespace, secret.name) if secret else None,
        proxy=spec.proxy or "",
        name=name,
        link=spec.link or "",
    )


def receivers_for(
    canary: Canary, severity: Severity, find: FindProvider, everywhere: Receiver | None
) -> tuple[tuple[Receiver, ...], tuple[str, ...]]:
    """Choose who gets an alert, each once; the second part are sentences about receivers that cannot get it as meant.

    ``analysis.alerts`` replaces the controller's own receiver, ``everywhere``.
    """
    if not canary.analysis.alerts:
        return ((everywhere,) if everywhere else ()), ()
    found: list[Receiver] = []
    wrong: list[str] = []
    for entry in canary.analysis.alerts:
        if not wants(entry, severity):
            continue
        namespace = entry.provider_ref.namespace or canary.namespace
        try:
            provider = find(namespace, entry.provider_ref.name)
            if provider is None:
                raise UserError(f"there is no AlertProvider {entry.provider_ref.name}.{namespace}.")
            receiver = receiver_of(provider)
        except UserError as error:
            wrong.append(f"The alert {entry.name} cannot be sent: {error}")
            continue
        found.append(receiver)
        if reason := link_problem(receiver.link):
            wrong.append(f"The alert {entry.name} is sent without a link to {receiver.name}: {reason}")
    return tuple(dict.fromkeys(found)), tuple(dict.fromkeys(wrong))


@dataclass(frozen=True, slots=True)
class _Credentials:
    address: str
    token: str = ""
    key: str = ""

    def secrets(self) -> frozenset[str]:
        """What must not be told: of an address all but the host."""
        return frozenset((*forms_of_address(self.address), *forms(self.token), *forms(self.key)))


class AlertSender:
    """Sends alerts in the background, each receiver's in a line of its own; see :mod:`flaggerpy.controller.delivery`.

    ``on_end`` is told the receiver's kind and whether it took the alert.
    """

    def __init__(
        self,
        outbound: Outbound,
        read_secret: ReadSecret,
        *,
        clock: Clock | None = None,
        timeout: float = TIMEOUT_SECONDS,
        on_drop: Callable[[int], None] | None = None,
        on_end: Callable[[str, bool], None] | None = None,
    ) -> None:
        self.dropped = 0
        self._outbound = outbound
        self._read_secret = read_secret
        self._on_drop = on_drop
        self._on_end = on_end
        self._clock = clock or SystemClock()
        self._timeout = timeout
        self._lines: dict[Receiver, Line] = {}
        self._closed = False

    def publish(self, alert: Alert, receiver: Receiver) -> asyncio.Future[str | None]:
        """Hand over an alert; returns at once.

        The future is done when it was taken (an empty text), given up (the reason), or left out (None).
        """
        if self._closed:
            over: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()
            over.set_result(None)
            self._drop(1)
            return over
        one = replace(receiver, name="", link="")
        if one not in self._lines:
            # Addresses and channels change: those that nothing is known of any more would pile up.
            self._lines = {other: line for other, line in self._lines.items() if not line.is_idle}
            self._lines[one] = Line(partial(self._post, one), self._clock, self._drop)
        over = self._lines[one].put(alert)
        over.add_done_callback(partial(self._ended, alert, receiver))
        return over

    @property
    def receivers(self) -> int:
        """How many receivers something is known of."""
        return len(self._lines)

    async def flush(self, seconds: float) -> bool:
        """Wait until everything is delivered; False when time ran out."""
        workers = [line.worker for line in self._lines.values() if line.worker is not None]
        if not workers:
            return True
        _, unfinished = await asyncio.wait(workers, timeout=seconds)
        return not unfinished

    async def aclose(self, seconds: float = 5.0) -> None:
        """Take nothing more, deliver what is left for some seconds, then drop the rest."""
        self._closed = True
        if await self.flush(seconds):
            return
        left = sum([await line.abandon() for line in self._lines.values()])
        self._drop(left)
        log.warning("alerts were not delivered before the end", waiting=left)

    def _drop(self, count: int) -> None:
        self.dropped += count
        if self._on_drop is not None:
            self._on_drop(count)

    def _ended(self, alert: Alert, receiver: Receiver, over: asyncio.Future[str | None]) -> None:
        reason = None if over.cancelled() else over.result()
        if reason is None:
            return
        if reason:
            log.error("alert not sent", canary=alert.author, receiver=receiver.kind, to=receiver.name, reason=reason)
        if self._on_end is not None:
            self._on_end(receiver.kind, not reason)

    async def _post(self, receiver: Receiver, alert: Alert) -> Attempt:
        """Make one try; nothing that it says quotes an address beyond the host, or a token."""
        try:
            notifier = notifier_for(receiver.kind)
            credentials = await self._credentials(receiver)
        except UserError as error:
            return Attempt(str(error))
        except KubeError as error:
            return _unreadable(receiver, error)
        if url_problem(credentials.address):
            return Attempt(f"its address cannot be called: {_ADDRESS}")
        call = self._call(notifier, alert, receiver, credentials)
        try:
            reply = await self._outbound.send(call)
        except OutboundError as error:
            return Attempt(f"{place(call.url)}: {error}", again=error.retryable)
        except Exception as error:
            # What was sent may be quoted in it.
            trace = hidden(traceback.format_exc(), credentials.secrets())
            log.error("alert failed in an unforeseen way", where=place(call.url), stacktrace=trace)  # noqa: TRY400 - hidden
            return Attempt(f"{place(call.url)}: {type(error).__name__}")
        return self._read(notifier, reply)

    async def _credentials(self, receiver: Receiver) -> _Credentials:
        if receiver.secret is None:
            if not receiver.address:
                raise UserError("There is no address to send alerts to.")
            return _Credentials(receiver.address, receiver.token)
        namespace, name = receiver.secret
        data = await self._read_secret(namespace, name)
        if data is None:
            raise UserError(f"There is no Secret {name}.{namespace} with the address to send alerts to.")
        address = receiver.address or data.get("address", "").strip()
        if not address:
            raise UserError(f"The Secret {name}.{namespace} has no key address.")
        return _Credentials(address, data.get("token", "").strip(), data.get("signingKey", "").strip())

    def _call(self, notifier: Notifier, alert: Alert, receiver: Receiver, credentials: _Credentials) -> Call:
        body = json.dumps(notifier.written(alert, receiver.sender, credentials.address)).encode()
        headers = [("Content-Type", "application/json"), *notifier.headers(alert, body, credentials.key)]
        if credentials.token and notifier.takes_token:
            headers.append(("Authorization", f"Bearer {credentials.token}"))
        return Call(
            method="POST",
            url=notifier.url(credentials.address),
            headers=tuple(headers),
            content=body,
            seconds=self._timeout,
            size=_ANSWER_SIZE,
            proxy=receiver.proxy,
            follow=False,
        )

    def _read(self, notifier: Notifier, reply: Reply) -> Attempt:
        if not 200 <= reply.status < 300:
            reason = f"it answered {reply.status}{_ADVICE.get(reply.status, '')}"
            pause = retry_after(reply, self._clock.now())
            return Attempt(reason, again=reply.status in _WORTH_RETRYING, pause=pause)
        try:
            answer = json.loads(reply.body)
        except (ValueError, RecursionError):
            return Attempt()
        if not isinstance(answer, dict):
            return Attempt()
        return Attempt(notifier.complaint(answer), again=notifier.passing(answer))


def _unreadable(receiver: Receiver, error: KubeError) -> Attempt:
    namespace, name = receiver.secret or ("", "")
    if isinstance(error, Forbidden):
        return Attempt(f"The controller may not read the Secret {name}.{namespace}: give it the right to get it.")
    return Attempt(f"The Secret {name}.{namespace} could not be read.", again=True)
