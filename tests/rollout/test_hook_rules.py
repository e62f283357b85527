"""The rules of docs/guides/hooks.md for the calls that the core asks for: repeated by the same name after a crash."""

from __future__ import annotations

import copy
import re
from pathlib import Path

import pytest

from flaggerpy.api.analysis import HookType
from flaggerpy.api.status import Phase
from flaggerpy.rollout.checks import HookCheck
from tests.rollout.world import World, hook, initialized, spec

PAGE = (Path(__file__).parents[2] / "docs" / "guides" / "hooks.md").read_text(encoding="utf-8")
ASKED = [kind for kind in HookType if kind not in {HookType.POST_ROLLOUT, HookType.EVENT}]
"""Types whose answers the core waits for; the others are called by announce.py."""


def rows(heading: str) -> dict[str, list[str]]:
    """The rows of the table under a heading, by their first cell."""
    text = PAGE.partition(f"{heading}\n")[2].partition("\n#")[0]
    table = [line.strip("|").split("|") for line in text.splitlines() if line.startswith("|")][2:]
    return {
        match[1]: [cell.strip() for cell in rest] for first, *rest in table if (match := re.search("`(.+?)`", first))
    }


def test_the_page_has_a_row_for_every_type_and_every_phase_of_a_rollout() -> None:
    types = {kind.value for kind in HookType}
    assert set(rows("## When it is called, and what an answer does")) == types
    assert set(rows("## When the controller dies")) == types
    phases = {"Waiting", "Progressing", "WaitingPromotion", "Promoting", "Finalising"}
    assert set(rows("### Rollback hooks in every phase")) == phases


def questions(world: World) -> list[HookCheck]:
    return [check for _, check, _ in world.asked if isinstance(check, HookCheck)]


def tick_that_asks(world: World) -> World:
    """Play on to just before the tick that asks a hook; ticks that ask for nothing happen."""
    for _ in range(200):
        assert world.advance()
        before = copy.deepcopy(world)
        known = len(questions(world))
        world.tick()
        if len(questions(world)) > known:
            return before
    raise AssertionError("no hook was asked")


@pytest.mark.parametrize("kind", ASKED)
@pytest.mark.parametrize("parallel", [False, True])
def test_a_question_whose_answer_a_crash_swallowed_is_repeated_under_its_name(kind: HookType, parallel: bool) -> None:
    called_again, key = rows("## When the controller dies")[kind.value]
    assert (called_again, key.partition(";")[0]) == ("called again", "the same")
    hooks = [hook(kind.value, name) for name in ("same-name", "same-name")]
    world = initialized(spec=spec(webhooks=hooks, webhooksParallel=parallel)).push("v2")
    used: set[str] = set()
    for _ in range(2):
        world = tick_that_asks(world)
        known = len(questions(world))
        world.tick(crash_after=0)
        first = questions(world)[known:]
        assert {check.type for check in first} == {kind}
        world.tick()
        second = questions(world)[known + len(first) :]
        assert [check.key for check in second] == [check.key for check in first]
        keys = {check.key for check in first}
        assert len(keys) == len(first) == 2, "hooks of the same name are two questions"
        assert not keys & used, "the next question has another name"
        used |= keys
        if kind in {HookType.CONFIRM_ROLLOUT, HookType.PRE_ROLLOUT, HookType.CONFIRM_PROMOTION}:
            world.run(Phase.SUCCEEDED).run()
            world.push("v3")
    world.run()
    assert world.phase is Phase.SUCCEEDED
