"""The webhook payload as the load tester reads it: lenient, since people send it with curl as well."""

from __future__ import annotations

from flaggerpy.api.payloads import WebhookPayload


class Payload(WebhookPayload):
    """What a hook, or a person who opens a gate, sends; whatever is left out is empty, as in Flagger."""

    name: str = ""
    namespace: str = ""
    phase: str = ""
    checksum: str = ""

    @property
    def canary(self) -> str:
        """How the load tester names a canary: in gates, in logs and when it looks for duplicates."""
        return f"{self.name}.{self.namespace}"
