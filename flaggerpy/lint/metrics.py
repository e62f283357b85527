"""Metrics and alerts: their queries, and the MetricTemplates, AlertProviders and Secrets of the input."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterator, Mapping
from difflib import get_close_matches
from typing import Final

from flaggerpy.api.analysis import CanaryMetric
from flaggerpy.api.canary import Canary
from flaggerpy.api.reading import Place, field_path, missing
from flaggerpy.api.refs import NamespacedRef, SecretRef
from flaggerpy.api.templates import AlertProvider, MetricTemplate, MetricTemplateProvider
from flaggerpy.api.validation import url_problem
from flaggerpy.controller.served import builtin_problem, query_problem, sequential_problem, template_problem
from flaggerpy.kube.resources import ALERT_PROVIDERS, METRIC_TEMPLATES, SECRETS
from flaggerpy.lint.document import Document
from flaggerpy.lint.faults import Fault, Rule
from flaggerpy.lint.inventory import Inventory, may_be_same
from flaggerpy.metrics.configured import settings_of
from flaggerpy.metrics.expressions import AnyVariable
from flaggerpy.metrics.outbound import Outbound
from flaggerpy.metrics.query import QueryContext, fill, render
from flaggerpy.metrics.registry import NEED_VALUES, check_query, provider_for
from flaggerpy.notifiers.link import link_problem
from flaggerpy.rollout.errors import UserError

_SOME_ADDRESS: Final = "http://somewhere/"

Templates = Mapping[Document, MetricTemplate]
"""The MetricTemplates of the input whose queries can be filled in."""


_ANYTHING: Final = AnyVariable()
"""Variables, or a Secret, of which each key that somebody needs is there."""
_ANYBODY: Final = QueryContext("name", "namespace", "target", variables=_ANYTHING)


def metric_faults(document: Document, canary: Canary, inventory: Inventory, templates: Templates) -> Iterator[Fault]:
    """Find metrics of a canary that could never be measured."""
    if canary.spec.skip_analysis:
        return
    confined = inventory.options.no_cross_namespace_refs and bool(inventory.namespace_of(document))
    for index, metric in enumerate(canary.analysis.metrics):
        place = ("spec", "analysis", "metrics", index)
        if reason := builtin_problem(canary, metric, inventory.options.mesh_provider):
            yield document.fault(Rule.QUERY, f"{field_path(place)}.name: {reason}")
        if reason := sequential_problem(canary, metric, inventory.options.mesh_provider):
            yield document.fault(Rule.QUERY, f"{field_path(place)}.sequential: {reason}")
        if metric.query and (reason := query_problem(canary, metric)):
            yield document.fault(Rule.QUERY, f"{field_path(place)}.query: {reason}")
        if metric.template_ref is None:
            continue
        here = (*place, "templateRef")
        found = _referred(document, METRIC_TEMPLATES.kind, metric.template_ref, inventory)
        if isinstance(found, str):
            yield document.fault(Rule.METRIC_TEMPLATE, f"{field_path(here)}: {found}", (*here, "name"))
            continue
        template = templates.get(found) if found is not None else None
        if template is not None and (fault := _template_fault(canary, metric, template, confined=confined)):
            rule, reason = fault
            yield document.fault(rule, f"{field_path(here)}: {reason}", (*here, "name"))


def _template_fault(
    canary: Canary, metric: CanaryMetric, template: MetricTemplate, *, confined: bool
) -> tuple[Rule, str] | None:
    if reason := template_problem(canary, metric, template):
        return Rule.QUERY, reason
    if confined and (reason := template_problem(canary, metric, template, confined=True)):
        return Rule.NAMESPACE, reason
    return None


def alert_faults(document: Document, canary: Canary, inventory: Inventory) -> Iterator[Fault]:
    """Find alerts that go nowhere."""
    for index, alert in enumerate(canary.analysis.alerts):
        here = ("spec", "analysis", "alerts", index, "providerRef")
        found = _referred(document, ALERT_PROVIDERS.kind, alert.provider_ref, inventory)
        if isinstance(found, str):
            yield document.fault(Rule.ALERT_PROVIDER, f"{field_path(here)}: {found}", (*here, "name"))


def template_faults(document: Document, template: MetricTemplate, inventory: Inventory) -> Iterator[Fault]:
    """Find MetricTemplates that no canary can use."""
    if reason := _query_problem(template):
        yield document.fault(Rule.QUERY, f"spec.query: {reason}")
    provider = template.spec.provider
    if reason := url_problem(provider.address) if provider.address else None:
        yield document.fault(Rule.ADDRESS, f"spec.provider.address: {reason}.")
    elif reason := _unusable(provider, assumed := _ANYTHING if provider.secret_ref else None):
        yield _unusable_fault(document, provider, assumed, reason)
    else:
        secret = _secret(document, provider.secret_ref, inventory)
        if secret is not None and (reason := _unusable(provider, secret)):
            yield document.fault(Rule.SECRET, f"spec.provider.secretRef: {reason}")


def _unusable_fault(
    document: Document, provider: MetricTemplateProvider, assumed: Mapping[str, str] | None, reason: str
) -> Fault:
    """Say what of a provider cannot be used whatever its Secret holds: an address or a Secret is missing, or more."""
    place: Place = ("spec", "provider")
    if not provider.address and not _unusable(provider.model_copy(update={"address": _SOME_ADDRESS}), assumed):
        return document.fault(Rule.ADDRESS, missing((*place, "address")), (*place, "address"))
    without_secret = provider.secret_ref is None and not _unusable(provider, _ANYTHING)
    return document.fault(Rule.SECRET if without_secret else Rule.NOT_SERVED, f"spec.provider: {reason}", place)


def provider_faults(document: Document, provider: AlertProvider, inventory: Inventory) -> Iterator[Fault]:
    """Find AlertProviders from which nothing can be sent."""
    spec = provider.spec
    for field, address in (("address", spec.address), ("proxy", spec.proxy)):
        if address and (reason := url_problem(address)):
            yield document.fault(Rule.ADDRESS, f"spec.{field}: {reason}.")
    if reason := link_problem(spec.link or ""):
        yield document.fault(Rule.ADDRESS, f"spec.link: {reason}")
    secret = _secret(document, spec.secret_ref, inventory)
    if secret is not None and spec.secret_ref and not (spec.address or secret.get("address")):
        yield document.fault(
            Rule.SECRET,
            f"spec.secretRef: Secret {spec.secret_ref.name} has no key address, so nothing is sent: add the address"
            " to send alerts to.",
        )


def renders(template: MetricTemplate) -> bool:
    """Tell whether the query can be filled in for some canary."""
    return _query_problem(template) is None


def _query_problem(template: MetricTemplate) -> str | None:
    """Say why a template's query is none whoever fills it in; what conditions leave of it depends on the canary."""
    kind, query = template.spec.provider.type, template.spec.query
    if "{{" not in query:
        return _told(lambda: check_query(kind, render(query, _ANYBODY)))
    if query.lstrip().startswith("{{") or kind in NEED_VALUES:
        return _told(lambda: fill(query, _ANYBODY))
    return _told(lambda: check_query(kind, fill(query, _ANYBODY)))


