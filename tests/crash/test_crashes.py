"""Die before, after and during every write of every flow: users never notice, and it all ends the same."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from tests.crash.explore import Exploration
from tests.crash.flows import FLOWS
from tests.crash.report import check_flow, left_undisturbed

pytestmark = [pytest.mark.crash, pytest.mark.timeout(900), pytest.mark.asyncio(loop_scope="session")]


@pytest.mark.parametrize("name", FLOWS)
async def test_a_flow_survives_a_crash_around_every_write(
    exploring: asyncio.Task[list[Exploration]],
    subtests: pytest.Subtests,
    record_property: Callable[[str, object], None],
    name: str,
) -> None:
    check_flow(next(one for one in await exploring if one.flow.name == name), subtests, record_property)


async def test_no_write_is_left_undisturbed(exploring: asyncio.Task[list[Exploration]]) -> None:
    assert left_undisturbed(await exploring) == []
