"""Those who do the work of tasks: child processes here, jobs on other servers."""

from __future__ import annotations

from typing import assert_never

from flaggerpy.loadtester.children import Children
from flaggerpy.loadtester.jobs import ConcordProcess, NGrinderTest
from flaggerpy.loadtester.outcomes import Outcome
from flaggerpy.loadtester.remote import Jobs
from flaggerpy.loadtester.tasks import Command, Work


class Hands:
    """Children and jobs as one."""

    def __init__(self, children: Children, jobs: Jobs) -> None:
        self._children = children
        self._jobs = jobs

    def close(self) -> None:
        """Start nothing more and end what runs."""
        self._children.close()
        self._jobs.close()

    async def run(self, work: Work, limit: float) -> Outcome:
        """Do a task's work, for at most `limit` seconds."""
        match work:
            case Command(argv=argv):
                return await self._children.run(argv, limit)
            case NGrinderTest() | ConcordProcess():
                return await self._jobs.run(work, limit)
            case _:
                assert_never(work)
