"""Whether a route can be written as it is meant although a user has made a mistake.

Most mistakes say nothing of routes: what a metric lacks, or a webhook, leaves it clear where users are to be. Where one
does, where a Service or a route cannot be written, or where an object of it cannot be read, nobody knows.
"""

from __future__ import annotations

from typing import Final

from flaggerpy.api.canary import Canary
from flaggerpy.api.validation import cross_namespace, problems
from flaggerpy.controller.draft import Draft
from flaggerpy.kube.cache import Caches
from flaggerpy.rollout.errors import UserError
from flaggerpy.rollout.traffic import ALL_TO_CANARY, ALL_TO_PRIMARY, Routes
from flaggerpy.routers.base import Router

_BESIDE: Final = tuple(
    f"spec.{field}"
    for field in (
        "analysis.alerts",
        "analysis.canaryReadyThreshold",
        "analysis.canaryScale",
        "analysis.initialDelay",
        "analysis.interval",
        "analysis.maxWeight",
        "analysis.metrics",
        "analysis.primaryReadyThreshold",
        "analysis.stepWeight",
        "analysis.threshold",
        "analysis.webhooks",
        "autoscalerRef",
        "metricsServer",
        "progressDeadlineSeconds",
    )
)
"""What no route goes by: how shares grow and what judges them, but not whom they are shares of."""


def says_its_route(canary: Canary, *, inside: bool) -> bool:
    """Tell whether no mistake of a Canary is about its route.

    Args:
        canary: as its user wrote it.
        inside: whether it may refer to objects of its own namespace only.

    """
    bare = _of_route(canary)
    return not problems(bare) and not (inside and cross_namespace(bare))


def find_out(draft: Draft, caches: Caches) -> None:
    """Note whether the route can be written, also as one to the primary alone, and the mistake that only a try finds.

    Beside other mistakes it is not told: most often it comes from one of them.
    """
    if draft.router is None or any(caches.trouble(ref.resource) for ref in draft.router.refs(draft.canary)):
        draft.routable = draft.returnable = False
        return
    if draft.routable and (mistake := _why_not(draft, draft.router, ALL_TO_CANARY)):
        draft.routable = False
        if not draft.problems:
            draft.problems.append(mistake)
    # Users come back also through a route that cannot lead them any further.
    draft.returnable = draft.routable or not _why_not(draft, draft.router, ALL_TO_PRIMARY)


def _why_not(draft: Draft, router: Router, routes: Routes) -> str:
    """Say why a route with these shares cannot be written; empty where it can."""
    try:
        router.render(draft.canary, draft.live, routes)
    except UserError as error:
        return str(error)
    return ""


def _of_route(canary: Canary) -> Canary:
    """Return the same canary without anything that no route goes by."""
    plan = {"step_weight": 1, "step_weights": (), "max_weight": 100, "step_weight_promotion": 0}
    judges = {"metrics": (), "webhooks": (), "alerts": (), "canary_scale": None}
    ready = {"primary_ready_threshold": 100, "canary_ready_threshold": 100}
    analysis = canary.analysis.model_copy(update={**plan, **judges, **ready})
    rest = {"autoscaler_ref": None, "metrics_server": None, "progress_deadline_seconds": 1}
    spec = canary.spec.model_copy(update={"analysis": analysis, **rest})
    faults = tuple(fault for fault in canary.faults if not fault.startswith(_BESIDE))
    return canary.model_copy(update={"spec": spec, "faults": faults})
