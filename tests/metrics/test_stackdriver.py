from __future__ import annotations

import base64
import json
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding
from httpx import Headers

from flaggerpy.metrics.base import BadQuery, NoData, Outcome, ProviderError, ProviderSettings, Value
from flaggerpy.metrics.google import service_account
from flaggerpy.metrics.outbound import Call, Outbound, Reply
from flaggerpy.metrics.stackdriver import Stackdriver, parse
from flaggerpy.rollout.errors import UserError
from tests.kube.clocks import ManualClock
from tests.metrics.faults.case import says
from tests.metrics.faults.stackdriver import TOKEN, key_file, lends_and, points, private_key, secret, series
from tests.metrics.loopback import Asked, Loopback, Say, closed_port, never

MINUTE = timedelta(minutes=1)
QUERY = "fetch k8s_container | metric 'x' | group_by []"
HALF = says(series(points(0.5)))
WRONG = {
    "error": {
        "code": 400,
        "message": "Query is not valid.",
        "status": "INVALID_ARGUMENT",
        "details": [{"@type": "type.googleapis.com/x", "errorSummary": "Line 1: no metric x"}, {"other": 1}, 7],
    }
}


def stackdriver(server: Loopback, outbound: Outbound, clock: ManualClock | None = None, **changes: Any) -> Stackdriver:
    settings = ProviderSettings("stackdriver", server.url, secret=secret(server.url) | changes)
    return Stackdriver(settings, outbound, clock=clock, environment={})


def reason_of(found: Outcome) -> str:
    assert isinstance(found, ProviderError)
    return found.reason


@pytest.mark.parametrize(
    ("document", "outcome"),
    [
        pytest.param(series(points(1, 2, 3)), Value(1.0), id="the newest comes first"),
        pytest.param(series(points("7", kind="int64Value")), Value(7.0), id="integers are numbers"),
        pytest.param(series(points("NaN", 2)), Value(2.0), id="NaN is no point"),
        pytest.param({}, NoData(), id="no series are no data"),
        pytest.param(series(points(1), points(2)), "gives 2 series where one is needed: combine", id="none is chosen"),
        pytest.param(series(points({}, kind="distributionValue")), "gives a distribution", id="a distribution"),
        pytest.param(series(points(True, kind="boolValue")), "gives a bool where a number", id="a truth value"),
        pytest.param(series({"pointData": [{"values": [{}, {}]}]}), "gives 2 values a point", id="columns"),
        pytest.param({"partialErrors": [{"message": "slow"}]}, "a part of the data: slow", id="a part is no answer"),
    ],
)
def test_an_answer_is_its_newest_point(document: object, outcome: Outcome | str) -> None:
    found = parse(json.dumps(document).encode())

    if isinstance(outcome, str):
        assert outcome in reason_of(found)
    else:
        assert found == outcome


async def test_a_key_signs_for_a_token_and_the_token_asks(server: Loopback, outbound: Outbound) -> None:
    server.says(lends_and(HALF))
    clock = ManualClock()

    found = await stackdriver(server, outbound, clock).measure(f"\n{QUERY}\n", MINUTE)

    assert found == Value(0.5)
    lent, asked = server.asked
    assert parse_qs(lent.body.decode())["grant_type"] == ["urn:ietf:params:oauth:grant-type:jwt-bearer"]
    head, claims = read_assertion(lent)
    assert head == {"alg": "RS256", "typ": "JWT", "kid": "key-7"}
    assert claims == {
        "iss": "flagger@my-project.iam.gserviceaccount.com",
        "scope": "https://www.googleapis.com/auth/monitoring.read",
        "aud": f"{server.url}/token",
        "iat": int(clock.now().timestamp()),
        "exp": int(clock.now().timestamp()) + 3600,
    }
    assert (asked.method, asked.path) == ("POST", "/v3/projects/my-project/timeSeries:query")
    assert asked.headers["Authorization"] == f"Bearer {TOKEN}"
    assert json.loads(asked.body) == {"query": QUERY}


