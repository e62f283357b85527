"""Whatever the code can write has a flow that is there for it; whoever adds a kind of write adds it to the tables."""

from __future__ import annotations

import pytest

from tests.crash.coverage import ACTIONS, ALONE, WRITERS, actions, undisturbed, writers
from tests.crash.explore import Exploration, Run
from tests.crash.flows import FLOWS, Flow
from tests.crash.focused import FOCUSED
from tests.crash.journal import Origin
from tests.crash.mortal import Mode


def test_every_action_of_the_core_has_a_flow() -> None:
    assert actions() == ACTIONS.keys()


def test_every_function_of_the_shell_that_writes_has_a_flow() -> None:
    assert writers() == WRITERS.keys() | ALONE.keys()


def test_no_two_flows_have_one_name_and_the_tables_name_flows_that_exist() -> None:
    assert not FLOWS.keys() & FOCUSED.keys()
    assert {*ACTIONS.values(), *WRITERS.values()} <= {*FLOWS, *FOCUSED}


def test_what_a_flow_is_there_for_and_does_not_disturb_is_noticed() -> None:
    flow = FLOWS["primary lost"]
    origin = Origin("RestorePrimary", "kept:Keeper.restore")
    run = Run(flow.name, (), origins=tuple((origin, mode) for mode in (Mode.BEFORE, Mode.AFTER)))
    assert undisturbed([Exploration(flow, [run])], every=True) == [
        f"primary lost is there for {name}, and nothing loses the answer of it"
        for name in ("RestorePrimary", "kept:Keeper.restore")
    ]


@pytest.mark.parametrize("flow", FOCUSED.values(), ids=FOCUSED.keys())
def test_a_flow_that_names_its_writes_is_about_these_alone(flow: Flow) -> None:
    assert flow.is_about("PUT Canary podinfo/status Nothing") is (not flow.about)
    assert all(flow.is_about(f"PUT {part} podinfo") for part in flow.about)
    assert flow.unwritten([]) == [*flow.about]
