"""The kind Canary as read from the API server, and the names of everything that belongs to one."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from pydantic import Field

from flaggerpy.api.analysis import CanaryAnalysis
from flaggerpy.api.base import ApiModel, Number, Timestamp
from flaggerpy.api.constants import CANARY_SUFFIX, FINALIZER, PRIMARY_SUFFIX
from flaggerpy.api.reading import read
from flaggerpy.api.refs import AutoscalerRef, IngressRef, RouteRef, TargetRef, UpstreamRef
from flaggerpy.api.service import CanaryService
from flaggerpy.api.status import CanaryStatus


class ObjectMeta(ApiModel):
    """As much of an object's metadata as we read."""

    name: str
    """Name of the object."""
    namespace: str = "default"
    """Namespace of the object."""
    uid: str = ""
    """Identity of the object; a new object of the same name has another."""
    generation: int = 0
    """Counts the changes of the spec."""
    resource_version: str = ""
    """Changes whenever the object changes."""
    labels: dict[str, str] = Field(default_factory=dict)
    """Labels."""
    annotations: dict[str, str] = Field(default_factory=dict)
    """Annotations."""
    finalizers: tuple[str, ...] = ()
    """Who has something to do before the object may go."""
    creation_timestamp: Timestamp | None = None
    """When the object was made."""
    deletion_timestamp: Timestamp | None = None
    """When somebody asked for its deletion."""


class CanarySpec(ApiModel):
    """What a user wants of a canary."""

    provider: str | None = None
    """Who routes traffic, like gatewayapi:v1 or istio; the controller's --mesh-provider if absent."""
    metrics_server: str | None = None
    """Address of the Prometheus for built-in metrics and inline queries; the controller's own if absent."""
    progress_deadline_seconds: Number = 600
    """Time, in seconds, that the target or the primary may take to become available."""
    target_ref: TargetRef
    """The workload under control, in the canary's namespace."""
    autoscaler_ref: AutoscalerRef | None = None
    """The scaler of the target."""
    ingress_ref: IngressRef | None = None
    """The Ingress of the providers nginx, skipper and alb."""
    route_ref: RouteRef | None = None
    """Your own route: an ApisixRoute for provider apisix, or one of the Gateway API whose weights alone are changed."""
    upstream_ref: UpstreamRef | None = None
    """The Upstream that serves as a template for the provider gloo."""
    service: CanaryService | None = None
    """The Services and the route; only a Knative target can do without."""
    analysis: CanaryAnalysis
    """How a new revision is judged; needs interval, threshold and one of stepWeight, stepWeights, iterations."""
    skip_analysis: bool = False
    """Whether new revisions are promoted without any check."""
    revert_on_deletion: bool = False
    """Whether deletion restores the user's own Services and routes as they were before."""
    suspend: bool = False
    """Whether the controller leaves the canary alone."""


class Canary(ApiModel):
    """A workload whose new revisions reach users step by step.

    ``faults`` are what reading left out, one sentence for each value that the CRD admits and nobody can mean.
    They are the first of ``validation.problems``.
    """

    metadata: ObjectMeta
    spec: CanarySpec
    status: CanaryStatus = Field(default_factory=CanaryStatus)
    faults: tuple[str, ...] = Field(default=(), exclude=True)

    @property
    def key(self) -> tuple[str, str]:
        """Namespace and name."""
        return self.metadata.namespace, self.metadata.name

    @property
    def namespace(self) -> str:
        """Namespace of the canary and of all that belongs to it."""
        return self.metadata.namespace

    @property
    def name(self) -> str:
        """Name of the canary."""
        return self.metadata.name

    @property
    def analysis(self) -> CanaryAnalysis:
        """How a new revision is judged."""
        return self.spec.analysis

    @property
    def target_name(self) -> str:
        """Name of the user's workload, which plays the canary."""
        return self.spec.target_ref.name

    @property
    def primary_name(self) -> str:
        """Name of the workload that serves users between rollouts."""
        return self.target_name + PRIMARY_SUFFIX

    @property
    def apex_name(self) -> str:
        """Name of the Service (and route) that clients use."""
        return (self.spec.service and self.spec.service.name) or self.target_name

    @property
    def primary_service_name(self) -> str:
        """Name of the Service of the primary."""
        return self.apex_name + PRIMARY_SUFFIX

    @property
    def canary_service_name(self) -> str:
        """Name of the Service of the canary."""
        return self.apex_name + CANARY_SUFFIX

    @property
    def progress_deadline(self) -> timedelta:
        """Time that a workload may take to become available."""
        return timedelta(seconds=self.spec.progress_deadline_seconds)

    @property
    def is_deleting(self) -> bool:
        """Whether somebody asked for the canary's deletion."""
        return self.metadata.deletion_timestamp is not None

    @property
    def has_finalizer(self) -> bool:
        """Whether the canary cannot go before we have brought the target back."""
        return FINALIZER in self.metadata.finalizers


def parse_canary(obj: Mapping[str, Any]) -> Canary:
    """Read a Canary as the API server serves it.

    A value that the CRD admits and nobody can mean (``stepWeight: 10.5``) is left out and named in ``faults``:
    a canary with a mistake can still be deleted, suspended or released.

    Raises:
        InvalidObject: the object has no target or no analysis, or these cannot be read.

    """
    return read(Canary, obj)
