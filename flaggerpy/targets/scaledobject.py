"""ScaledObjects of KEDA: the primary's asks for the primary's metrics, the target's is paused while the target sleeps.

KEDA makes a HorizontalPodAutoscaler for every ScaledObject, and scales to and from zero, or ``idleReplicaCount``,
itself. It would wake a sleeping target within a polling interval. Its pause is an annotation, the only thing of the
user's object that is ever written; a pause at another number of pods, or without any, is the user's and stays.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from typing import Any

from flaggerpy.api.canary import Canary
from flaggerpy.api.constants import KEDA_PAUSED, KEDA_PAUSED_REPLICAS, KEDA_SCALED_OBJECT
from flaggerpy.kube.objects import JsonObject, annotations_of, name_of
from flaggerpy.kube.resources import SCALED_OBJECTS
from flaggerpy.rollout.observation import Bounds
from flaggerpy.targets.names import copy_name
from flaggerpy.targets.scalers import Facts, memory

_AT_ZERO = "0"
_NOT_PAUSED = frozenset({"0", "f", "F", "false", "False", "FALSE"})
"""What Go reads as false; KEDA takes everything else for a pause."""
_HIGHEST = 100
_POLLING_INTERVAL = 30
_QUOTED = re.compile(r""""(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|`[^`]*`""")


class ScaledObjects:
    """KEDA's autoscaler of workloads."""

    resource = SCALED_OBJECTS
    own = frozenset({KEDA_SCALED_OBJECT, KEDA_PAUSED, KEDA_PAUSED_REPLICAS})

    def facts(self, canary: Canary, scaler: JsonObject) -> Facts:
        """Say what matters of a ScaledObject."""
        spec = scaler.get("spec") or {}
        scaled = spec.get("scaleTargetRef") or {}
        low, high = spec.get("minReplicaCount"), spec.get("maxReplicaCount")
        interval = spec.get("pollingInterval")
        behavior = _hpa_config(spec).get("behavior") or {}
        return Facts(
            bounds=Bounds(int(low or 0), _HIGHEST if high is None else int(high)),
            scales=(str(scaled.get("kind") or "Deployment"), str(scaled.get("name"))),
            memory=memory(behavior, later=_POLLING_INTERVAL if interval is None else int(interval)),
            idle=spec.get("idleReplicaCount"),
            pausable=not paused_otherwise(scaler),
            notes=tuple(_notes(canary, scaler, spec)),
        )

    def spec(self, canary: Canary, scaler: JsonObject, bounds: Bounds) -> JsonObject:
        """Return the spec of the primary's."""
        spec: JsonObject = copy.deepcopy(scaler.get("spec") or {})
        own = self.facts(canary, scaler).bounds
        spec["scaleTargetRef"] = {**(spec.get("scaleTargetRef") or {}), "name": canary.primary_name}
        if bounds.low != own.low:
            spec["minReplicaCount"] = bounds.low
        if bounds.high != own.high:
            spec["maxReplicaCount"] = bounds.high
        if config := _hpa_config(spec):
            spec["advanced"]["horizontalPodAutoscalerConfig"] = _renamed(config)
        if (spec.get("advanced") or {}).get("restoreToOriginalReplicaCount"):
            # When it is deleted KEDA would make the primary what it was in the beginning, and users are on it.
            spec["advanced"]["restoreToOriginalReplicaCount"] = False
        for trigger in spec.get("triggers") or []:
            _set_query(canary, trigger)
        return spec


def paused_at_zero(scaler: Mapping[str, Any]) -> bool:
    """Tell whether a ScaledObject is paused as we do it."""
    return annotations_of(scaler).get(KEDA_PAUSED_REPLICAS) == _AT_ZERO


def paused_otherwise(scaler: Mapping[str, Any]) -> bool:
    """Tell whether somebody paused a ScaledObject in a way that is not ours."""
    annotations = annotations_of(scaler)
    at = annotations.get(KEDA_PAUSED_REPLICAS, _AT_ZERO)
    return at != _AT_ZERO or annotations.get(KEDA_PAUSED, "false") not in _NOT_PAUSED


def pause(*, on: bool) -> JsonObject:
    """Return the patch that pauses a ScaledObject at zero pods, or takes that pause off."""
    return {"metadata": {"annotations": {KEDA_PAUSED_REPLICAS: _AT_ZERO if on else None}}}


def primary_query(query: str, target: str, primary: str) -> str:
    """Return what a query asks of the primary instead: ``web``, ``web-canary`` and ``web-primary`` are all renamed.

    In quotes the name is replaced wherever it stands, as in ``namespace_web_80``. Outside it must stand alone, since a
    metric like ``web_requests`` is no name of a workload, and could not have a hyphen in it.
    """
    name = rf"{re.escape(target)}(?:-canary|-primary)?"
    alone = re.compile(rf"(?<![A-Za-z0-9_]){name}(?![A-Za-z0-9_])")
    replaced, end = "", 0
    for quoted in _QUOTED.finditer(query):
        replaced += alone.sub(primary, query[end : quoted.start()]) + re.sub(name, primary, quoted.group())
        end = quoted.end()
    return replaced + alone.sub(primary, query[end:])


def _set_query(canary: Canary, trigger: JsonObject) -> None:
    ref, metadata = canary.spec.autoscaler_ref, trigger.get("metadata") or {}
    queries = ref.primary_scaler_queries if ref is not None else None
    if queries:
        if trigger.get("name") in queries:
            trigger["metadata"] = {**metadata, "query": queries[trigger["name"]]}
    elif isinstance(metadata.get("query"), str):
        query = primary_query(metadata["query"], canary.target_name, canary.primary_name)
        trigger["metadata"] = {**metadata, "query": query}


def _hpa_config(spec: Mapping[str, Any]) -> JsonObject:
    config: JsonObject = (spec.get("advanced") or {}).get("horizontalPodAutoscalerConfig") or {}
    return config


def _renamed(config: JsonObject) -> JsonObject:
    """Two ScaledObjects cannot have one HorizontalPodAutoscaler."""
    return {**config, "name": copy_name(config["name"])} if config.get("name") else config


def _notes(canary: Canary, scaler: JsonObject, spec: Mapping[str, Any]) -> list[str]:
    ref, name = canary.spec.autoscaler_ref, f"ScaledObject {name_of(scaler)}"
    triggers = {trigger.get("name") for trigger in spec.get("triggers") or []}
    notes = [
        f"{name} has no trigger named {query}, so this query of spec.autoscalerRef.primaryScalerQueries has no effect"
        for query in (ref.primary_scaler_queries or {} if ref is not None else {})
        if query not in triggers
    ]
    if not spec.get("minReplicaCount") or spec.get("idleReplicaCount") is not None:
        notes.append(
            f"{name} may scale to zero: while its triggers see no use of a canary, KEDA takes its pods away in the "
            "midst of an analysis; set minReplicaCount to 1 at least, without idleReplicaCount, to keep them"
        )
    if paused_otherwise(scaler):
        notes.append(
            f"{name} is paused by an annotation that is not flaggerpy's, which stays: nothing scales the canary, and "
            f"KEDA may wake it between rollouts; remove {KEDA_PAUSED} and {KEDA_PAUSED_REPLICAS}"
        )
    return notes
