"""``flaggerpy analyze``: the metrics of a canary, measured and judged once, now, with the queries that were asked.

The controller's own `Checker` measures; what it reads is read with the rights of whoever asks. Nothing is written, and
no webhook is called: those act.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import IntEnum

import click
import yaml

from flaggerpy import __version__
from flaggerpy.api.canary import Canary, parse_canary
from flaggerpy.api.sequential import SequentialRecord
from flaggerpy.api.templates import MetricTemplate, parse_metric_template
from flaggerpy.cli.access import Access, access, find_canary, run
from flaggerpy.cli.measured import Report, Row, hint, report_of, row_of, text
from flaggerpy.clock import SystemClock
from flaggerpy.controller.check import Checker
from flaggerpy.controller.credentials import ReadSecret
from flaggerpy.controller.hooks import WebhookClient
from flaggerpy.controller.questions import Server, Sources
from flaggerpy.controller.sources import parsed, read_secret, template_refs
from flaggerpy.kube.client import Client
from flaggerpy.kube.errors import KubeError, NotFound
from flaggerpy.kube.resources import METRIC_TEMPLATES, Ref
from flaggerpy.kube.wire import Transport
from flaggerpy.metrics.outbound import Outbound
from flaggerpy.rollout.checks import MetricCheck, MetricSource, Trial, Verdict
from flaggerpy.rollout.errors import UserError
from flaggerpy.rollout.thresholds import metric_checks
from flaggerpy.settings import Settings
from flaggerpy.telemetry.recorder import Recorder


class Exit(IntEnum):
    """Exit codes; 1 is an error before anything was measured, 2 click's own for the command line."""

    PASSED = 0
    FAILED = 3
    UNJUDGED = 4


@dataclass(frozen=True, slots=True)
class Flags:
    """What was said of how to measure; None is what was not said."""

    metric: str | None
    metrics_server: str | None
    template_address: str | None
    mesh_provider: str


@click.command("analyze")
@click.argument("canary")
@click.option("--metric", default=None, metavar="NAME", help="Only the metric of this name.")
@click.option(
    "--metrics-server",
    default=None,
    metavar="URL",
    help=f"As for the controller, and wins over spec.metricsServer; default: that, else {Settings().metrics_server}.",
)
@click.option(
    "--template-address",
    default=None,
    metavar="URL",
    help="Address to ask in the place of those in MetricTemplates; if they differ, with one --metric at a time.",
)
@click.option(
    "--mesh-provider",
    default=Settings().mesh_provider,
    show_default=True,
    help="As for the controller: provider of canaries that name none.",
)
@click.option("-o", "--output", type=click.Choice(["json", "yaml"]), default=None, help="All of it for programs.")
@access()
def analyze(at: Access, *, canary: str, output: str | None, **flags: str | None) -> None:
    """Measure and judge the metrics of CANARY once, now, and show what was asked.

    Each metric is shown with verdict, value, accepted range and reason, with the server and the queries that it was
    asked. Nothing follows from it, and no webhook is called.

    \b
    Exit codes:
      0  all passed; a dry run does not matter
      1  error: no such canary or metric, no access
      2  the command line cannot be understood
      3  a metric failed
      4  none failed, and one could not be measured or cannot be judged yet
    """  # noqa: D301 -- the character \b keeps click from filling the table
    found = run(_analyze(at, canary, Flags(mesh_provider=flags.pop("mesh_provider") or "", **flags)))
    match output:
        case "json":
            click.echo(json.dumps(found.document(), indent=2, ensure_ascii=False))
        case "yaml":
            click.echo(yaml.safe_dump(found.document(), sort_keys=False, allow_unicode=True), nl=False)
        case _:
            for line in text(found):
                click.echo(line)
    raise click.exceptions.Exit(code_of(found.rows))


def code_of(rows: Sequence[Row]) -> Exit:
    """Choose the exit code; nothing follows from a dry run, as in a rollout."""
    verdicts = {row.verdict for row in rows if not row.dry_run}
    if Verdict.FAILED in verdicts:
        return Exit.FAILED
    return Exit.UNJUDGED if verdicts - {Verdict.PASSED} else Exit.PASSED


