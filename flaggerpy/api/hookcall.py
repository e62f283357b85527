"""What a webhook's call carries besides its payload: headers, whose values Secrets may keep, and whom it trusts.

Every Secret is one of the canary's own namespace: there is no way to write another. Values are read when a call is
made; nothing here reads them.
"""

from __future__ import annotations

import base64
import binascii
import re
import ssl
from collections.abc import Iterator
from typing import Final

from pydantic import Field

from flaggerpy.api.base import ApiModel

CA_KEY: Final = "ca.crt"
OUR_HEADERS: Final = frozenset(
    {
        "connection",
        "content-length",
        "content-type",
        "expect",
        "host",
        "idempotency-key",
        "keep-alive",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
"""Headers that belong to the call itself, in lower case."""
_TOKEN: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_VALUE: Final = re.compile(r"[\t\x20-\x7e]*")


class SecretKeyRef(ApiModel):
    """One value in a Secret of the canary's namespace."""

    name: str
    """Name of the Secret."""
    key: str
    """Key of the value in it."""


class HeaderSource(ApiModel):
    """Where the value of a header is kept."""

    secret_key_ref: SecretKeyRef
    """A Secret of the canary's namespace; it is read when the webhook is called."""


class HookHeader(ApiModel):
    """A header that is sent along."""

    name: str
    """Name of the header."""
    value: str | None = None
    """Its value, for everybody to read."""
    value_from: HeaderSource | None = None
    """Where its value is kept, in the place of value."""


class CaSecretRef(ApiModel):
    """A Secret of the canary's namespace with certificates."""

    name: str
    """Name of the Secret."""
    key: str = Field(default=CA_KEY)
    """Key of the certificates in it, which are PEM; ca.crt if absent."""


class HookTls(ApiModel):
    """Who may vouch for the server, in the place of whom the controller trusts otherwise."""

    ca_bundle: str | None = None
    """PEM certificates in base64, as in a webhook configuration of Kubernetes."""
    ca_secret_ref: CaSecretRef | None = None
    """Secret with PEM certificates; it is read when the webhook is called."""


def header_problems(where: str, headers: tuple[HookHeader, ...]) -> Iterator[str]:
    """Say which headers cannot be sent as they are written."""
    for index, header in enumerate(headers):
        here = f"{where}.headers[{index}]"
        if not is_name(header.name):
            yield f'{here}.name: "{header.name}" cannot be the name of a header: write letters, digits and dashes.'
        elif header.name.lower() in OUR_HEADERS:
            yield f"{here}.name: {header.name} belongs to the call itself: remove it."
        if (header.value is None) == (header.value_from is None):
            yield f"{here}: write either value, or valueFrom with a secretKeyRef."
        elif header.value is not None and not sendable(header.value):
            yield f"{here}.value cannot be sent: write one line of ASCII characters."


def tls_problems(where: str, tls: HookTls, *, unchecked: bool) -> Iterator[str]:
    """Say what is wrong with certificates; ``unchecked`` is whether the server's is not looked at."""
    if unchecked and (tls.ca_bundle or tls.ca_secret_ref):
        yield f"{where}.tls has no effect with disableTLS: remove one of the two."
    if tls.ca_bundle is not None and tls.ca_secret_ref is not None:
        yield f"{where}.tls: caBundle and caSecretRef say the same thing twice: remove one of the two."
    if tls.ca_bundle is None:
        return
    if tls.ca_bundle.lstrip().startswith("-----BEGIN"):
        yield f"{where}.tls.caBundle is PEM as it is: write it in base64, or keep it in a Secret (caSecretRef)."
    elif not are_certificates(decoded(tls.ca_bundle)):
        yield f"{where}.tls.caBundle holds no certificates: write PEM certificates in base64."


def is_name(text: str) -> bool:
    """Tell whether a text can be the name of a header."""
    return _TOKEN.fullmatch(text) is not None


def sendable(value: str) -> bool:
    """Tell whether a text can be the value of a header."""
    return _VALUE.fullmatch(value) is not None


def decoded(text: str) -> str:
    """Decode base64; what is none is empty."""
    try:
        return base64.b64decode("".join(text.split()), validate=True).decode("ascii")
    except (binascii.Error, ValueError):
        return ""


def are_certificates(pem: str) -> bool:
    """Tell whether a text is one PEM certificate or several."""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=pem)
    except (ssl.SSLError, ValueError):
        return False
    return True
