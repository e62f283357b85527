"""Tokens for Google's APIs: by the key of a service account, or from the metadata server (workload identity)."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from flaggerpy.metrics.asking import send
from flaggerpy.metrics.outbound import Call, Outbound, OutboundError, checked_url, place
from flaggerpy.metrics.reading import json_of, quoted
from flaggerpy.metrics.tokens import Lent, NotLent
from flaggerpy.rollout.errors import UserError

READ = "https://www.googleapis.com/auth/monitoring.read"
_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_TOKEN_URI = "https://oauth2.googleapis.com/token"  # noqa: S105 - where tokens are, not one
_METADATA = "metadata.google.internal"
_METADATA_SECONDS = 2.0
"""The metadata server answers at once or there is none."""
_LIFETIME = timedelta(hours=1)
_SIZE = 65_536


@dataclass(frozen=True, slots=True)
class ServiceAccount:
    """A service account's key, as Google gives it in JSON."""

    email: str
    key: str = field(repr=False)
    key_id: str
    token_uri: str

    @property
    def whose(self) -> tuple[str, ...]:
        """Tell apart what is lent, by the key itself: who does not have it gets no token of it."""
        return ("google", self.email, hashlib.sha256(self.key.encode()).hexdigest(), self.token_uri)

    async def lend(self, outbound: Outbound, now: datetime, seconds: float) -> Lent[str]:
        """Exchange an assertion, which the key signs, for a token.

        Raises:
            NotLent: the key cannot sign, or the exchange failed.

        """
        form = urlencode({"grant_type": _GRANT, "assertion": assertion(self, now)}).encode()
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        call = Call("POST", self.token_uri, headers, form, seconds, _SIZE)
        return await _lent(outbound, call, now, f"no token for {self.email}")


@dataclass(frozen=True, slots=True)
class MetadataServer:
    """What tells the controller's Pod on Google's machines who it is."""

    host: str

    @property
    def whose(self) -> tuple[str, ...]:
        """Tell apart what is lent."""
        return ("google", self.host)

    async def lend(self, outbound: Outbound, now: datetime, seconds: float) -> Lent[str]:
        """Ask for a token of the Pod's own service account.

        Raises:
            NotLent: there is no metadata server, or it has no token.

        """
        url = f"http://{self.host}/computeMetadata/v1/instance/service-accounts/default/token"
        headers = {"Metadata-Flavor": "Google"}
        call = Call("GET", url, headers, seconds=min(seconds, _METADATA_SECONDS), size=_SIZE)
        return await _lent(outbound, call, now, "no token of the controller's own")


def metadata_server(environment: Mapping[str, str]) -> MetadataServer:
    """Return the metadata server, which tests and emulators move."""
    return MetadataServer(environment.get("GCE_METADATA_HOST") or _METADATA)


def service_account(text: str, where: str) -> ServiceAccount:
    """Read a service account's key.

    Raises:
        UserError: it is something else; ``where`` says whose it is.

    """
    document = json_of(text.encode())
    if not isinstance(document, dict):
        raise UserError(f"{where} is not JSON: put in the file that Google gave for the service account.")
    if document.get("type") != "service_account":
        kind = quoted(document.get("type")) or "unknown"
        raise UserError(f"{where} is of type {kind} where service_account is needed.")
    missing = [name for name in ("client_email", "private_key") if not isinstance(document.get(name), str)]
    if missing:
        raise UserError(f"{where} lacks {' and '.join(missing)}: put in the whole file.")
    uri = str(document.get("token_uri") or _TOKEN_URI)
    try:
        checked_url(uri)
    except OutboundError as error:
        raise UserError(f"{where} has a token_uri that cannot be used: {error}.") from None
    key_id = str(document.get("private_key_id") or "")
    return ServiceAccount(document["client_email"], document["private_key"], key_id, uri)


def assertion(account: ServiceAccount, now: datetime) -> str:
    """Write and sign what an account says of itself for an hour (RFC 7523).

    Raises:
        NotLent: the key cannot sign.

    """
    head = {"alg": "RS256", "typ": "JWT"} | ({"kid": account.key_id} if account.key_id else {})
    claims = {
        "iss": account.email,
        "scope": READ,
        "aud": account.token_uri,
        "iat": int(now.timestamp()),
        "exp": int((now + _LIFETIME).timestamp()),
    }
    text = ".".join(_base64(json.dumps(part).encode()) for part in (head, claims))
    return f"{text}.{_base64(_signature(account.key, text.encode()))}"


def _signature(key: str, text: bytes) -> bytes:
    try:
        from cryptography.hazmat.primitives import hashes, serialization  # noqa: PLC0415 - an extra
        from cryptography.hazmat.primitives.asymmetric import padding, rsa  # noqa: PLC0415 - an extra
    except ImportError:
        raise NotLent("keys of service accounts need the extra: install flaggerpy[stackdriver]") from None
    try:
        private = serialization.load_pem_private_key(key.encode(), password=None)
    except (ValueError, TypeError):
        raise NotLent("the private_key of the service account is no key in PEM without a password") from None
    if not isinstance(private, rsa.RSAPrivateKey):
        raise NotLent("the private_key of the service account is no RSA key")
    return private.sign(text, padding.PKCS1v15(), hashes.SHA256())


async def _lent(outbound: Outbound, call: Call, now: datetime, what: str) -> Lent[str]:
    """Ask who lends; of a refusal only the code is told, because the rest may repeat what was sent."""
    where = f"{what} from {place(call.url)}"
    try:
        reply = await send(outbound, call)
    except OutboundError as error:
        raise NotLent(f"{where}: {error}", silent=True) from None
    if reply.truncated:
        raise NotLent(f"{where}: the answer is larger than 64 KiB")
    document = json_of(reply.body)
    if not 200 <= reply.status < 300:
        raise NotLent(f"{where}: it answered {reply.status}{_code(document)}")
    match document:
        case {"access_token": str() as token, "expires_in": int() as seconds} if token and token.isascii():
            return Lent(token, now + timedelta(seconds=min(max(seconds, 0), 86_400)))
        case _:
            raise NotLent(f"{where}: the answer has no token")


def _code(document: Any) -> str:
    """Find the code of a refusal, as in invalid_grant."""
    code = document.get("error") if isinstance(document, dict) else None
    return f" {code}" if isinstance(code, str) and len(code) < 40 and code.replace("_", "").isalpha() else ""


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")