def _rendering_problem(query: str, context: QueryContext) -> str | None:
    return _told(lambda: render(query, context))


def _told(attempt: Callable[[], object]) -> str | None:
    try:
        attempt()
    except UserError as error:
        return str(error)
    return None


def _unusable(provider: MetricTemplateProvider, secret: Mapping[str, str] | None) -> str | None:
    """Say why the controller could not ask a template's provider, or None when it could."""
    return _told(lambda: provider_for(settings_of(provider, secret, _ANYBODY), Outbound()))


def _referred(document: Document, kind: str, ref: NamespacedRef, inventory: Inventory) -> Document | str | None:
    """Find what a reference names: the object, a sentence when it cannot exist, None when nobody knows.

    An input that has objects of this kind in the namespace is taken to have all of them.
    """
    namespace = ref.namespace or inventory.namespace_of(document)
    if found := inventory.find(kind, ref.name, document, namespace):
        return found
    if any(inventory.named(kind, namespace, ref.name)):
        return None
    where = f" in namespace {namespace}" if namespace else ""
    sentence = f"there is no {kind} {ref.name}{where}"
    others = inventory.all(kind)
    for other in others:
        if other.name == ref.name:
            return f"{sentence}, but one in {other.namespace}: write namespace: {other.namespace}."
    names = [one.name for one in others if may_be_same(inventory.namespace_of(one), namespace)]
    if not names:
        return None
    near = get_close_matches(ref.name, names, 1)
    return f"{sentence}: did you mean {near[0]}?" if near else f"{sentence}: the input has {', '.join(sorted(names))}."


def _secret(document: Document, ref: SecretRef | None, inventory: Inventory) -> Mapping[str, str] | None:
    """Read the Secret of the input that an object names, None without one."""
    found = inventory.find(SECRETS.kind, ref.name, document) if ref else None
    return None if found is None else texts_of(found)


def texts_of(secret: Document) -> Mapping[str, str]:
    """Read what a Secret of the input holds, as it will be served."""
    encoded = {key: _decoded(value) for key, value in (secret.obj.get("data") or {}).items()}
    return encoded | (secret.obj.get("stringData") or {})


def _decoded(value: str) -> str:
    try:
        return base64.b64decode(value, validate=True).decode()
    except (binascii.Error, ValueError):
        return ""
