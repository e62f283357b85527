"""The provider cloudwatch against moto, which reads AWS' interfaces and checks signatures and rights as AWS does.

It answers refusals in XML where AWS answers in JSON, and does not look closely at a query: for those there are recorded
answers.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from xml.etree import ElementTree

import httpx
import pytest

from flaggerpy.metrics.base import NoData, Outcome, ProviderError, ProviderSettings, Value
from flaggerpy.metrics.cloudwatch import CloudWatch
from flaggerpy.metrics.outbound import Outbound
from flaggerpy.metrics.sigv4 import Credentials, Scope, signed
from tests.servers.programs import free_port, program, running

MINUTE = timedelta(minutes=1)
REGION = "eu-west-1"
NOBODY = Credentials("NOBODY", "nothing")
MAY_READ = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": "monitoring:GetMetricData", "Resource": "*"}],
}
"""AWS calls this right cloudwatch:GetMetricData; moto takes the name of the service that is signed for."""


@dataclass(frozen=True)
class Cloud:
    """A running server with the keys of somebody who may read metrics and of somebody who may do nothing."""

    url: str
    reader: Credentials
    stranger: Credentials

    async def measured(self, query: list[dict[str, Any]], who: Credentials | None = None) -> Outcome:
        who = who or self.reader
        secret = {"aws_access_key_id": who.key_id, "aws_secret_access_key": who.secret}
        async with Outbound(trust_env=False) as outbound:
            settings = ProviderSettings("cloudwatch", self.url, region=REGION, secret=secret)
            return await CloudWatch(settings, outbound).measure(json.dumps(query), MINUTE)


class Desk:
    """Fills the server; so many requests are taken from anybody as are made here."""

    REQUESTS = 6

    def __init__(self, client: httpx.Client) -> None:
        self._client = client

    def open(self) -> Cloud:
        reader, stranger = self._user("reader"), self._user("stranger")
        policy = {"PolicyName": "read", "PolicyDocument": json.dumps(MAY_READ)}
        self._iam("PutUserPolicy", UserName="reader", **policy)
        self._put_metrics()
        return Cloud(str(self._client.base_url).rstrip("/"), reader, stranger)

    def _user(self, name: str) -> Credentials:
        self._iam("CreateUser", UserName=name)
        answer = ElementTree.fromstring(self._iam("CreateAccessKey", UserName=name))  # noqa: S314 - our own server
        texts = {element.tag.rpartition("}")[2]: element.text or "" for element in answer.iter()}
        return Credentials(texts["AccessKeyId"], texts["SecretAccessKey"])

    def _iam(self, action: str, **parameters: str) -> bytes:
        form = httpx.QueryParams({"Action": action, "Version": "2010-05-08", **parameters})
        return self._send("iam", {"Content-Type": "application/x-www-form-urlencoded"}, str(form).encode())

    def _put_metrics(self) -> None:
        """Write what the page of metric providers divides, for two minutes."""
        now = int(time.time())
        data = [
            {
                "MetricName": name,
                "Dimensions": [{"Name": "app", "Value": "web"}],
                "Timestamp": now - 60 * minutes,
                "Value": value,
            }
            for name, values in {"errors": (1.0, 3.0), "requests": (50.0, 60.0)}.items()
            for minutes, value in zip((2, 1), values, strict=True)
        ]
        headers = {
            "Content-Type": "application/x-amz-json-1.0",
            "X-Amz-Target": "GraniteServiceVersion20100801.PutMetricData",
        }
        body = json.dumps({"Namespace": "shop", "MetricData": data}).encode()
        self._send("monitoring", headers, body)

    def _send(self, service: str, headers: dict[str, str], body: bytes) -> bytes:
        """Send a request with a signature of nobody, which says for which service it is."""
        url = f"{self._client.base_url}/"
        sent = signed(url, headers, body, NOBODY, Scope(REGION, service), datetime.now(UTC))
        answer = self._client.post("/", headers=sent, content=body)
        assert answer.is_success, answer.text
        return answer.content


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    folder, port = tmp_path_factory.mktemp("moto"), free_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    environment = {"PYTHONPATH": str(program("moto", "site")), "INITIAL_NO_AUTH_ACTION_COUNT": str(Desk.REQUESTS)}
    url = f"http://127.0.0.1:{port}"
    with running(command, folder / "log", f"{url}/moto-api/data.json", environment):
        with httpx.Client(base_url=url, trust_env=False) as client:
            found = Desk(client).open()
        yield found


def metric(name: str, **more: Any) -> dict[str, Any]:
    dimensions = [{"Name": "app", "Value": "web"}]
    stat = {"Metric": {"Namespace": "shop", "MetricName": name, "Dimensions": dimensions}, "Period": 60, "Stat": "Sum"}
    return {"Id": name, "MetricStat": stat, **more}


async def test_a_signature_that_aws_would_make_gets_the_newest_value(cloud: Cloud) -> None:
    assert await cloud.measured([metric("errors")]) == Value(3.0)


async def test_fields_may_be_written_as_with_flagger(cloud: Cloud) -> None:
    query = json.loads(json.dumps(metric("requests")).replace("MetricStat", "metricStat").replace("Stat", "stat"))

    assert await cloud.measured([query]) == Value(60.0)


async def test_a_metric_without_points_is_no_data(cloud: Cloud) -> None:
    assert await cloud.measured([metric("nothing")]) == NoData()


async def test_of_two_metrics_none_is_chosen_but_one_may_return_data(cloud: Cloud) -> None:
    both = await cloud.measured([metric("errors"), metric("requests")])

    assert isinstance(both, ProviderError)
    assert "gives 2 series where one is needed" in both.reason
    assert await cloud.measured([metric("errors", ReturnData=False), metric("requests")]) == Value(60.0)


@pytest.mark.parametrize(
    "who",
    [
        pytest.param(lambda cloud: Credentials(cloud.reader.key_id, "wrong"), id="a wrong key"),
        pytest.param(lambda cloud: NOBODY, id="nobody"),
        pytest.param(lambda cloud: cloud.stranger, id="somebody without the right"),
    ],
)
async def test_who_may_not_ask_is_told_what_to_look_at(cloud: Cloud, who: Any) -> None:
    found = await cloud.measured([metric("errors")], who(cloud))

    assert isinstance(found, ProviderError)
    assert "it answered 403" in found.reason
    assert "check the controller's right to do cloudwatch:GetMetricData" in found.reason
    assert cloud.reader.secret not in found.reason
