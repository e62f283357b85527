from __future__ import annotations

import re
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from flaggerpy.api.analysis import Severity
from flaggerpy.controller.alerts import receivers_for
from flaggerpy.controller.questions import Questions, Sources, Span
from flaggerpy.controller.sources import Library, unmeasured
from flaggerpy.kube.cache import Caches
from flaggerpy.kube.client import Client
from flaggerpy.kube.objects import JsonObject
from flaggerpy.kube.resources import ALERT_PROVIDERS, METRIC_TEMPLATES, Ref, Resource
from flaggerpy.kube.sessions import HttpTransport, Server
from flaggerpy.rollout.checks import MetricSource
from flaggerpy.rollout.errors import UserError
from tests.builders import canary
from tests.kube.clocks import START

SPECS: dict[Resource, JsonObject] = {
    METRIC_TEMPLATES: {"provider": {"type": "prometheus", "address": "http://p"}, "query": "up"},
    ALERT_PROVIDERS: {"type": "slack", "address": "http://chat"},
}


class Shelf:
    """A library and what is known of objects, without any server."""

    def __init__(self, client: Client) -> None:
        self.caches = Caches(client)
        self.library = Library(client, self.caches)

    def put(self, resource: Resource, name: str, **fields: object) -> None:
        metadata = {"name": name, "namespace": "shop", "resourceVersion": "7"}
        self.caches.record(Ref(resource, "shop", name), {"metadata": metadata, **fields})


@pytest.fixture
async def shelf() -> AsyncIterator[Shelf]:
    async with HttpTransport(Server("http://127.0.0.1:1")) as transport:
        yield Shelf(Client(transport))


async def test_objects_are_found_by_name(shelf: Shelf) -> None:
    shelf.put(METRIC_TEMPLATES, "good", spec=SPECS[METRIC_TEMPLATES])
    shelf.put(ALERT_PROVIDERS, "good", spec=SPECS[ALERT_PROVIDERS])
    template = shelf.library.metric_template("shop", "good")
    provider = shelf.library.alert_provider("shop", "good")
    assert template is not None
    assert provider is not None
    assert (template.spec.query, provider.spec.type) == ("up", "slack")
    assert shelf.library.metric_template("shop", "other") is None


async def test_what_the_crd_admits_and_nobody_can_read_is_a_users_mistake(shelf: Shelf) -> None:
    """The kinds do not require a spec: neither do Flagger's."""
    shelf.put(METRIC_TEMPLATES, "empty")
    shelf.put(ALERT_PROVIDERS, "empty")
    with pytest.raises(UserError, match=r"^MetricTemplate empty\.shop cannot be read: spec is missing: add it\.$"):
        shelf.library.metric_template("shop", "empty")

    entries = [{"name": name, "severity": "info", "providerRef": {"name": name}} for name in ("empty", "good")]
    shelf.put(ALERT_PROVIDERS, "good", spec=SPECS[ALERT_PROVIDERS])
    of = canary(analysis={"alerts": entries})
    found, missing = receivers_for(of, Severity.WARN, shelf.library.alert_provider, None)
    assert [receiver.address for receiver in found] == ["http://chat"]
    assert missing == (
        "The alert empty cannot be sent: AlertProvider empty.shop cannot be read: spec is missing: add it.",
    )


async def test_metrics_that_could_never_be_measured_are_found_before_a_rollout(shelf: Shelf) -> None:
    shelf.put(METRIC_TEMPLATES, "good", spec=SPECS[METRIC_TEMPLATES])
    spec = {"provider": "gatewayapi:v1", "targetRef": {"apiVersion": "v1", "kind": "Service", "name": "web"}}
    templates = [{"name": name, "templateRef": {"name": name}} for name in ("good", "lost")]
    one = canary(spec=spec, analysis={"metrics": [{"name": "request-success-rate"}, *templates]})
    lost = "MetricTemplate lost of metric lost does not exist in namespace shop: create it, or correct templateRef."
    [pods, missing] = unmeasured(one, shelf.library, "", served=True)
    assert ("use a templateRef instead" in pods, missing) == (True, lost)
    assert list(unmeasured(one, shelf.library, "", served=False)) == [lost]
    skipping = canary(spec={**spec, "skipAnalysis": True}, analysis={"metrics": templates})
    assert list(unmeasured(skipping, shelf.library, "", served=True)) == [], "nothing is measured"


@pytest.mark.parametrize(
    ("query", "foreign"),
    [
        ("monitoring/queue", "monitoring"),
        ("queue", "default"),
        ("{{ variables.where }}/queue?labelSelector=app%3D{{ target }}", "monitoring"),
        ('{{ if eq role "primary" }}monitoring{{ else }}shop{{ end }}/queue', "monitoring"),
        ("shop/queue", ""),
        ("{{ namespace }}/queue", ""),
    ],
)
@pytest.mark.parametrize("wanted", ["query", "sampleQuery"])
async def test_w20_an_external_metric_of_another_namespace_is_refused_before_and_whenever_it_is_asked_for(
    shelf: Shelf, query: str, foreign: str, wanted: str
) -> None:
    queries = {"query": "{{ namespace }}/{{ role }}", "sampleQuery": "{{ namespace }}/{{ role }}-hits", wanted: query}
    address = "https://metrics.example"
    spec = {"provider": {"type": "externalmetrics", "address": address}, "query": queries["query"]}
    shelf.put(METRIC_TEMPLATES, "queue", spec=spec)
    metric = {
        "name": "queue",
        "templateRef": {"name": "queue"},
        "templateVariables": {"where": "monitoring"},
        "sampleQuery": queries["sampleQuery"],
        "minSamples": 1,
        **({"compareTo": "primary", "ratio": {"max": 2}} if "role" in query else {"threshold": 1}),
    }
    one = canary(analysis={"metrics": [metric]})
    asks = Questions(Sources(shelf.library.metric_template, shelf.library.secret, "", "", confined=True))
    span = Span(timedelta(minutes=1), START)
    told = tuple(unmeasured(one, shelf.library, "", served=True, confined=True))
    assert list(unmeasured(one, shelf.library, "", served=True)) == [], "other controllers allow it"
    if not foreign:
        assert told == ()
        assert asks.draft(one, one.analysis.metrics[0], MetricSource.TEMPLATE, span).settings.address == address
        return
    reason = (
        f"The query asks for an external metric of namespace {foreign}, which this controller forbids "
        "(--no-cross-namespace-refs): write shop/queue."
    )
    assert told == (f"MetricTemplate queue cannot be used: {reason}",)
    with pytest.raises(UserError, match=f"^{re.escape(reason)}$"):
        asks.draft(one, one.analysis.metrics[0], MetricSource.TEMPLATE, span)


@pytest.mark.parametrize("query", ["up{{ if x }}", "{{ if eq target `x` }}up{{ end }}", "up{{ variables.day }}"])
async def test_a_query_of_the_canarys_own_that_cannot_be_filled_in_is_found_before_a_rollout(
    shelf: Shelf, query: str
) -> None:
    one = canary(analysis={"metrics": [{"name": "x", "query": query, "threshold": 1}]})
    (told,) = unmeasured(one, shelf.library, "", served=True)
    assert told.startswith("The query ")
