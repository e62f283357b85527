"""A canary without its references into other namespaces, for a controller that forbids them.

What is not there cannot be followed by anybody, whatever becomes of the canary: ``cross_namespace`` says what is wrong,
and a rollback or a deletion goes on all the same. ``spec.upstreamRef`` stays: Upstreams that were made after one that
nobody may read any more are left as they are.
"""

from __future__ import annotations

from flaggerpy.api.canary import Canary
from flaggerpy.api.refs import NamespacedRef


def confined(canary: Canary) -> Canary:
    """Return the same canary, but for templates and receivers in other namespaces."""
    analysis = canary.spec.analysis
    metrics = tuple(
        metric
        if metric.template_ref is None or _is_inside(canary, metric.template_ref)
        else metric.model_copy(update={"template_ref": None})
        for metric in analysis.metrics
    )
    alerts = tuple(alert for alert in analysis.alerts if _is_inside(canary, alert.provider_ref))
    inside = analysis.model_copy(update={"metrics": metrics, "alerts": alerts})
    return canary.model_copy(update={"spec": canary.spec.model_copy(update={"analysis": inside})})


def _is_inside(canary: Canary, ref: NamespacedRef) -> bool:
    return not ref.namespace or ref.namespace == canary.namespace
