"""How faults are written: for people, for programs, and for GitHub's annotations."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Final

from flaggerpy.api.reading import field_path
from flaggerpy.lint.faults import Fault, Level
from flaggerpy.lint.run import OURS, Report


def as_text(report: Report) -> str:
    """Write one line a fault, as compilers do: ``file:line:column: error: sentence [rule]``."""
    return "".join(
        f"{_place(fault)}: {fault.level}: {fault.sentence} [{fault.rule.title}]\n" for fault in report.faults
    )


def as_json(report: Report) -> str:
    """Write a list of objects."""
    return json.dumps([_object(fault) for fault in report.faults], indent=2, ensure_ascii=False) + "\n"


def as_github(report: Report) -> str:
    """Write workflow commands, which GitHub shows as annotations of the lines."""
    return "".join(
        f"::{fault.level} file={_property(fault.file)},line={fault.line},col={fault.column},"
        f"title={_property(f'flaggerpy lint: {fault.rule.title}')}::{_data(fault.sentence)}\n"
        for fault in report.faults
    )


FORMATS: Final[Mapping[str, Callable[[Report], str]]] = {"text": as_text, "json": as_json, "github": as_github}


def summary(report: Report) -> str:
    """Say in a line or two how much was found in how much."""
    found = [_count(report.count(level), level) for level in Level if report.count(level)]
    kinds = [_count(report.objects[kind], kind) for kind in OURS if kind in report.objects] or ["no canary"]
    lines = [f"{' and '.join(found) or 'no fault'} in {_count(report.files, 'file')} ({', '.join(kinds)})"]
    if report.without_provider:
        lines.append(
            f"{_count(report.without_provider, 'canary')} without spec.provider: say --mesh-provider, as the"
            " controller's flag, to have checked what the provider can do"
        )
    return "\n".join(lines)


def _place(fault: Fault) -> str:
    return f"{fault.file}:{fault.line}:{fault.column}"


def _object(fault: Fault) -> dict[str, str | int]:
    return {
        "file": fault.file,
        "line": fault.line,
        "column": fault.column,
        "level": fault.level,
        "rule": fault.rule.title,
        "field": field_path(fault.place),
        "message": fault.sentence,
    }


def _count(number: int, what: str) -> str:
    if number == 1:
        return f"1 {what}"
    return f"{number} {what.removesuffix('y')}ies" if what.endswith("ry") else f"{number} {what}s"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
