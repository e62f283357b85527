"""Commands as a person runs them: processes of their own, beside the controller in the test's event loop."""

from __future__ import annotations

import asyncio
import os
import sys


async def flaggerpy(*words: str, patience: float = 60.0, **environment: str) -> tuple[int, str]:
    """Run a command of ours and return its exit code and all that it says."""
    return await run(sys.executable, "-m", "flaggerpy", *words, patience=patience, **environment)


async def run(*command: str, patience: float = 60.0, **environment: str) -> tuple[int, str]:
    """Run any command, with standard output and errors in one."""
    process = await asyncio.create_subprocess_exec(
        *command,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=os.environ | environment,
    )
    async with asyncio.timeout(patience):
        said, _ = await process.communicate()
    return process.returncode or 0, said.decode()
