"""AWS Signature Version 4 of one POST request. Pure; the time is a parameter.

The algorithm is https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from urllib.parse import quote

import httpx

_ALGORITHM = "AWS4-HMAC-SHA256"


@dataclass(frozen=True, slots=True)
class Credentials:
    """Who signs; a token belongs to credentials that were lent for a while."""

    key_id: str
    secret: str = field(repr=False)
    token: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Scope:
    """Where a signature counts: nowhere but for this service in this region, on its day."""

    region: str
    service: str


def signed(
    url: str, headers: Mapping[str, str], body: bytes, credentials: Credentials, scope: Scope, now: datetime
) -> dict[str, str]:
    """Return the headers of a POST request with those that sign it; ``now`` is in UTC, the URL has no query."""
    parts = httpx.URL(url)
    moment = now.strftime("%Y%m%dT%H%M%SZ")
    sent = {**headers, "Host": parts.netloc.decode("ascii"), "X-Amz-Date": moment}
    if credentials.token:
        sent["X-Amz-Security-Token"] = credentials.token
    names = sorted(sent, key=str.lower)
    listed = ";".join(names).lower()
    canonical = "\n".join(
        [
            "POST",
            quote(parts.raw_path.decode("ascii") or "/", safe="/~"),
            "",
            *(f"{name.lower()}:{' '.join(sent[name].split())}" for name in names),
            "",
            listed,
            hashlib.sha256(body).hexdigest(),
        ]
    )
    where = "/".join([moment[:8], scope.region, scope.service, "aws4_request"])
    text = "\n".join([_ALGORITHM, moment, where, hashlib.sha256(canonical.encode()).hexdigest()])
    signature = _mac(_key(credentials.secret, where), text).hex()
    sent["Authorization"] = (
        f"{_ALGORITHM} Credential={credentials.key_id}/{where}, SignedHeaders={listed}, Signature={signature}"
    )
    return sent


def _key(secret: str, where: str) -> bytes:
    key = f"AWS4{secret}".encode()
    for part in where.split("/"):
        key = _mac(key, part)
    return key


def _mac(key: bytes, text: str) -> bytes:
    return hmac.new(key, text.encode(), hashlib.sha256).digest()
