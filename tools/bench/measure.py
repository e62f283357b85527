"""One run of the bench, inside the network of a cluster that has nothing else to do.

A first controller initializes all canaries; a second one is started with all of them there and measured: its start, an
idle window, rollouts that begin all at once, and rollouts that begin one after the other.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

import httpx

from flaggerpy.api.status import Phase
from flaggerpy.kube.errors import KubeError
from flaggerpy.kube.transport import connect
from tests.cluster import api
from tests.cluster.api import Cluster
from tests.cluster.errors import ClusterError
from tests.cluster.progress import Progress
from tests.integration.gateway import serving_routes
from tests.integration.process import Account, Process, new_account, running
from tests.integration.site import new_site
from tools.bench.audit import Key, Rollout, Tally, rollouts
from tools.bench.crowd import NEED_S, Member, Statuses, create, crowd, push, unfinished, watching
from tools.bench.errors import BenchError
from tools.bench.figures import Details, Measurement, Row, percentile
from tools.bench.machine import cpu_seconds, peak_rss_mb

NAMESPACES = 10
ROLLING = 50
RATE = 5.0
"""Changes a second where they are paced."""
BOOTSTRAP_LIMIT = 1800.0
START_LIMIT = 120.0
ROLLOUT_LIMIT = 900.0
"""Seconds after which something is broken and not only slow."""
QUIET_LIMIT = 120.0
FLAGS = {
    "namespace": "",
    "mesh_provider": "gatewayapi:v1",
    "min_interval": "10s",
    "accept_within": "60s",
    "enable_leader_election": "true",
}
"""Whole cluster, with a lease; everything else, the limits of requests among it, is the default that users have."""


@dataclass(frozen=True, slots=True)
class Scene:
    """Where a run happens and who takes part."""

    cluster: Cluster
    account: Account
    """The controller's own user."""
    members: Sequence[Member]
    statuses: Statuses
    progress: Progress

    @property
    def rolling(self) -> Sequence[Member]:
        """Those whose targets are changed: the same each time, so that runs with many and few canaries compare."""
        return self.members[:ROLLING]

    def controller(self) -> AbstractAsyncContextManager[Process]:
        return running(self.members[0].site, self.account, **FLAGS)

    async def quiet(self) -> None:
        """Let the controller come to rest; one that never does is measured all the same."""
        with suppress(TimeoutError):
            async with asyncio.timeout(QUIET_LIMIT):
                await self.account.quiet(self.cluster)


@dataclass(frozen=True, slots=True)
class Rolled:
    """What the audit log holds of some rollouts, all of which succeeded."""

    reactions: list[float]
    durations: list[float]
    tally: Tally


@dataclass(frozen=True, slots=True)
class Idle:
    """What a controller did while there was nothing to do."""

    tally: Tally
    cpu_s: float


async def measure(count: int, idle_s: float, folder: Path) -> Measurement:
    """Measure with so many canaries present, in the cluster of the environment."""
    async with AsyncExitStack() as stack:
        wire = await stack.enter_async_context(await connect())
        sites = [await stack.enter_async_context(new_site(wire=wire)) for _ in range(min(NAMESPACES, count))]
        for site in sites:
            await stack.enter_async_context(serving_routes(site))
        statuses = await stack.enter_async_context(watching(sites[0].client))
        cluster = api.current()
        account = new_account(sites[0], cluster, folder, "bench")
        return await run(Scene(cluster, account, crowd(sites, count), statuses, Progress()), idle_s)


async def run(scene: Scene, idle_s: float) -> Measurement:
    """Go through a run and put its figures together."""
    initialized_s, first_peak = await bootstrap(scene)
    began = monotonic()
    async with scene.controller() as process:
        synced_s = await _answers(process, Question("/readyz", 0.02, _is_ok), began)
        everyone = Question("/metrics", 0.5, lambda answer: looked_at(answer) == len(scene.members))
        looked_s = await _answers(process, everyone, began)
        await scene.quiet()
        idle = await rest(scene, process, idle_s)
        burst = await roll(scene, "6.0.1", None)
        paced = await roll(scene, "6.0.2", RATE)
        peak, cpu = peak_rss_mb(process.child.pid), cpu_seconds(process.child.pid)
    row = Row(
        n=len(scene.members),
        idle_requests=idle.tally.others.total(),
        idle_s=idle_s,
        requests_per_rollout=round(burst.tally.others.total() / len(scene.rolling), 1),
        rollout_s=round(percentile(burst.durations, 50), 3),
        need_s=NEED_S,
        paced_p50_s=round(percentile(paced.reactions, 50), 3),
        paced_p99_s=round(percentile(paced.reactions, 99), 3),
        burst_p99_s=round(percentile(burst.reactions, 99), 3),
        peak_rss_mb=round(max(first_peak, peak), 1),
        cpu_s=round(cpu, 2),
        synced_s=round(synced_s, 3),
    )
    details = Details(
        rolled=len(scene.rolling),
        burst_p50_s=percentile(burst.reactions, 50),
        rollout_min_s=min(burst.durations),
        rollout_max_s=max(burst.durations),
        requests=dict(burst.tally.others),
        idle=dict(idle.tally.others),
        idle_watches=idle.tally.watches,
        idle_leases=idle.tally.leases,
        idle_cpu_s=idle.cpu_s,
        initialized_s=initialized_s,
        looked_s=looked_s,
    )
    return Measurement(row, details)


