"""``flaggerpy adopt --dry-run``: what would become of each canary of Flagger's, told before anything is installed.

The controller takes canaries over by itself when it starts. Here they are observed as it does, with its own parts, and
nothing is written.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

import click

from flaggerpy.cli.access import Access, access, find_canary, run
from flaggerpy.cli.outlook import Outlook, outlook, table
from flaggerpy.clock import SystemClock
from flaggerpy.controller.beside import InOrder
from flaggerpy.controller.configs import ConfigDigests
from flaggerpy.controller.neighbours import Neighbours
from flaggerpy.controller.observe import Observer, Unreadable
from flaggerpy.controller.pods import PODS_OF_DEPLOYMENTS, PodReader
from flaggerpy.controller.schema import find_problem
from flaggerpy.controller.sources import Library
from flaggerpy.controller.takeover import FLAGGER, Takeover
from flaggerpy.kube.cache import Caches
from flaggerpy.kube.client import Client
from flaggerpy.kube.dependents import Dependents
from flaggerpy.kube.objects import JsonObject, name_of, namespace_of, writers_of
from flaggerpy.kube.resources import CANARIES, PODS, ref_of
from flaggerpy.settings import Settings

LATELY = timedelta(minutes=1)
"""Within this time Flagger's last write may well come from one that still runs."""


@dataclass(frozen=True, slots=True)
class Report:
    """What was found."""

    rows: list[Outlook]
    notes: list[str]


@click.command("adopt")
@click.argument("name", required=False)
@click.option("--dry-run", is_flag=True, help="Say what would happen. The controller does it when it starts.")
@click.option("-A", "--all-namespaces", "everywhere", is_flag=True, help="Canaries of all namespaces.")
@click.option(
    "--mesh-provider",
    default=Settings().mesh_provider,
    show_default=True,
    help="As for the controller: provider of canaries that name none.",
)
@click.option("--ingress-class", default="", help="As for the controller.")
@click.option(
    "--ingress-annotations-prefix",
    default=Settings().ingress_annotations_prefix,
    show_default=True,
    help="As for the controller.",
)
@click.option("--gateway-mirror-percent/--no-gateway-mirror-percent", default=False, help="As for the controller.")
@click.option("--selector-labels", default=Settings().selector_labels, show_default=True, help="As for the controller.")
@click.option("--include-label-prefix", default="", help="As for the controller.")
@click.option("--enable-config-tracking/--no-config-tracking", default=True, help="As for the controller.")
@access()
def adopt(at: Access, *, name: str | None, dry_run: bool, everywhere: bool, **flags: str | bool) -> None:
    """Say what would become of Flagger's canaries, or of NAME, if flaggerpy took over now.

    \b
    Exit codes:
      0  nobody would notice
      1  a rollout would begin or begin anew, a canary could not go on, or an error
      2  the command line cannot be understood
    """  # noqa: D301 -- the character \b keeps click from filling the table
    if not dry_run:
        raise click.UsageError(
            "the controller takes canaries over by itself when it starts: say --dry-run to hear how."
        )
    if everywhere and (name or at.namespace):
        raise click.UsageError("-A asks for every canary of the cluster: leave the name and -n away.")
    settings = Settings(config_tracking=flags.pop("enable_config_tracking"), fail_fast_after=timedelta(), **flags)
    report = run(_report(at, name, settings, everywhere=everywhere))
    for note in report.notes:
        click.echo(note, err=True)
    if not report.rows:
        click.echo("there are no canaries" + ("" if everywhere else f" in namespace {at.meant}"), err=True)
        return
    for line in table(report.rows):
        click.echo(line)
    if not all(row.quiet for row in report.rows):
        raise click.exceptions.Exit(1)


async def _report(at: Access, name: str | None, settings: Settings, *, everywhere: bool) -> Report:
    async with at.client() as client:
        if name is not None:
            found = [await find_canary(client, at.canary(name))]
            neighbours, _ = await client.list(CANARIES, namespace_of(found[0]))
        else:
            found, _ = await client.list(CANARIES, None if everywhere else at.meant)
            neighbours = found
        problem = await find_problem(client) if found else None
        watch = _Watch(client, settings)
        await watch.know(neighbours)
        rows = [await watch.look(namespace_of(obj), name_of(obj)) for obj in found]
        return Report(sorted(rows, key=lambda row: row.name), [*([problem] if problem else []), *watch.notes()])


class _Watch:
    """Observes canaries as the controller does in its first tick."""

    def __init__(self, client: Client, settings: Settings) -> None:
        clock = SystemClock()
        caches = Caches(client, clock=clock)
        pods = PodReader(client, Dependents(client, PODS, PODS_OF_DEPLOYMENTS, clock=clock), settings.fail_fast_after)
        library = Library(client, caches)
        beside = InOrder(Takeover(client, clock), Neighbours(client, caches, settings, at_once=True))
        self._observer = Observer(caches, ConfigDigests(client, caches), pods, library, settings, beside)
        self._caches = caches
        self._clock = clock
        self._busy: list[str] = []

    async def know(self, canaries: list[JsonObject]) -> None:
        """Read all canaries among which there may be some that get in each other's way."""
        await self._caches.ensure([ref_of(CANARIES, canary) for canary in canaries])

    async def look(self, namespace: str, name: str) -> Outlook:
        """Say what would become of one canary that is known."""
        try:
            world = await self._observer.observe((namespace, name), frozenset())
        except Unreadable as error:
            return Outlook(f"{namespace}/{name}", "?", f"cannot be read: {error}", quiet=False)
        if world is None:
            return Outlook(f"{namespace}/{name}", "?", "was deleted meanwhile")
        now, wrote = self._clock.now(), writers_of(world.raw).get(FLAGGER)
        if wrote is not None and now - wrote < LATELY:
            self._busy.append(f"{namespace}/{name}")
        return outlook(world.seen, now)

    def notes(self) -> Iterator[str]:
        """Say what is worth a remark beside the table."""
        if self._busy:
            yield (
                f"Flagger wrote {', '.join(self._busy[:5])} within the last minute: if it still runs, stop it before "
                f"the controller of flaggerpy starts."
            )
