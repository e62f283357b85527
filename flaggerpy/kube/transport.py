"""Where the API server is and how to prove who we are: the only module that imports kubernetes_asyncio.

It does the boring, hard part (kubeconfig, exec plugins, OIDC, client certificates, the Pod's token); its client, watch
and models are not used. Requests go through `sessions`.
"""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import structlog

from flaggerpy.clock import Clock, SystemClock
from flaggerpy.kube.errors import NoCredentials, Unreachable
from flaggerpy.kube.lean import without_models
from flaggerpy.kube.sessions import HttpTransport, Server
from flaggerpy.kube.wire import Transport

with without_models():
    from kubernetes_asyncio.client import Configuration
    from kubernetes_asyncio.config import ConfigException, load_incluster_config, load_kube_config
    from kubernetes_asyncio.config.kube_config import KubeConfigMerger

__all__ = ["HttpTransport", "Server", "Transport", "connect", "find_namespace", "find_server"]

log = structlog.get_logger(__name__)

REFRESH_SECONDS = 60.0
SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
DEFAULT_KUBECONFIG = Path("~/.kube/config")
DEFAULT_NAMESPACE = "default"


async def connect(kubeconfig: str | None = None, context: str | None = None) -> HttpTransport:
    """Return a transport to the server that `find_server` finds."""
    return HttpTransport(await find_server(kubeconfig, context))


async def find_server(
    kubeconfig: str | None = None,
    context: str | None = None,
    *,
    clock: Clock | None = None,
    service_account: Path = SERVICE_ACCOUNT,
) -> Server:
    """Find the API server: the kubeconfig named, $KUBECONFIG, the Pod's service account, ~/.kube/config, in this order.

    A context is one of a kubeconfig: who names it does not mean the Pod's service account.

    Raises `NoCredentials` with a sentence that says what was tried.
    """
    path = _kubeconfig(kubeconfig, context, service_account)
    try:
        if path is None:
            return _in_cluster(service_account)
        return await _from_file(path, context, clock or SystemClock())
    except Exception as error:  # the library raises whatever it stumbles over in a broken file
        raise NoCredentials(f"no usable credentials in {path or 'the Pod'}: {error}") from error


def find_namespace(
    kubeconfig: str | None = None, context: str | None = None, *, service_account: Path = SERVICE_ACCOUNT
) -> str:
    """Return the namespace that is meant where none is named: the context's, or the Pod's own; else ``default``.

    Raises `NoCredentials` as `find_server` does; no plugin is run.
    """
    path = _kubeconfig(kubeconfig, context, service_account)
    try:
        if path is None:
            return (service_account / "namespace").read_text(encoding="utf-8").strip() or DEFAULT_NAMESPACE
        return str(_context(path, context).get("namespace") or DEFAULT_NAMESPACE)
    except Exception as error:  # as above
        raise NoCredentials(f"no usable credentials in {path or 'the Pod'}: {error}") from error


def _kubeconfig(kubeconfig: str | None, context: str | None, service_account: Path) -> str | None:
    """Return the file or files to read, None for the Pod's service account."""
    path = kubeconfig or os.environ.get("KUBECONFIG") or None
    if path is None and (context or not _is_in_cluster(service_account)):
        return str(DEFAULT_KUBECONFIG)
    return path


def _context(path: str, name: str | None) -> dict[str, Any]:
    """Return the content of a context, of the current one if none is named."""
    if not _any_exists(path):
        raise ConfigException("there is no such file")
    merged: Any = KubeConfigMerger(path).config
    contexts = {node["name"]: node.value.get("context") or {} for node in merged.value["contexts"]}
    wanted = name or merged.value.get("current-context")
    if wanted in contexts:
        return dict(contexts[wanted])
    known = f"there are: {', '.join(sorted(contexts))}" if contexts else "there are none at all"
    raise ConfigException(f"there is no context {wanted!r}; {known}" if wanted else f"no context is chosen; {known}")


def _is_in_cluster(service_account: Path) -> bool:
    return "KUBERNETES_SERVICE_HOST" in os.environ and (service_account / "token").exists()


def _in_cluster(service_account: Path) -> Server:
    configuration: Any = Configuration()
    load_incluster_config(  # type: ignore[no-untyped-call] # theirs has no types
        client_configuration=configuration,
        token_filename=str(service_account / "token"),
        cert_filename=str(service_account / "ca.crt"),
    )

    async def authorization() -> str | None:
        # The library re-reads the token's file when a minute has passed.
        return await _bearer(configuration)

    return _server(configuration, _tls(configuration), authorization)


def _any_exists(paths: str) -> bool:
    return any(Path(part).expanduser().exists() for part in paths.split(os.pathsep) if part)


async def _from_file(path: str, context: str | None, clock: Clock) -> Server:
    configuration: Any = Configuration()
    _context(path, context)
    loader = await load_kube_config(
        config_file=path, context=context, client_configuration=configuration, persist_config=True
    )
    tls = _tls(configuration)
    refreshing = _Refreshing(loader, configuration, tls, clock)
    return _server(configuration, tls, refreshing.authorization)


class _Refreshing:
    """Credentials of a kubeconfig, looked at again once a minute: plugins and token files give short-lived ones."""

    def __init__(self, loader: Any, configuration: Any, tls: ssl.SSLContext | None, clock: Clock) -> None:
        self._loader = loader
        self._configuration = configuration
        self._tls = tls
        self._clock = clock
        self._loaded = clock.monotonic()
        self._lock = asyncio.Lock()

    async def authorization(self) -> str | None:
        async with self._lock:
            if self._clock.monotonic() - self._loaded >= REFRESH_SECONDS:
                await self._reload()
        return await _bearer(self._configuration)

    async def _reload(self) -> None:
        """Load again; what worked so far goes on being used when that fails."""
        self._loaded = self._clock.monotonic()
        before = self._configuration.cert_file
        try:
            await self._loader.load_and_set(self._configuration)
            if self._tls is not None and self._configuration.cert_file != before:
                self._tls.load_cert_chain(self._configuration.cert_file, self._configuration.key_file)
        except Exception as error:
            log.warning("credentials could not be refreshed", error=str(error))


async def _bearer(configuration: Any) -> str | None:
    try:
        value: str | None = await configuration.get_api_key_with_prefix("BearerToken")
    except (ConfigException, OSError) as error:
        raise Unreachable(f"the token cannot be read: {error}") from error
    return value.strip() if value else None


def _server(
    configuration: Any, tls: ssl.SSLContext | None, authorization: Callable[[], Awaitable[str | None]]
) -> Server:
    return Server(
        url=configuration.host,
        ssl=tls,
        server_hostname=configuration.tls_server_name,
        proxy=configuration.proxy or _proxy_from_environment(configuration.host),
        authorization=authorization,
    )


def _tls(configuration: Any) -> ssl.SSLContext | None:
    if not configuration.host.startswith("https"):
        return None
    context = ssl.create_default_context(cafile=configuration.ssl_ca_cert)
    # Python 3.13 began to demand key identifiers that many clusters' CAs lack; kubectl does not ask for them.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if configuration.cert_file:
        context.load_cert_chain(configuration.cert_file, configuration.key_file)
    if not configuration.verify_ssl:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _proxy_from_environment(url: str) -> str | None:
    """Return the proxy that the environment names for this server, as kubectl would use it."""
    parts = urlsplit(url)
    if proxy_bypass(parts.hostname or ""):
        return None
    return getproxies().get(parts.scheme)
