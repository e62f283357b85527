"""Tasks of types ngrinder and concord against servers that answer as nGrinder and Concord do."""

from __future__ import annotations

import base64
import gzip
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from flaggerpy.loadtester.errors import Refused
from flaggerpy.loadtester.jobs import parse_concord, parse_ngrinder
from flaggerpy.loadtester.program import Settings
from tests.loadtester.harness import Answer, Caller, eventually, load_tester

LOGIN = f"Basic {base64.b64encode(b'grinder:pa:ss').decode()}"
NGRINDER = {"clone": "42", "username": "grinder", "passwd": base64.b64encode(b"pa:ss").decode(), "pollInterval": "5ms"}
GZIP = {"Content-Encoding": "gzip"}
CONCORD = {"org": "team", "project": "shop", "repo": "tests", "entrypoint": "load", "endpoint": "http://canary/"}


@dataclass(slots=True)
class Elsewhere:
    """A server on which load tests run; it says the statuses one after the other, the last one for ever."""

    statuses: list[str | int] = field(default_factory=lambda: ["FINISHED"])
    url: str = ""
    seen: list[str] = field(default_factory=list)
    authorizations: set[str] = field(default_factory=set)
    form: dict[str, str] = field(default_factory=dict)
    start: dict[str, Any] = field(default_factory=lambda: {"id": 77, "instanceId": "b1a-7", "ok": True})
    raw: web.Response | None = None
    """What it says to everything."""
    encodings: set[str] = field(default_factory=set)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.seen.append(f"{request.method} {request.path_qs}")
        self.encodings.add(request.headers.get("Accept-Encoding", ""))
        if self.raw is not None:
            return self.raw
        self.authorizations.add(request.headers.get("Authorization", ""))
        if request.method == "GET":
            status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
            if isinstance(status, int):
                return web.Response(status=status, headers={"Location": "http://127.0.0.1:9/"})
            ngrinder = {"status": [{"id": 77, "status_id": status}]}
            return web.json_response(
                ngrinder if "perftest" in request.path else {"instanceId": "b1a-7", "status": status}
            )
        if request.content_type.startswith("multipart/"):
            self.form = {str(key): str(value) for key, value in (await request.post()).items()}
        return web.json_response(self.start)


@pytest.fixture
async def elsewhere() -> AsyncIterator[Elsewhere]:
    server = Elsewhere()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", server.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.5)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield server
    await runner.cleanup()


@pytest.fixture
def key(tmp_path: Path) -> str:
    file = tmp_path / "key"
    file.write_text("the-api-key\n", encoding="utf-8")
    return str(file)


def tasks(kind: str, result: str) -> str:
    return f'flaggerpy_loadtester_tasks_total{{result="{result}",type="{kind}"}}'


async def test_a_test_of_ngrinder_is_copied_started_and_followed_to_its_end(
    caller: Caller, elsewhere: Elsewhere
) -> None:
    elsewhere.statuses = ["READY", "TESTING", "FINISHED"]
    job = NGRINDER | {"server": elsewhere.url}
    assert await caller.ask("/", type="ngrinder", id="grind", **job) == Answer(202, "")
    assert (await caller.ask("/", type="result", task="grind", wait="30s")).status == 200
    assert elsewhere.seen == [
        "POST /perftest/api/42/clone_and_start",
        *["GET /perftest/api/77/status"] * 3,
    ]
    assert elsewhere.authorizations == {LOGIN}
    assert await caller.series(tasks("ngrinder", "succeeded")) == 1


@pytest.mark.parametrize("status", ["STOP_BY_ERROR", "CANCELED", "UNKNOWN"])
async def test_a_test_of_ngrinder_that_fails_is_a_failure(caller: Caller, elsewhere: Elsewhere, status: str) -> None:
    elsewhere.statuses = ["TESTING", status]
    await caller.ask("/", type="ngrinder", id="grind", server=elsewhere.url, **NGRINDER)
    answer = await caller.ask("/", type="result", task="grind", wait="30s")
    assert answer.status == 424
    assert answer.body.endswith(f"nGrinder's test 77 ended with {status}")


