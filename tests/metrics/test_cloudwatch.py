from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest

from flaggerpy.metrics.aws import endpoint
from flaggerpy.metrics.base import BadQuery, NoData, Outcome, ProviderError, ProviderSettings, Value
from flaggerpy.metrics.cloudwatch import CloudWatch, parse, queries_of
from flaggerpy.metrics.outbound import Outbound
from flaggerpy.rollout.errors import UserError
from tests.kube.clocks import ManualClock
from tests.metrics.faults.case import says
from tests.metrics.faults.cloudwatch import mistake, result, results
from tests.metrics.loopback import Asked, Loopback, Say, closed_port, loopback, never

NOW = datetime(2026, 11, 27, 21, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
QUERY = '[{"Id": "e1", "Expression": "m1"}]'
HALF = says(results(result(0.5)))
SECRET = {"aws_access_key_id": "KEYID", "aws_secret_access_key": "s3cret"}
EXPIRES = "2026-11-27T22:00:00Z"
BY_NODE = says({"AccessKeyId": "LENT", "SecretAccessKey": "s3cret", "Token": "t0ken", "Expiration": EXPIRES})
# What STS answers, shortened.
BY_STS = Say(
    200,
    b'<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">'
    b"<AssumeRoleWithWebIdentityResult><Credentials><SessionToken>t0ken</SessionToken>"
    b"<SecretAccessKey>s3cret</SecretAccessKey><Expiration>2026-11-27T22:00:00Z</Expiration>"
    b"<AccessKeyId>LENT</AccessKeyId></Credentials></AssumeRoleWithWebIdentityResult>"
    b"</AssumeRoleWithWebIdentityResponse>",
)


@pytest.fixture
async def lender() -> AsyncIterator[Loopback]:
    async with loopback() as running:
        yield running


def cloudwatch(
    url: str,
    outbound: Outbound,
    environment: Mapping[str, str] | None = None,
    *,
    clock: ManualClock | None = None,
    **settings: Any,
) -> CloudWatch:
    asked = ProviderSettings("cloudwatch", url, **{"region": "eu-west-1", **settings})
    return CloudWatch(asked, outbound, clock=clock or ManualClock(NOW), environment=environment or {})


def who(asked: Asked) -> tuple[str, str]:
    """Return the key that signed and the token beside it."""
    return asked.headers["Authorization"].split("=")[1].split("/")[0], asked.headers.get("X-Amz-Security-Token", "")


@pytest.mark.parametrize(
    ("document", "outcome"),
    [
        pytest.param(results(result(1, 2, 3)), Value(1.0), id="the newest comes first"),
        pytest.param(results(result(7, code="PartialData")), Value(7.0), id="more would be older"),
        pytest.param(results(result()), NoData(), id="no values are no data"),
        pytest.param(results(), NoData(), id="no results are no data"),
        pytest.param(results(result(1), result(2)), "gives 2 series where one is needed: let one", id="none is chosen"),
        pytest.param(results(result(), result(2)), "gives 2 series", id="not even where one is empty"),
        pytest.param(results(result(1, code="Forbidden")), "could not measure: Forbidden", id="another account's"),
        pytest.param(results(result(True)), "holds no number", id="true is no number"),
    ],
)
def test_an_answer_is_its_newest_value(document: object, outcome: Outcome | str) -> None:
    found = parse(json.dumps(document).encode())

    if isinstance(outcome, str):
        assert isinstance(found, ProviderError)
        assert outcome in found.reason
    else:
        assert found == outcome


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("SELECT AVG(x)", "not JSON at line 1, column 1"),
        ('[{"Id": "e1",}]', "not JSON at line 1"),
        ('{"Id": "e1"}', "no list of MetricDataQuery"),
        ("[]", "no list of MetricDataQuery"),
        ('["e1"]', "no list of MetricDataQuery"),
        ('[{"Id": "e1"}, {"Expression": "m1"}]', "has no Id at number 2 of its list"),
        ('[{"Id": "e1", "ReturnData": false}]', "so that nothing is answered"),
        ("[" * 100_000, "not JSON"),
    ],
)
async def test_a_query_that_is_none_is_the_users_mistake(outbound: Outbound, query: str, says: str) -> None:
    found = await cloudwatch("http://nowhere", outbound, secret=SECRET).measure(query, MINUTE)

    assert isinstance(found, BadQuery)
    assert says in found.reason


