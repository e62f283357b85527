from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from urllib.parse import parse_qs

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from httpx import Headers
from hypothesis import strategies as st

from flaggerpy.metrics.base import ProviderSettings
from flaggerpy.metrics.outbound import Call, Outbound, Reply
from flaggerpy.metrics.stackdriver import parse
from tests.metrics.faults.case import LEAF, Case, says
from tests.metrics.loopback import Answer, Asked, Say

TOKEN = "planted-acc3ss-token"


@cache
def private_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@cache
def pem() -> str:
    return (
        private_key()
        .private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        .decode()
    )


def key_file(url: str, **changes: object) -> str:
    """Write a service account's key whose tokens come from a server of the test."""
    document = {
        "type": "service_account",
        "project_id": "my-project",
        "private_key_id": "key-7",
        "private_key": pem(),
        "client_email": "flagger@my-project.iam.gserviceaccount.com",
        "token_uri": f"{url}/token",
    }
    return json.dumps(document | changes)


def secret(url: str) -> dict[str, str]:
    return {"project": "my-project", "serviceAccountKey": key_file(url)}


def lends_and(says_then: Say) -> Answer:
    """Give a token to who asks for one, and this answer to every question."""

    async def answer(asked: Asked) -> Say:
        if asked.path != "/token":
            return says_then
        assert parse_qs(asked.body.decode())["assertion"]
        return LENDING

    return answer


LENDING = says({"access_token": TOKEN, "expires_in": 3599, "token_type": "Bearer"})


class Lending(Outbound):
    """Lends tokens itself, so that a server of the test is asked for nothing but the measurement."""

    def __init__(self, outbound: Outbound) -> None:
        super().__init__(trust_env=False)
        self._outbound = outbound

    async def send(self, call: Call) -> Reply:
        if call.url.endswith("/token"):
            return Reply(200, Headers(), LENDING.body)
        return await self._outbound.send(call)


def points(*values: object, kind: str = "doubleValue") -> dict[str, object]:
    return {"labelValues": [], "pointData": [{"values": [{kind: value}], "timeInterval": {}} for value in values]}


def series(*found: object) -> dict[str, object]:
    return {"timeSeriesDescriptor": {"pointDescriptors": []}, "timeSeriesData": found}


_VALUE = st.dictionaries(st.sampled_from(["doubleValue", "int64Value", "distributionValue", "boolValue"]), LEAF)
_POINT = st.fixed_dictionaries({"values": st.lists(_VALUE | LEAF, max_size=2) | LEAF}) | LEAF
_SERIES = st.fixed_dictionaries({}, optional={"pointData": st.lists(_POINT, max_size=3) | LEAF})

CASE = Case(
    settings=lambda url: ProviderSettings("stackdriver", url, secret=secret(url)),
    query="fetch k8s_container | metric 'x' | group_by []",
    success=lends_and(says(series(points(0.25, 3)))),
    value=0.25,
    no_data=tuple(map(lends_and, (says({}), says(series()), says(series(points())), says(series({}))))),
    bad_query=(
        lends_and(
            says({"error": {"code": 400, "message": "Line 1: no such metric", "status": "INVALID_ARGUMENT"}}, 400)
        ),
    ),
    malformed=(
        b'{"timeSeriesData": 7}',
        b'{"timeSeriesData": [7]}',
        b'{"timeSeriesData": [{"pointData": 7}]}',
        b'{"timeSeriesData": [{"pointData": [{}]}]}',
        b'{"timeSeriesData": [{"pointData": [{"values": [{"stringValue": "x"}]}]}]}',
        b'{"timeSeriesData": [], "partialErrors": [{"code": 4, "message": "deadline"}]}',
    ),
    fine=(b"{}",),
    secret={"serviceAccountKey": pem()},
    sent={"Authorization": f"Bearer {TOKEN}"},
    parse=parse,
    documents=st.fixed_dictionaries({}, optional={"timeSeriesData": st.lists(_SERIES | LEAF, max_size=3) | LEAF}),
)

LENT = replace(CASE, make=lambda settings, outbound, seconds: CASE.make(settings, Lending(outbound), seconds))
"""The same where the token is there: what goes wrong is Cloud Monitoring, and not who lends."""
