"""Make data for a replay from a folder with a recording: ``python -m tests.replay.trim FOLDER…``.

A folder holds what was applied (``*.yaml``), what was done when (``steps.json``), every change of an object
(``timeline.jsonl``) and every request of the controller (``calls.jsonl``); docs/development/replay.md says how to make
one. What is left is the input, the steps, and Flagger's story. The list of known differences of an older copy is kept.
"""

from __future__ import annotations

import copy
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from tests.replay.recording import DATA, Recording, names, read
from tests.replay.story import NAMESPACE, SERVER, Call, Change, JsonObject, tell

SERVED = frozenset({"kubernetes", "gatewayapi:v1", "contour"})
STAND_IN = "gatewayapi:v1"
GATEWAY = {"name": "gateway", "namespace": "gw-system"}
FOREIGN = ("gateways", "trafficPolicy", "delegation", "meshName", "backends")
"""Fields of ``spec.service`` that mean something to the recording's own provider only."""
RECORDED_AT = "http://127.0.0.1:18090"
OTHER_FLAGS = {
    "mesh_provider": "contour",
    "ingress_class": "contour-external",
    "selector_labels": "k8s-app,app",
    "config_tracking": False,
    "include_label_prefix": "*",
    "no_cross_namespace_refs": True,
    "cluster_name": "prod-1",
    "slack_url": f"{SERVER}/{NAMESPACE}/alert/global-slack",
    "slack_channel": "ops",
    "slack_user": "bot",
    "slack_token": "xoxb-9",
}
"""The second set of flags, of recordings whose name begins with ``flags-``."""
TAKES_EVERYTHING: JsonObject = {
    "do": "patch",
    "kind": "HTTPRoute",
    "name": "podinfo",
    "type": "merge",
    "subresource": "status",
    "body": {
        "status": {
            "parents": [
                {
                    "controllerName": "example.com/gw",
                    "parentRef": {"group": "gateway.networking.k8s.io", "kind": "Gateway", **GATEWAY},
                    "conditions": [
                        {
                            "type": "Accepted",
                            "status": "True",
                            "reason": "Accepted",
                            "message": "",
                            "observedGeneration": 99,
                            "lastTransitionTime": "2026-01-01T00:00:00Z",
                        }
                    ],
                }
            ]
        }
    },
}
"""A Gateway that has taken whatever is written from now on: one that spoke once is not believed to serve the next."""
ELSEWHERE: dict[str, dict[str, JsonObject]] = {
    "bootstrap-deadline-istio": {"sleep 75": {"do": "sleep", "seconds": 130}},
    "bootstrap-deadline-kubernetes": {"sleep 75": {"do": "sleep", "seconds": 130}},
    "gatewayapi-accepted-condition": {"sleep 5": TAKES_EVERYTHING},
    "gatewayapi-header-order-fault": {"sleep 110": {"do": "sleep", "seconds": 40}},
    "metric-no-values-error-slow": {"failedChecks 2": {"do": "sleep", "seconds": 15}},
    "pre-rollout-fails": {"phase Failed": {"do": "wait-phase", "phase": "Succeeded"}},
    "weights-edited-by-hand": {"canaryWeight 65": {"do": "wait-status", "canaryWeight": 40}},
}
"""What is waited for instead: deadlines are not shortened, and some of what Flagger does never comes here."""
NOT_SERVED: dict[str, tuple[str, ...]] = {
    "errors-at-bootstrap": ("no-ingress", "no-ingressref", "other-backend", "other-ing", "no-route"),
}
"""Names of objects that are about a provider for which none can stand in, by recording."""
ONGOING = frozenset({"Progressing", "Waiting", "WaitingPromotion", "Promoting", "Finalising"})


def trim(folder: Path) -> JsonObject:
    """Return what is kept of a recording."""
    about = _read(folder / "steps.json")
    unserved = NOT_SERVED.get(folder.name, ())
    timeline = [line for line in _lines(folder / "timeline.jsonl") if not _is_of(line["name"], unserved)]
    calls = [call for call in _lines(folder / "calls.jsonl") if call.get("body", {}).get("name") not in unserved]
    foreign = not _providers(folder) <= SERVED
    steps = [_step(folder, step, foreign=foreign) for step in about["steps"]]
    once = [step for index, step in enumerate(steps) if not step == steps[index - 1] == TAKES_EVERYTHING]
    kept: JsonObject = {"about": about["about"], "steps": once}
    if foreign:
        kept["provider"] = STAND_IN
    if folder.name.startswith("flags-"):
        kept["settings"] = OTHER_FLAGS
    kept = _anonymous(kept, folder.name)
    changes = list(_changes(timeline))
    if _phase_at_the_end(changes) in ONGOING:
        kept["settle"] = False
    recording = Recording(name=folder.name, flagger=None, **kept)  # type: ignore[arg-type]  # being made here
    flagger = tell(
        (Change(change.kind, change.name, _anonymous(change.obj, folder.name)) for change in changes),
        [_call(_anonymous(call, folder.name)) for call in calls],
        given=recording.given,
        routers=not foreign,
        canaries=recording.canaries,
    )
    return {**kept, "flagger": flagger.as_json()}


