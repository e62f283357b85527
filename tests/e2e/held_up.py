"""A rollout that moves no further although nobody has stopped it, as its user sees it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from flaggerpy.kube.resources import EVENTS
from tests.e2e.place import Place


@dataclass(frozen=True, slots=True)
class Stand:
    """What has to stay as it is while a rollout is held."""

    phase: str
    weight: int
    failed_checks: int
    advances: int
    primary: str


async def stand(place: Place) -> Stand:
    """Return where a rollout stands."""
    status = (await place.canary())["status"]
    return Stand(
        phase=str(status["phase"]),
        weight=int(status.get("canaryWeight") or 0),
        failed_checks=int(status.get("failedChecks") or 0),
        advances=len([message for message in await place.events() if message.startswith("Advance ")]),
        primary=await place.image("podinfo-primary"),
    )


async def holds(place: Place, held: Stand, until: datetime) -> None:
    """See that nothing moves up to an instant."""

    async def over() -> bool:
        assert await stand(place) == held
        return datetime.now(UTC) >= until

    patience = (until - datetime.now(UTC)).total_seconds() + 30
    await place.until(over, f"{until:%H:%M:%S}", patience=max(patience, 30), pause=1.0)


async def paused(place: Place) -> None:
    """Wait until a rollout says that it is paused, as no metric gives a verdict."""

    async def there() -> bool:
        status = (await place.canary())["status"]
        ready = next((row for row in status.get("conditions") or () if row["type"] == "Ready"), None)
        return ready is not None and ready["reason"] == "Paused"

    await place.until(there, "condition Ready that says Paused", patience=120)


async def times_told(place: Place, words: str) -> int:
    """Count how often an event whose message begins with these words was recorded; one that is repeated has a count."""
    items, _ = await place.client.list(EVENTS, place.namespace)
    return sum(int(item.get("count") or 1) for item in items if str(item.get("message") or "").startswith(words))


async def told(place: Place, words: str, times: int) -> None:
    """See that such an event was recorded so often and no more; events come a moment after the status."""

    async def often_enough() -> bool:
        return await times_told(place, words) >= times

    await place.until(often_enough, f"{times} events that begin with {words!r}")
    assert await times_told(place, words) == times


async def verdicts(place: Place) -> dict[str, dict[str, Any]]:
    """Return the last measurement of each metric by name."""
    rollout = (await place.canary())["status"].get("rollout") or {}
    return {check["name"]: check for check in rollout.get("checks") or ()}
