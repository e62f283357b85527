"""The webhook payload as the load tester reads it: lenient, since people send it with curl as well."""

from __future__ import annotations

from pydantic import Field

from flaggerpy.api.base import ApiModel


class WebhookPayload(ApiModel):
    """What a hook, or a person who opens a gate, sends."""

    name: str = ""
    namespace: str = ""
    phase: str = ""
    checksum: str = ""
    metadata: dict[str, str] = Field(default_factory=dict)
