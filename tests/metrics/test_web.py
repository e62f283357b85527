from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from flaggerpy.api.templates import MetricTemplateProvider, WebMetric
from flaggerpy.metrics.base import BadQuery, NoData, Outcome, ProviderError, ProviderSettings, Value
from flaggerpy.metrics.configured import settings_of
from flaggerpy.metrics.outbound import Outbound
from flaggerpy.metrics.query import QueryContext
from flaggerpy.metrics.web import Web, checked_path
from flaggerpy.rollout.errors import UserError
from tests.metrics.faults.case import says
from tests.metrics.loopback import Loopback, Say, loopback

MINUTE = timedelta(minutes=1)
CONTEXT = QueryContext("podinfo", "prod", "web", variables={"note": 'say "hi"\n'})


@pytest.fixture
async def server() -> AsyncIterator[Loopback]:
    async with loopback() as running:
        running.says(says({"data": 0.25}))
        yield running


def web(address: str, outbound: Outbound, *, secret: dict[str, str] | None = None, **request: Any) -> Web:
    request.setdefault("jsonPath", "{$.data}")
    settings = ProviderSettings("web", address, secret=secret, web=WebMetric.model_validate(request))
    return Web(settings, outbound)


async def test_the_query_is_asked_below_the_address(server: Loopback, outbound: Outbound) -> None:
    outcome = await web(f"{server.url}/api/", outbound).measure(" /rates/web?window=1m&q=a b\n", MINUTE)

    assert outcome == Value(0.25)
    (asked,) = server.asked
    assert (asked.method, asked.path, asked.query) == ("GET", "/api/rates/web", {"window": "1m", "q": "a b"})
    assert asked.body == b""
    assert "Content-Type" not in asked.headers


async def test_parameters_alone_are_a_query(server: Loopback, outbound: Outbound) -> None:
    assert await web(f"{server.url}/rates", outbound).measure("?app=web", MINUTE) == Value(0.25)

    assert (server.asked[0].path, server.asked[0].query) == ("/rates", {"app": "web"})


@pytest.mark.parametrize("status", [301, 302, 303])
async def test_a_redirect_is_followed_with_get_and_an_error_of_the_server_with_post(
    server: Loopback, outbound: Outbound, status: int
) -> None:
    server.says(Say(status, headers={"Location": "/new"}), says({"data": 1}))
    assert await web(server.url, outbound).measure("/", MINUTE) == Value(1)

    server.says(Say(status, headers={"Location": "/new"}), says({"data": 1}))
    outcome = await web(server.url, outbound, method="POST", body="{}").measure("/", MINUTE)

    assert isinstance(outcome, ProviderError)
    assert f"it answered {status}, a redirect to another address of {server.url}, where a POST" in outcome.reason
    assert [asked.method for asked in server.asked] == ["GET", "GET", "POST"]


async def test_a_body_is_sent_as_json_unless_a_header_says_otherwise(server: Loopback, outbound: Outbound) -> None:
    await web(server.url, outbound, method="POST", body='{"app": "web"}').measure("/", MINUTE)
    typed = {"content-type": ("application/x-www-form-urlencoded",)}
    form = WebMetric(method="PUT", body="app=web")
    await Web(ProviderSettings("web", server.url, headers=typed, web=form), outbound).measure("/", MINUTE)

    first, second = server.asked
    assert (first.method, first.body, first.headers["Content-Type"]) == ("POST", b'{"app": "web"}', "application/json")
    assert (second.method, second.body) == ("PUT", b"app=web")
    assert [value for name, value in second.headers.items() if name.lower() == "content-type"] == list(
        typed["content-type"]
    )