def read_assertion(asked: Asked) -> tuple[Any, Any]:
    """Check an assertion's signature, and return its head and claims."""
    text, _, signature = parse_qs(asked.body.decode())["assertion"][0].rpartition(".")
    private_key().public_key().verify(decoded(signature), text.encode(), padding.PKCS1v15(), hashes.SHA256())
    head, claims = text.split(".")
    return json.loads(decoded(head)), json.loads(decoded(claims))


def decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


async def test_a_token_is_asked_for_once_an_hour(server: Loopback, outbound: Outbound) -> None:
    server.says(lends_and(HALF))

    for _ in range(2):  # each measurement has a client of its own
        assert await stackdriver(server, outbound).measure(QUERY, MINUTE) == Value(0.5)

    assert [asked.path for asked in server.asked].count("/token") == 1


async def test_a_token_is_for_who_has_the_key(server: Loopback, outbound: Outbound) -> None:
    server.says(lends_and(HALF))
    await stackdriver(server, outbound).measure(QUERY, MINUTE)

    stolen = key_file(server.url, private_key="-----BEGIN PRIVATE KEY-----")
    found = await stackdriver(server, outbound, serviceAccountKey=stolen).measure(QUERY, MINUTE)

    assert "no key in PEM" in reason_of(found)


async def test_a_token_that_is_refused_is_not_kept(server: Loopback, outbound: Outbound) -> None:
    server.says(lends_and(says({"error": {"message": f"{TOKEN} has ended"}}, 401)))

    found = await stackdriver(server, outbound).measure(QUERY, MINUTE)
    await stackdriver(server, outbound).measure(QUERY, MINUTE)

    assert "it answered 401: [hidden] has ended; check the account's right" in reason_of(found)
    assert [asked.path for asked in server.asked].count("/token") == 2


async def test_a_server_that_lends_and_then_says_nothing_is_silent(server: Loopback, outbound: Outbound) -> None:
    server.says(lends_and(HALF), never)
    settings = ProviderSettings("stackdriver", server.url, secret=secret(server.url))

    found = await Stackdriver(settings, outbound, timeout=0.3, environment={}).measure(QUERY, MINUTE)

    assert isinstance(found, ProviderError)
    assert found.silent


async def test_who_lends_and_does_not_answer_is_waited_for_once(server: Loopback, outbound: Outbound) -> None:
    settings = ProviderSettings("stackdriver", server.url, secret=secret(closed_port()))

    found = await Stackdriver(settings, outbound, environment={}).measure(QUERY, MINUTE)

    assert isinstance(found, ProviderError)
    assert found.silent
    assert server.asked == []


class Google(Outbound):
    """Google's own servers, which no test may reach."""

    def __init__(self) -> None:
        super().__init__(trust_env=False)
        self.calls: list[Call] = []

    async def send(self, call: Call) -> Reply:
        self.calls.append(call)
        lent = {"access_token": TOKEN, "expires_in": 3599}
        document = lent if call.url.startswith("http://metadata.google.internal/") else series(points(0.5))
        return Reply(200, Headers(), json.dumps(document).encode())


async def test_without_a_key_the_metadata_server_lends() -> None:
    google = Google()
    settings = ProviderSettings("stackdriver", secret={"project": "my-project"})

    found = await Stackdriver(settings, google, environment={}).measure(QUERY, MINUTE)

    assert found == Value(0.5)
    lent, asked = google.calls
    assert lent.url == "http://metadata.google.internal/computeMetadata/v1/instance/service-accounts/default/token"
    assert dict(lent.headers) == {"Metadata-Flavor": "Google"}
    assert asked.url == "https://monitoring.googleapis.com/v3/projects/my-project/timeSeries:query"
    assert ("Authorization", f"Bearer {TOKEN}") in asked.headers


