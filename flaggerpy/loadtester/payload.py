"""The webhook payload as the load tester reads it: lenient, since people send it with curl as well."""

from __future__ import annotations

import re
from hashlib import sha256

from flaggerpy.api.payloads import WebhookPayload

_PLAIN = re.compile(r"[-._A-Za-z0-9]{0,64}")


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

    @property
    def revision(self) -> str:
        """The checksum as one word; empty when there is none, as with curl."""
        if _PLAIN.fullmatch(self.checksum):
            return self.checksum
        return sha256(self.checksum.encode("utf-8", "replace")).hexdigest()[:16]
