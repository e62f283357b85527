"""An A/B test as its users meet it: the audience by a header or by a cookie, and everyone else."""

from __future__ import annotations

from flaggerpy.kube.objects import JsonObject
from tests.e2e import stage
from tests.e2e.conftest import Figures
from tests.e2e.counting import counted
from tests.e2e.place import LoadTester, Place, assert_served, tally

BY_HEADER = {"x-canary": "insider"}
BY_COOKIE = {"Cookie": "lang=en; canary=always; theme=dark"}
COOKIE: JsonObject = {"regex": "^(.*?;)?\\s*(canary=always)(;.*)?$"}
"""How a Canary describes the cookie, where its provider knows regular expressions."""


def audience(cookie: JsonObject = COOKIE) -> list[JsonObject]:
    """Write the ``match`` of an analysis."""
    return [{"headers": {"x-canary": {"exact": "insider"}}}, {"headers": {"cookie": cookie}}]


async def meets_the_canary_alone(
    place: Place, tester: LoadTester, canary: JsonObject, figures: Figures, *, url: str = stage.ENVOY
) -> None:
    """Release with an A/B test that a gate holds before the promotion, and tell who met which version."""
    async with (
        place.users(url=url) as everyone,
        place.users(url=url, headers=BY_HEADER) as insiders,
        place.users(url=url, rate=20.0, headers=BY_COOKIE) as cookies,
    ):
        await place.bootstrap(canary)
        await place.roll_out("6.0.1")
        await place.phase_is("WaitingPromotion", patience=90)
        seen = [await counted(place, users, 200) for users in (everyone, insiders, cookies)]
        await tester.open()
        await place.ends("Succeeded")
        for users in (everyone, insiders, cookies):
            await place.all_served_by(users, "6.0.1")
    for users in (everyone, insiders, cookies):
        figures(tally(users.summary()))
        assert_served(users.summary())
    assert [set(versions) for versions in seen] == [{"6.0.0"}, {"6.0.1"}, {"6.0.1"}]
