"""What can end a tick early."""

from __future__ import annotations

from flaggerpy.kube.errors import KubeError


class Outdated(KubeError):
    """The world is no longer what the plan was made for: the rest of it is dropped, and the next tick decides anew."""


class SchemaTooOld(KubeError):
    """The installed CRD prunes our status fields; the message names the command that upgrades it."""

    def __init__(self, field: str) -> None:
        super().__init__(
            f"The CustomResourceDefinition canaries.flagger.app is older than this controller and drops {field}, "
            "which it relies on: run `flaggerpy crds apply` (Helm never upgrades crds/)."
        )
