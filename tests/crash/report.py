"""What a module of crash tests asks of its flows, and what it says of those that broke a law."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

import pytest

from tests.crash.coverage import undisturbed
from tests.crash.explore import ATTEMPTS, Exploration, Run, uncovered


def check_flow(
    exploration: Exploration, subtests: pytest.Subtests, record_property: Callable[[str, object], None]
) -> None:
    """Fail for every run of a flow that broke a law."""
    record_property("figures", exploration.figures)
    for run in exploration.runs:
        with subtests.test(run.title):
            if run.wrong:
                pytest.fail(_report(run), pytrace=False)
    assert exploration.flow.unwritten(exploration.runs[0].writes) == [], "a flow is there for writes that it makes"


def left_undisturbed(explorations: Sequence[Exploration]) -> list[str]:
    """Name the writes that nothing was done to, in one way or another, though they can be made to happen again."""
    wanted = Counter((crash.title, crash.mode) for one in explorations for run in one.runs for crash in run.wanted)
    in_vain = [about for about, times in wanted.items() if times >= ATTEMPTS]
    missing = uncovered(explorations, in_vain=in_vain)
    lines = [f"{title}: nothing {', '.join(mode.value for mode in modes)} it" for title, modes in missing.items()]
    return [*lines, *undisturbed(explorations)]


def _report(run: Run) -> str:
    wrong = "\n".join(f"- {sentence}" for sentence in run.wrong)
    return f"{run.title}\n{wrong}\nThe story, in seconds:\n{run.story}"
