"""InfluxDB: Flux over the API of version 2, and InfluxQL over that of version 1, which all versions have.

The query tells which of the two it is: InfluxQL that measures something begins with SELECT, and no Flux does.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

import httpx

from flaggerpy.metrics import flux, influxql
from flaggerpy.metrics.asking import Headers, Server, address_of, sendable
from flaggerpy.metrics.base import Outcome, ProviderSettings
from flaggerpy.metrics.credentials import authority_of
from flaggerpy.metrics.outbound import Outbound
from flaggerpy.metrics.reading import quoted
from flaggerpy.rollout.errors import UserError

NAME = "InfluxDB"
TIMEOUT_SECONDS = 15.0
KEYS = "token and org, or username and password, in the Secret"
_INFLUXQL = re.compile(r"\s*select\s", re.IGNORECASE)
_IN_ADDRESS = ("db", "rp")
"""Parameters of version 1, database and retention policy, which are written as ``http://influxdb:8086?db=telegraf``."""
_DIALECT = {"header": True, "delimiter": ",", "annotations": ["datatype"]}


class InfluxDb:
    """Asks one InfluxDB server.

    Raises:
        UserError: the address or the credentials cannot be used.

    """

    def __init__(self, settings: ProviderSettings, outbound: Outbound, *, timeout: float = TIMEOUT_SECONDS) -> None:
        base, verify = address_of(settings, NAME), not settings.insecure_skip_verify
        given = httpx.URL(settings.address).params
        self._database = {name: given[name] for name in _IN_ADDRESS if name in given}
        self._org = settings.secret.get("org", "").strip() if settings.secret else ""
        headers, ca = _headers(settings.secret), authority_of(settings, NAME)
        self._server = Server(NAME, base, outbound, headers, KEYS, verify, timeout, ca)

    async def measure(self, query: str, interval: timedelta) -> Outcome:
        """Run a query; the interval is already inside it."""
        if _INFLUXQL.match(query):
            parameters = {"q": query.strip(), "epoch": "ms", **self._database}
            return await self._server.get("/query", parameters, influxql.parse, complaint)
        organisation = f"?{urlencode({'org': self._org})}" if self._org else ""
        asked = json.dumps({"query": query.strip(), "type": "flux", "dialect": _DIALECT}).encode()
        call = self._server.call("POST", f"{self._server.base}/api/v2/query{organisation}", asked, "application/json")
        return await self._server.ask(call, flux.parse, complaint)


def complaint(document: Any) -> str:
    """Quote what the server itself says is wrong: version 2 says ``message``, version 1 ``error``."""
    if not isinstance(document, dict):
        return ""
    return quoted(document.get("message")) or quoted(document.get("error"))


def _headers(secret: Mapping[str, str] | None) -> Headers:
    """Version 1 takes a name and a password as a token as well, but older servers only as Basic."""
    if secret is None:
        return ()
    if "token" in secret and "org" in secret:
        authorization = f"Token {secret['token'].strip()}"
    elif "username" in secret and "password" in secret:
        pair = f"{secret['username']}:{secret['password']}".encode()
        authorization = f"Basic {base64.b64encode(pair).decode('ascii')}"
    else:
        raise UserError(
            f"The Secret of {NAME} must have the keys token and org, or for version 1 username and password; "
            f"it has {', '.join(sorted(secret)) or 'none'}."
        )
    return sendable(NAME, (("Authorization", authorization),))