def test_fields_may_be_written_in_any_case_as_with_flagger() -> None:
    query = '[{"id": "e1", "metricStat": {"metric": {"dimensions": [{"name": "id", "value": "stat"}]}}, "Other": 1}]'

    assert queries_of(query) == [
        {"Id": "e1", "MetricStat": {"Metric": {"Dimensions": [{"Name": "id", "Value": "stat"}]}}, "Other": 1}
    ]


async def test_the_last_ten_intervals_are_asked_for_newest_first(server: Loopback, outbound: Outbound) -> None:
    server.says(HALF)

    found = await cloudwatch(server.url, outbound, secret=SECRET).measure(QUERY, MINUTE)

    assert found == Value(0.5)
    (asked,) = server.asked
    assert (asked.method, asked.path) == ("POST", "/")
    assert asked.headers["X-Amz-Target"] == "GraniteServiceVersion20100801.GetMetricData"
    assert json.loads(asked.body) == {
        "MetricDataQueries": [{"Id": "e1", "Expression": "m1"}],
        "MaxDatapoints": 20,
        "StartTime": NOW.timestamp() - 600,
        "EndTime": NOW.timestamp(),
        "ScanBy": "TimestampDescending",
    }


@pytest.mark.parametrize(
    ("region", "url"),
    [
        ("eu-west-1", "https://monitoring.eu-west-1.amazonaws.com"),
        ("us-gov-west-1", "https://monitoring.us-gov-west-1.amazonaws.com"),
        ("cn-north-1", "https://monitoring.cn-north-1.amazonaws.com.cn"),
    ],
)
def test_every_region_has_its_address(region: str, url: str) -> None:
    assert endpoint("monitoring", region) == url


@pytest.mark.parametrize(
    ("say", "outcome"),
    [
        (says(mistake("ValidationError", "bad"), 400), BadQuery("bad")),
        (says(mistake("InvalidParameterValueException", ""), 400), BadQuery("InvalidParameterValueException")),
        (
            says(mistake("AccessDeniedException", "role/x may not"), 400),
            "400 AccessDeniedException: role/x may not; che",
        ),
        (says(mistake("ExpiredTokenException", "it ended"), 403), "403 ExpiredTokenException: it ended; check the con"),
        (says(mistake("SignatureDoesNotMatch", "x-amz-security-token:t0ken"), 403), "403 SignatureDoesNotMatch; check"),
        (says(mistake("ThrottlingException", "Rate exceeded"), 400), "400 ThrottlingException: Rate exceeded"),
        (Say(404, b"<html>"), "it answered 404"),
    ],
)
async def test_only_what_aws_says_of_the_query_is_the_users_mistake(
    server: Loopback, outbound: Outbound, say: Say, outcome: Outcome | str
) -> None:
    server.says(say)

    found = await cloudwatch(server.url, outbound, secret=SECRET).measure(QUERY, MINUTE)

    if isinstance(outcome, str):
        assert isinstance(found, ProviderError)
        assert outcome in found.reason
        assert "t0ken" not in found.reason
    else:
        assert found == outcome


