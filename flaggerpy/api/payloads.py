"""What webhooks receive: the same keys, in the same order and with the same omissions as Flagger sends."""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from pydantic import BaseModel, ConfigDict

EPOCH: Final = datetime.fromisoformat("1970-01-01T00:00:00+00:00")


class EventType(StrEnum):
    """Kinds of Kubernetes events."""

    NORMAL = "Normal"
    WARNING = "Warning"


class WebhookPayload(BaseModel):
    """The body of every webhook call; ``metadata`` is left out when there is none."""

    model_config = ConfigDict(frozen=True)

    name: str
    namespace: str
    phase: str
    checksum: str
    metadata: dict[str, str] | None = None

    def to_json(self) -> dict[str, Any]:
        """Write the body as Flagger does."""
        return self.model_dump(mode="json", exclude={"metadata"} if not self.metadata else None)


def event_payload(base: WebhookPayload, message: str, event_type: EventType, at: datetime) -> WebhookPayload:
    """Tell an event webhook of an event.

    The webhook's own metadata is sent along, but cannot replace what belongs to the event.
    """
    event = {
        "eventMessage": message,
        "eventType": event_type.value,
        "timestamp": str((at - EPOCH) // timedelta(milliseconds=1)),
    }
    return base.model_copy(update={"metadata": (base.metadata or {}) | event})