async def test_another_metadata_server_is_one_of_the_environment() -> None:
    google = Google()
    settings = ProviderSettings("stackdriver", secret={"project": "my-project"})

    await Stackdriver(settings, google, environment={"GCE_METADATA_HOST": "127.0.0.1:1"}).measure(QUERY, MINUTE)

    assert google.calls[0].url.startswith("http://127.0.0.1:1/computeMetadata/")


@pytest.mark.parametrize(
    ("say", "problem"),
    [
        (says({"error": "invalid_grant", "error_description": "secret"}, 400), "it answered 400 invalid_grant"),
        (says({"error": {"message": "secret"}}, 403), "it answered 403"),
        (says({"access_token": "x"}), "the answer has no token"),
        (says({"access_token": "ü", "expires_in": 1}), "the answer has no token"),
        (Say(200, b"secret"), "the answer has no token"),
    ],
)
async def test_who_does_not_lend_is_named_and_nothing_secret_told(
    server: Loopback, outbound: Outbound, say: Say, problem: str
) -> None:
    server.says(say)

    found = await stackdriver(server, outbound).measure(QUERY, MINUTE)

    reason = reason_of(found)
    assert found == ProviderError(reason, silent=False)
    assert f"no token for flagger@my-project.iam.gserviceaccount.com from {server.url[7:]}: {problem}" in reason
    assert "secret" not in reason


async def test_what_google_says_of_the_query_is_the_users_mistake(server: Loopback, outbound: Outbound) -> None:
    server.says(lends_and(says(WRONG, 400)))

    found = await stackdriver(server, outbound).measure(QUERY, MINUTE)

    assert found == BadQuery("Query is not valid.: Line 1: no metric x")


async def test_a_key_that_is_no_rsa_key_cannot_sign(server: Loopback, outbound: Outbound) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    encoding = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    changed = key_file(server.url, private_key=key.private_bytes(*encoding).decode())

    found = await stackdriver(server, outbound, serviceAccountKey=changed).measure(QUERY, MINUTE)

    assert "is no RSA key" in reason_of(found)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (None, "Stackdriver needs credentials: name a Secret with the key project"),
        ({"serviceAccountKey": "{}"}, "must have the key project; it has serviceAccountKey"),
        ({"project": "../x"}, "is no project's id, which is like my-project-7"),
        ({"project": "p", "serviceAccountKey": "AIza"}, "The key serviceAccountKey .* is not JSON: put in the file"),
        ({"project": "p", "serviceAccountKey": "[]"}, "is not JSON"),
        (
            {"project": "p", "serviceAccountKey": '{"type": "external_account"}'},
            "is of type external_account where service_account is needed",
        ),
        (
            {"project": "p", "serviceAccountKey": '{"type": "service_account"}'},
            "lacks client_email and private_key: put in the whole file",
        ),
        ({"project": "p"}, "is asked at spec.provider.address only with the key serviceAccountKey"),
    ],
)
def test_what_cannot_be_asked_is_said_before(given: dict[str, str] | None, says: str) -> None:
    with pytest.raises(UserError, match=says):
        Stackdriver(ProviderSettings("stackdriver", "http://somewhere", secret=given), Outbound())


def test_a_key_that_wants_its_tokens_from_nowhere_is_refused() -> None:
    with pytest.raises(UserError, match="has a token_uri that cannot be used: its address must begin with http"):
        service_account(key_file("file:"), "The key")


def test_a_key_does_not_show_itself() -> None:
    assert "PRIVATE" not in repr(service_account(key_file("http://x"), "The key"))


async def test_a_token_is_not_told_by_a_server_that_repeats_a_part_of_it(server: Loopback, outbound: Outbound) -> None:
    server.says(lends_and(Say(500, f"{'x' * 50} {TOKEN}".encode())))

    reason = reason_of(await stackdriver(server, outbound).measure(QUERY, MINUTE))

    assert "planted" not in reason
    assert "[hidden]" in reason
