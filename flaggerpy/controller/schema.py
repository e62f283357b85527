"""Is the installed CRD new enough? An older one drops fields of the status without a word.

It is looked at before anything is done, and again when something looks as if it had been dropped: somebody may install
Flagger's CRD over ours at any time. An idle controller does not ask.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from flaggerpy.api.crds import schema_problem
from flaggerpy.clock import Clock
from flaggerpy.controller.errors import SchemaTooOld
from flaggerpy.kube.cache import Caches
from flaggerpy.kube.client import Client
from flaggerpy.kube.controller import Reconcile, Result
from flaggerpy.kube.errors import Forbidden, KubeError, NotFound
from flaggerpy.kube.resources import CANARIES, CRDS, Ref
from flaggerpy.kube.store import Present
from flaggerpy.kube.workqueue import Key

CRD_OF_CANARIES = Ref(CRDS, "", f"{CANARIES.plural}.{CANARIES.group}")
SECONDS_BETWEEN_LOOKS = 10.0


async def find_problem(client: Client) -> str | None:
    """Return the sentence that says why nothing can be done with the installed CRD, None when it will do.

    Without the right to read CRDs (a controller for single namespaces) nothing is found here; then the first status
    write tells.
    """
    try:
        crd = await client.get(CRD_OF_CANARIES)
    except Forbidden:
        return None
    except NotFound:
        return schema_problem(None)
    except KubeError as error:
        return f"The CustomResourceDefinition canaries.flagger.app cannot be read: {error}"
    return schema_problem(crd)


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

    async def wait_until_current(self) -> None:
        """Return once the installed CRD will do; until then tell what is wrong with it."""
        while (problem := await find_problem(self._client)) is not None:
            self._tell(problem)
            await self._clock.sleep(SECONDS_BETWEEN_LOOKS)
        self._broken.clear()
        self._tell("")

    async def run(self, healed: Callable[[], None]) -> None:
        """Wait for a CRD that was broken in mid-work to be mended, until cancelled."""
        while True:
            await self._broken.wait()
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
                self._stop(str(error))
                return Result()

        return guarded

    async def _doubt(self, key: Key) -> None:
        """Look at the CRD when a canary has a phase and no record of ours: Flagger left it, or ours was dropped."""
        found = self._caches.get(Ref(CANARIES, *key))
        status = (found.obj.get("status") or {}) if isinstance(found, Present) else {}
        if not status.get("phase") or "rollout" in status or self._broken.is_set():
            return
        if problem := await find_problem(self._client):
            self._stop(problem)

    def _stop(self, problem: str) -> None:
        self._broken.set()
        self._tell(problem)
