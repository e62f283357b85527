"""The way through all checks: from files to faults."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from flaggerpy.api.canary import Canary, parse_canary
from flaggerpy.api.constants import API_VERSION
from flaggerpy.api.templates import MetricTemplate, parse_alert_provider, parse_metric_template
from flaggerpy.api.validation import cross_namespace, problems, raised_interval, remarks
from flaggerpy.controller.served import choose_router, choose_target, provider_of, unserved
from flaggerpy.kube.resources import ALERT_PROVIDERS, CANARIES, METRIC_TEMPLATES
from flaggerpy.lint.admission import Admission, admit, kind_faults
from flaggerpy.lint.document import Document
from flaggerpy.lint.effects import without_effect
from flaggerpy.lint.faults import Fault, Level, Rule
from flaggerpy.lint.hooks import hook_faults
from flaggerpy.lint.hosts import host_faults
from flaggerpy.lint.ingresses import ingress_faults
from flaggerpy.lint.inventory import SHAPES, Inventory, Options
from flaggerpy.lint.loadtasks import load_task_faults
from flaggerpy.lint.loadtest import load_test_faults
from flaggerpy.lint.metrics import Templates, alert_faults, metric_faults, provider_faults, renders, template_faults
from flaggerpy.lint.replicas import replica_faults
from flaggerpy.lint.routes import route_faults
from flaggerpy.lint.services import doors
from flaggerpy.lint.source import Source, read_objects
from flaggerpy.lint.workloads import (
    Subject,
    label_faults,
    port_faults,
    scaler_faults,
    shared_faults,
    target_faults,
    workload_faults,
)
from flaggerpy.routers.brought import BroughtRouter

OURS: Final = (CANARIES.kind, METRIC_TEMPLATES.kind, ALERT_PROVIDERS.kind)
_READ: Final = frozenset({*OURS, *(resource.kind for resource in SHAPES)})


@dataclass(frozen=True, slots=True)
class Report:
    """What lint found, and in what.

    Attributes:
        faults: in the order of files and lines.
        objects: how many there are of each of our kinds.
        without_provider: canaries of which nothing of a provider could be checked.

    """

    faults: tuple[Fault, ...]
    files: int
    objects: dict[str, int]
    without_provider: int = 0

    def count(self, level: Level) -> int:
        """Count the faults of a level."""
        return sum(fault.level is level for fault in self.faults)


def lint(sources: Iterable[Source], options: Options) -> Report:
    """Check files against themselves and each other."""
    documents: list[Document] = []
    faults: list[Fault] = []
    files = 0
    for source in sources:
        files += 1
        found, broken = read_objects(source, _READ)
        documents += found
        faults += broken
    for document in documents:
        faults += kind_faults(document)
    inventory = Inventory(documents, options)
    subjects = tuple(_canaries(inventory, faults))
    templates = dict(_templates(inventory, faults))
    _alert_providers(inventory, faults)
    faults += _cross_faults(subjects, inventory, templates)
    return Report(
        faults=tuple(sorted(set(faults))),
        files=files,
        objects=dict(Counter(document.kind for document in documents if _is_ours(document))),
        without_provider=sum(not (canary.spec.provider or options.mesh_provider) for _, canary in subjects),
    )


def _is_ours(document: Document) -> bool:
    return document.kind in OURS and document.api_version == API_VERSION


def _ours(inventory: Inventory, kind: str) -> Iterator[Document]:
    return (document for document in inventory.all(kind) if _is_ours(document))


def _canaries(inventory: Inventory, faults: list[Fault]) -> Iterator[Subject]:
    for document in _ours(inventory, CANARIES.kind):
        admission = admit(document, parse_canary)
        faults += admission.faults
        if admission.model is not None:
            canary = _placed(admission.model, inventory.namespace_of(document))
            faults += _canary_faults(admission, canary, inventory)
            yield document, canary


def _placed(canary: Canary, namespace: str) -> Canary:
    """Put a canary into the namespace that it will be in."""
    metadata = canary.metadata.model_copy(update={"namespace": namespace or canary.namespace})
    return canary.model_copy(update={"metadata": metadata})


def _templates(inventory: Inventory, faults: list[Fault]) -> Iterator[tuple[Document, MetricTemplate]]:
    for document in _ours(inventory, METRIC_TEMPLATES.kind):
        admission = admit(document, parse_metric_template)
        faults += admission.faults
        if admission.model is not None:
            faults += template_faults(document, admission.model, inventory)
            if renders(admission.model):
                yield document, admission.model


def _alert_providers(inventory: Inventory, faults: list[Fault]) -> None:
    for document in _ours(inventory, ALERT_PROVIDERS.kind):
        admission = admit(document, parse_alert_provider)
        faults += admission.faults
        if admission.model is not None:
            faults += provider_faults(document, admission.model, inventory)


def _canary_faults(admission: Admission[Canary], canary: Canary, inventory: Inventory) -> Iterator[Fault]:
    """Find what is wrong with a canary alone."""
    options = inventory.options
    raised = raised_interval(canary, options.min_interval)
    yield from admission.news(Rule.MISTAKE, *(said for said in problems(canary) if said not in canary.faults))
    yield from admission.news(Rule.REMARK, *remarks(canary), *([raised] if raised else []))
    if options.no_cross_namespace_refs and inventory.namespace_of(admission.document):
        yield from admission.news(Rule.NAMESPACE, *cross_namespace(canary))
    _, target_problems = choose_target(canary)
    yield from admission.news(Rule.NOT_SERVED, *target_problems)
    if not (canary.spec.provider or options.mesh_provider):
        return
    router, router_problems = choose_router(canary, options.mesh_provider)
    yield from admission.news(Rule.NOT_SERVED, *router_problems)
    if router is not None:
        provider = provider_of(canary, options.mesh_provider)
        reader = f"provider {provider}" + (" and spec.routeRef" if isinstance(router, BroughtRouter) else "")
        unread = [f"{path} has no effect with {reader}: remove it." for path in without_effect(canary, router)]
        yield from admission.news(Rule.NO_EFFECT, *unserved(provider, router.capabilities, canary.analysis), *unread)


def _cross_faults(subjects: tuple[Subject, ...], inventory: Inventory, templates: Templates) -> Iterator[Fault]:
    """Find what is wrong between objects."""
    every_door = doors(subjects, inventory)
    for document, canary in subjects:
        yield from metric_faults(document, canary, inventory, templates)
        yield from alert_faults(document, canary, inventory)
        yield from hook_faults(document, canary, inventory)
        mistaken = tuple(target_faults(document, canary, inventory, subjects))
        yield from mistaken
        if not mistaken:
            # A wrong name of the target is in the names of its Services as well.
            yield from load_test_faults(document, canary, inventory.namespace_of(document), every_door)
        yield from load_task_faults(document, canary)
        yield from workload_faults(document, canary, inventory)
        yield from port_faults(document, canary, inventory)
        yield from scaler_faults(document, canary, inventory)
        yield from ingress_faults(document, canary, inventory)
        yield from replica_faults(document, canary, inventory)
        yield from route_faults(document, canary, inventory)
    yield from shared_faults(subjects, inventory)
    yield from label_faults(subjects, inventory)
    yield from host_faults(subjects, inventory)
