"""Labels by which one Service is to find the pods of target and primary, and no others."""

from __future__ import annotations

from collections.abc import Iterator

from flaggerpy.api.canary import Canary
from flaggerpy.controller.served import choose_router
from flaggerpy.kube.resources import DAEMONSETS, DEPLOYMENTS, Ref
from flaggerpy.lint.document import Document
from flaggerpy.lint.faults import Fault, Rule
from flaggerpy.lint.inventory import Inventory, may_be_same
from flaggerpy.lint.services import workload_of
from flaggerpy.rollout.errors import UserError
from flaggerpy.rollout.traffic import ALL_TO_CANARY

_LABELS = ("spec", "template", "metadata", "labels")


def replica_faults(document: Document, canary: Canary, inventory: Inventory) -> Iterator[Fault]:
    """Find a target without the label of ``trafficByReplicas``, and other workloads with it; told at the workload."""
    shared, workload = canary.analysis.traffic_by_replicas, workload_of(document, canary, inventory)
    router, problems = choose_router(canary, inventory.options.mesh_provider)
    ref = Ref(DEPLOYMENTS, canary.namespace, canary.target_name)
    if shared is None or workload is None or router is None or problems or ref not in router.refs(canary):
        return
    try:
        router.render(canary, {ref: workload.obj}, ALL_TO_CANARY)
    except UserError as error:
        yield workload.fault(Rule.WORKLOAD, str(error), _LABELS)
        return
    value, namespace = _labels(workload)[shared.label], inventory.namespace_of(workload)
    for kind in (DEPLOYMENTS.kind, DAEMONSETS.kind):
        for other in inventory.all(kind):
            near = other is not workload and may_be_same(inventory.namespace_of(other), namespace)
            if near and _labels(other).get(shared.label) == value:
                yield other.fault(
                    Rule.SHARED,
                    f"{kind} {other.name} has {shared.label}={value} in its pod template, by which users of "
                    f"{canary.apex_name} are led to pods (spec.analysis.trafficByReplicas of {canary.name}): give it "
                    "another value.",
                    (*_LABELS, shared.label),
                )


def _labels(workload: Document) -> dict[str, str]:
    template = workload.obj["spec"]["template"]
    return dict((template.get("metadata") or {}).get("labels") or {})
