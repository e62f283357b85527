"""The steady client against servers on loopback, good and bad ones."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.traffic.__main__ import main
from tests.traffic.client import SteadyClient
from tests.traffic.plan import Plan, Refused
from tests.traffic.summary import Summary, read_records

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def answer(body: bytes, status: str = "200 OK", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


def podinfo(version: str) -> bytes:
    return json.dumps({"hostname": f"podinfo-{version}", "version": version, "message": "hi"}).encode()


@asynccontextmanager
async def server(talk: Talk) -> AsyncIterator[str]:
    """Serve connections on loopback with a function that is free to misbehave."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await talk(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            return
        finally:
            writer.close()

    listening = await asyncio.start_server(connected, "127.0.0.1", 0)
    async with listening:
        yield f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/"


def always(*answers: bytes) -> Talk:
    """Answer every request of a connection with the next of these, round and round, over all connections."""
    count = 0

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal count
        while await reader.readuntil(b"\r\n\r\n"):
            writer.write(answers[count % len(answers)])
            count += 1

    return talk


async def seen(url: str, plan: Plan | None = None) -> Summary:
    plan = plan or Plan(url, "app.example.com", rate=100, duration=0.1, timeout=2)
    client = SteadyClient(replace(plan, url=url))
    await asyncio.to_thread(client.start)
    return await asyncio.to_thread(client.wait, 10)


@pytest.mark.parametrize("keep_alive", [False, True])
async def test_it_sends_as_many_requests_as_planned_and_tells_who_answered(keep_alive: bool) -> None:
    talk = always(answer(podinfo("6.0.0")), answer(podinfo("6.0.0")), answer(podinfo("6.0.1")))
    async with server(talk) as url:
        plan = Plan(url, "app.example.com", rate=150, duration=0.2, keep_alive=keep_alive)
        summary = await seen(url, plan)
    assert summary.by_version() == {"6.0.0": 20, "6.0.1": 10}
    assert summary.failed() == ()
    assert summary.missed == 0
    assert {record.hostname for record in summary.records} == {"podinfo-6.0.0", "podinfo-6.0.1"}
    now = datetime.now(UTC)
    assert summary.shares(now - timedelta(seconds=20), now)["6.0.1"] == pytest.approx(1 / 3)


@pytest.mark.parametrize(("keep_alive", "fewest", "most"), [(False, 20, 20), (True, 1, 10)])
async def test_a_connection_serves_one_request_unless_kept(keep_alive: bool, fewest: int, most: int) -> None:
    connections = 0
    respond = always(answer(podinfo("6.0.0")))

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await respond(reader, writer)

    async with server(talk) as url:
        summary = await seen(url, Plan(url, "app", rate=100, duration=0.2, keep_alive=keep_alive))
    assert summary.total == 20
    assert fewest <= connections <= most


async def test_it_sends_the_host_and_the_headers_it_was_told() -> None:
    heads: list[bytes] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(answer(b""))

    async with server(talk) as url:
        headers = (("x-canary", "insider"), ("Cookie", "a=b; c=d"))
        await seen(url, Plan(url, "app.example.com", rate=100, duration=0.1, timeout=2, headers=headers))
    assert heads
    for line in (b"Host: app.example.com", b"x-canary: insider", b"Cookie: a=b; c=d"):
        assert all(b"\r\n" + line + b"\r\n" in head for head in heads), line


async def test_slow_answers_do_not_slow_the_rate() -> None:
    release = asyncio.Event()
    arrived = 0

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal arrived
        await reader.readuntil(b"\r\n\r\n")
        arrived += 1
        if arrived == 10:
            release.set()  # only an open loop ever gets here
        await release.wait()
        writer.write(answer(podinfo("6.0.0")))

    async with server(talk) as url:
        summary = await seen(url)
    assert summary.by_version() == {"6.0.0": 10}


async def _hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


async def _reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.transport.abort()


async def _truncate(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(answer(podinfo("6.0.0"))[:-5])


async def _babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"what?\r\n\r\n")


@pytest.mark.parametrize(
    ("talk", "result"),
    [
        pytest.param(_hang, "timeout", id="no answer in time"),
        pytest.param(_reset, "reset", id="the connection is cut before an answer"),
        pytest.param(_truncate, "truncated", id="the connection is cut within an answer"),
        pytest.param(_babble, "protocol", id="the answer is no HTTP"),
        pytest.param(always(answer(b"", "503 Service Unavailable")), "503", id="the proxy has nobody"),
        pytest.param(always(answer(b"", "302 Found", "Location: http://127.0.0.1:1/")), "302", id="a redirect"),
    ],
)
async def test_every_failure_is_seen_and_told_apart(talk: Talk, result: str) -> None:
    async with server(talk) as url:
        summary = await seen(url, Plan(url, "app", rate=100, duration=0.03, timeout=0.3))
    assert Counter(record.result for record in summary.failed()) == {result: 3}
    assert not any(record.from_pod for record in summary.records)


async def test_nobody_listening_is_a_failure_too() -> None:
    async with server(_hang) as url:
        pass
    summary = await seen(url)
    assert {record.result for record in summary.failed()} == {"refused"}
    assert summary.total == 10


