from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from flaggerpy.kube.errors import Unreachable
from flaggerpy.kube.wire import Request, Response
from flaggerpy.metrics.base import BadQuery, NoData, Outcome, ProviderError, ProviderSettings, Value
from flaggerpy.metrics.externalmetrics import ExternalMetrics, Wanted, number_of, parse, wanted_by
from flaggerpy.metrics.outbound import Outbound
from flaggerpy.rollout.errors import UserError
from tests.metrics.faults.case import says
from tests.metrics.faults.externalmetrics import status, values
from tests.metrics.loopback import Loopback, certificate_in, loopback, self_signed

MINUTE = timedelta(minutes=1)
QUERY = "prod/queue?labelSelector=app%3Dweb"
PATH = "/apis/external.metrics.k8s.io/v1beta1/namespaces/prod/queue"


class ApiServer:
    """Answers one after the other, the last one for ever, and remembers what it was asked."""

    def __init__(self, *answers: Response | Unreachable) -> None:
        self.answers = list(answers)
        self.asked: list[Request] = []

    async def send(self, request: Request) -> Response:
        self.asked.append(request)
        answer = self.answers[0] if len(self.answers) == 1 else self.answers.pop(0)
        if isinstance(answer, Unreachable):
            raise answer
        return answer

    def stream(self, request: Request) -> AsyncGenerator[bytes, None]:
        raise NotImplementedError


def answer(document: object, code: int = 200) -> Response:
    return Response(code, json.dumps(document).encode())


def provider(outbound: Outbound, cluster: ApiServer | None = None, address: str = "", **more: Any) -> ExternalMetrics:
    return ExternalMetrics(ProviderSettings("externalmetrics", address, cluster=cluster, **more), outbound)


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("queue", Wanted("default", "queue")),
        ("/queue", Wanted("default", "queue")),
        ("\nprod/queue\n", Wanted("prod", "queue")),
        (QUERY, Wanted("prod", "queue", "app=web")),
        ("queue?labelSelector=app=web,tier%20in%20(a%2Cb)", Wanted("default", "queue", "app=web,tier in (a,b)")),
        ("prod/queue?", Wanted("prod", "queue")),
        ("prod/pubsub.googleapis.com%7Csize", Wanted("prod", "pubsub.googleapis.com|size")),
    ],
)
def test_a_query_names_a_metric_as_with_flagger(query: str, wanted: Wanted) -> None:
    assert wanted_by(query) == wanted


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("", "The query of an external metric names no metric: write namespace/metric"),
        ("prod/", "names no metric"),
        ("a/b/c", "has more than one slash"),
        ("Prod/queue", '"Prod" in the query of an external metric is no namespace'),
        ("%2e%2e/queue", '"%2e%2e" in the query of an external metric is no namespace'),
        ("prod/..", "names no metric"),
        ("prod/%2e%2e", "names no metric"),
        ("prod/queue?app=web", '"app=web" in the query of an external metric is no labelSelector'),
    ],
)
async def test_a_query_that_names_none_is_the_users_mistake(outbound: Outbound, query: str, says: str) -> None:
    found = await provider(outbound).measure(query, MINUTE)

    assert isinstance(found, BadQuery)
    assert says in found.reason


@pytest.mark.parametrize(
    ("quantity", "number"),
    [
        ("0", 0.0),
        ("1500m", 1.5),
        ("250u", 0.00025),
        ("5n", 5e-9),
        ("-3", -3.0),
        ("+2k", 2000.0),
        ("1.5M", 1.5e6),
        ("2G", 2e9),
        ("1T", 1e12),
        ("1P", 1e15),
        ("1E", 1e18),
        ("1e3", 1000.0),
        ("1E3", 1000.0),
        ("1e-3", 0.001),
        ("1Ki", 1024.0),
        ("1.5Mi", 1572864.0),
        ("1Ei", 2.0**60),
        (".5", 0.5),
        ("", None),
        ("m", None),
        ("1.2.3", None),
        ("1 k", None),
        ("1ki", None),
        ("NaN", None),
        ("Infinity", None),
        ("1_000", None),
    ],
)
def test_a_quantity_is_read_as_kubernetes_writes_it(quantity: str, number: float | None) -> None:
    assert number_of(quantity) == number


@pytest.mark.parametrize(
    ("document", "outcome"),
    [
        pytest.param(values("1500m"), Value(1.5), id="a value"),
        pytest.param(values(), NoData(), id="no values are no data"),
        pytest.param(values("1", "2"), "gives 2 series where one is needed: choose one with labelSelector", id="two"),
        pytest.param({"kind": "Status"}, "is no ExternalMetricValueList", id="something else"),
    ],
)
def test_an_answer_is_its_only_value(document: object, outcome: Outcome | str) -> None:
    found = parse(json.dumps(document).encode())

    if isinstance(outcome, str):
        assert isinstance(found, ProviderError)
        assert outcome in found.reason
    else:
        assert found == outcome


@pytest.mark.parametrize("address", ["", "https://kubernetes.default.svc", "https://kubernetes.default:443/"])
async def test_the_api_server_is_asked_as_the_controller(outbound: Outbound, address: str) -> None:
    cluster = ApiServer(answer(values("1500m")))

    found = await provider(outbound, cluster, address).measure(QUERY, MINUTE)

    assert found == Value(1.5)
    (asked,) = cluster.asked
    assert (asked.method, asked.path, asked.params) == ("GET", PATH, (("labelSelector", "app=web"),))
    assert asked.timeout == 5.0