@pytest.mark.parametrize(
    ("settings", "environment", "signs"),
    [
        ({"secret": SECRET}, {}, ("KEYID", "")),
        ({"secret": {**SECRET, "aws_session_token": "t0ken\n"}}, {}, ("KEYID", "t0ken")),
        ({"secret": SECRET}, {"AWS_ACCESS_KEY_ID": "POD", "AWS_SECRET_ACCESS_KEY": "x"}, ("KEYID", "")),
        ({}, {"AWS_ACCESS_KEY_ID": "POD", "AWS_SECRET_ACCESS_KEY": "x"}, ("POD", "")),
        (
            {},
            {"AWS_ACCESS_KEY_ID": "POD", "AWS_SECRET_ACCESS_KEY": "x", "AWS_SESSION_TOKEN": "t0ken"},
            ("POD", "t0ken"),
        ),
    ],
)
async def test_the_secret_signs_and_without_one_the_pod(
    server: Loopback,
    outbound: Outbound,
    settings: dict[str, Any],
    environment: dict[str, str],
    signs: tuple[str, str],
) -> None:
    server.says(HALF)

    await cloudwatch(server.url, outbound, environment, **settings).measure(QUERY, MINUTE)

    assert who(server.asked[0]) == signs


async def test_the_role_of_the_service_account_signs(
    server: Loopback, lender: Loopback, outbound: Outbound, tmp_path: Path
) -> None:
    server.says(HALF)
    lender.says(BY_STS)
    (tmp_path / "token").write_text("kubernetes-token\n")
    environment = {
        "AWS_ROLE_ARN": "arn:aws:iam::123456789012:role/flagger",
        "AWS_WEB_IDENTITY_TOKEN_FILE": str(tmp_path / "token"),
        "AWS_ENDPOINT_URL_STS": lender.url,
    }
    clock = ManualClock(NOW)

    for _ in range(2):  # each measurement has a client of its own
        await cloudwatch(server.url, outbound, environment, clock=clock).measure(QUERY, MINUTE)
    clock.jump(56 * 60)
    await cloudwatch(server.url, outbound, environment, clock=clock).measure(QUERY, MINUTE)

    assert [who(asked) for asked in server.asked] == [("LENT", "t0ken")] * 3
    assert len(lender.asked) == 2
    assert parse_qs(lender.asked[0].body.decode()) == {
        "Action": ["AssumeRoleWithWebIdentity"],
        "Version": ["2011-06-15"],
        "RoleArn": ["arn:aws:iam::123456789012:role/flagger"],
        "RoleSessionName": ["flaggerpy"],
        "WebIdentityToken": ["kubernetes-token"],
    }


async def test_pod_identity_signs(server: Loopback, lender: Loopback, outbound: Outbound, tmp_path: Path) -> None:
    server.says(HALF)
    lender.says(BY_NODE)
    (tmp_path / "token").write_text("pod-token")
    environment = {
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{lender.url}/v1/credentials",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": str(tmp_path / "token"),
    }

    await cloudwatch(server.url, outbound, environment).measure(QUERY, MINUTE)

    assert who(server.asked[0]) == ("LENT", "t0ken")
    assert (lender.asked[0].path, lender.asked[0].headers["Authorization"]) == ("/v1/credentials", "pod-token")


async def test_the_role_of_the_node_signs(server: Loopback, lender: Loopback, outbound: Outbound) -> None:
    server.says(HALF)
    lender.says(Say(200, b"session"), Say(200, b"node-role"), BY_NODE)

    await cloudwatch(server.url, outbound, {"AWS_EC2_METADATA_SERVICE_ENDPOINT": lender.url}).measure(QUERY, MINUTE)

    assert who(server.asked[0]) == ("LENT", "t0ken")
    roles = "/latest/meta-data/iam/security-credentials/"
    assert [(asked.method, asked.path) for asked in lender.asked] == [
        ("PUT", "/latest/api/token"),
        ("GET", roles),
        ("GET", f"{roles}node-role"),
    ]
    assert {asked.headers.get("X-aws-ec2-metadata-token") for asked in lender.asked[1:]} == {"session"}


@pytest.mark.parametrize(
    ("environment", "says"),
    [
        ({"AWS_EC2_METADATA_DISABLED": "true"}, "there are no credentials for AWS in the controller's environment"),
        (
            {"AWS_ROLE_ARN": "role/x", "AWS_WEB_IDENTITY_TOKEN_FILE": "/no/such/file"},
            "the token /no/such/file of the service account cannot be read: No such file",
        ),
    ],
)
async def test_a_pod_without_credentials_says_so(outbound: Outbound, environment: dict[str, str], says: str) -> None:
    found = await cloudwatch("http://nowhere", outbound, environment).measure(QUERY, MINUTE)

    assert isinstance(found, ProviderError)
    assert says in found.reason
    assert not found.silent


