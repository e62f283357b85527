"""The users of the bench: they write canaries, change targets, and see how far rollouts are.

They are an account of their own, so none of their requests is counted. They look through one watch: asking again and
again would keep the API server busy with something else than what is measured.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from flaggerpy.api.status import Phase
from flaggerpy.kube.client import Client
from flaggerpy.kube.errors import KubeError
from flaggerpy.kube.objects import JsonObject, name_of, namespace_of
from flaggerpy.kube.resources import CANARIES
from tests.integration.objects import deployment, progressive
from tests.integration.site import Site
from tools.bench.audit import Key
from tools.bench.errors import BenchError

INTERVAL_S = 10
STEP = 10
MOST = 50
ANALYSES = MOST // STEP
NEED_S = float(ANALYSES * INTERVAL_S)
"""What a rollout takes however fast everybody is: every step is held for an interval before its analysis."""
DEADLINE_S = 600
"""How long pods may take; pretended ones are slow only where the machine is, which is no failure of a rollout."""
WRITERS = 20


@dataclass(frozen=True, slots=True)
class Member:
    """One canary: where it lives and what it is called."""

    site: Site
    name: str

    @property
    def key(self) -> Key:
        return self.site.namespace, self.name

    async def create(self) -> None:
        """Write the Deployment, of one replica, and its Canary."""
        canary = progressive(self.name, step=STEP, most=MOST, interval=f"{INTERVAL_S}s")
        canary["spec"]["progressDeadlineSeconds"] = DEADLINE_S
        await self.site.apply(deployment(self.name, replicas=1), canary)

    async def push(self, tag: str) -> None:
        """Ask for a new revision."""
        await self.site.set_image(tag, self.name)


def crowd(sites: Sequence[Site], count: int) -> list[Member]:
    """Spread so many canaries evenly over the namespaces; neighbours are in different ones."""
    return [Member(sites[index % len(sites)], f"app-{index:04}") for index in range(count)]


async def create(members: Sequence[Member]) -> None:
    """Write all canaries, some at a time."""
    at_once = asyncio.Semaphore(WRITERS)

    async def one(member: Member) -> None:
        async with at_once:
            await member.create()

    await asyncio.gather(*(one(member) for member in members))


async def push(members: Sequence[Member], tag: str, rate: float | None) -> None:
    """Change every target: so many a second, each at its time however long others take, or all at once."""
    began = asyncio.get_running_loop().time()

    async def one(index: int, member: Member) -> None:
        if rate:
            await asyncio.sleep(began + index / rate - asyncio.get_running_loop().time())
        await member.push(tag)

    await asyncio.gather(*(one(index, member) for index, member in enumerate(members)))


@dataclass(slots=True)
class Statuses:
    """The status of every canary, kept current by a watch."""

    client: Client
    _known: dict[Key, JsonObject] = field(default_factory=dict)
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    def phase(self, member: Member) -> str:
        return str(self._known.get(member.key, {}).get("phase") or "")

    def promoted(self, member: Member) -> str:
        """Return what was promoted last."""
        return str(self._known.get(member.key, {}).get("lastPromotedSpec") or "")

    def describe(self, member: Member) -> str:
        """Say where a canary stands, in its own words."""
        status = self._known.get(member.key, {})
        reason = (status.get("rollout") or {}).get("reason") or "no reason given"
        return f"{'/'.join(member.key)} is {status.get('phase') or 'new'} ({reason})"

    async def until(self, missing: Callable[[], Sequence[Member]], what: str, limit: float) -> None:
        """Wait until nobody is missing any more.

        Raises:
            BenchError: somebody still was when the time was over.

        """
        try:
            async with asyncio.timeout(limit):
                while missing():
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            if late := missing():
                who = self.describe(late[0])
                raise BenchError(f"{len(late)} canaries were not {what} after {limit:g} s: {who}") from None

    async def run(self) -> None:
        """Watch until cancelled; a watch that ends or breaks is followed by another."""
        while True:
            try:
                await self._follow()
            except KubeError:
                await asyncio.sleep(1)

    async def _follow(self) -> None:
        items, version = await self.client.list(CANARIES)
        for item in items:
            self._learn(item)
        async for event in self.client.watch(CANARIES, resource_version=version):
            if event.type in {"ADDED", "MODIFIED"}:
                self._learn(event.object)

    def _learn(self, canary: JsonObject) -> None:
        self._known[namespace_of(canary), name_of(canary)] = canary.get("status") or {}
        self._news.set()


@asynccontextmanager
async def watching(client: Client) -> AsyncIterator[Statuses]:
    """Know the status of every canary while the block lasts."""
    statuses = Statuses(client)
    task = asyncio.create_task(statuses.run())
    try:
        yield statuses
    finally:
        if task.done():
            task.result()
        task.cancel()
        await asyncio.wait([task])


def unfinished(statuses: Statuses, members: Sequence[Member], before: Sequence[str]) -> list[Member]:
    """Return whose rollout still goes on; ``before`` is what each had promoted when the rollouts began.

    Raises:
        BenchError: a rollout failed.

    """
    failed = [member for member in members if statuses.phase(member) == Phase.FAILED]
    if failed:
        raise BenchError(f"{len(failed)} of {len(members)} rollouts failed: {statuses.describe(failed[0])}")
    return [
        member
        for member, old in zip(members, before, strict=True)
        if statuses.phase(member) != Phase.SUCCEEDED or statuses.promoted(member) == old
    ]
