"""Renders charts with the Helm of the local cluster's cache."""

import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from tests.cluster.build import obtain
from tests.cluster.progress import Progress

CHARTS = Path(__file__).resolve().parents[2] / "charts"
KUBERNETES = "1.34.2"
Json = dict[str, Any]


@cache
def helm() -> str:
    """The program; made now where the cache does not have it."""
    return str(obtain(["helm"], Progress())["helm"] / "bin" / "helm")


def run(*words: str, values: Mapping[str, object] | None = None) -> subprocess.CompletedProcess[str]:
    """Run Helm; values come as a file, so that their types are what the test says."""
    command = [helm(), *words, "--kube-version", KUBERNETES]
    if values is not None:
        command += ["--values", "-"]
    # Nothing of the user's own Helm may matter.
    nowhere = str(CHARTS / "none")
    environment = {"PATH": os.defpath, "HELM_CACHE_HOME": nowhere, "HELM_CONFIG_HOME": nowhere}
    given = yaml.safe_dump(dict(values)) if values is not None else ""
    return subprocess.run(command, input=given, env=environment, capture_output=True, text=True, check=False)


@dataclass(frozen=True, slots=True)
class Rendered:
    """What a chart makes of values."""

    objects: tuple[Json, ...]

    def of(self, kind: str) -> list[Json]:
        """Every object of a kind that belongs to the release."""
        return [one for one in self.objects if one["kind"] == kind and not is_hook(one)]

    def one(self, kind: str) -> Json:
        """The only object of a kind that belongs to the release."""
        (found,) = self.of(kind)
        return found

    def hooks(self, kind: str) -> list[Json]:
        """Every object of a kind that lives only while a hook runs."""
        return [one for one in self.objects if one["kind"] == kind and is_hook(one)]

    def container(self) -> Json:
        """The only container of the only Deployment."""
        (found,) = self.one("Deployment")["spec"]["template"]["spec"]["containers"]
        return dict(found)


def is_hook(obj: Json) -> bool:
    """Whether Helm makes this object only at a certain moment."""
    return "helm.sh/hook" in (obj["metadata"].get("annotations") or {})


def render(chart: str, values: Json, *, release: str = "", into: str = "flagger-system") -> Rendered:
    """Render a chart; the test fails with Helm's own words when it refuses."""
    done = run("template", release or chart, str(CHARTS / chart), "--namespace", into, values=values)
    assert done.returncode == 0, done.stderr
    return Rendered(tuple(one for one in yaml.safe_load_all(done.stdout) if one))


def refusal(chart: str, values: Json) -> str:
    """What Helm says to values that the chart refuses."""
    done = run("template", chart, str(CHARTS / chart), values=values)
    assert done.returncode != 0, f"the chart took {values}"
    return done.stderr


def may(rules: list[Json], verb: str, group: str, resource: str, name: str = "") -> bool:
    """Whether rules of a role allow this, as the API server would decide it."""
    for rule in rules:
        named = rule.get("resourceNames")
        if (
            ("*" in rule["verbs"] or verb in rule["verbs"])
            and ("*" in rule["apiGroups"] or group in rule["apiGroups"])
            and ("*" in rule["resources"] or resource in rule["resources"])
            and (not named or name in named)
        ):
            return True
    return False
