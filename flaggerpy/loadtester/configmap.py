"""A board in a ConfigMap: it outlives the process, and all replicas see the same.

Every reading asks the API server, so no replica answers with what was. Every change is conditional on what was read;
when somebody else was faster it is made again from what is there then.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping

import structlog

from flaggerpy.kube.client import Client
from flaggerpy.kube.errors import AlreadyExists, ApiError, Conflict, Forbidden, Invalid, KubeError, NotFound
from flaggerpy.kube.objects import JsonObject
from flaggerpy.kube.resources import CONFIG_MAPS, Ref
from flaggerpy.loadtester.board import BoardUnavailable, Edit

_ATTEMPTS = 8
_PAUSE = 0.05
_LABELS = {"app.kubernetes.io/managed-by": "flaggerpy-loadtester"}

_log: structlog.typing.FilteringBoundLogger = structlog.get_logger()


class ConfigMapBoard:
    """The data of one ConfigMap as a board."""

    def __init__(self, client: Client, namespace: str, name: str) -> None:
        self._client = client
        self._ref = Ref(CONFIG_MAPS, namespace, name)
        self._rng = random.Random()  # noqa: S311 - spreads replicas over time, keeps no secret
        self._turn = asyncio.Lock()

    async def read(self) -> Mapping[str, str]:
        """Return what the API server has now; nothing when there is no such ConfigMap."""
        try:
            found = await self._find()
        except KubeError as error:
            raise self._unavailable(error) from error
        return _texts(found)

    async def change(self, edit: Edit) -> None:
        """Write what the edit makes of what is there; nothing is written when that is the same.

        One after the other: however much is asked of this replica at once, only other replicas can be faster.
        """
        try:
            async with self._turn:
                for attempt in range(_ATTEMPTS):
                    if await self._try(edit):
                        return
                    await asyncio.sleep(_PAUSE * self._rng.uniform(0.5, 1.5) * (attempt + 1))
        except KubeError as error:
            raise self._unavailable(error) from error
        raise BoardUnavailable(f"{self._ref} changes too fast to be written: try again")

    async def why_not(self) -> str:
        """Say why this board can never be used, empty when it can or when that is not known yet."""
        try:
            if await self._find() is None:
                await self._client.create(CONFIG_MAPS, self._new({}))
        except AlreadyExists:
            return ""
        except (Forbidden, Invalid, NotFound) as error:
            return f"{self._ref}: {error.message}"
        except KubeError as error:
            _log.warning("the API server is not reached, gates answer 503 until it is", error=str(error))
        return ""

    async def _find(self) -> JsonObject | None:
        try:
            return await self._client.get(self._ref)
        except NotFound as error:
            if error.kind_is_missing:
                raise
            return None

    async def _try(self, edit: Edit) -> bool:
        """Make the change once; False when somebody else was faster."""
        found = await self._find()
        before = _texts(found)
        after = dict(edit(before))
        if after == before:
            return True
        try:
            if found is None:
                await self._client.create(CONFIG_MAPS, self._new(after))
            else:
                await self._client.replace(self._ref, {**found, "data": after})
        except (Conflict, AlreadyExists):
            return False
        except NotFound:  # it was deleted meanwhile
            return False
        return True

    def _new(self, texts: Mapping[str, str]) -> JsonObject:
        metadata = {"name": self._ref.name, "namespace": self._ref.namespace, "labels": _LABELS}
        return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": dict(texts)}

    def _unavailable(self, error: KubeError) -> BoardUnavailable:
        why = error.message if isinstance(error, ApiError) else str(error)
        _log.error("what is remembered cannot be read or written", configmap=str(self._ref), error=str(error))
        return BoardUnavailable(f"{self._ref} cannot be read or written now: {why}")


def _texts(found: JsonObject | None) -> dict[str, str]:
    return dict((found or {}).get("data") or {})