async def bootstrap(scene: Scene) -> tuple[float, float]:
    """Have all canaries initialized; return the seconds that took and the controller's peak memory in MB."""
    members, statuses = scene.members, scene.statuses
    async with scene.controller() as process:
        began = monotonic()
        with scene.progress.part(f"{len(members)} canaries, until all are Initialized"):
            await create(members)
            await statuses.until(
                lambda: [member for member in members if statuses.phase(member) != Phase.INITIALIZED],
                Phase.INITIALIZED.value,
                BOOTSTRAP_LIMIT,
            )
        seconds = monotonic() - began
        await scene.quiet()
        return seconds, peak_rss_mb(process.child.pid)


async def rest(scene: Scene, process: Process, idle_s: float) -> Idle:
    """Do nothing for a while and see what the controller does meanwhile."""
    offset, before = scene.cluster.audit_size(), cpu_seconds(process.child.pid)
    with scene.progress.part(f"{idle_s:g} s in which nothing happens"):
        await asyncio.sleep(idle_s)
    counted = scene.account.counted(scene.cluster, offset)
    return Idle(Tally.of(counted), cpu_seconds(process.child.pid) - before)


async def roll(scene: Scene, tag: str, rate: float | None) -> Rolled:
    """Change the targets, all at once or so many a second, and wait until every rollout has succeeded.

    Raises:
        BenchError: a rollout failed, or the audit log does not show it.

    """
    members, statuses = scene.rolling, scene.statuses
    offset, before = scene.cluster.audit_size(), [statuses.promoted(member) for member in members]
    how = f"paced at {rate:g}/s" if rate else "all at once"
    with scene.progress.part(f"{len(members)} rollouts, {how}"):
        await push(members, tag, rate)
        await statuses.until(lambda: unfinished(statuses, members, before), "promoted", ROLLOUT_LIMIT)
    await scene.quiet()
    tally = Tally.of(scene.account.counted(scene.cluster, offset))
    found = rollouts(scene.cluster.audit_events(offset), scene.account.user)
    return rolled(found, [member.key for member in members], tally)


def rolled(found: Sequence[Rollout], changed: Sequence[Key], tally: Tally) -> Rolled:
    """Put the times of rollouts together.

    Raises:
        BenchError: the audit log does not show each of them once and whole.

    """
    if sorted(one.key for one in found) != sorted(changed):
        raise BenchError(f"The audit log shows {len(found)} changes of targets where {len(changed)} were made.")
    reactions = [one.reaction_s for one in found if one.reaction_s is not None]
    durations = [one.rollout_s for one in found if one.rollout_s is not None]
    if not len(reactions) == len(durations) == len(found):
        raise BenchError(
            f"The audit log shows the scale-up of {len(reactions)} and the promotion of {len(durations)} "
            f"of {len(found)} rollouts."
        )
    return Rolled(reactions, durations, tally)


# What the controller's port says


@dataclass(frozen=True, slots=True)
class Question:
    """What a controller is asked until its answer is right; asking must not be what keeps it busy."""

    path: str
    every_s: float
    right: Callable[[httpx.Response], bool]


def _is_ok(answer: httpx.Response) -> bool:
    return answer.status_code == 200


def looked_at(answer: httpx.Response) -> int:
    """At how many canaries a controller has looked: each then has a series."""
    return sum(line.startswith("flagger_canary_status{") for line in answer.text.splitlines())


async def _answers(process: Process, question: Question, began: float) -> float:
    """Ask the controller until its answer is right; return the seconds since ``began``.

    Raises:
        BenchError: the controller ended, or was not there in time.

    """
    address = f"http://127.0.0.1:{process.port}{question.path}"
    async with httpx.AsyncClient(trust_env=False) as client:
        while monotonic() < began + START_LIMIT:
            if process.child.returncode is not None:
                raise BenchError(f"The controller ended with {process.child.returncode}: {process.log[-1:]}")
            with suppress(httpx.TransportError):  # it may not listen yet
                if question.right(await client.get(address)):
                    return monotonic() - began
            await asyncio.sleep(question.every_s)
    raise BenchError(f"{question.path} of the controller was not as it should be after {START_LIMIT:g} s.")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.bench.measure", description="One run, inside a cluster.")
    parser.add_argument("--n", type=int, required=True, help="canaries present")
    parser.add_argument("--idle", type=float, required=True, help="seconds of the idle window")
    parser.add_argument("--output", type=Path, required=True, help="file for what was measured")
    options = parser.parse_args()
    # An orderly way out also on a signal: the controller is a process of its own and must end with us.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        subprocess.run([sys.executable, "-m", "flaggerpy", "crds", "apply"], check=True, timeout=120)
        with tempfile.TemporaryDirectory(prefix="flaggerpy-bench-") as folder:
            measurement = asyncio.run(measure(options.n, options.idle, Path(folder)))
    except (AssertionError, BenchError, ClusterError, KubeError, subprocess.SubprocessError) as error:
        # What the tests' helpers cannot do, they say in an AssertionError.
        print(f"bench: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    options.output.write_text(measurement.dump(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