async def _analyze(at: Access, name: str, flags: Flags) -> Report:
    async with at.transport() as transport, Outbound() as outbound:
        client = Client(transport)
        canary = parse_canary(await find_canary(client, at.canary(name)))
        wanted = _wanted(canary, flags)
        templates = Templates(client, flags.template_address)
        for ref in template_refs(wanted):
            await templates.read(ref)
        checker = _checker(transport, outbound, templates, flags)
        silent: set[Server] = set()
        rows: list[Row] = []
        hints: list[str] = []
        for check in metric_checks(wanted, wanted.status):
            examined = await checker.examine(wanted, _tried(wanted, check), silent)
            rows.append(row_of(wanted, check, examined))
            if "KUBERNETES_SERVICE_HOST" not in os.environ:  # in a Pod, addresses inside the cluster are reached
                hints += hint(examined)
        return report_of(canary, SystemClock().now(), rows, hints)


def _tried(canary: Canary, check: MetricCheck) -> MetricCheck:
    """Have a sequential test look at the last interval, as if its rollout had begun with it."""
    metric = canary.analysis.metrics[check.index]
    if metric.sequential is None or check.source is not MetricSource.COUNTERS:
        return check
    since = SystemClock().now() - metric.interval
    return replace(check, trial=Trial(metric.sequential, SequentialRecord(), since, last=False))


def _wanted(canary: Canary, flags: Flags) -> Canary:
    """Return the canary as if it had only the metric, and named the server, that the command line names."""
    spec, name = canary.spec, flags.metric
    metrics = spec.analysis.metrics
    if flags.metrics_server is not None:
        spec = spec.model_copy(update={"metrics_server": flags.metrics_server})
    if name is not None:
        chosen = tuple(metric for metric in metrics if metric.name == name)
        if not chosen:
            has = ", ".join(dict.fromkeys(metric.name for metric in metrics)) or "none"
            raise click.ClickException(f"{canary.namespace}/{canary.name} has no metric {name}; it has: {has}")
        spec = spec.model_copy(update={"analysis": spec.analysis.model_copy(update={"metrics": chosen})})
    return canary.model_copy(update={"spec": spec})


def _checker(transport: Transport, outbound: Outbound, templates: Templates, flags: Flags) -> Checker:
    """Put the controller's checker together as the controller does."""
    server = flags.metrics_server or Settings().metrics_server
    read = templates.secret
    sources = Sources(templates.find, read, server, flags.mesh_provider, transport)
    recorder = Recorder(version=__version__, mesh_provider=flags.mesh_provider)
    return Checker(WebhookClient(outbound, read), outbound, sources, recorder)


class Templates:
    """MetricTemplates, read once with the rights of whoever asks, and their Secrets."""

    def __init__(self, client: Client, address: str | None) -> None:
        self._client = client
        self._address = address
        self._found: dict[Ref, MetricTemplate | UserError | KubeError] = {}

    async def read(self, ref: Ref) -> None:
        """Read a template, or know why that cannot be done."""
        try:
            template = parsed(ref, await self._client.get(ref), parse_metric_template)
        except NotFound:
            return
        except (UserError, KubeError) as error:
            self._found[ref] = error
        else:
            self._found[ref] = self._readdressed(template)

    def find(self, namespace: str, name: str) -> MetricTemplate | None:
        """Return a template that was read, None where there is none.

        Raises:
            UserError: it makes no sense.
            KubeError: it could not be read.

        """
        found = self._found.get(Ref(METRIC_TEMPLATES, namespace, name))
        if isinstance(found, Exception):
            raise found
        return found

    @property
    def secret(self) -> ReadSecret:
        """Return what reads Secrets."""
        return lambda namespace, name: read_secret(self._client, namespace, name)

    def _readdressed(self, template: MetricTemplate) -> MetricTemplate:
        if self._address is None:
            return template
        provider = template.spec.provider.model_copy(update={"address": self._address})
        return template.model_copy(update={"spec": template.spec.model_copy(update={"provider": provider})})