@pytest.mark.parametrize(
    ("say", "problem"),
    [
        (
            Say(403, b"<ErrorResponse><Error><Code>AccessDenied</Code></Error></ErrorResponse>"),
            "answered 403 AccessDenied",
        ),
        (Say(403, b"<Code>t0ken: no</Code>"), "answered 403"),
        (Say(400, b"kubernetes-token is no token"), "answered 400"),
        (Say(200, b"<html></html>"), "are no credentials for AWS"),
        (Say(200, b"<!DOCTYPE x [<!ENTITY a 'aaaa'>]><x>&a;</x>"), "are no credentials for AWS"),
        (Say(200, b" " * 70_000), "answered 200"),
    ],
)
async def test_who_does_not_lend_is_named_and_nothing_secret_told(
    lender: Loopback, outbound: Outbound, tmp_path: Path, say: Say, problem: str
) -> None:
    lender.says(say)
    (tmp_path / "token").write_text("kubernetes-token")
    environment = {
        "AWS_ROLE_ARN": "role/x",
        "AWS_WEB_IDENTITY_TOKEN_FILE": str(tmp_path / "token"),
        "AWS_ENDPOINT_URL_STS": lender.url,
    }

    found = await cloudwatch("http://nowhere", outbound, environment).measure(QUERY, MINUTE)

    assert isinstance(found, ProviderError)
    assert problem in found.reason
    assert not found.silent
    assert "token:" not in found.reason
    assert "kubernetes-token" not in found.reason


@pytest.mark.parametrize(
    ("lends", "names"),
    [
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "from EKS Pod Identity at 127.0.0.1"),
        ("AWS_EC2_METADATA_SERVICE_ENDPOINT", "from the node at 127.0.0.1"),
    ],
)
@pytest.mark.parametrize("hangs", [True, False], ids=["never answers", "is not there"])
async def test_who_does_not_answer_is_not_waited_for(
    lender: Loopback, outbound: Outbound, lends: str, names: str, *, hangs: bool
) -> None:
    lender.says(never)
    asked = ProviderSettings("cloudwatch", "http://nowhere", region="eu-west-1")
    environment = {lends: lender.url if hangs else closed_port()}

    found = await CloudWatch(asked, outbound, timeout=0.2, environment=environment).measure(QUERY, MINUTE)

    assert isinstance(found, ProviderError)
    assert found.silent
    assert f"no credentials for AWS {names}" in found.reason
    assert ("no answer within 0.2 s" if hangs else "cannot connect") in found.reason


async def test_lent_credentials_that_are_refused_are_not_kept(
    server: Loopback, lender: Loopback, outbound: Outbound
) -> None:
    server.says(says(mistake("ExpiredTokenException", "the token t0ken ended"), 400), HALF)
    lender.says(BY_NODE)
    environment = {"AWS_CONTAINER_CREDENTIALS_FULL_URI": lender.url}

    refused = await cloudwatch(server.url, outbound, environment).measure(QUERY, MINUTE)
    await cloudwatch(server.url, outbound, environment).measure(QUERY, MINUTE)

    assert isinstance(refused, ProviderError)
    assert "the token [hidden] ended" in refused.reason
    assert len(lender.asked) == 2


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"region": ""}, "needs a region in spec.provider.region, as in eu-west-1; it is missing"),
        ({"region": "eu-west-1.evil.example/"}, '"eu-west-1.evil.example/" is none'),
        (
            {"secret": {"aws_access_key_id": "x"}},
            "must have the keys aws_access_key_id and aws_secret_access_key; it ha",
        ),
        ({"address": "ftp://x"}, "must begin with http"),
    ],
)
def test_what_cannot_be_asked_is_said_before(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(UserError, match=says):
        cloudwatch(settings.pop("address", ""), Outbound(), **settings)