def _providers(folder: Path) -> set[str]:
    """Return the providers that canaries name."""
    documents = yaml.safe_load_all((folder / "input.yaml").read_text(encoding="utf-8"))
    specs = [obj["spec"] for obj in documents if obj and obj["kind"] == "Canary"]
    return {spec["provider"] for spec in specs if "provider" in spec}


def _read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def _lines(path: Path) -> list[JsonObject]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def _step(folder: Path, step: JsonObject, *, foreign: bool) -> JsonObject:
    kept = {key: value for key, value in step.items() if key not in {"t", "file", "note"}}
    for what, instead in ELSEWHERE.get(folder.name, {}).items():
        field, _, value = what.partition(" ")
        if str(kept.get("seconds" if field == "sleep" else field)) == value:
            return dict(instead)
    if kept.get("kind") == "VirtualService":
        return _of_our_route(kept)
    if "file" in step:
        documents = yaml.safe_load_all((folder / step["file"]).read_text(encoding="utf-8"))
        left_out = NOT_SERVED.get(folder.name, ())
        kept["objects"] = [
            obj
            for obj in documents
            if obj and not (foreign and _of_another_mesh(obj)) and obj["metadata"]["name"] not in left_out
        ]
    if foreign and kept.get("match") == "histogram_quantile":
        kept["value"] /= 1000  # Istio counts milliseconds, what stands in for it seconds
    for obj in kept.get("objects") or ():
        if foreign and obj["kind"] == "Canary":
            _translate(obj["spec"])
    return kept


def _of_our_route(step: JsonObject) -> JsonObject:
    """Have the user do to an HTTPRoute what was done to a VirtualService."""
    routes = (step.get("body") or {}).get("spec", {}).get("http")
    if not routes:
        return {**step, "kind": "HTTPRoute"}
    changes = [
        {"op": "replace", "path": f"/spec/rules/0/backendRefs/{at}/weight", "value": backend["weight"]}
        for at, backend in enumerate(routes[0]["route"])
    ]
    if timeout := routes[0].get("timeout"):
        changes.append({"op": "add", "path": "/spec/rules/0/timeouts", "value": {"request": timeout}})
    return {**step, "kind": "HTTPRoute", "type": "json", "body": changes}


def _is_of(name: str, canaries: tuple[str, ...]) -> bool:
    return name in canaries or name.removesuffix("-primary").removesuffix("-canary") in canaries


def _of_another_mesh(obj: JsonObject) -> bool:
    return "istio" in obj["apiVersion"]


def _translate(spec: JsonObject) -> None:
    """Have a canary of another provider served by the one that stands in for it."""
    if spec.get("provider") in SERVED - {"contour"}:
        return
    spec["provider"] = STAND_IN
    if spec["targetRef"]["kind"] == "Service":
        # Built-in checks of a Service need a mesh that knows more than pods.
        del spec["analysis"]["metrics"]
    if service := spec.get("service"):
        for field in FOREIGN:
            service.pop(field, None)
        service["gatewayRefs"] = [dict(GATEWAY)]


def _changes(timeline: list[JsonObject]) -> Iterator[Change]:
    """Put every line's parts together with those that did not change."""
    now: dict[tuple[str, str], JsonObject] = {}
    for line in timeline:
        name = (line["kind"], line["name"])
        if line["change"] == "deleted":
            now.pop(name, None)
            yield Change(*name, None)
            continue
        whole = {} if line["change"] == "added" else now.get(name, {})
        now[name] = {part: value for part, value in {**whole, **line["object"]}.items() if value is not None}
        yield Change(*name, copy.deepcopy(now[name]))


def _phase_at_the_end(changes: list[Change]) -> str:
    phases = [
        (change.obj.get("status") or {}).get("phase") for change in changes if change.kind == "Canary" and change.obj
    ]
    return str(phases[-1]) if phases else ""


def _call(call: JsonObject) -> Call:
    if call["to"] == "prometheus":
        return Call("prometheus", call["query"], {})
    if call["path"] == "/global-slack":
        return Call("alert", "global-slack", call["body"])
    path = re.sub(r"^/\{namespace\}/(hook|alert)/", "", call["path"])
    return Call(call["to"], path, call["body"])


def _anonymous(value: Any, name: str) -> Any:
    """Replace the recording's namespace, which has its name, and its server's address."""
    if value is None:
        return None
    text = json.dumps(value, ensure_ascii=False).replace(RECORDED_AT, SERVER)
    return json.loads(re.sub(rf'(?<=[./"]){re.escape(name)}(?=[\s/"\\_.<]|-podinfo\b|$)(?!":|\.sh/)', NAMESPACE, text))


class _Dumper(yaml.SafeDumper):
    """Writes no anchors: everything is where one reads it."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def save(name: str, kept: JsonObject) -> Path:
    """Write a recording's file and return where."""
    path = DATA / f"{name}.yaml"
    path.write_text(yaml.dump(kept, Dumper=_Dumper, sort_keys=False, width=120, allow_unicode=True), encoding="utf-8")
    return path


def write(folder: Path) -> Path:
    """Write the data of a recording and return where."""
    kept = trim(folder)
    if folder.name in names() and (known := read(folder.name).get("differs")):
        kept["differs"] = known
    return save(folder.name, kept)


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        print(write(Path(argument)))
