"""Child processes: started in a session of their own, read up to a limit, and really killed.

Knows nothing of canaries, tasks or HTTP. Every session that was started is gone when the context of `Children` is left.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Sequence
from types import TracebackType

from flaggerpy.loadtester.clip import Clip
from flaggerpy.loadtester.outcomes import Finished, Interrupted, NotStarted, Outcome, TimedOut
from flaggerpy.loadtester.procfs import kill_descendants, reap_orphans, session_lives, signal_session

_POLL = 0.02
_HOUSEKEEPING = 1.0
_LAST_WORDS = 0.2
_KILLING = 5.0


class _Output(asyncio.Protocol):
    """The reading end of a child's output."""

    def __init__(self, limit: int) -> None:
        self.clip = Clip(limit)
        self.ended = asyncio.Event()

    def data_received(self, data: bytes) -> None:
        self.clip.feed(data)

    def connection_lost(self, exc: Exception | None) -> None:
        del exc  # an error while reading is an end like any other: the exit code tells the rest
        self.ended.set()


class Children:
    """All child processes of the load tester; an async context manager that leaves none behind.

    With `reap_all` every dead child of this process is collected, also those that somebody else started, and in the end
    those are killed that left the session of their task: only for a program that starts no process in another way.
    """

    def __init__(self, *, output_limit: int, kill_grace: float, reap_all: bool) -> None:
        self._output_limit = output_limit
        self._kill_grace = kill_grace
        self._reap_all = reap_all
        self._leaders: set[int] = set()
        self._starting = 0
        self._closing = asyncio.Event()
        self._group = asyncio.TaskGroup()

    async def __aenter__(self) -> Children:
        await self._group.__aenter__()
        if self._reap_all:
            self._group.create_task(self._keep_house())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
        await self._group.__aexit__(kind, error, trace)
        if self._reap_all:
            await self._within(_KILLING, lambda: not kill_descendants())

    def close(self) -> None:
        """Start nothing more and end what runs; leaving the context waits until all of it is gone."""
        self._closing.set()

    async def run(self, argv: Sequence[str], limit: float) -> Outcome:
        """Run a command to its end, for at most `limit` seconds.

        The end is the exit of the command and the end of its output, as for a shell's pipeline. Children that
        it detached (output redirected, in the background) may go on, until the same limit or our shutdown.
        """
        if self._closing.is_set():
            return Interrupted(output="")
        deadline = asyncio.get_running_loop().time() + limit
        output = _Output(self._output_limit)
        try:
            process, pipe = await self._start(argv, output)
        except OSError as error:
            return NotStarted(reason=error.strerror or str(error))
        except ValueError as error:  # what no command line can hold
            return NotStarted(reason=str(error))
        try:
            return await self._finish(process, output, limit)
        finally:
            pipe.close()
            if process.returncode is not None:
                self._leaders.discard(process.pid)
            if session_lives(process.pid):
                self._group.create_task(self._linger(process.pid, deadline))

    async def _start(
        self, argv: Sequence[str], output: _Output
    ) -> tuple[asyncio.subprocess.Process, asyncio.ReadTransport]:
        reader, writer = os.pipe()
        self._starting += 1
        try:
            pipe, _ = await asyncio.get_running_loop().connect_read_pipe(lambda: output, os.fdopen(reader, "rb"))
            try:
                process = await asyncio.create_subprocess_exec(
                    *argv,
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=writer,
                    stderr=writer,
                    start_new_session=True,
                )
            except BaseException:
                pipe.close()
                raise
            self._leaders.add(process.pid)
            return process, pipe
        finally:
            self._starting -= 1
            os.close(writer)

    async def _finish(self, process: asyncio.subprocess.Process, output: _Output, limit: float) -> Outcome:
        ended = asyncio.create_task(_ended(process, output))
        closing = asyncio.create_task(self._closing.wait())
        try:
            await asyncio.wait({ended, closing}, timeout=limit, return_when=asyncio.FIRST_COMPLETED)
            if ended.done():
                return Finished(code=ended.result(), output=output.clip.text())
            await self._end_session(process.pid)
            await asyncio.wait({ended}, timeout=_LAST_WORDS)  # a child that left the session may hold the output
        except asyncio.CancelledError:
            signal_session(process.pid, signal.SIGKILL)
            raise
        finally:
            ended.cancel()
            closing.cancel()
        if self._closing.is_set():
            return Interrupted(output=output.clip.text())
        return TimedOut(limit=limit, output=output.clip.text())

    async def _end_session(self, session: int) -> None:
        """Ask the whole session to end, then make it."""
        signal_session(session, signal.SIGTERM)
        if await self._within(self._kill_grace, lambda: not session_lives(session)):
            return

        def killed() -> bool:
            signal_session(session, signal.SIGKILL)  # each time: there may be children that were not there before
            return not session_lives(session)

        await self._within(_KILLING, killed)

    async def _within(self, seconds: float, condition: Callable[[], bool]) -> bool:
        """Wait until something holds, for a limited time; tell whether it does."""
        patient_until = asyncio.get_running_loop().time() + seconds
        while not condition():
            if asyncio.get_running_loop().time() >= patient_until:
                return False
            await asyncio.sleep(_POLL)
        return True

    async def _linger(self, session: int, deadline: float) -> None:
        """Look after what a finished command left running in its session."""
        try:
            while session_lives(session):
                left = deadline - asyncio.get_running_loop().time()
                if self._closing.is_set() or left <= 0:
                    await self._end_session(session)
                    return
                await self._wait_for_closing(min(left, _HOUSEKEEPING))
        except asyncio.CancelledError:
            signal_session(session, signal.SIGKILL)
            raise

    async def _keep_house(self) -> None:
        while not self._closing.is_set():
            await self._wait_for_closing(_HOUSEKEEPING)
            if not self._starting:  # a child is not in `_leaders` before it was started
                reap_orphans(self._leaders)

    async def _wait_for_closing(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._closing.wait()
        except TimeoutError:
            return


async def _ended(process: asyncio.subprocess.Process, output: _Output) -> int:
    code = await process.wait()
    await output.ended.wait()
    return code
