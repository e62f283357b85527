"""What a payload asks for: the table of task types and how their metadata is read. Pure.

A payload that makes no task is refused with a sentence that names what to write instead.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from flaggerpy.durations import InvalidDuration, parse_duration
from flaggerpy.loadtester.errors import Refused
from flaggerpy.loadtester.jobs import Job, parse_concord, parse_ngrinder
from flaggerpy.loadtester.payload import Payload
from flaggerpy.loadtester.thresholds import InvalidThreshold, Thresholds, parse_thresholds

DEFAULT_TYPE = "cmd"
RESULT_TYPE = "result"
_RESULTS_COUNT_FOR = timedelta(minutes=10)
_TRUE = frozenset({"1", "t", "T", "TRUE", "true", "True"})
_ID = re.compile(r"[A-Za-z0-9](?:[-_.A-Za-z0-9]{0,61}[A-Za-z0-9])?")
_CANARY = re.compile(r"[A-Za-z0-9][-.A-Za-z0-9]{0,160}[A-Za-z0-9]")


class TaskKind(StrEnum):
    """The task types that run here."""

    CMD = "cmd"
    BASH = "bash"
    HELM = "helm"
    KUBECTL = "kubectl"
    NGRINDER = "ngrinder"
    CONCORD = "concord"


@dataclass(frozen=True, slots=True)
class Command:
    """Words for the operating system; `by_shell` when they have a shell run a text."""

    argv: tuple[str, ...]
    by_shell: bool = False


Work = Command | Job


@dataclass(frozen=True, slots=True)
class Task:
    """One thing to run for one canary.

    Attributes:
        command: what runs, as shown in logs and answers and as held against the allow-list; without secrets.
        id: the name under which its result is kept, empty when nobody will ask.
        revision: the one that it tests.
        fail_on_error: whether the next call of a task in the background is told that this run failed.
        thresholds: what it must have measured, beside ending with success.

    """

    kind: TaskKind
    canary: str
    command: str
    work: Work
    in_background: bool
    id: str = ""
    revision: str = ""
    log_output: bool = True
    return_output: bool = False
    fail_on_error: bool = False
    thresholds: Thresholds | None = None

    @property
    def key(self) -> tuple[str, str]:
        """Background tasks with equal keys never run at the same time."""
        return (self.canary, self.command)


@dataclass(frozen=True, slots=True)
class Question:
    """What somebody wants to know: the last result of a task.

    Attributes:
        revision: the one that must have been tested, any when empty.
        max_age: how long ago it may have ended.
        patience: seconds to wait for a result that is not there yet.

    """

    canary: str
    task: str
    revision: str
    max_age: timedelta
    patience: float = 0.0


@dataclass(frozen=True, slots=True)
class ResultTask:
    """The question how a task went; `none_passes` when a result that is not there is good enough."""

    question: Question
    none_passes: bool


def parse_task(payload: Payload) -> Task | ResultTask:
    """Read the task that a payload asks for; raises `Refused`."""
    metadata = payload.metadata
    if not metadata:
        raise Refused("metadata not found in payload")
    name = metadata.get("type") or DEFAULT_TYPE
    if name == RESULT_TYPE:
        return _result(payload, metadata)
    if name not in _TYPES:
        raise Refused(f'task type "{name}" is not known; known types are {", ".join(sorted([*_TYPES, RESULT_TYPE]))}')
    kind, build = _TYPES[name]
    command, work = build(name, metadata)
    in_background = kind in {TaskKind.CMD, TaskKind.NGRINDER}
    return Task(
        kind=kind,
        canary=payload.canary,
        command=command,
        work=work,
        in_background=in_background,
        id=_id(payload, metadata, "id") if "id" in metadata else "",
        revision=payload.revision,
        log_output=kind is not TaskKind.CMD or is_true(metadata, "logCmdOutput"),
        return_output=not in_background and is_true(metadata, "returnCmdOutput"),
        fail_on_error=in_background and is_true(metadata, "failOnError"),
        thresholds=_thresholds(work, metadata),
    )


def is_true(metadata: Mapping[str, str], key: str) -> bool:
    """Read a boolean as Go does; anything that is no boolean is false, as in Flagger."""
    return metadata.get(key, "") in _TRUE


def _thresholds(work: Work, metadata: Mapping[str, str]) -> Thresholds | None:
    try:
        found = parse_thresholds(metadata)
    except InvalidThreshold as error:
        raise Refused(str(error)) from error
    if found is not None and not isinstance(work, Command):
        raise Refused("metadata has bounds of a load test, but a task of this type has no output to hold them against")
    return found


def _result(payload: Payload, metadata: Mapping[str, str]) -> ResultTask:
    if "task" not in metadata:
        raise Refused('metadata.task is missing: a task of type "result" needs the id of the task that it asks for')
    missing = metadata.get("onNoResult", "fail")
    if missing not in {"fail", "pass"}:
        raise Refused(f'metadata.onNoResult: "{missing}" is neither fail nor pass')
    question = Question(
        canary=payload.canary,
        task=_id(payload, metadata, "task"),
        revision=payload.revision,
        max_age=_duration(metadata, "maxAge") or _RESULTS_COUNT_FOR,
        patience=(_duration(metadata, "wait") or timedelta()).total_seconds(),
    )
    return ResultTask(question, none_passes=missing == "pass")


def _id(payload: Payload, metadata: Mapping[str, str], key: str) -> str:
    if not _ID.fullmatch(metadata[key]):
        raise Refused(
            f'metadata.{key}: "{metadata[key]}" is no id: write up to 63 letters, digits, -, _ and ., with a letter or'
            " digit at both ends"
        )
    if not _CANARY.fullmatch(payload.canary):
        raise Refused("results are kept by canary: name and namespace must be those of one")
    return metadata[key]


def _duration(metadata: Mapping[str, str], key: str) -> timedelta | None:
    if key not in metadata:
        return None
    try:
        found = parse_duration(metadata[key])
    except InvalidDuration as error:
        raise Refused(f"metadata.{key}: {error}") from error
    if found <= timedelta():
        raise Refused(f'metadata.{key}: "{metadata[key]}" is not longer than zero')
    return found


def _shell(program: str) -> Callable[[str, Mapping[str, str]], tuple[str, Work]]:
    def build(name: str, metadata: Mapping[str, str]) -> tuple[str, Work]:
        command = _cmd(name, metadata)
        return command, Command((program, "-c", command), by_shell=True)

    return build


def _program(program: str) -> Callable[[str, Mapping[str, str]], tuple[str, Work]]:
    def build(name: str, metadata: Mapping[str, str]) -> tuple[str, Work]:
        command = _cmd(name, metadata)
        try:
            arguments = shlex.split(command)
        except ValueError as error:
            raise Refused(f"metadata.cmd cannot be split into arguments: {str(error).lower()}") from error
        return f"{program} {command}", Command((program, *arguments))

    return build


def _cmd(name: str, metadata: Mapping[str, str]) -> str:
    command = metadata.get("cmd", "")
    if not command.strip():
        raise Refused(f'metadata.cmd is missing: a task of type "{name}" needs the command to run')
    if "\0" in command:
        raise Refused("metadata.cmd holds a NUL character, which no command line can")
    return command


def _ngrinder(name: str, metadata: Mapping[str, str]) -> tuple[str, Work]:
    del name
    job = parse_ngrinder(metadata)
    return job.title, job


def _concord(name: str, metadata: Mapping[str, str]) -> tuple[str, Work]:
    del name
    job = parse_concord(metadata)
    return job.title, job


_TYPES: dict[str, tuple[TaskKind, Callable[[str, Mapping[str, str]], tuple[str, Work]]]] = {
    "cmd": (TaskKind.CMD, _shell("sh")),
    "bash": (TaskKind.BASH, _shell("bash")),
    "helm": (TaskKind.HELM, _program("helm")),
    "helmv3": (TaskKind.HELM, _program("helm")),
    "kubectl": (TaskKind.KUBECTL, _program("kubectl")),
    "ngrinder": (TaskKind.NGRINDER, _ngrinder),
    "concord": (TaskKind.CONCORD, _concord),
}
