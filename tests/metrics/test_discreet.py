from __future__ import annotations

import base64
from datetime import timedelta

import pytest

from flaggerpy.metrics.base import BadQuery, NoData, Outcome, ProviderError, ProviderSettings, Value
from flaggerpy.metrics.discreet import Discreet

MINUTE = timedelta(minutes=1)
SETTINGS = ProviderSettings(
    "web",
    "https://robot:p%40ssw0rd@example.com",
    headers={"Authorization": ("Bearer header-t0ken",), "X-Org": ("7",)},
    secret={"token": "planted/t0ken\n", "username": "robot", "password": "pass word", "short": "a"},
)


class Speaker:
    def __init__(self, outcome: Outcome) -> None:
        self._outcome = outcome

    async def measure(self, query: str, interval: timedelta) -> Outcome:
        return self._outcome


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("no planted/t0ken here, planted/t0ken", "no [hidden] here, [hidden]"),
        ("path planted%2Ft0ken", "path [hidden]"),
        ("form pass+word, url pass%20word", "form [hidden], url [hidden]"),
        (f"encoded {base64.b64encode(b'robot:pass word').decode()}", "encoded [hidden]"),
        ("the header header-t0ken", "the header [hidden]"),
        ("the address p@ssw0rd", "the address [hidden]"),
        ('it begins with "a planted/t0"; check it', 'it begins with "a [hidden]"; check it'),
        ("it begins with planted", "it begins with [hidden]"),
        ("organization 7 is a tenant", "organization 7 is a tenant"),
        ("plans are fine", "plans are fine"),
    ],
)
@pytest.mark.parametrize("kind", [ProviderError, BadQuery])
async def test_nothing_secret_is_told_in_any_form(kind: type[ProviderError | BadQuery], said: str, told: str) -> None:
    provider = Discreet(Speaker(kind(said)), SETTINGS)

    assert await provider.measure("up", MINUTE) == kind(told)


@pytest.mark.parametrize("outcome", [Value(1.0), NoData()])
async def test_what_says_nothing_passes(outcome: Outcome) -> None:
    provider = Discreet(Speaker(outcome), SETTINGS)

    assert await provider.measure("up", MINUTE) == outcome


async def test_an_address_that_is_none_has_no_password() -> None:
    provider = Discreet(Speaker(ProviderError("no")), ProviderSettings("web", "http://[::1"))

    assert await provider.measure("up", MINUTE) == ProviderError("no")
