"""What surrounds a canary in the input: its workload, scalers of it, and other canaries."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from difflib import get_close_matches

from flaggerpy.api.canary import Canary
from flaggerpy.controller.served import choose_target
from flaggerpy.lint.document import Document
from flaggerpy.lint.faults import Fault, Rule
from flaggerpy.lint.inventory import Inventory, may_be_same
from flaggerpy.lint.services import declared_ports, workload_of
from flaggerpy.rollout.errors import UserError
from flaggerpy.targets.autoscaler import SCALERS
from flaggerpy.targets.claims import Claim, claim_of, collision
from flaggerpy.targets.configs import config_refs, is_tracked, refuse_collisions

Subject = tuple[Document, Canary]
"""A Canary as it was written, and as it was read."""


def target_faults(
    document: Document, canary: Canary, inventory: Inventory, subjects: Iterable[Subject]
) -> Iterator[Fault]:
    """Find a name that no workload of the input has where one of them is meant in all likelihood."""
    ref, namespace = canary.spec.target_ref, inventory.namespace_of(document)
    if ref.is_knative or any(inventory.named(ref.kind, namespace, ref.name)):
        return
    taken = {other.target_name for _, other in subjects}
    names = sorted(
        {
            workload.name
            for workload in inventory.all(ref.kind)
            if may_be_same(inventory.namespace_of(workload), namespace) and workload.name not in taken
        }
    )
    meant = get_close_matches(ref.name, names, 1) or names
    if len(meant) == 1:
        sentence = f"spec.targetRef.name: the input has no {ref.kind} {ref.name}: did you mean {meant[0]}?"
        yield document.fault(Rule.TARGET, sentence)


def workload_faults(document: Document, canary: Canary, inventory: Inventory) -> Iterator[Fault]:
    """Find what keeps the workload in the input from being a target; told at the workload."""
    workload = workload_of(document, canary, inventory)
    target, _ = choose_target(canary)
    if workload is None:
        return
    template = workload.obj["spec"]["template"]
    try:
        target.check(canary, workload.obj)
    except UserError as error:
        yield workload.fault(Rule.WORKLOAD, str(error), ("spec", "template"))
        return
    try:
        target.facts(canary, workload.obj, inventory.options.labels, None)
    except UserError as error:
        yield workload.fault(Rule.WORKLOAD, str(error), ("spec", "selector", "matchLabels"))
    refs = config_refs(template)
    tracked = []
    for ref in refs:
        config = inventory.find(ref.resource.kind, ref.name, workload)
        if config is None or is_tracked(config.obj):
            tracked.append(ref.key)
    try:
        refuse_collisions(refs, tracked)
    except UserError as error:
        yield workload.fault(Rule.WORKLOAD, str(error), ("spec", "template"))


def port_faults(document: Document, canary: Canary, inventory: Inventory) -> Iterator[Fault]:
    """Find Services that lead to no port of the workload in the input."""
    declared = declared_ports(document, canary, inventory)
    service = canary.spec.service
    if declared is None or service is None:
        return
    wanted, kind = service.pod_port, canary.spec.target_ref.kind
    field = "targetPort" if wanted == service.target_port else "port"
    here = " or ".join(f"{port.number} ({port.name})" if port.name else str(port.number) for port in declared)
    if isinstance(wanted, str) and wanted not in {port.name for port in declared}:
        reason = f"no container of {kind} {canary.target_name} has a port named {wanted}, so nobody would be reached"
    elif declared and not isinstance(wanted, str) and wanted not in {port.number for port in declared}:
        reason = f"no container of {kind} {canary.target_name} declares port {wanted}"
    else:
        return
    advice = f"write {here} as targetPort" if here else "give the container's port that name"
    yield document.fault(Rule.CONTAINER_PORT, f"spec.service.{field}: {reason}: {advice}.")


def scaler_faults(document: Document, canary: Canary, inventory: Inventory) -> Iterator[Fault]:
    """Find scalers in the input that do not go with ``autoscalerRef``."""
    ref, target = canary.spec.autoscaler_ref, (canary.spec.target_ref.kind, canary.target_name)
    for kind, scalers in SCALERS.items():
        if ref is not None and ref.kind == kind and (named := inventory.find(kind, ref.name, document)):
            facts = scalers.facts(canary, named.obj)
            if facts.scales != target:
                yield document.fault(
                    Rule.AUTOSCALER,
                    f"spec.autoscalerRef: {kind} {ref.name} scales {' '.join(facts.scales)}, not the target "
                    f"{' '.join(target)}: name the scaler of the target.",
                )
            yield from (document.fault(Rule.AUTOSCALER, f"spec.autoscalerRef: {note}.") for note in facts.notes)
        for scaler in inventory.all(kind):
            mine = scalers.facts(canary, scaler.obj).scales == target
            if ref is None and mine and inventory.find(kind, scaler.name, document) is scaler:
                yield document.fault(
                    Rule.AUTOSCALER,
                    f"spec.autoscalerRef is missing, but {kind} {scaler.name} scales the target, which sleeps between "
                    "rollouts: name it there.",
                )


def shared_faults(subjects: Iterable[Subject], inventory: Inventory) -> Iterator[Fault]:
    """Find canaries that have the workload or the Service of another one; told at the later one."""
    taken: dict[tuple[str, str], list[Subject]] = defaultdict(list)
    for subject in subjects:
        document, canary = subject
        ref = canary.spec.target_ref
        workload, service = (ref.kind, ref.name), ("Service", canary.apex_name)
        if other := _rival(subject, taken[workload], inventory):
            sentence = (
                f"spec.targetRef: {ref.kind} {ref.name} is the target of canary {other} too: let only one have it."
            )
            yield document.fault(Rule.SHARED, sentence)
        elif canary.spec.service and (other := _rival(subject, taken[service], inventory)):
            sentence = (
                f"spec.service.name: Service {canary.apex_name} is that of canary {other} too: write another name."
            )
            yield document.fault(Rule.SHARED, sentence)
        for key in {workload, service}:
            taken[key].append(subject)


def _rival(subject: Subject, others: list[Subject], inventory: Inventory) -> str | None:
    """Return the name of another canary that may be in the same namespace; one of the same name is a variant of it."""
    document, canary = subject
    for other_document, other in others:
        namespaces = inventory.namespace_of(document), inventory.namespace_of(other_document)
        if canary.name != other.name and may_be_same(*namespaces):
            return other.name
    return None


def label_faults(subjects: Iterable[Subject], inventory: Inventory) -> Iterator[Fault]:
    """Find targets in the input whose pods cannot be told apart; told at the workload of the later canary."""
    taken: dict[tuple[str, str], list[tuple[Subject, Claim]]] = defaultdict(list)
    for subject in subjects:
        document, canary = subject
        workload = workload_of(document, canary, inventory)
        claim = _claim(canary, workload, inventory)
        if workload is None or claim is None:
            continue
        others = taken[claim.label, claim.value]
        rivals = [other for other, theirs in others if claim.collides(theirs)]
        if (name := _rival(subject, rivals, inventory)) is not None:
            theirs = next(found for (_, other), found in others if other.name == name)
            yield workload.fault(Rule.SHARED, collision(claim, theirs), ("spec", "selector", "matchLabels"))
        others.append((subject, claim))


def _claim(canary: Canary, workload: Document | None, inventory: Inventory) -> Claim | None:
    target, _ = choose_target(canary)
    if workload is None:
        return None
    try:
        return claim_of(canary, workload.obj, target.facts(canary, workload.obj, inventory.options.labels, None))
    except UserError:
        return None
