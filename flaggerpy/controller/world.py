"""One canary's objects as they were read for one tick: what the core saw, and the JSON that its actions change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from flaggerpy.api.canary import Canary
from flaggerpy.api.constants import RELEASE
from flaggerpy.kube.objects import JsonObject
from flaggerpy.kube.resources import BUDGETS, CANARIES, METRIC_TEMPLATES, SERVICES, Ref
from flaggerpy.rollout.observation import Observation
from flaggerpy.rollout.transition import BOOTSTRAP
from flaggerpy.routers.base import Router
from flaggerpy.routers.former import Former
from flaggerpy.targets.base import Target, TargetFacts
from flaggerpy.targets.budgets import BudgetChanges
from flaggerpy.targets.configs import ConfigRef
from flaggerpy.targets.kept import Kept

Live = Mapping[Ref, JsonObject]
"""Objects that exist, by reference."""


@dataclass(frozen=True, slots=True)
class World:
    """What one tick works on.

    Attributes:
        raw: the Canary as served, whose unknown fields survive a status write.
        live: the objects around it that exist.
        target_kind: None when the kind of target is not served.
        router: None when the provider is not served.
        formers: routes that the spec does not ask for any more.
        budgets: what is to be done about the primary's PodDisruptionBudgets.
        facts: None while the target's labels cannot be used.
        configs: the tracked references of the target's template.
        kept: revisions that were promoted and are kept, the newest first.
        tracking: whether configs are tracked at all.

    """

    raw: JsonObject
    seen: Observation
    live: Live = field(default_factory=dict)
    target_kind: Target | None = None
    router: Router | None = None
    facts: TargetFacts | None = None
    formers: tuple[Former, ...] = ()
    budgets: BudgetChanges = field(default_factory=BudgetChanges)
    configs: tuple[ConfigRef, ...] = ()
    kept: tuple[Kept, ...] = ()
    tracking: bool = True

    @property
    def canary(self) -> Canary:
        """The canary that was observed."""
        return self.seen.canary

    @property
    def ref(self) -> Ref:
        """The reference to the Canary itself."""
        return Ref(CANARIES, self.canary.namespace, self.canary.name)

    @property
    def routes(self) -> tuple[Former, ...]:
        """All routes that we may have in our hands, the present ones first."""
        return (*([Former(self.canary, self.router)] if self.router is not None else []), *self.formers)

    @property
    def target(self) -> JsonObject | None:
        """The user's workload."""
        return None if self.target_kind is None else self.live.get(self.target_kind.ref(self.canary))

    @property
    def primary(self) -> JsonObject | None:
        """Our copy of it."""
        return None if self.target_kind is None else self.live.get(self.target_kind.primary_ref(self.canary))

    @property
    def decisive(self) -> list[Ref]:
        """What traffic or pods are moved on the strength of: Services only while it is by them that users are moved."""
        canary = self.canary
        by_services = (
            self.seen.capabilities.by_replicas
            or canary.status.phase in BOOTSTRAP
            or canary.is_deleting
            or RELEASE in canary.metadata.annotations
        )
        spared = {METRIC_TEMPLATES, BUDGETS} if by_services else {METRIC_TEMPLATES, BUDGETS, SERVICES}
        return [ref for ref in self.live if ref.resource not in spared]
