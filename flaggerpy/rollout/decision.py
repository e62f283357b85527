"""What a decision can be: questions to ask first, or a plan.

Actions are data. The order of a plan's tuple is the order of the writes; the status is written after all of them, and
announcements are made after that.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Literal

from flaggerpy.api.refs import ScalerKind
from flaggerpy.api.status import CanaryStatus, Pending, Phase
from flaggerpy.rollout.checks import Check
from flaggerpy.rollout.traffic import Routes


class ServiceRole(Enum):
    """The three Services of a canary."""

    APEX = "apex"
    PRIMARY = "primary"
    CANARY = "canary"


@dataclass(frozen=True, slots=True)
class AddFinalizer:
    """Put our finalizer on the Canary, so that a deletion serves users first."""


@dataclass(frozen=True, slots=True)
class RemoveFinalizer:
    """Let the Canary go."""


@dataclass(frozen=True, slots=True)
class DisownPrimary:
    """Take Flagger's ownerReferences off the primary and its configs, so that no deletion collects them."""


@dataclass(frozen=True, slots=True)
class WriteService:
    """Create or mend one of the three Services; the apex then selects the primary."""

    role: ServiceRole


@dataclass(frozen=True, slots=True)
class ReleaseService:
    """Let the apex Service select the user's own pods again."""


@dataclass(frozen=True, slots=True)
class CopyConfigs:
    """Copy the target's ConfigMaps and Secrets for the primary.

    The copies are made only if their content still has the ``expected`` checksums: what is promoted is what was
    analysed.
    """

    expected: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class CreatePrimary:
    """Clone the target."""


@dataclass(frozen=True, slots=True)
class UpdatePrimary:
    """Replace the primary's pod template by the target's as it was observed."""


@dataclass(frozen=True, slots=True)
class KeepRevision:
    """Keep the target's pod template as it was observed, with these configs, as the revision that was promoted.

    With ``of_primary`` it is the template that the primary runs, translated back.
    """

    configs: Mapping[str, str]
    of_primary: bool = False


@dataclass(frozen=True, slots=True)
class ForgetPromoted:
    """Forget what was promoted last: what was promoted before that counts again."""


@dataclass(frozen=True, slots=True)
class RestorePrimary:
    """Make the primary, or make it again, from the revision that is kept, with the configs that were promoted."""


@dataclass(frozen=True, slots=True)
class DropCopies:
    """Let go of the primary's copies of these configs, ``configmap/x`` or ``secret/x``: it reads them no more."""

    configs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ScaleTarget:
    """Set the target's replicas."""

    replicas: int


@dataclass(frozen=True, slots=True)
class ScalePrimary:
    """Set the primary's replicas."""

    replicas: int


@dataclass(frozen=True, slots=True)
class WriteScaler:
    """Make the primary's autoscaler after the target's, or mend it; it leaves the primary ``minimum`` pods at least."""

    minimum: int


@dataclass(frozen=True, slots=True)
class DeleteScaler:
    """Delete the autoscaler of this name that was made for the primary."""

    name: str
    kind: ScalerKind = "HorizontalPodAutoscaler"


@dataclass(frozen=True, slots=True)
class PauseScaler:
    """Pause the target's autoscaler of this name at zero pods, by one annotation."""

    name: str


@dataclass(frozen=True, slots=True)
class ResumeScaler:
    """Take the pause at zero pods off a target's autoscaler; any other pause is somebody else's and stays."""

    name: str


@dataclass(frozen=True, slots=True)
class WriteBudgets:
    """Let the primary's pods be protected from evictions as the target's are."""


@dataclass(frozen=True, slots=True)
class SetRoutes:
    """Write the routing object with these shares, creating it when it is missing."""

    routes: Routes


@dataclass(frozen=True, slots=True)
class ReleaseRoute:
    """Let the routing object send everything to the apex Service, or restore the user's original."""


@dataclass(frozen=True, slots=True)
class LeaveRoutes:
    """Give back the routes of a former provider, or of a former name, as they stay behind after a deletion."""


@dataclass(frozen=True, slots=True)
class DeleteChildren:
    """Delete what we made; with ``serving`` the apex Service and the route stay, because users come through them."""

    serving: bool


Action = (
    AddFinalizer
    | RemoveFinalizer
    | DisownPrimary
    | WriteService
    | ReleaseService
    | CopyConfigs
    | CreatePrimary
    | UpdatePrimary
    | KeepRevision
    | ForgetPromoted
    | RestorePrimary
    | DropCopies
    | ScaleTarget
    | ScalePrimary
    | WriteScaler
    | DeleteScaler
    | PauseScaler
    | ResumeScaler
    | WriteBudgets
    | SetRoutes
    | ReleaseRoute
    | LeaveRoutes
    | DeleteChildren
)


@dataclass(frozen=True, slots=True)
class Event:
    """A Kubernetes Event on the Canary (and a call of the event webhooks); it may be lost in a crash.

    Attributes:
        phase: what event webhooks hear; empty is the phase that was just written.

    """

    type: Literal["Normal", "Warning"]
    message: str
    phase: Phase = Phase.NEW


@dataclass(frozen=True, slots=True)
class NeedChecks:
    """Run these in order, stop at the first whose answer ends the round, add the answers and ask again."""

    checks: tuple[Check, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do now.

    Attributes:
        actions: writes, in order.
        status: the whole new status, None when it is as it should be.
        events: to record after the status write.
        announcements: pending announcements to make after the status write.
        wake_at: when to look again if nothing happens before; None when only a change can matter.
        outcome: set in the tick that ends a rollout, for the success and failure counters.
        analysed: whether the canary was judged, for the duration of analyses.

    """

    actions: tuple[Action, ...] = ()
    status: CanaryStatus | None = None
    events: tuple[Event, ...] = ()
    announcements: tuple[Pending, ...] = ()
    wake_at: datetime | None = None
    outcome: Literal["succeeded", "failed", "skipped"] | None = None
    analysed: bool = False


Decision = NeedChecks | Plan