async def test_the_same_test_of_ngrinder_does_not_run_twice(caller: Caller, elsewhere: Elsewhere) -> None:
    elsewhere.statuses = ["TESTING"]
    for _ in range(3):
        assert (await caller.ask("/", type="ngrinder", server=elsewhere.url, **NGRINDER)).status == 202
    assert await caller.series(tasks("ngrinder", "skipped")) == 2
    assert len([line for line in elsewhere.seen if line.startswith("POST")]) <= 1


async def test_a_test_of_ngrinder_out_of_time_is_stopped(settings: Settings, elsewhere: Elsewhere) -> None:
    elsewhere.statuses = ["TESTING"]
    async with load_tester(replace(settings, time_limit=0.3)) as caller:
        await caller.ask("/", type="ngrinder", server=elsewhere.url, **NGRINDER)
        await caller.series_reaches(tasks("ngrinder", "timed_out"), 1)
    assert elsewhere.seen[-1] == "PUT /perftest/api/77?action=stop"


async def test_a_test_of_ngrinder_is_stopped_when_the_load_tester_goes(
    settings: Settings, elsewhere: Elsewhere
) -> None:
    elsewhere.statuses = ["TESTING"]
    async with load_tester(settings) as caller:
        await caller.ask("/", type="ngrinder", server=elsewhere.url, **NGRINDER)
        await eventually(lambda: len(elsewhere.seen) > 1, "the test is followed")
    assert elsewhere.seen[-1] == "PUT /perftest/api/77?action=stop"


async def test_some_looks_may_go_wrong(caller: Caller, elsewhere: Elsewhere) -> None:
    elsewhere.statuses = ["TESTING", 500, 503, 302, "TESTING", 500, "FINISHED"]
    await caller.ask("/", type="ngrinder", id="grind", server=elsewhere.url, **NGRINDER)
    assert (await caller.ask("/", type="result", task="grind", wait="30s")).status == 200


async def test_a_test_that_cannot_be_followed_is_a_failure(caller: Caller, elsewhere: Elsewhere) -> None:
    elsewhere.statuses = ["TESTING", 500]
    await caller.ask("/", type="ngrinder", id="grind", server=elsewhere.url, **NGRINDER)
    answer = await caller.ask("/", type="result", task="grind", wait="30s")
    assert answer.status == 424
    assert answer.body.endswith("nGrinder's test 77 cannot be followed: the server answered 500")


@pytest.mark.parametrize(
    ("body", "headers", "reason"),
    [
        (gzip.compress(b"[" + b" " * (8 << 20) + b"]"), GZIP, "the answer is compressed, which was not asked for"),
        (gzip.compress(b'{"id": 77, "ok": true}'), GZIP, "the answer is compressed, which was not asked for"),
        (b" " * (1 << 20) + b"{}", {}, "the answer is too long"),
    ],
    ids=["inflates beyond the limit", "compressed", "beyond the limit"],
)
async def test_answers_are_read_up_to_a_limit_and_never_inflated(
    caller: Caller, elsewhere: Elsewhere, body: bytes, headers: dict[str, str], reason: str
) -> None:
    elsewhere.raw = web.Response(body=body, headers=headers)
    await caller.ask("/", type="ngrinder", id="grind", server=elsewhere.url, **NGRINDER)
    answer = await caller.ask("/", type="result", task="grind", wait="30s")
    assert answer.status == 424
    assert reason in answer.body
    assert elsewhere.encodings == {"identity"}


@pytest.mark.parametrize(
    ("text", "seconds"), [("5s", 5.0), ("200ms", 0.2), (None, 1.0), ("soon", 1.0), ("0s", 1.0), ("-3s", 1.0)]
)
def test_w81_a_poll_interval_is_what_it_says(text: str | None, seconds: float) -> None:
    metadata = {**NGRINDER, "server": "http://ngrinder", "pollInterval": text or ""}
    assert parse_ngrinder(metadata).poll == seconds


async def test_a_process_of_concord_is_started_and_waited_for(caller: Caller, elsewhere: Elsewhere, key: str) -> None:
    elsewhere.statuses = ["ENQUEUED", "FINISHED"]
    job = {**CONCORD, "server": elsewhere.url, "apiKeyPath": key, "pollInterval": "1", "arguments.users": "12"}
    assert (await caller.ask("/", type="concord", **job)).status == 200
    assert elsewhere.seen == ["POST /api/v1/process", *["GET /api/v1/process/b1a-7"] * 2]
    assert elsewhere.authorizations == {"the-api-key"}
    assert elsewhere.form == {
        "org": "team",
        "project": "shop",
        "repo": "tests",
        "entryPoint": "load",
        "arguments.endpoint": "http://canary/",
        "arguments.users": "12",
    }


