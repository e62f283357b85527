"""The picture of the phases is drawn from the table; `python -m tools.phases` renews it."""

from flaggerpy.api.status import Phase
from flaggerpy.rollout.transition import NEXT
from tools import phases


def test_the_picture_in_the_concepts_is_the_table_of_today() -> None:
    page = phases.PAGE.read_text(encoding="utf-8")
    assert page == phases.renewed(page), "run: python -m tools.phases"


def test_every_phase_is_drawn() -> None:
    picture = phases.diagram()
    for phase in set(Phase) - {Phase.NEW}:
        assert f"--> {phase.value}\n" in picture or phase is Phase.TERMINATING
    assert picture.count("-->") == sum(map(len, NEXT.values()))
