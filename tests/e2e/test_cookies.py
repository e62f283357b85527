"""Session affinity as browsers meet it: who has a cookie stays on its version until the rollout ends, either way."""

from __future__ import annotations

import httpx
import pytest

from tests.e2e import stage
from tests.e2e.conftest import Figures
from tests.e2e.counting import SIGNIFICANT, climb, counted
from tests.e2e.place import Place, assert_served, load_tester, new_place, tally
from tests.e2e.workloads import gate, progressive
from tests.traffic.binomial import two_sided

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]

AFFINITY = {"cookieName": "seen", "primaryCookieName": "old", "maxAge": 3600, "path": "/", "httpOnly": True}
AT_LEAST = 500
NEWCOMERS = 2000


async def given(place: Place, name: str) -> tuple[str, str]:
    """Come without a cookie until one of this name is given; return it with the version that gave it."""
    async with httpx.AsyncClient(timeout=5, trust_env=False) as http:

        async def one() -> tuple[str, str] | None:
            answer = await http.get(stage.ENVOY, headers={"Host": place.host})
            http.cookies.clear()
            cookies = [text for text in answer.headers.get_list("set-cookie") if text.startswith(f"{name}=")]
            return (cookies[0], str(answer.json()["version"])) if cookies else None

        found: tuple[str, str] = await place.until(one, f"cookie {name}", pause=0.05)
        return found


async def taken(place: Place, cookie: str) -> list[str]:
    """Come with a cookie, and return the cookies of the answer."""
    async with httpx.AsyncClient(timeout=5, trust_env=False) as http:
        answer = await http.get(stage.ENVOY, headers={"Host": place.host, "Cookie": cookie})
        return list(answer.headers.get_list("set-cookie"))


async def test_users_with_a_cookie_stay_on_their_version_and_lose_it_at_the_end(figures: Figures) -> None:
    async with new_place("cookies") as place, load_tester(place) as tester:
        await place.set_up()
        hooks = [gate("confirm-traffic-increase")]
        await place.bootstrap(
            progressive(place.host, step=10, most=20, interval="2s", webhooks=hooks, sessionAffinity=AFFINITY)
        )
        await place.roll_out("6.0.1")
        await climb(place, tester, 10)
        new, old = await given(place, "seen"), await given(place, "old")
        assert (new[1], old[1]) == ("6.0.1", "6.0.0")
        assert new[0].partition(";")[2] == " Max-Age=3600; HttpOnly; Path=/"
        assert old[0].partition(";")[2] == " Max-Age=2; HttpOnly; Path=/"
        cookies = [text.partition(";")[0] for text, _ in (new, old)]
        async with (
            place.users(headers={"Cookie": f"lang=en; {cookies[0]}; theme=dark"}) as canarys,
            place.users(headers={"Cookie": cookies[1]}) as primarys,
            place.users(rate=150.0) as newcomers,
        ):
            for weight in (10, 20):
                if weight > 10:
                    await climb(place, tester, weight)
                seen = [await counted(place, users, AT_LEAST) for users in (canarys, primarys)]
                everyone = await counted(place, newcomers, NEWCOMERS)
                figures(
                    f"{weight} %: with the canary's cookie {seen[0]}, the primary's {seen[1]}, with none {everyone}"
                )
                assert [set(versions) for versions in seen] == [{"6.0.1"}, {"6.0.0"}]
                assert two_sided(everyone["6.0.1"], sum(everyone.values()), weight / 100) >= SIGNIFICANT
            await tester.open()
            canary = await place.ends("Succeeded")
            for users in (canarys, primarys, newcomers):
                await place.all_served_by(users, "6.0.1")
        for users in (canarys, primarys, newcomers):
            figures(tally(users.summary()))
            assert_served(users.summary())
        assert canary["status"]["previousSessionAffinityCookie"] == cookies[0]
        assert await taken(place, cookies[0]) == [f"{cookies[0]}; Max-Age=-1; HttpOnly; Path=/"]
        assert await taken(place, "theme=dark") == []


async def test_a_rollback_sends_users_with_the_canarys_cookie_back_without_a_loss(figures: Figures) -> None:
    async with new_place("cookies-rollback") as place, load_tester(place) as tester:
        await place.set_up()
        hooks = [gate("rollback", "rollback/check"), gate("confirm-traffic-increase")]
        await place.bootstrap(
            progressive(place.host, step=10, interval="1s", threshold=10, webhooks=hooks, sessionAffinity=AFFINITY)
        )
        await place.roll_out("6.0.1")
        await climb(place, tester, 10)
        cookie = (await given(place, "seen"))[0].partition(";")[0]
        async with place.users(headers={"Cookie": cookie}) as users:
            assert set(await counted(place, users, AT_LEAST)) == {"6.0.1"}
            await tester.open("rollback")
            await place.ends("Failed")
            await tester.close("rollback")
            await place.all_served_by(users, "6.0.0")
        figures(tally(users.summary()))
        assert_served(users.summary())
        assert await taken(place, cookie) == [f"{cookie}; Max-Age=-1; HttpOnly; Path=/"]
