"""Secrets as webhooks find them: none, or those that a test keeps."""

from __future__ import annotations

from collections.abc import Mapping

from flaggerpy.kube.errors import KubeError


async def no_secrets(_namespace: str, _name: str) -> Mapping[str, str] | None:
    """Find nothing."""
    return None


class Keeper:
    """Keeps Secrets by namespace and name; an ``outage`` is raised in the place of an answer."""

    def __init__(self) -> None:
        self.secrets: dict[tuple[str, str], dict[str, str]] = {}
        self.outage: KubeError | None = None
        self.read: list[tuple[str, str]] = []

    async def __call__(self, namespace: str, name: str) -> Mapping[str, str] | None:
        self.read.append((namespace, name))
        if self.outage is not None:
            raise self.outage
        return self.secrets.get((namespace, name))
