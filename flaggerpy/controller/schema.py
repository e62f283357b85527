"""Is the installed CRD new enough? An older one drops fields of the status without a word.

It is looked at before anything is done, and again when something looks as if it had been dropped: somebody may install
Flagger's CRD over ours at any time. An idle controller does not ask. Who may not read CRDs asks what the API server
would keep of a status.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from flaggerpy.api.crds import schema_problem
from flaggerpy.api.schema import example, structural
from flaggerpy.api.status import CanaryStatus
from flaggerpy.clock import Clock
from flaggerpy.controller.errors import SchemaTooOld
from flaggerpy.kube.cache import Caches
from flaggerpy.kube.client import Client
from flaggerpy.kube.controller import Reconcile, Result
from flaggerpy.kube.errors import Forbidden, Invalid, KubeError, NotFound
from flaggerpy.kube.objects import without_noise
from flaggerpy.kube.resources import CANARIES, CRDS, Ref, ref_of
from flaggerpy.kube.store import Present
from flaggerpy.kube.workqueue import Key

CRD_OF_CANARIES = Ref(CRDS, "", f"{CANARIES.plural}.{CANARIES.group}")
SECONDS_BETWEEN_LOOKS = 10.0


async def find_problem(client: Client) -> str | None:
    """Return the sentence that says why nothing can be done with the installed CRD, None when it will do.

    Nothing is found without the right to read CRDs.
    """
    try:
        return await _problem(client)
    except Forbidden:
        return None


async def _problem(client: Client) -> str | None:
    try:
        crd = await client.get(CRD_OF_CANARIES)
    except NotFound:
        return schema_problem(None)
    except Forbidden:
        raise
    except KubeError as error:
        return f"The CustomResourceDefinition canaries.flagger.app cannot be read: {error}"
    return schema_problem(crd)


async def _tried(client: Client, canary: Ref) -> str | None:
    """Find out by a write that is not carried out which fields of a status the API server would drop.

    Where it takes no such write, nothing is found; then the first real one tells.

    Raises:
        NotFound: the Canary is gone.

    """
    status = example(structural(CanaryStatus))
    try:
        body = {**without_noise(await client.get(canary)), "status": status}
        answer = await client.replace_status(canary, body, dry_run=True)
    except NotFound:
        raise
    except (Forbidden, Invalid):
        return None
    except KubeError as error:
        return f"What the API server keeps of a Canary's status cannot be found out: {error}"
    lost = dropped(status, answer.get("status"))
    return str(SchemaTooOld(lost)) if lost else None


def dropped(sent: Any, kept: Any, path: str = "status") -> str:
    """Return the path of a field that was sent and not kept, empty when all are there; values are not compared."""
    pairs: list[tuple[Any, Any, str]] = []
    if isinstance(sent, dict):
        found = kept if isinstance(kept, dict) else {}
        if missing := [key for key in sent if key not in found]:
            return f"{path}.{missing[0]}"
        pairs = [(value, found[key], f"{path}.{key}") for key, value in sent.items()]
    elif isinstance(sent, list) and isinstance(kept, list):
        pairs = [(one, other, path) for one, other in zip(sent, kept, strict=False)]
    return next((lost for pair in pairs if (lost := dropped(*pair))), "")


class SchemaGuard:
    """Lets nothing be done while the installed CRD would drop what we write.

    ``tell`` hears what is wrong, and an empty sentence when it will do again.
    """

    def __init__(self, client: Client, caches: Caches, clock: Clock, tell: Callable[[str], None]) -> None:
        self._client = client
        self._caches = caches
        self._clock = clock
        self._tell = tell
        self._broken = asyncio.Event()
        self._lost = False
        """Whether a write has lost something, however well the CRD looks."""
        self._untried = False
        """Whether CRDs cannot be read, and no Canary was there yet to find out with."""

    async def wait_until_current(self) -> None:
        """Return once the installed CRD will do; until then tell what is wrong with it."""
        while (problem := await self._look()) is not None:
            self._tell(problem)
            await self._clock.sleep(SECONDS_BETWEEN_LOOKS)
        self._broken.clear()
        self._tell("")

    async def run(self, healed: Callable[[], None]) -> None:
        """Wait for a CRD that was broken in mid-work to be mended, until cancelled."""
        while True:
            await self._broken.wait()
            if self._lost:
                await self._clock.sleep(SECONDS_BETWEEN_LOOKS)
                self._lost = False
            await self.wait_until_current()
            healed()

    def guarded(self, reconcile: Reconcile) -> Reconcile:
        """Return the same reconciliation, which does nothing while the CRD will not do."""

        async def guarded(key: Key) -> Result:
            await self._doubt(key)
            if self._broken.is_set():
                return Result()
            try:
                return await reconcile(key)
            except SchemaTooOld as error:
                self._lost = True
                self._stop(str(error))
                return Result()

        return guarded

    async def _doubt(self, key: Key) -> None:
        """Look at the CRD when a canary has a phase and no record of ours: Flagger left it, or ours was dropped.

        Who may not read CRDs looks before anything is done for the first canary.
        """
        ref = Ref(CANARIES, *key)
        found = self._caches.get(ref)
        if self._broken.is_set() or not isinstance(found, Present):
            return
        status = found.obj.get("status") or {}
        bare = status.get("phase") and "rollout" not in status
        if (bare or self._untried) and (problem := await self._look(ref)):
            self._stop(problem)

    async def _look(self, canary: Ref | None = None) -> str | None:
        """Look at the CRD; who may not read it tries a status on this Canary, or on any."""
        try:
            problem = await _problem(self._client)
        except Forbidden:
            known = [canary] if canary else [ref_of(CANARIES, obj) for obj in self._caches.all(CANARIES)[:1]]
            try:
                problem = await _tried(self._client, known[0]) if known else None
            except NotFound:
                known, problem = [], None
            # Only now: whoever asks meanwhile must not take it for granted.
            self._untried = not known
            return problem
        self._untried = False
        return problem

    def _stop(self, problem: str) -> None:
        self._broken.set()
        self._tell(problem)