@pytest.mark.parametrize(
    ("statuses", "words"),
    [
        (["FAILED"], "Concord's process b1a-7 ended with FAILED"),
        (["CANCELLED"], "Concord's process b1a-7 ended with CANCELLED"),
        (["RUNNING"], "not finished after 2 seconds"),
    ],
)
async def test_a_process_of_concord_that_does_not_end_well_is_a_failure(
    caller: Caller, elsewhere: Elsewhere, key: str, statuses: list[str | int], words: str
) -> None:
    elsewhere.statuses = statuses
    job = {**CONCORD, "server": elsewhere.url, "apiKeyPath": key, "pollInterval": "1", "pollTimeout": "2"}
    answer = await caller.ask("/", type="concord", **job)
    assert answer.status == 500
    assert words in answer.body


@pytest.mark.parametrize(
    ("start", "words"),
    [({}, "names no process"), ({"instanceId": 7}, "names no process"), ({"instanceId": "x" * 2_000_000}, "too long")],
)
async def test_a_server_that_starts_nothing_is_a_failure(
    caller: Caller, elsewhere: Elsewhere, key: str, start: dict[str, Any], words: str
) -> None:
    elsewhere.start = start
    answer = await caller.ask("/", type="concord", server=elsewhere.url, apiKeyPath=key, **CONCORD)
    assert answer.status == 500
    assert words in answer.body
    assert len(answer.body) < 1000


async def test_a_server_that_is_not_there_is_a_failure_without_secrets(
    caller: Caller, tmp_path: Path, key: str
) -> None:
    job = {**CONCORD, "server": "http://127.0.0.1:9", "apiKeyPath": key}
    answer = await caller.ask("/", type="concord", **job)
    assert answer.status == 500
    assert "no answer: ConnectError" in answer.body
    assert "the-api-key" not in answer.body
    (tmp_path / "two").write_text("a\nb\n", encoding="utf-8")
    (tmp_path / "umlaut").write_text("schlüssel", encoding="utf-8")
    for name, words in (("none", "cannot be read"), ("two", "holds no key"), ("umlaut", "cannot be read")):
        refused = await caller.ask("/", type="concord", **job | {"apiKeyPath": str(tmp_path / name)})
        assert f"{tmp_path / name} {words}" in refused.body


def test_passwords_are_not_shown() -> None:
    job = parse_ngrinder({**NGRINDER, "server": "http://ngrinder"})
    assert "pa:ss" not in f"{job!r} {job.title}"


@pytest.mark.parametrize(
    ("kind", "change", "words"),
    [
        ("ngrinder", {"server": ""}, 'a task of type "ngrinder" needs metadata.server'),
        ("ngrinder", {"clone": "", "username": " "}, "needs metadata.clone and metadata.username"),
        ("ngrinder", {"clone": "x1"}, '"x1" is no number of a test'),
        ("ngrinder", {"passwd": "pa:ss"}, "metadata.passwd is not base64"),
        ("ngrinder", {"server": "ftp://x"}, "metadata.server is no address"),
        ("ngrinder", {"server": "http://me:secret@x"}, "metadata.server is no address"),
        ("concord", {"apiKeyPath": ""}, 'a task of type "concord" needs metadata.apiKeyPath'),
        ("concord", {"arguments.endpoint": "x"}, "write metadata.endpoint"),
        ("concord", {"pollInterval": "5s"}, '"5s" is no number of seconds'),
        ("concord", {"pollTimeout": "0"}, '"0" is no number of seconds'),
    ],
)
def test_what_makes_no_job_is_refused_with_a_sentence(kind: str, change: dict[str, str], words: str) -> None:
    whole = NGRINDER if kind == "ngrinder" else CONCORD | {"apiKeyPath": "/key"}
    metadata = {"server": "http://elsewhere"} | whole | change
    with pytest.raises(Refused) as refused:
        (parse_ngrinder if kind == "ngrinder" else parse_concord)(metadata)
    assert words in str(refused.value)
    assert "secret" not in str(refused.value)
