"""Digests of ConfigMaps and Secrets: data is read to hash it, once per resourceVersion, and never kept."""

from __future__ import annotations

import asyncio
from collections.abc import Collection

from flaggerpy.kube.cache import Caches
from flaggerpy.kube.client import Client
from flaggerpy.kube.errors import NotFound
from flaggerpy.kube.objects import resource_version_of, uid_of
from flaggerpy.kube.resources import Ref
from flaggerpy.kube.store import Present
from flaggerpy.targets.configs import ConfigDigest, ConfigRef, digest


class ConfigDigests:
    """Answers what a config's content is, as digests.

    The cache follows only the metadata of configs; a digest is remembered under the uid and resourceVersion that it
    was read at, so that an idle canary reads nothing however many configs it has.
    """

    def __init__(self, client: Client, caches: Caches) -> None:
        self._client = client
        self._caches = caches
        self._known: dict[Ref, tuple[tuple[str, str], ConfigDigest]] = {}

    async def read(self, configs: Collection[ConfigRef], namespace: str) -> dict[ConfigRef, ConfigDigest | None]:
        """Return the digest of each config, None for one that does not exist."""
        refs = [config.ref(namespace) for config in configs]
        await self._caches.ensure(refs)
        found = await asyncio.gather(*(self._digest(ref) for ref in refs))
        return dict(zip(configs, found, strict=True))

    def forget_unfollowed(self) -> None:
        """Drop what no canary reads any more."""
        for ref in [ref for ref in self._known if not self._caches.owners(ref)]:
            del self._known[ref]

    async def _digest(self, ref: Ref) -> ConfigDigest | None:
        found = self._caches.get(ref)
        if not isinstance(found, Present):
            self._known.pop(ref, None)
            return None
        version = (uid_of(found.obj), resource_version_of(found.obj))
        known = self._known.get(ref)
        if known is not None and known[0] == version:
            return known[1]
        try:
            whole = await self._client.get(ref)
        except NotFound:
            return None
        fresh = digest(whole)
        self._known[ref] = ((uid_of(whole), resource_version_of(whole)), fresh)
        return fresh
