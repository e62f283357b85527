"""The client itself: an open loop of requests at a fixed rate, whatever the answers do.

It runs in a thread with an event loop of its own, so that a test may do what it likes meanwhile, blocking included. The
thread lives in the network namespace of whoever starts it.
"""

from __future__ import annotations

import asyncio
import errno
import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

import aiohttp

from tests.traffic.plan import Plan
from tests.traffic.summary import Record, Summary

_TOO_LATE = 1.0
_BODY_LIMIT = 64 * 1024
_POD_ANSWERED = "x-envoy-upstream-service-time"


class SteadyClient:
    """Sends a plan's requests from `start()` until its time is over or `stop()` is called.

    Also a context manager: leaving it stops. `out` is a file to which every record is written as it comes.
    """

    def __init__(self, plan: Plan, out: Path | None = None) -> None:
        self._plan = plan
        self._out = out
        self._records: list[Record] = []
        self._missed = 0
        self._fault: BaseException | None = None
        self._stop_in_loop: Callable[[], object] = lambda: None
        self._ready, self._done = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="steady client", daemon=True)

    def start(self) -> None:
        """Begin to send; returns once the first request is due."""
        self._thread.start()
        self._ready.wait()

    def finish(self) -> None:
        """Send no more; does not wait, so that a signal handler may call it."""
        self._stop_in_loop()

    def stop(self) -> Summary:
        """Send no more, wait for the answers that are due, and tell what was seen."""
        self.finish()
        return self.wait()

    def wait(self, timeout: float | None = None) -> Summary:
        """Wait until the plan is done, at most `timeout` seconds, and tell what was seen until then."""
        if not self._ready.is_set():
            raise RuntimeError("the client was not started")
        # Not Thread.join: interrupted by Ctrl-C, it takes the thread for ended (Python 3.11).
        self._done.wait(timeout)
        if self._fault is not None:
            raise self._fault
        return self.summary()

    def summary(self) -> Summary:
        """Tell what was seen so far."""
        return Summary(tuple(self._records), self._missed)

    @property
    def running(self) -> bool:
        """Whether requests are still sent or awaited."""
        return self._ready.is_set() and not self._done.is_set()

    def __enter__(self) -> SteadyClient:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _run(self) -> None:
        try:
            asyncio.run(self._send_all())
        except BaseException as fault:  # handed to whoever waits, in wait()
            self._fault = fault
        finally:
            self._ready.set()
            self._done.set()

    async def _send_all(self) -> None:
        loop, stop = asyncio.get_running_loop(), asyncio.Event()

        def stop_in_loop() -> None:
            try:
                loop.call_soon_threadsafe(stop.set)
            except RuntimeError:  # the loop is closed: it has stopped by itself
                return

        self._stop_in_loop = stop_in_loop
        file = self._out.open("w", encoding="utf-8", buffering=1) if self._out else None
        try:
            async with _session(self._plan) as session, asyncio.TaskGroup() as group:
                await self._keep_pace(session, group, stop, file.write if file else len)
        finally:
            if file:
                file.close()

    async def _keep_pace(
        self,
        session: aiohttp.ClientSession,
        group: asyncio.TaskGroup,
        stop: asyncio.Event,
        write: Callable[[str], object],
    ) -> None:
        under_way: set[asyncio.Task[None]] = set()

        async def one() -> None:
            record = await _request(session, self._plan)
            self._records.append(record)
            write(record.line())

        clock = asyncio.get_running_loop().time
        began = clock()
        self._ready.set()
        for number in range(self._plan.count):
            due = began + number / self._plan.rate
            if await _stopped_before(due, stop):
                return
            if clock() - due > _TOO_LATE or len(under_way) >= self._plan.at_once:
                self._missed += 1
                continue
            task = group.create_task(one())
            under_way.add(task)
            task.add_done_callback(under_way.discard)


def _session(plan: Plan) -> aiohttp.ClientSession:
    session = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(force_close=not plan.keep_alive, limit=plan.at_once),
        timeout=aiohttp.ClientTimeout(total=plan.timeout),
        headers={"Host": plan.host, "User-Agent": "flaggerpy-steady-client", **dict(plan.headers)},
        skip_auto_headers=("Accept-Encoding",),
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=False,
    )
    # aiohttp sends a GET once more when a kept connection was closed under it; users would see that reset, and
    # there is no public switch.
    session._retry_connection = False
    return session


async def _stopped_before(due: float, stop: asyncio.Event) -> bool:
    if stop.is_set():
        return True
    left = due - asyncio.get_running_loop().time()
    if left <= 0:
        await asyncio.sleep(0)  # behind the clock: let answers in all the same
        return stop.is_set()
    try:
        async with asyncio.timeout(left):
            await stop.wait()
    except TimeoutError:
        return False
    return True


async def _request(session: aiohttp.ClientSession, plan: Plan) -> Record:
    at, began = time.time(), time.perf_counter()
    status: int | None = None
    try:
        async with session.get(plan.url, allow_redirects=False) as response:
            status = response.status
            body = await _whole(response)
            headers = response.headers
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        return Record(at=at, seconds=time.perf_counter() - began, status=status, error=_kind(error))
    version, hostname = _who(body)
    return Record(
        at=at,
        seconds=time.perf_counter() - began,
        status=status,
        version=version,
        hostname=hostname,
        upstream=headers.get(plan.upstream_header),
        from_pod=version is not None or _POD_ANSWERED in headers,
    )


async def _whole(response: aiohttp.ClientResponse) -> bytes:
    """Read an answer to its end, and keep no more of it than a pod's own words take."""
    kept = bytearray()
    async for chunk in response.content.iter_chunked(_BODY_LIMIT):
        kept += chunk[: _BODY_LIMIT - len(kept)]
    return bytes(kept)


def _who(body: bytes) -> tuple[str | None, str | None]:
    """Read version and hostname from podinfo's JSON; any other body tells neither."""
    try:
        answer = json.loads(body)
    except ValueError:
        return None, None
    if not isinstance(answer, dict):
        return None, None
    version, hostname = answer.get("version"), answer.get("hostname")
    return version if isinstance(version, str) else None, hostname if isinstance(hostname, str) else None


def _kind(error: BaseException) -> str:
    match error:
        case TimeoutError():
            return "timeout"
        case aiohttp.ClientConnectorError(os_error=ConnectionRefusedError()):
            return "refused"
        case aiohttp.ClientConnectorError(os_error=why):
            return f"unreachable ({errno.errorcode.get(why.errno or 0, why)})"
        case aiohttp.ServerDisconnectedError() | ConnectionError():
            return "reset"
        case aiohttp.ClientPayloadError():
            return "truncated"
        case aiohttp.ClientOSError():
            return "reset"
        case _:
            return "protocol"