async def test_a_name_is_put_into_the_path_as_it_is(outbound: Outbound) -> None:
    cluster = ApiServer(answer(values("1")))

    await provider(outbound, cluster).measure("prod/a.b%7Cc%2Fd", MINUTE)

    assert cluster.asked[0].path == f"{PATH.removesuffix('queue')}a.b%7Cc%2Fd"


@pytest.mark.parametrize(
    ("first", "outcome"),
    [
        (answer(status(400, "unable to parse"), 400), BadQuery("unable to parse")),
        (
            answer(status(403, "not allowed"), 403),
            "403: not allowed; check the controller's right to list it in",
        ),
        (answer(status(404, "could not find the requested resource"), 404), "404: could not find the requested"),
        (Response(200, b" " * 2_000_000), "larger than 1 MiB"),
        (Response(200, b"<html>"), 'the answer is not JSON but begins with "<html>"'),
        (answer({"kind": "ExternalMetricValueList", "items": [{"value": "many"}]}), "the answer holds no number"),
    ],
)
async def test_what_the_api_server_refuses_is_told(outbound: Outbound, first: Response, outcome: Outcome | str) -> None:
    found = await provider(outbound, ApiServer(first)).measure(QUERY, MINUTE)

    if isinstance(outcome, str):
        assert isinstance(found, ProviderError)
        assert found.reason.startswith("The external metrics API at kubernetes.default.svc: ")
        assert outcome in found.reason
    else:
        assert found == outcome


@pytest.mark.parametrize("first", [Unreachable("GET /apis: timed out"), answer(status(503, "adapter"), 503)])
async def test_a_hiccup_of_the_api_server_is_asked_again(outbound: Outbound, first: Response | Unreachable) -> None:
    assert await provider(outbound, ApiServer(first, answer(values("1")))).measure(QUERY, MINUTE) == Value(1.0)


async def test_an_api_server_that_cannot_be_reached_is_silent(outbound: Outbound) -> None:
    found = await provider(outbound, ApiServer(Unreachable("GET /apis: timed out"))).measure(QUERY, MINUTE)

    assert isinstance(found, ProviderError)
    assert found.silent
    assert found.reason == "The external metrics API at kubernetes.default.svc: GET /apis: timed out"


async def test_an_api_server_that_never_answers_is_not_waited_for(outbound: Outbound) -> None:
    class Hanging(ApiServer):
        async def send(self, request: Request) -> Response:
            await asyncio.Event().wait()
            return await ApiServer.send(self, request)

    settings = ProviderSettings("externalmetrics", cluster=Hanging())
    found = await ExternalMetrics(settings, outbound, timeout=0.1).measure(QUERY, MINUTE)

    assert isinstance(found, ProviderError)
    assert found.silent
    assert "no answer within 0.1 s" in found.reason


async def test_another_server_is_trusted_by_the_certificates_of_the_secret(tmp_path: Path, outbound: Outbound) -> None:
    async with loopback(self_signed(tmp_path)) as secure:
        secure.says(says(values("1")))
        strict = await provider(outbound, address=secure.url, secret={"token": "x"}).measure(QUERY, MINUTE)
        ours = {"token": "x", "ca.crt": certificate_in(tmp_path)}
        trusted = await provider(outbound, address=secure.url, secret=ours).measure(QUERY, MINUTE)

    assert isinstance(strict, ProviderError)
    assert "certificate" in strict.reason.lower()
    assert trusted == Value(1.0)


async def test_without_an_api_server_there_is_nobody_to_ask(outbound: Outbound) -> None:
    found = await provider(outbound).measure(QUERY, MINUTE)

    assert isinstance(found, ProviderError)
    assert "there is no API server here" in found.reason


@pytest.mark.parametrize(
    ("secret", "sent"), [(None, None), ({"token": "t0ken\n"}, "Bearer t0ken")], ids=["nothing", "its own token"]
)
async def test_another_server_never_gets_the_controllers_token(
    server: Loopback, outbound: Outbound, secret: dict[str, str] | None, sent: str | None
) -> None:
    server.says(says(values("1")))
    cluster = ApiServer(answer(values("7")))

    found = await provider(outbound, cluster, f"{server.url}/proxy", secret=secret).measure(QUERY, MINUTE)

    assert found == Value(1.0)
    assert cluster.asked == []
    (asked,) = server.asked
    assert (asked.path, asked.query) == (f"/proxy{PATH}", {"labelSelector": "app=web"})
    assert asked.headers.get("Authorization") == sent


def test_w61_a_token_that_would_be_sent_to_nobody_is_told_before(outbound: Outbound) -> None:
    with pytest.raises(UserError, match=r"spec\.provider\.address does not say for which server"):
        provider(outbound, secret={"token": "x"})


async def test_w61_the_api_server_is_asked_over_the_controllers_connection_whatever_is_verified(
    outbound: Outbound,
) -> None:
    cluster = ApiServer(answer(values("7")))

    found = await provider(outbound, cluster, insecure_skip_verify=True).measure(QUERY, MINUTE)

    assert found == Value(7.0)
    assert [asked.path for asked in cluster.asked] == [PATH]


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"secret": {"key": "x"}}, "must have the key token; it has key"),
        ({"address": "metrics"}, "must begin with http"),
    ],
)
def test_what_cannot_be_asked_is_said_before(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(UserError, match=says):
        provider(Outbound(), **settings)