async def test_a_kept_connection_cut_under_a_request_is_not_hidden_by_a_retry() -> None:
    heard: Counter[str] = Counter()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer(podinfo("6.0.0")))
        heard["200"] += 1
        await reader.readuntil(b"\r\n\r\n")
        writer.transport.abort()
        heard["reset"] += 1

    async with server(talk) as url:
        summary = await seen(url, Plan(url, "app", rate=20, duration=0.3, keep_alive=True))
    assert (summary.total, heard["reset"] > 0) == (6, True)
    assert Counter(record.result for record in summary.records) == heard


async def test_errors_of_pods_are_told_from_errors_of_the_proxy() -> None:
    pod = answer(b"", "500 Internal Server Error", "X-Envoy-Upstream-Service-Time: 3", "X-Upstream: 10.0.0.7:9898")
    async with server(always(pod, answer(b"no healthy upstream", "503 Service Unavailable"))) as url:
        summary = await seen(url)
    who = {(record.status, record.from_pod, record.upstream) for record in summary.records}
    assert who == {(500, True, "10.0.0.7:9898"), (503, False, None)}


async def test_stopping_waits_for_the_answers_that_are_due_and_sends_no_more() -> None:
    release, arrived = asyncio.Event(), asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        arrived.set()
        await release.wait()
        writer.write(answer(podinfo("6.0.0")))

    async with server(talk) as url:
        client = SteadyClient(Plan(url, "app", rate=200, duration=600))
        await asyncio.to_thread(client.start)
        async with asyncio.timeout(5):
            await arrived.wait()
        stopping = asyncio.create_task(asyncio.to_thread(client.stop))
        await asyncio.sleep(0)
        release.set()
        summary = await asyncio.wait_for(stopping, 5)
    assert summary.failed() == ()
    assert summary.total >= 1
    assert not client.running
    assert client.stop() == summary


async def test_the_file_holds_what_the_summary_tells(tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    async with server(always(answer(podinfo("6.0.0")), answer(b"", "500 x"))) as url:
        client = SteadyClient(Plan(url, "app", rate=100, duration=0.1), out)
        await asyncio.to_thread(client.start)
        summary = await asyncio.to_thread(client.wait)
    assert read_records(out).records == summary.records


async def test_as_a_program_it_writes_records_and_a_table_and_ends_early_when_asked(tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    arrived = asyncio.Event()
    respond = always(answer(podinfo("6.0.0")))

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        arrived.set()
        await respond(reader, writer)

    async with server(talk) as url:
        flags = ["--url", url, "--host", "app", "--rate", "50", "--duration", "600", "--out", str(out)]
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "tests.traffic", *flags),
            stdout=asyncio.subprocess.PIPE,
            cwd=Path(__file__).parents[2],
            env=os.environ | {"PYTHONPATH": ""},
        )
        async with asyncio.timeout(15):
            await arrived.wait()
            process.send_signal(signal.SIGTERM)
            table, _ = await process.communicate()
    assert process.returncode == 0
    total = read_records(out).total
    assert total >= 1
    assert f"{total} requests, 0 failed, 0 due but not sent" in table.decode()
    assert read_records(out).by_version() == {"6.0.0": total}


@pytest.mark.parametrize(
    ("url", "allow"),
    [
        pytest.param("http://93.184.215.14/", (), id="the world"),
        pytest.param("http://93.184.215.14/", ("93.184.215.14",), id="the world, even when allowed"),
        pytest.param("http://10.96.0.10/", (), id="a private address that nobody allowed"),
        pytest.param("http://10.96.0.10/", ("10.97.0.0/16",), id="a private address outside what is allowed"),
        pytest.param("http://10.96.0.10/", ("0.0.0.0/0",), id="everything allowed"),
        pytest.param("http://10.96.0.10/", ("cluster",), id="a name allowed"),
        pytest.param("http://169.254.169.254/", ("169.254.169.254",), id="a metadata service"),
        pytest.param("http://localhost/", (), id="a name"),
        pytest.param("https://127.0.0.1/", (), id="TLS"),
        pytest.param("http://u:p@127.0.0.1/", (), id="credentials"),
        pytest.param("127.0.0.1", (), id="no URL"),
    ],
)
def test_addresses_that_are_neither_loopback_nor_the_clusters_are_refused(url: str, allow: tuple[str, ...]) -> None:
    with pytest.raises(Refused):
        Plan(url, "app", allow=allow)


@pytest.mark.parametrize(
    ("url", "allow"),
    [("http://127.0.0.1:8080/", ()), ("http://[::1]/", ()), ("http://10.96.0.10/", ("10.96.0.0/12", "172.20.0.2"))],
)
def test_loopback_and_the_clusters_addresses_are_accepted(url: str, allow: tuple[str, ...]) -> None:
    assert Plan(url, "app", allow=allow).count == 1500


@pytest.mark.parametrize(
    ("rate", "duration", "timeout"),
    [(0, 1, 1), (501, 1, 1), (1, 0, 1), (1, 7201, 1), (1, 1, 0), (1, 1, 61), (500, 1001, 1), (float("nan"), 1, 1)],
)
def test_plans_without_bounds_are_refused(rate: float, duration: float, timeout: float) -> None:
    with pytest.raises(Refused):
        Plan("http://127.0.0.1/", "app", rate=rate, duration=duration, timeout=timeout)


def test_a_refused_plan_ends_the_program_with_the_reason(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--url", "http://93.184.215.14/", "--host", "app"]) == 2
    assert "neither loopback nor an allowed address" in capsys.readouterr().err
