"""Load tests that run on other servers, nGrinder's and Concord's: what is asked and what the answers mean. Pure.

The HTTP is in remote.py. What is secret stays out of the repr and of titles.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any
from urllib.parse import quote, urlsplit

from flaggerpy.durations import InvalidDuration, parse_duration
from flaggerpy.loadtester.errors import Refused

_ARGUMENTS = "arguments."
_NGRINDER_FAILED = frozenset({"STOP_BY_ERROR", "CANCELED", "UNKNOWN"})
_CONCORD_FAILED = frozenset({"FAILED", "CANCELLED", "TIMED_OUT"})


class Progress(Enum):
    """How far a job is."""

    RUNNING = auto()
    SUCCEEDED = auto()
    FAILED = auto()


class UnreadableAnswer(Exception):
    """A server answered something else than what was agreed; the message says what is missing."""


@dataclass(frozen=True, slots=True)
class NGrinderTest:
    """A test of nGrinder that is copied and started.

    Attributes:
        poll: seconds between two looks at it.

    """

    server: str
    clone: int
    username: str
    password: str = field(repr=False)
    poll: float = 1.0

    @property
    def title(self) -> str:
        """What runs, for logs and the allow-list."""
        return f"ngrinder {self.server} {self.clone}"

    @property
    def start_url(self) -> str:
        """Where it is copied and started."""
        return f"{self._url(self.clone)}/clone_and_start"

    def status_url(self, test: int) -> str:
        """Where its status is."""
        return f"{self._url(test)}/status"

    def stop_url(self, test: int) -> str:
        """Where it is stopped."""
        return f"{self._url(test)}?action=stop"

    def _url(self, test: int) -> str:
        return f"{self.server.rstrip('/')}/perftest/api/{test}"


@dataclass(frozen=True, slots=True)
class ConcordProcess:
    """A process of Concord that is started.

    Attributes:
        key_file: file with the value of the header Authorization.
        fields: the form that starts it.
        poll: seconds between two looks at it.
        patience: seconds that it may take.

    """

    server: str
    key_file: str
    fields: tuple[tuple[str, str], ...]
    poll: float = 5.0
    patience: float = 30.0

    @property
    def title(self) -> str:
        """What runs, for logs and the allow-list."""
        names = " ".join(value for key, value in self.fields if key in {"org", "project", "repo", "entryPoint"})
        return f"concord {self.server} {names} {self.key_file}"

    @property
    def start_url(self) -> str:
        """Where it is started."""
        return f"{self.server.rstrip('/')}/api/v1/process"

    def status_url(self, process: str) -> str:
        """Where its status is."""
        return f"{self.start_url}/{quote(process, safe='')}"


Job = NGrinderTest | ConcordProcess


def parse_ngrinder(metadata: Mapping[str, str]) -> NGrinderTest:
    """Read a task of type ngrinder; raises `Refused`."""
    _demand("ngrinder", metadata, ("server", "clone", "username", "passwd"))
    clone, encoded = metadata["clone"], metadata["passwd"]
    if not (clone.isascii() and clone.isdigit() and len(clone) < 16):
        raise Refused(f'metadata.clone: "{clone}" is no number of a test')
    try:
        password = base64.b64decode(encoded.strip(), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError) as error:
        raise Refused("metadata.passwd is not base64") from error
    return NGrinderTest(
        server=_server(metadata["server"]),
        clone=int(clone),
        username=metadata["username"],
        password=password,
        poll=_poll(metadata.get("pollInterval")),
    )


def parse_concord(metadata: Mapping[str, str]) -> ConcordProcess:
    """Read a task of type concord; raises `Refused`."""
    _demand("concord", metadata, ("server", "org", "project", "repo", "entrypoint", "apiKeyPath", "endpoint"))
    if f"{_ARGUMENTS}endpoint" in metadata:
        raise Refused("metadata.arguments.endpoint is not used: write metadata.endpoint")
    fields = [
        *(("org", metadata["org"]), ("project", metadata["project"]), ("repo", metadata["repo"])),
        *(("entryPoint", metadata["entrypoint"]), (f"{_ARGUMENTS}endpoint", metadata["endpoint"])),
        *((key, value) for key, value in sorted(metadata.items()) if key.startswith(_ARGUMENTS)),
    ]
    return ConcordProcess(
        server=_server(metadata["server"]),
        key_file=metadata["apiKeyPath"],
        fields=tuple(fields),
        poll=_seconds(metadata, "pollInterval", "5"),
        patience=_seconds(metadata, "pollTimeout", "30"),
    )


def ngrinder_test(answer: Mapping[str, Any]) -> int:
    """Read which test was started; raises `UnreadableAnswer`."""
    test = answer.get("id")
    if not isinstance(test, int) or isinstance(test, bool):
        raise UnreadableAnswer("the answer names no test that was started")
    return test


def ngrinder_progress(answer: Mapping[str, Any]) -> tuple[Progress, str]:
    """Read how far a test is, and its own word for that; raises `UnreadableAnswer`."""
    rows = answer.get("status")
    status = rows[0].get("status_id") if isinstance(rows, list) and rows and isinstance(rows[0], dict) else None
    return _progress(status, "FINISHED", _NGRINDER_FAILED)


def concord_process(answer: Mapping[str, Any]) -> str:
    """Read which process was started; raises `UnreadableAnswer`."""
    process = answer.get("instanceId")
    if not isinstance(process, str) or not process:
        raise UnreadableAnswer("the answer names no process that was started")
    return process


def concord_progress(answer: Mapping[str, Any]) -> tuple[Progress, str]:
    """Read how far a process is, and its own word for that; raises `UnreadableAnswer`."""
    return _progress(answer.get("status"), "FINISHED", _CONCORD_FAILED)


def _progress(status: object, good: str, bad: frozenset[str]) -> tuple[Progress, str]:
    if not isinstance(status, str):
        raise UnreadableAnswer("the answer has no status")
    if status == good:
        return Progress.SUCCEEDED, status
    return Progress.FAILED if status in bad else Progress.RUNNING, status


def _demand(kind: str, metadata: Mapping[str, str], keys: tuple[str, ...]) -> None:
    if missing := [f"metadata.{key}" for key in keys if not metadata.get(key, "").strip()]:
        raise Refused(f'a task of type "{kind}" needs {" and ".join(missing)}')


def _server(text: str) -> str:
    """Return the address of a server, without names and passwords, which belong elsewhere."""
    try:
        parts = urlsplit(text)
        good = parts.scheme in {"http", "https"} and parts.hostname and not parts.query and "@" not in parts.netloc
    except ValueError:
        good = False
    if not good:
        raise Refused('metadata.server is no address of a server: write "http://HOST:PORT" or another like it')
    return text


def _poll(text: str | None) -> float:
    """Read nGrinder's poll interval; what is no duration is a second, as in Flagger."""
    try:
        seconds = parse_duration(text or "1s").total_seconds()
    except InvalidDuration:
        return 1.0
    return seconds if seconds > 0 else 1.0


def _seconds(metadata: Mapping[str, str], key: str, default: str) -> float:
    text = metadata.get(key, default)
    if not re.fullmatch(r"[0-9]{1,6}", text) or not int(text):
        raise Refused(f'metadata.{key}: "{text}" is no number of seconds above zero')
    return float(text)
