"""What a payload asks for: the table of task types and how their metadata is read. Pure.

A payload that makes no task is refused with a sentence that names what to write instead.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from flaggerpy.loadtester.payload import Payload

DEFAULT_TYPE = "cmd"
_TRUE = frozenset({"1", "t", "T", "TRUE", "true", "True"})


class Refused(Exception):
    """A payload that asks for nothing we can do; the text is for its author."""


class TaskKind(StrEnum):
    """The task types that run here."""

    CMD = "cmd"
    BASH = "bash"
    HELM = "helm"
    KUBECTL = "kubectl"


@dataclass(frozen=True, slots=True)
class Task:
    """One command to run for one canary."""

    kind: TaskKind
    canary: str
    command: str
    argv: tuple[str, ...]
    in_background: bool
    log_output: bool = True
    return_output: bool = False
    fail_on_error: bool = False

    @property
    def key(self) -> tuple[str, str]:
        """Background tasks with equal keys never run at the same time."""
        return (self.canary, self.command)


def parse_task(payload: Payload) -> Task:
    """Read the task that a payload asks for; raises `Refused`."""
    metadata = payload.metadata
    if not metadata:
        raise Refused("metadata not found in payload")
    name = metadata.get("type") or DEFAULT_TYPE
    if reason := _NOT_BUILT.get(name):
        raise Refused(reason)
    build = _TYPES.get(name)
    if build is None:
        raise Refused(f'task type "{name}" is not known; known types are {", ".join(sorted(_TYPES))}')
    command = metadata.get("cmd", "")
    if not command.strip():
        raise Refused(f'metadata.cmd is missing: a task of type "{name}" needs the command to run')
    if "\0" in command:
        raise Refused("metadata.cmd holds a NUL character, which no command line can")
    return build(payload.canary, command, metadata)


def is_true(metadata: Mapping[str, str], key: str) -> bool:
    """Read a boolean as Go does; anything that is no boolean is false, as in Flagger."""
    return metadata.get(key, "") in _TRUE


def _background(canary: str, command: str, metadata: Mapping[str, str]) -> Task:
    return Task(
        kind=TaskKind.CMD,
        canary=canary,
        command=command,
        argv=("sh", "-c", command),
        in_background=True,
        log_output=is_true(metadata, "logCmdOutput"),
        fail_on_error=is_true(metadata, "failOnError"),
    )


def _bash(canary: str, command: str, metadata: Mapping[str, str]) -> Task:
    return Task(
        kind=TaskKind.BASH,
        canary=canary,
        command=command,
        argv=("bash", "-c", command),
        in_background=False,
        return_output=is_true(metadata, "returnCmdOutput"),
    )


def _program(kind: TaskKind) -> Callable[[str, str, Mapping[str, str]], Task]:
    def build(canary: str, command: str, metadata: Mapping[str, str]) -> Task:
        try:
            arguments = shlex.split(command)
        except ValueError as error:
            raise Refused(f"metadata.cmd cannot be split into arguments: {str(error).lower()}") from error
        return Task(
            kind=kind,
            canary=canary,
            command=f"{kind.value} {command}",
            argv=(kind.value, *arguments),
            in_background=False,
            return_output=is_true(metadata, "returnCmdOutput"),
        )

    return build


_TYPES: dict[str, Callable[[str, str, Mapping[str, str]], Task]] = {
    "cmd": _background,
    "bash": _bash,
    "helm": _program(TaskKind.HELM),
    "helmv3": _program(TaskKind.HELM),
    "kubectl": _program(TaskKind.KUBECTL),
}

_NOT_BUILT = {
    name: f'task type "{name}" of Flagger is not built into this load tester; known types are '
    f"{', '.join(sorted(_TYPES))}; its HTTP calls can be made with curl in a task of type bash"
    for name in ("ngrinder", "concord")
}
