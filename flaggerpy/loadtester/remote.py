"""Runs jobs on other servers over HTTP: start, look again and again, stop what takes too long.

Redirects are not followed, since credentials go along, and answers are read up to a limit, as they are sent: nothing is
inflated. Names of hosts may be in errors, credentials never.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, assert_never

import httpx
import structlog

from flaggerpy.loadtester.jobs import (
    ConcordProcess,
    Job,
    NGrinderTest,
    Progress,
    UnreadableAnswer,
    concord_process,
    concord_progress,
    ngrinder_progress,
    ngrinder_test,
)
from flaggerpy.loadtester.outcomes import Broken, Finished, Interrupted, NotStarted, Outcome, TimedOut

_REQUEST_SECONDS = 15.0
_STOP_SECONDS = 5.0
_ANSWER_LIMIT = 1 << 20
_FAULTS_IN_A_ROW = 5
"""As many looks may go wrong one after the other: a server that restarts has not lost its test."""

_log: structlog.typing.FilteringBoundLogger = structlog.get_logger()


class _Unanswered(Exception):
    """No answer that can be used; the message is a clause without secrets."""


class Jobs:
    """Jobs on other servers; an async context manager that ends its connections."""

    def __init__(self) -> None:
        self._client: httpx.AsyncClient | None = None
        self._closing = asyncio.Event()

    async def __aenter__(self) -> Jobs:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
        if self._client is not None:
            await self._client.aclose()

    def close(self) -> None:
        """Start nothing more, and stop what runs as far as its server can."""
        self._closing.set()

    async def run(self, job: Job, limit: float) -> Outcome:
        """Run a job to its end, for at most `limit` seconds."""
        if self._closing.is_set():
            return Interrupted(output="")
        match job:
            case NGrinderTest():
                return await self._ngrinder(job, limit)
            case ConcordProcess():
                return await self._concord(job, min(limit, job.patience))
            case _:
                assert_never(job)

    async def _ngrinder(self, job: NGrinderTest, limit: float) -> Outcome:
        auth = httpx.BasicAuth(job.username, job.password)
        try:
            test = ngrinder_test(await self._ask("POST", job.start_url, auth=auth))
        except (_Unanswered, UnreadableAnswer) as error:
            return NotStarted(reason=str(error))

        async def look() -> tuple[Progress, str]:
            return ngrinder_progress(await self._ask("GET", job.status_url(test), auth=auth))

        outcome = await self._follow(look, job.poll, limit, f"nGrinder's test {test}")
        if isinstance(outcome, TimedOut | Interrupted):
            try:
                async with asyncio.timeout(_STOP_SECONDS):
                    await self._ask("PUT", job.stop_url(test), auth=auth)
            except (_Unanswered, TimeoutError) as error:
                _log.warning("a test of nGrinder could not be stopped", test=test, error=str(error))
        return outcome

    async def _concord(self, job: ConcordProcess, limit: float) -> Outcome:
        try:
            headers = {"Authorization": _key(job.key_file)}
            form = [(key, (None, value)) for key, value in job.fields]
            process = concord_process(await self._ask("POST", job.start_url, headers=headers, files=form))
        except (_Unanswered, UnreadableAnswer) as error:
            return NotStarted(reason=str(error))

        async def look() -> tuple[Progress, str]:
            return concord_progress(await self._ask("GET", job.status_url(process), headers=headers))

        return await self._follow(look, job.poll, limit, f"Concord's process {process}")

    async def _follow(
        self, look: Callable[[], Awaitable[tuple[Progress, str]]], poll: float, limit: float, what: str
    ) -> Outcome:
        """Look until the job has ended, time is over, or the load tester goes away."""
        said, faults = "", 0
        try:
            async with asyncio.timeout(limit):
                while not await self._closes_within(poll):
                    try:
                        progress, said = await look()
                        faults = 0
                    except (_Unanswered, UnreadableAnswer) as error:
                        faults += 1
                        if faults >= _FAULTS_IN_A_ROW:
                            return Broken(reason=f"{what} cannot be followed: {error}", output="")
                        continue
                    if progress is Progress.SUCCEEDED:
                        return Finished(code=0, output=f"{what}: {said}\n")
                    if progress is Progress.FAILED:
                        return Broken(reason=f"{what} ended with {said}", output="")
        except TimeoutError:
            return TimedOut(limit=limit, output=f"{what}: {said or 'no answer'}\n")
        return Interrupted(output=f"{what}: {said or 'no answer'}\n")

    async def _closes_within(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                return await self._closing.wait()
        except TimeoutError:
            return False

    async def _ask(self, method: str, url: str, **how: Any) -> Mapping[str, Any]:
        """Send a request and return the JSON object that it is answered with; an empty answer is an empty one."""
        try:
            async with asyncio.timeout(_REQUEST_SECONDS), self._answer(method, url, **how) as body:
                answer = json.loads(body or b"{}")
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as error:
            raise _Unanswered(f"no answer: {type(error).__name__}") from error
        except ValueError as error:
            raise _Unanswered("the answer is no JSON") from error
        if not isinstance(answer, dict):
            raise _Unanswered("the answer is no JSON object")
        return answer

    @asynccontextmanager
    async def _answer(self, method: str, url: str, **how: Any) -> AsyncIterator[bytes]:
        if self._client is None:
            self._client = httpx.AsyncClient(
                timeout=_REQUEST_SECONDS, follow_redirects=False, headers={"Accept-Encoding": "identity"}
            )
        async with self._client.stream(method, url, **how) as response:
            body = b""
            async for piece in response.aiter_raw():
                body += piece
                if len(body) > _ANSWER_LIMIT:
                    raise _Unanswered("the answer is too long")
            if not response.is_success:
                raise _Unanswered(f"the server answered {response.status_code}")
            if response.headers.get("Content-Encoding", "identity") != "identity":
                raise _Unanswered("the answer is compressed, which was not asked for")
            yield body


def _key(path: str) -> str:
    """Read the API key at use, so that a new one needs no restart."""
    try:
        key = Path(path).read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise _Unanswered(f"metadata.apiKeyPath: {path} cannot be read") from error
    if not key.isprintable():
        raise _Unanswered(f"metadata.apiKeyPath: {path} holds no key, which is one line")
    return key
