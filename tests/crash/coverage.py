"""Which flow is there for which kind of write: each action of the core, each function of the shell that writes.

The tables are held against the code without a cluster (test_coverage.py), and against what really happened at the end
of a crash run.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import get_args

import flaggerpy.controller
from flaggerpy.controller.writes import Writes
from flaggerpy.kube.client import Client
from flaggerpy.rollout import decision as d
from tests.crash.explore import Exploration
from tests.crash.mortal import EVERY_WAY, lacking

ACTIONS: Mapping[str, str] = {
    d.AddFinalizer.__name__: "bootstrap",
    d.RemoveFinalizer.__name__: "deletion",
    d.DisownPrimary.__name__: "taken over from Flagger",
    d.WriteService.__name__: "bootstrap",
    d.ReleaseService.__name__: "deletion",
    d.CopyConfigs.__name__: "good rollout",
    d.CreatePrimary.__name__: "bootstrap",
    d.UpdatePrimary.__name__: "good rollout",
    d.KeepRevision.__name__: "good rollout",
    d.ForgetPromoted.__name__: "aborted in its promotion",
    d.RestorePrimary.__name__: "primary lost",
    d.DropCopies.__name__: "good rollout",
    d.ScaleTarget.__name__: "good rollout",
    d.ScalePrimary.__name__: "autoscaled rollout",
    d.WriteScaler.__name__: "bootstrap with an autoscaler and a budget",
    d.DeleteScaler.__name__: "autoscaler and budget taken away",
    d.PauseScaler.__name__: "rollout under KEDA",
    d.ResumeScaler.__name__: "rollout under KEDA",
    d.WriteBudgets.__name__: "bootstrap with an autoscaler and a budget",
    d.SetRoutes.__name__: "good rollout",
    d.ReleaseRoute.__name__: "deletion",
    d.LeaveRoutes.__name__: "provider left",
    d.DeleteChildren.__name__: "deletion",
}
WRITERS: Mapping[str, str] = {
    "execute:_Tick._resize": "good rollout",
    "execute:_Tick.write_status": "good rollout",
    "execute:_Tick._set_finalizers": "bootstrap",
    "execute:_Tick._write_service": "bootstrap",
    "execute:_Tick._release_service": "deletion",
    "execute:_Tick._copy_configs": "good rollout",
    "execute:_Tick._write_primary": "good rollout",
    "execute:_Tick._disown_primary": "taken over from Flagger",
    "execute:_Tick._write_scaler": "bootstrap with an autoscaler and a budget",
    "execute:_Tick._write_budgets": "bootstrap with an autoscaler and a budget",
    "execute:_Tick._pause": "rollout under KEDA",
    "execute:_Tick._apply": "good rollout",
    "kept:Keeper.keep": "good rollout",
    "kept:Keeper.restore": "primary lost",
    "kept:Keeper._restore_copies": "primary and a copy of its configs lost",
    "kept:Keeper.let_go": "good rollout",
    "kept:Keeper.forget_last": "aborted in its promotion",
    "kept:Keeper.forget": "deletion",
    "leaving:leave": "provider left",
    "removal:Remover.ours": "deletion",
    "removal:Remover._budgets": "deletion with a budget",
}
ALONE: Mapping[str, str] = {
    "leaving:clear": "writes one route in a deletion that serves nobody, as ReleaseRoute does in one that does",
    "schema:_tried": "a write that is not carried out",
    "execute:Executor.let_go": "one write, and nothing else is done with a Canary that cannot be read",
}
"""Writers that no flow can disturb between two writes, and why."""
_VERBS = {name for room in (Client, Writes) for name in vars(room)} & {
    "apply",
    "change",
    "create",
    "delete",
    "json_patch",
    "merge_patch",
    "patch",
    "put",
    "replace",
    "replace_status",
    "scale",
}


def actions() -> set[str]:
    """Return the names of all actions that the core can plan."""
    return {action.__name__ for action in get_args(d.Action)}


def writers() -> set[str]:
    """Return the functions of the shell that write, as their code says."""
    folder = Path(flaggerpy.controller.__file__).parent
    return {name for path in sorted(folder.glob("*.py")) if path.stem != "writes" for name in _writers(path)}


def _writers(path: Path) -> Iterator[str]:
    for top in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(top, ast.ClassDef):
            for part in top.body:
                if isinstance(part, ast.AsyncFunctionDef) and _writes(part):
                    yield f"{path.stem}:{top.name}.{part.name}"
        elif isinstance(top, ast.AsyncFunctionDef) and _writes(top):
            yield f"{path.stem}:{top.name}"


def _writes(function: ast.AsyncFunctionDef) -> bool:
    """Tell whether a function calls a verb of a client or of a tick's writes."""
    calls = (node.func for node in ast.walk(function) if isinstance(node, ast.Call))
    return any(
        isinstance(call, ast.Attribute)
        and call.attr in _VERBS
        and ast.unparse(call.value).rpartition(".")[2].lstrip("_") in {"client", "writes"}
        for call in calls
    )


def undisturbed(explorations: Iterable[Exploration], *, every: bool = EVERY_WAY) -> list[str]:
    """Return what the explored flows are there for and did not disturb in the ways that are asked for."""
    return [line for one in explorations for line in _undisturbed(one, every=every)]


def _undisturbed(one: Exploration, *, every: bool) -> Iterator[str]:
    struck = {
        (name, mode) for run in one.runs for origin, mode in run.origins for name in (origin.action, origin.writer)
    }
    for name, flow in {**ACTIONS, **WRITERS}.items():
        missing = lacking([mode for found, mode in struck if found == name], every=every)
        if flow == one.flow.name and missing:
            yield f"{flow} is there for {name}, and nothing {', '.join(mode.value for mode in missing)} it"
