"""Hearing of one Canary: every state once, over broken connections, until it is gone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from flaggerpy.cli.look import Looker
from flaggerpy.cli.news import News, news_of
from flaggerpy.cli.snapshot import Snapshot
from flaggerpy.kube.client import Client
from flaggerpy.kube.errors import Forbidden, KubeError, NotFound, ServerError, Unreachable
from flaggerpy.kube.resources import CANARIES, DEPLOYMENTS
from flaggerpy.kube.sessions import HttpTransport, Server
from tests.cli.served import WEB, canary
from tests.kube.clocks import SkippingClock, eventually
from tests.kube.fake_apiserver import FakeApiServer, Fault
from tests.targets.objects import deployment


@pytest.fixture
async def server() -> AsyncIterator[FakeApiServer]:
    async with FakeApiServer() as running:
        running.put(CANARIES, canary())
        yield running


@pytest.fixture
async def client(server: FakeApiServer) -> AsyncIterator[Client]:
    async with HttpTransport(Server(server.url)) as transport:
        yield Client(transport)


def mark(server: FakeApiServer, text: str) -> None:
    server.change(WEB, lambda obj: obj["metadata"].update(annotations={"mark": text}))


async def heard(news: News) -> str:
    """Return the mark of the next state, or the kind of the error."""
    async with asyncio.timeout(10):
        item = await news.get()
    if isinstance(item, KubeError):
        return type(item).__name__
    return str((item["metadata"].get("annotations") or {}).get("mark", "none"))


async def test_every_state_is_heard_and_nothing_of_others(client: Client, server: FakeApiServer) -> None:
    async with news_of(client, WEB, SkippingClock()) as news:
        assert await heard(news) == "none"
        await eventually(lambda: server.watching(CANARIES))
        server.put(CANARIES, canary(name="other"))
        for text in ("a", "b", "c"):
            mark(server, text)
        assert [await heard(news) for _ in range(3)] == ["a", "b", "c"]
    await eventually(lambda: not server.watching(CANARIES), what="the watch is closed with the block")


@pytest.mark.parametrize("trouble", ["end_watches", "break_watches", "expire_watches"])
async def test_a_watch_that_ends_is_followed_by_the_state_as_it_is(
    client: Client, server: FakeApiServer, trouble: str
) -> None:
    async with news_of(client, WEB, SkippingClock()) as news:
        assert await heard(news) == "none"
        await eventually(lambda: server.watching(CANARIES))
        getattr(server, trouble)()
        mark(server, "after")
        seen = [await heard(news)]
        while seen[-1] != "after":
            seen.append(await heard(news))
        assert set(seen) <= {"none", "after", "Unreachable"}


async def test_errors_that_pass_are_told_and_waited_out(client: Client, server: FakeApiServer) -> None:
    clock = SkippingClock()
    server.fail(Fault("status", "GET", status=500))
    async with news_of(client, WEB, clock) as news:
        assert [await heard(news), await heard(news)] == ["ServerError", "none"]
    assert clock.slept[0] == 1.0


@pytest.mark.parametrize("end", ["deleted", "gone", "forbidden"])
async def test_what_does_not_pass_is_the_last_news(client: Client, server: FakeApiServer, end: str) -> None:
    async with news_of(client, WEB, SkippingClock()) as news:
        assert await heard(news) == "none"
        await eventually(lambda: server.watching(CANARIES))
        if end == "forbidden":
            server.forbidden.add(CANARIES)
        if end != "deleted":
            server.silence_watches()
        if end != "forbidden":
            server.remove(WEB)
        if end != "deleted":
            server.end_watches()
        assert await heard(news) == ("Forbidden" if end == "forbidden" else "NotFound")


# Looks


async def test_while_the_server_is_silent_the_last_look_stays_with_a_note(
    client: Client, server: FakeApiServer
) -> None:
    server.put(DEPLOYMENTS, deployment())
    notes: list[tuple[str, ...]] = []

    def see(seen: Snapshot) -> bool | None:
        assert [row.name for row in seen.pods] == ["web"], "what was seen last stays in sight"
        assert seen.stale == bool(seen.notes)
        if not notes:
            server.fail(Fault("reset", "GET", times=6))
            server.break_watches()
        if not notes or notes[-1] != seen.notes:
            notes.append(seen.notes)
        return True if len(notes) > 2 and not seen.notes else None

    async with asyncio.timeout(20):
        await Looker(client, WEB, events=True, clock=SkippingClock(), tick=0.02).until(see)
    assert notes[0] == notes[-1] == ()
    assert all("the API server does not answer" in row[0] for row in notes[1:-1])


@pytest.mark.parametrize(("error", "fault"), [(ServerError, 500), (Forbidden, 403), (NotFound, 404)])
async def test_the_first_look_must_succeed(
    client: Client, server: FakeApiServer, error: type[KubeError], fault: int
) -> None:
    server.put(DEPLOYMENTS, deployment())
    server.fail(Fault("status", path="/deployments/web", status=fault, times=1))
    look = Looker(client, WEB, events=True, clock=SkippingClock())
    if error is NotFound:
        assert [row.role for row in (await look.once()).pods] == [], "a missing target is one"
        return
    with pytest.raises(error):
        await look.once()


async def test_an_unreachable_server_is_an_error_from_the_start(client: Client, server: FakeApiServer) -> None:
    await server.stop()
    with pytest.raises(Unreachable):
        await Looker(client, WEB, events=True, clock=SkippingClock()).once()
