"""A load tester on loopback and a caller, with what the tests ask of both."""

from __future__ import annotations

import asyncio
import io
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import aiohttp

from flaggerpy.loadtester.board import Board
from flaggerpy.loadtester.procfs import parse_stat
from flaggerpy.loadtester.program import Settings, serving

LIMIT = 40.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What a caller sees."""

    status: int
    body: str


@dataclass(frozen=True, slots=True)
class Caller:
    """Whoever talks to the load tester: the controller's webhook client, or a person with curl."""

    session: aiohttp.ClientSession

    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    revision: str = "85d5"

    async def send(self, path: str, body: bytes = b"", method: str = "POST") -> Answer:
        async with self.session.request(method, path, data=io.BytesIO(body), headers=self.headers) as response:
            return Answer(response.status, await response.text())

    async def ask(self, path: str, *, canary: str = "podinfo.test", **metadata: str) -> Answer:
        """Send a webhook payload for a canary."""
        name, _, namespace = canary.partition(".")
        payload = {"name": name, "namespace": namespace, "phase": "Progressing", "checksum": self.revision}
        return await self.send(path, json.dumps(payload | ({"metadata": metadata} if metadata else {})).encode())

    def of(self, revision: str) -> Caller:
        """The same caller, in the rollout of another revision."""
        return replace(self, revision=revision)

    def with_headers(self, **headers: str) -> Caller:
        """The same caller, sending these headers too; underscores stand for hyphens."""
        return replace(self, headers={name.replace("_", "-"): value for name, value in headers.items()})

    async def series(self, name: str) -> float:
        """Read the value of one series as Prometheus would; 0 while it does not exist."""
        for line in (await self.send("/metrics", method="GET")).body.splitlines():
            if line.startswith(f"{name} "):
                return float(line.rpartition(" ")[2])
        return 0.0

    async def series_reaches(self, name: str, value: float) -> None:
        async def reached() -> bool:
            return await self.series(name) == value

        await until(reached, f"{name} is {value:g}")


@asynccontextmanager
async def load_tester(settings: Settings, board: Board | None = None) -> AsyncIterator[Caller]:
    """Run a load tester inside the test."""
    async with serving(settings, board=board) as port, calling(port) as caller:
        yield caller


@asynccontextmanager
async def calling(port: int) -> AsyncIterator[Caller]:
    timeout = aiohttp.ClientTimeout(total=LIMIT)
    url = f"http://127.0.0.1:{port}"
    async with aiohttp.ClientSession(url, timeout=timeout) as session:
        yield Caller(session, url)


@dataclass(frozen=True, slots=True)
class Program:
    """The load tester as a process of its own."""

    process: asyncio.subprocess.Process
    caller: Caller
    first_lines: list[dict[str, Any]]
    """What was logged until it listened."""

    async def lines(self) -> list[dict[str, str]]:
        """Wait for the end and give the rest of the log."""
        assert self.process.stderr is not None
        async with asyncio.timeout(LIMIT):
            rest = await self.process.stderr.read()
            await self.process.wait()
        return [json.loads(line) for line in rest.splitlines()]


@asynccontextmanager
async def program(*flags: str, **environment: str) -> AsyncIterator[Program]:
    """Run `python -m flaggerpy.loadtester` on a free port of loopback."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "flaggerpy.loadtester", "-port", "0", "-address=127.0.0.1", *flags),
        stderr=asyncio.subprocess.PIPE,
        env=os.environ | environment,
    )
    try:
        assert process.stderr is not None
        lines: list[dict[str, Any]] = []
        async with asyncio.timeout(LIMIT):
            while not lines or "port" not in lines[-1]:
                lines.append(json.loads(await process.stderr.readline()))
        async with calling(lines[-1]["port"]) as caller:
            yield Program(process, caller, lines)
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGKILL)
            await process.wait()


async def eventually(condition: Callable[[], bool], what: str) -> None:
    """Wait until a condition holds that other processes bring about, for a limited time."""

    async def holds() -> bool:
        return condition()

    await until(holds, what)


async def until(condition: Callable[[], Awaitable[bool]], what: str) -> None:
    """Wait until the answer to a question is yes, for a limited time."""
    try:
        async with asyncio.timeout(LIMIT):
            while not await condition():  # noqa: ASYNC110 - nothing in this process knows when it changes
                await asyncio.sleep(0.01)
    except TimeoutError:
        raise AssertionError(f"not within {LIMIT:g} s: {what}") from None


def alive(pid: int) -> bool:
    """Whether a process runs; one that is dead and not yet reaped by its parent does not."""
    try:
        return not parse_stat(Path(f"/proc/{pid}/stat").read_text()).is_zombie
    except (FileNotFoundError, ProcessLookupError):
        return False


def zombies_of(parent: int) -> list[int]:
    """Dead children of a process that it has not reaped."""
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdecimal():
            try:
                process = parse_stat(Path(f"/proc/{entry}/stat").read_text())
            except (FileNotFoundError, ProcessLookupError):
                continue
            if process.parent == parent and process.is_zombie:
                found.append(process.pid)
    return found


def read_pids(path: Path) -> list[int]:
    """Process ids that a test command wrote down, complete lines only."""
    text = path.read_text() if path.exists() else ""
    return [int(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]
