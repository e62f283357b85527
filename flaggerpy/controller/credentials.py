"""What a webhook's call takes from Secrets: values of headers, and certificates of whom it trusts.

They are read when a call is made, from the canary's own namespace, are not kept, and are taken out of whatever is said
about the call: a server may well answer with what it was sent.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from flaggerpy.api.analysis import CanaryWebhook
from flaggerpy.api.hookcall import HookHeader, decoded, sendable
from flaggerpy.metrics.discreet import forms, forms_of_address, hidden
from flaggerpy.rollout.errors import UserError

ReadSecret = Callable[[str, str], Awaitable[Mapping[str, str] | None]]
"""Reads the decoded data of a Secret by namespace and name; None when there is none."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """What belongs to one call and to nobody else.

    Attributes:
        authorities: PEM certificates of whom to trust, empty for those whom the process trusts.
        secrets: what must not be told to anybody but the server.

    """

    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    authorities: str = field(default="", repr=False)
    secrets: frozenset[str] = field(default=frozenset(), repr=False)

    def hide(self, text: str) -> str:
        """Take out every secret."""
        return hidden(text, self.secrets)


async def credentials_of(
    hook: CanaryWebhook, namespace: str, read_secret: ReadSecret, *, private: bool = False
) -> Credentials:
    """Read what a call of a webhook needs; of one whose address is ``private`` only the host is told.

    Raises:
        UserError: a Secret or a key of it does not exist, or cannot be sent.
        KubeError: a Secret could not be read now.

    """
    headers: list[tuple[str, str]] = []
    secrets = set(forms_of_address(hook.url) if private else _of_address(hook.url))
    for header in hook.headers:
        value = header.value or ""
        if header.value_from is not None:
            ref = header.value_from.secret_key_ref
            what = f"its header {header.name}"
            value = _as_header(await _value(read_secret, namespace, ref.name, ref.key, what), header)
            secrets |= set(_parts(value))
        headers.append((header.name, value))
    return Credentials(tuple(headers), await _authorities(hook, namespace, read_secret), frozenset(secrets))


async def _authorities(hook: CanaryWebhook, namespace: str, read_secret: ReadSecret) -> str:
    if hook.tls is None or hook.disable_tls:
        return ""
    if hook.tls.ca_secret_ref is not None:
        ref = hook.tls.ca_secret_ref
        return await _value(read_secret, namespace, ref.name, ref.key, "its tls.caSecretRef")
    return decoded(hook.tls.ca_bundle or "")


async def _value(read_secret: ReadSecret, namespace: str, name: str, key: str, what: str) -> str:
    found = await read_secret(namespace, name)
    if found is None:
        raise UserError(f"{what} needs the Secret {name}, which does not exist in namespace {namespace}: create it")
    if not found.get(key, "").strip():
        there = ", ".join(sorted(found)) or "nothing"
        raise UserError(f"{what} needs the key {key} of the Secret {name}, which has {there}: add it")
    return found[key]


def _as_header(text: str, header: HookHeader) -> str:
    """Drop the line break that files end with; what cannot be sent is the user's to mend, and is not shown."""
    value = text.strip()
    if not sendable(value):
        raise UserError(f"its header {header.name} is read from a Secret whose value is not one line of ASCII: mend it")
    return value


def _parts(value: str) -> Iterator[str]:
    """A secret and what a server may repeat of it: the token without its scheme, name and password."""
    yield from forms(value)
    scheme, _, rest = value.partition(" ")
    yield from forms(rest.strip())
    if scheme.lower() == "basic" and (pair := decoded(rest)):
        yield from forms(pair)
        yield from forms(pair.partition(":")[2])


def _of_address(url: str) -> Iterator[str]:
    """Give the password in an address, as it is written and as it is sent."""
    try:
        parts = urlsplit(url)
        user, password = parts.username or "", parts.password
    except ValueError:
        return
    if password:
        yield from forms(password)
        yield from forms(unquote(password))
        yield from forms(f"{unquote(user)}:{unquote(password)}")
