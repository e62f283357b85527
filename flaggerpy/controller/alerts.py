"""Alerts on their way to people: who gets one, and its delivery in the background.

Addresses and tokens are secrets, whether they come from a Secret or not: they are read when a
message is sent, not kept, and never logged. What a message looks like is the notifiers' business.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

import structlog

from flaggerpy.api.canary import Canary
from flaggerpy.api.templates import AlertProvider
from flaggerpy.controller.hooks import backoff
from flaggerpy.controller.outbox import Outbox
from flaggerpy.metrics.outbound import Call, Outbound, OutboundError, Reply, place
from flaggerpy.notifiers.base import DEFAULT_CHANNEL, DEFAULT_USERNAME, Alert, Notifier, Sender, wants
from flaggerpy.notifiers.registry import notifier_for
from flaggerpy.rollout.errors import UserError

TIMEOUT_SECONDS = 5.0
ATTEMPTS = 3
_ANSWER_SIZE = 64 * 1024

ReadSecret = Callable[[str, str], Awaitable[Mapping[str, str] | None]]
"""Reads the decoded data of a Secret by namespace and name; None when there is none."""

FindProvider = Callable[[str, str], AlertProvider | None]
"""Finds an AlertProvider by namespace and name; a UserError says why one cannot be read."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Receiver:
    """Where alerts go.

    Attributes:
        kind: a name of the notifiers' registry.
        secret: namespace and name of the Secret with ``address`` and, optionally, ``token``.
        token: a token that is known without a Secret.

    """

    kind: str
    address: str = field(default="", repr=False)
    sender: Sender = field(default_factory=Sender)
    secret: tuple[str, str] | None = None
    token: str = field(default="", repr=False)
    proxy: str = field(default="", repr=False)


def receiver_of(provider: AlertProvider) -> Receiver:
    """Read an AlertProvider."""
    spec = provider.spec
    secret = spec.secret_ref
    return Receiver(
        kind=spec.type,
        address=spec.address or "",
        sender=Sender(spec.channel or DEFAULT_CHANNEL, spec.username or DEFAULT_USERNAME),
        secret=(provider.metadata.namespace, secret.name) if secret else None,
        proxy=spec.proxy or "",
    )


def receivers_for(
    canary: Canary, alert: Alert, find: FindProvider, everywhere: Receiver | None
) -> tuple[tuple[Receiver, ...], tuple[str, ...]]:
    """Choose who gets an alert; the second part are sentences about receivers that do not exist or cannot be read.

    ``analysis.alerts`` replaces the controller's own receiver, ``everywhere``.
    """
    if not canary.analysis.alerts:
        return ((everywhere,) if everywhere else ()), ()
    found: list[Receiver] = []
    missing: list[str] = []
    for entry in canary.analysis.alerts:
        if not wants(entry, alert.severity):
            continue
        namespace = entry.provider_ref.namespace or canary.namespace
        try:
            provider = find(namespace, entry.provider_ref.name)
        except UserError as error:
            missing.append(f"The alert {entry.name} cannot be sent: {error}")
            continue
        if provider is None:
            missing.append(
                f"The alert {entry.name} cannot be sent: there is no AlertProvider "
                f"{entry.provider_ref.name}.{namespace}."
            )
        else:
            found.append(receiver_of(provider))
    return tuple(found), tuple(missing)


@dataclass(frozen=True, slots=True)
class _Letter:
    alert: Alert
    receiver: Receiver


class AlertSender:
    """Sends alerts in the background: in order for each canary and receiver, bounded, tried three times.

    ``on_end`` is told the receiver's kind and whether it took the alert.
    """

    def __init__(
        self,
        outbound: Outbound,
        read_secret: ReadSecret,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        timeout: float = TIMEOUT_SECONDS,
        on_drop: Callable[[int], None] | None = None,
        on_end: Callable[[str, bool], None] | None = None,
    ) -> None:
        self._outbound = outbound
        self._read_secret = read_secret
        self._on_end = on_end
        self._sleep = sleep
        self._timeout = timeout
        self._outbox: Outbox[_Letter] = Outbox(self._deliver, what="alerts", on_drop=on_drop)

    def publish(self, alert: Alert, receiver: Receiver) -> asyncio.Future[None]:
        """Hand over an alert; returns at once. The future is done once it was delivered or given up."""
        key = (alert.namespace, alert.canary, receiver.kind, receiver.address, receiver.secret)
        return self._outbox.put(key, _Letter(alert, receiver))

    @property
    def dropped(self) -> int:
        """How many alerts were dropped because a receiver was too slow."""
        return self._outbox.dropped

    async def flush(self, seconds: float) -> bool:
        """Wait until everything is delivered; False when time ran out."""
        return await self._outbox.flush(seconds)

    async def aclose(self, seconds: float = 5.0) -> None:
        """Deliver what is left, for a limited time."""
        await self._outbox.aclose(seconds)

    async def _deliver(self, letter: _Letter) -> None:
        told = log.bind(canary=letter.alert.author, receiver=letter.receiver.kind)
        try:
            notifier = notifier_for(letter.receiver.kind)
            address, token = await self._credentials(letter.receiver)
        except UserError as error:
            told.error("alert not sent", reason=str(error))
            self._ended(letter, sent=False)
            return
        if not address:
            return
        call = self._call(notifier, letter, address, token)
        reason = await self._send(notifier, call)
        if reason:
            told.error("alert not sent", where=place(call.url), reason=reason)
        self._ended(letter, sent=not reason)

    def _ended(self, letter: _Letter, *, sent: bool) -> None:
        if self._on_end is not None:
            self._on_end(letter.receiver.kind, sent)

    async def _credentials(self, receiver: Receiver) -> tuple[str, str]:
        if receiver.secret is None:
            return receiver.address, receiver.token
        namespace, name = receiver.secret
        data = await self._read_secret(namespace, name)
        if data is None:
            raise UserError(f"There is no Secret {name}.{namespace} with the address to send alerts to.")
        address = receiver.address or data.get("address", "").strip()
        if not address:
            raise UserError(f"The Secret {name}.{namespace} has no key address.")
        return address, data.get("token", "").strip()

    def _call(self, notifier: Notifier, letter: _Letter, address: str, token: str) -> Call:
        headers = [("Content-Type", "application/json")]
        if token and notifier.takes_token:
            headers.append(("Authorization", f"Bearer {token}"))
        return Call(
            method="POST",
            url=notifier.url(address),
            headers=tuple(headers),
            content=json.dumps(notifier.message(letter.alert, letter.receiver.sender)).encode(),
            seconds=self._timeout,
            size=_ANSWER_SIZE,
            proxy=letter.receiver.proxy,
        )

    async def _send(self, notifier: Notifier, call: Call) -> str:
        """Send a message and give the reason why it was not taken, empty when it was."""
        reason = ""
        for attempt in range(ATTEMPTS):
            if attempt:
                await self._sleep(backoff(attempt - 1))
            try:
                reply = await self._outbound.send(call)
            except OutboundError as error:
                reason, again = str(error), error.retryable
            else:
                reason = _refusal(notifier, reply)
                again = reply.status == 429 or reply.status >= 500
            if not reason or not again:
                break
        return reason


def _refusal(notifier: Notifier, reply: Reply) -> str:
    if not 200 <= reply.status < 300:
        return f"it answered {reply.status}"
    try:
        answer = json.loads(reply.body)
    except (ValueError, RecursionError):
        return ""
    return notifier.complaint(answer) if isinstance(answer, dict) else ""
