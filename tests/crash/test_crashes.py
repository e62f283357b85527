"""Die before, after and during every write of every flow: users never notice, and it all ends the same."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from tests.crash.explore import Exploration, Run, uncovered
from tests.crash.flows import FLOWS

pytestmark = [pytest.mark.crash, pytest.mark.timeout(900), pytest.mark.asyncio(loop_scope="session")]


@pytest.mark.parametrize("name", FLOWS)
async def test_a_flow_survives_a_crash_around_every_write(
    exploring: asyncio.Task[list[Exploration]],
    subtests: pytest.Subtests,
    record_property: Callable[[str, object], None],
    name: str,
) -> None:
    exploration = next(one for one in await exploring if one.flow.name == name)
    record_property("figures", exploration.figures)
    for run in exploration.runs:
        with subtests.test(run.title):
            if run.wrong:
                pytest.fail(_report(run), pytrace=False)


async def test_no_write_is_left_undisturbed(exploring: asyncio.Task[list[Exploration]]) -> None:
    missing = uncovered(await exploring)
    lines = [f"{title}: nothing {', '.join(mode.value for mode in modes)} it" for title, modes in missing.items()]
    assert lines == []


def _report(run: Run) -> str:
    wrong = "\n".join(f"- {sentence}" for sentence in run.wrong)
    return f"{run.title}\n{wrong}\nThe story, in seconds:\n{run.story}"
