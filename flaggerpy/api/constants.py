"""The names that Flagger's users, dashboards and GitOps tools know already, and ours; no logic."""

from __future__ import annotations

from typing import Final

GROUP: Final = "flagger.app"
VERSION: Final = "v1beta1"
API_VERSION: Final = f"{GROUP}/{VERSION}"

FINALIZER: Final = "finalizer.flagger.app"
LEASE: Final = "flagger-leader-election"
EVENT_COMPONENT: Final = "flagger"
EVENT_REASON: Final = "Synced"

PRIMARY_SUFFIX: Final = "-primary"
CANARY_SUFFIX: Final = "-canary"

# Read from users' objects
CONFIG_TRACKING: Final = "flagger.app/config-tracking"
KUMA_MESH: Final = "kuma.io/mesh"
APPMESH_ACCESS_LOG: Final = "appmesh.flagger.app/accesslog"
LAST_APPLIED_CONFIGURATION: Final = "kubectl.kubernetes.io/last-applied-configuration"

# Written on what we make or change
POD_TEMPLATE_ID: Final = "flagger-id"
PRIMARY_REVISION: Final = "flagger.app/primary-revision"
ORIGINAL_CONFIGURATION: Final = "flagger.kubernetes.io/original-configuration"
SCALE_TO_ZERO: Final = "flagger.app/scale-to-zero"
KEDA_PAUSED: Final = "autoscaling.keda.sh/paused"
KEDA_PAUSED_REPLICAS: Final = "autoscaling.keda.sh/paused-replicas"
KEDA_SCALED_OBJECT: Final = "scaledobject.keda.sh/name"
TOOLKIT_MARKER: Final = "toolkit.fluxcd.io"
HANDS_OFF: Final = {
    "kustomize.toolkit.fluxcd.io/reconcile": "disabled",
    "helm.toolkit.fluxcd.io/driftDetection": "disabled",
}
"""Annotations that tell Flux not to revert what we write."""

# Ours
MANAGED_BY: Final = "app.kubernetes.io/managed-by"
MANAGED_BY_VALUE: Final = "flaggerpy"
OWNER: Final = "flaggerpy.dev/canary"
"""Annotation ``<namespace>/<name>`` of the canary an object was made for (there are no ownerReferences)."""
RELEASE: Final = "flaggerpy.dev/release"
"""Annotation that asks, with the value ``true``, to hand a canary's workload back to its user."""
REQUEST: Final = "flaggerpy.dev/request"
"""Annotation that carries what a person asks of a rollout, as JSON (see ``flaggerpy.api.request``)."""
KEPT: Final = "flaggerpy.dev/kept"
"""Annotation of a kept revision that says which one it is, as JSON (see ``flaggerpy.targets.kept``)."""
SCHEMA_VERSION_ANNOTATION: Final = "flaggerpy.dev/schema-version"
SCHEMA_VERSION: Final = 7
"""Counts up whenever the controller relies on a field that older CRDs would prune."""
