"""Where objects are looked for."""

from __future__ import annotations

from dataclasses import dataclass

from flaggerpy.kube.resources import Ref, Resource


@dataclass(frozen=True, slots=True)
class Scope:
    """Where objects are looked for: everywhere, or in the listed namespaces and those that are referred to."""

    namespaces: tuple[str, ...] = ()

    def of(self, ref: Ref) -> str | None:
        """Return the namespace whose reflector sees the object, None for the cluster's."""
        return ref.namespace if self.namespaces and ref.resource.namespaced else None

    def at_start(self, resource: Resource) -> tuple[str | None, ...]:
        """Return where a kind that is kept whole is followed from the start."""
        return self.namespaces if self.namespaces and resource.namespaced else (None,)


EVERYWHERE = Scope()
