"""Clocks in a status run from when the writes are done that they speak of."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from flaggerpy.api.status import CanaryStatus, RolloutStatus, Step
from flaggerpy.controller.execute import on_time

DECIDED = datetime(2030, 1, 1, tzinfo=UTC)
WRITTEN = DECIDED + timedelta(seconds=9)
EARLIER = DECIDED - timedelta(minutes=1)


def status(started: datetime | None, moved: datetime | None, checked: datetime | None = None) -> CanaryStatus:
    step = Step(weight=10, started_at=started, checked_at=checked)
    return CanaryStatus(rollout=RolloutStatus(step=step, moved_at=moved))


def test_a_slow_write_shortens_no_step() -> None:
    told = on_time(status(EARLIER, None), status(DECIDED, DECIDED, DECIDED), WRITTEN)
    assert told == status(WRITTEN, WRITTEN, WRITTEN)


def test_clocks_that_a_plan_does_not_start_keep_their_time() -> None:
    same = status(EARLIER, EARLIER, None)
    assert on_time(same, same, WRITTEN) == same


def test_a_time_that_is_yet_to_come_stays() -> None:
    later = WRITTEN + timedelta(minutes=1)
    assert on_time(status(EARLIER, None), status(EARLIER, later), WRITTEN) == status(EARLIER, later)
