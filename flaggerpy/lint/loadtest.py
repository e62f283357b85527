"""Load tests that reach nobody: the addresses in webhooks, compared with the Services that will be there.

Known are the three Services of every canary and the Services of the input. A host that may be anything else (a Gateway,
a Service outside of the input) is left alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Final
from urllib.parse import urlsplit

from flaggerpy.api.analysis import CanaryWebhook
from flaggerpy.api.canary import Canary
from flaggerpy.api.constants import CANARY_SUFFIX, PRIMARY_SUFFIX
from flaggerpy.api.reading import Place, field_path
from flaggerpy.lint.document import Document
from flaggerpy.lint.faults import Fault, Rule
from flaggerpy.lint.inventory import may_be_same
from flaggerpy.lint.services import Door

_URL = re.compile(r"https?://[^\s'\"|;&<>()\\]+")
_HOST_AND_PORT = re.compile(r"(?<![\w.:/@-])([a-z0-9][a-z0-9.-]*):([0-9]{1,5})(?![\w.:-])")
_TAKES_HOST_AND_PORT = re.compile(r"\b(ghz|grpcurl|grpc_health_probe|curl|fortio|nc)\b")
_HOST = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?\.?")
_PORTS: Final = {"http": 80, "https": 443}
_ALIKE: Final = 0.9


@dataclass(frozen=True, slots=True)
class Address:
    """Something that a command calls.

    ``port`` is what will be asked for, whether it was written or follows from the scheme.
    """

    text: str
    host: str
    port: int
    scheme: str = ""
    path: str = ""

    @property
    def name(self) -> str:
        """Name of the Service that the host would be."""
        return self.host.split(".")[0]

    @property
    def namespace(self) -> str:
        """Namespace in the host, empty without one."""
        return "".join(self.host.split(".")[1:2])

    @property
    def may_be_service(self) -> bool:
        """Whether the host is written like a Service: ``name``, ``name.namespace`` or ``name.namespace.svc…``."""
        return self.host.split(".")[2:3] in ([], ["svc"])

    def at(self, host: str, port: int | None = None) -> str:
        """Write the address with another host, and another port if one is given."""
        shown = self.port if port is None else port
        standard = _PORTS.get(self.scheme) == shown
        scheme = f"{self.scheme}://" if self.scheme else ""
        return f"{scheme}{host}{'' if standard else f':{shown}'}{self.path}"


def addresses(command: str) -> Iterator[Address]:
    """Find what a shell command calls: URLs, and ``host:port`` as ghz takes it; elsewhere that may be an image."""
    for found in _URL.findall(command):
        yield from _address(found)
    if not _TAKES_HOST_AND_PORT.search(command):
        return
    for host, port in _HOST_AND_PORT.findall(_URL.sub(" ", command)):
        yield Address(f"{host}:{port}", host, int(port))


def load_test_faults(document: Document, canary: Canary, namespace: str, doors: tuple[Door, ...]) -> Iterator[Fault]:
    """Find webhooks that have a Service called at a port or under a name that it does not have.

    ``namespace`` is the canary's, empty when that is not known.
    """
    for index, hook in enumerate(canary.analysis.webhooks):
        place: Place = ("spec", "analysis", "webhooks", index)
        called: list[tuple[Place, str, str]] = [
            ((*place, "url"), "", hook.url),
            ((*place, "metadata", "cmd"), _tester_namespace(hook), (hook.metadata or {}).get("cmd", "")),
        ]
        for here, caller, text in called:
            for address in dict.fromkeys(addresses(text)):
                if reason := _unreachable(address, canary, namespace, caller, doors):
                    yield document.fault(Rule.LOAD_TEST, f"{field_path(here)}: {reason}", here)


def _address(url: str) -> Iterator[Address]:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return  # a variable of the shell, say
    if _HOST.fullmatch(host):
        yield Address(url, host, _PORTS[parts.scheme] if port is None else port, parts.scheme, parts.path)


def _tester_namespace(hook: CanaryWebhook) -> str:
    """Return the namespace of the load tester, where names without one are looked up; empty when that is not known."""
    found = next(addresses(hook.url), None)
    return found.namespace if found is not None and found.may_be_service else ""


def _unreachable(address: Address, canary: Canary, namespace: str, caller: str, doors: tuple[Door, ...]) -> str | None:
    """Say why a call out of the caller's namespace ends nowhere, or None when it does not or nobody knows."""
    if not address.may_be_service or canary.spec.service is None:
        return None
    where = address.namespace or caller
    known = [door for door in doors if door.name == address.name and may_be_same(door.namespace, where)]
    if known:
        return _closed(address, known)
    if address.name in {canary.apex_name, canary.primary_service_name, canary.canary_service_name}:
        found = "is" if address.namespace else "is looked up"
        return (
            f"{address.text} {found} in namespace {where}, but Service {address.name} will be in {namespace}: write"
            f" {address.at(f'{address.name}.{namespace}')}."
        )
    right = _meant(address.name, canary)
    if right is None:
        return None
    host = right + address.host.removeprefix(address.name)
    return f"{address.text} names a Service {address.name}, which will not exist: write {address.at(host)}."


def _closed(address: Address, known: list[Door]) -> str | None:
    if any(door.ports is None or address.port in door.ports for door in known):
        return None
    ports = list(dict.fromkeys(port for door in known for port in door.ports or ()))
    return (
        f"{address.text} asks for port {address.port}, but Service {address.name} has"
        f" {' and '.join(map(str, ports))}: write {address.at(address.host, ports[0])}."
    )


def _meant(name: str, canary: Canary) -> str | None:
    """Return the Service of a canary that somebody meant with a name that no Service has."""
    suffixes = (CANARY_SUFFIX, PRIMARY_SUFFIX)
    for suffix in suffixes:
        if name == canary.target_name + suffix:
            return canary.apex_name + suffix
    near = get_close_matches(name, [canary.apex_name + suffix for suffix in suffixes], 1, _ALIKE)
    return near[0] if near else None
