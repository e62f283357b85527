"""What servers without credentials of their own kind are sent of a Secret: Prometheus, Graphite, the web."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping

from flaggerpy.metrics.asking import Headers, sendable
from flaggerpy.metrics.base import ProviderSettings
from flaggerpy.metrics.outbound import trusting
from flaggerpy.rollout.errors import UserError

CA = "ca.crt"
HEADER = "header."
"""``header.X-Api-Key`` is a header that is sent along and whose value is a secret."""


def headers_of(settings: ProviderSettings, name: str) -> Headers:
    """Join the template's headers with the Secret's, which win over those of the same name.

    Raises:
        UserError: the Secret has nothing that could be sent, or a header cannot be sent.

    """
    own = [(header, value) for header, values in settings.headers.items() for value in values]
    secret = list(_secret_headers(settings.secret, name)) if settings.secret is not None else []
    replaced = {header.lower() for header, _ in secret}
    return sendable(name, (*((header, value) for header, value in own if header.lower() not in replaced), *secret))


def authority_of(settings: ProviderSettings, name: str) -> str:
    """Return the certificates of the Secret, which are trusted instead of the usual ones; empty when it has none.

    Raises:
        UserError: they are no certificates.

    """
    ca = (settings.secret or {}).get(CA, "").strip()
    if not ca:
        return ""
    try:
        trusting(ca)
    except ValueError:
        raise UserError(f"The key {CA} in the Secret of the {name} server is no certificate in PEM.") from None
    return ca


def _secret_headers(secret: Mapping[str, str], name: str) -> Iterator[tuple[str, str]]:
    named = [key for key in secret if key.startswith(HEADER)]
    for key in named:
        yield key.removeprefix(HEADER), secret[key].strip()
    if "token" in secret:
        yield "Authorization", f"Bearer {secret['token'].strip()}"
    elif "username" in secret and "password" in secret:
        pair = f"{secret['username']}:{secret['password']}".encode()
        yield "Authorization", f"Basic {base64.b64encode(pair).decode('ascii')}"
    elif not named and CA not in secret:
        raise UserError(
            f"The Secret of the {name} server must have the key token, or both username and password, or "
            f"{HEADER}<name>, or {CA}; it has {', '.join(sorted(secret)) or 'none'}."
        )