async def test_what_is_not_a_get_is_asked_once(server: Loopback, outbound: Outbound) -> None:
    server.says(Say(503, b"busy"), says({"data": 1}))

    outcome = await web(server.url, outbound, method="POST").measure("/", MINUTE)

    assert isinstance(outcome, ProviderError)
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    ("document", "outcome"),
    [
        (True, Value(1.0)),
        (False, Value(0.0)),
        (7, Value(7.0)),
        ("0.5", Value(0.5)),
        ("NaN", NoData()),
        (None, NoData()),
        ({"a": 1}, "the jsonPath finds an object where a number is needed"),
        ([1], "the jsonPath finds a list where a number is needed"),
        ("fast", "the jsonPath finds a text where a number is needed"),
    ],
)
async def test_what_is_found_is_a_number_a_truth_or_nothing(
    server: Loopback, outbound: Outbound, document: Any, outcome: Outcome | str
) -> None:
    server.says(says(document))

    found = await web(server.url, outbound, jsonPath="{$}").measure("/", MINUTE)

    if isinstance(outcome, str):
        assert isinstance(found, ProviderError)
        assert outcome in found.reason
    else:
        assert found == outcome


@pytest.mark.parametrize(
    "query", ["rates", "@evil.example.com/", ":80@evil.example.com", "https://evil.example.com/", ""]
)
async def test_no_query_leads_to_another_host(server: Loopback, outbound: Outbound, query: str) -> None:
    outcome = await web(server.url, outbound).measure(query, MINUTE)

    assert isinstance(outcome, BadQuery)
    assert "begins with / or ?" in outcome.reason
    assert server.asked == []


@pytest.mark.parametrize("query", ["//evil.example.com/x", "/@evil.example.com", "/\\evil.example.com"])
async def test_what_looks_like_another_host_is_a_path_of_ours(server: Loopback, outbound: Outbound, query: str) -> None:
    assert await web(server.url, outbound).measure(query, MINUTE) == Value(0.25)

    assert len(server.asked) == 1


@pytest.mark.parametrize("query", ["/../admin", "/a/../../b", "/%2e%2e/admin", "/..", "/..?x=1"])
def test_no_query_climbs_out_of_the_address(query: str) -> None:
    with pytest.raises(UserError, match=r"must stay below its address"):
        checked_path(query)


def test_dots_elsewhere_are_nobodys_business() -> None:
    assert checked_path("/a..b/c.json?range=1..2") == "/a..b/c.json?range=1..2"


@pytest.mark.parametrize(
    ("request_", "address", "says_"),
    [
        ({"body": "x"}, "http://x", "sends no body: write method POST"),
        ({"timeoutSeconds": 0}, "http://x", "must be from 1 to 60"),
        ({"timeoutSeconds": 61}, "http://x", "must be from 1 to 60"),
        ({"jsonPath": "$..x"}, "http://x", "is not understood at"),
        ({}, "http://x/?a=b", "has no parameters: write all from the ? on into spec.query"),
        ({}, "", "cannot be used"),
        ({}, "ftp://x", "cannot be used"),
    ],
)
def test_a_request_that_cannot_be_made_is_the_users_mistake(request_: dict[str, Any], address: str, says_: str) -> None:
    with pytest.raises(UserError) as raised:
        web(address, Outbound(), **request_)

    assert says_ in str(raised.value)


def test_body_and_path_are_filled_in_and_a_value_cannot_break_the_json() -> None:
    provider = MetricTemplateProvider.model_validate(
        {
            "type": "web",
            "address": "http://x",
            "web": {
                "method": "POST",
                "body": '{"app": "{{ target }}", "note": "{{ variables.note }}"}',
                "jsonPath": "{$['{{ target }}']}",
            },
        }
    )

    filled = settings_of(provider, None, CONTEXT).web

    assert filled is not None
    assert filled.body == '{"app": "web", "note": "say \\"hi\\"\\n"}'
    assert filled.json_path == "{$['web']}"


@pytest.mark.parametrize(
    ("fields", "says_"),
    [
        (
            {"type": "prometheus", "web": {}},
            "spec.provider.web goes with type web, and not with prometheus: remove it.",
        ),
        ({"type": "web", "rangeQuery": {}}, "spec.provider.rangeQuery goes with type prometheus, and not with web"),
        ({"type": "web", "web": {"body": "{{ x }}", "method": "POST"}}, '"{{ x }}", which is not supported'),
    ],
)
def test_settings_that_do_not_go_together_are_the_users_mistake(fields: dict[str, Any], says_: str) -> None:
    with pytest.raises(UserError) as raised:
        settings_of(MetricTemplateProvider.model_validate(fields), None, CONTEXT)

    assert says_ in str(raised.value)
