"""Die before, after and during every write of every flow: users never notice, and it all ends the same."""

from __future__ import annotations

import asyncio

import pytest

from tests.crash.explore import Exploration, Run
from tests.crash.flows import FLOWS

pytestmark = [pytest.mark.crash, pytest.mark.timeout(900), pytest.mark.asyncio(loop_scope="session")]


@pytest.mark.parametrize("name", FLOWS)
async def test_a_flow_survives_a_crash_around_every_write(
    explorations: dict[str, asyncio.Task[Exploration]], subtests: pytest.Subtests, figures: list[str], name: str
) -> None:
    exploration = await explorations[name]
    peace = exploration.runs[0]
    seconds = sum(run.seconds for run in exploration.runs)
    figures.append(
        f"{name}: {len(peace.writes)} writes, {len(exploration.runs)} runs of {seconds / len(exploration.runs):.1f} s, "
        f"{sum(bool(run.wrong) for run in exploration.runs)} violate a law"
    )
    for run in exploration.runs:
        with subtests.test(run.title):
            if run.wrong:
                pytest.fail(_report(run), pytrace=False)
    assert not exploration.uncovered(), "writes that nothing disturbed"


def _report(run: Run) -> str:
    wrong = "\n".join(f"- {sentence}" for sentence in run.wrong)
    return f"{run.title}\n{wrong}\nThe story, in seconds:\n{run.story}"
