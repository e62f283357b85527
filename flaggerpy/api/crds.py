"""The three CustomResourceDefinitions, generated from the models; whoever installs them lives elsewhere.

Whatever Flagger's CRDs admit is admitted here, so that an existing installation can be taken over, and ours admit more
(docs/reference/differences.md says what). ``python -m flaggerpy.api.crds DIR`` writes them as files.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from flaggerpy.api.base import ApiModel
from flaggerpy.api.canary import CanarySpec
from flaggerpy.api.constants import GROUP, SCHEMA_VERSION, SCHEMA_VERSION_ANNOTATION, VERSION
from flaggerpy.api.schema import Schema, structural
from flaggerpy.api.status import CanaryStatus
from flaggerpy.api.templates import AlertProviderSpec, MetricTemplateSpec

OUR_STATUS_FIELDS: Final = ("observedGeneration", "rollout")
"""What Flagger's CRD would prune from ``status``."""

_HEADER: Final = "# Generated from flaggerpy/api by python -m flaggerpy.api.crds; edit the models instead.\n"


@dataclass(frozen=True, slots=True)
class Column:
    """One column of ``kubectl get``; columns of priority 1 are shown with ``-o wide``."""

    name: str
    path: str
    type: str = "string"
    priority: int = 0

    def to_json(self) -> Schema:
        """Write the column as a CRD has it."""
        column: Schema = {"name": self.name, "type": self.type, "jsonPath": self.path}
        return column | {"priority": self.priority} if self.priority else column


@dataclass(frozen=True, slots=True)
class Kind:
    """One of our kinds: its names, its models and how ``kubectl get`` shows it."""

    kind: str
    plural: str
    description: str
    spec: type[ApiModel]
    status: type[ApiModel] | None
    columns: tuple[Column, ...]

    @property
    def crd_name(self) -> str:
        """Name of the CustomResourceDefinition."""
        return f"{self.plural}.{GROUP}"


KINDS: Final = (
    Kind(
        "Canary",
        "canaries",
        "A workload whose new revisions reach users step by step.",
        CanarySpec,
        CanaryStatus,
        (
            Column("Status", ".status.phase"),
            Column("Weight", ".status.canaryWeight"),
            Column("Suspended", ".spec.suspend", "boolean", 1),
            Column("FailedChecks", ".status.failedChecks", priority=1),
            Column("Interval", ".spec.analysis.interval", priority=1),
            Column("Mirror", ".spec.analysis.mirror", "boolean", 1),
            Column("StepWeight", ".spec.analysis.stepWeight", priority=1),
            Column("StepWeights", ".spec.analysis.stepWeights", priority=1),
            Column("MaxWeight", ".spec.analysis.maxWeight", priority=1),
            Column("LastTransitionTime", ".status.lastTransitionTime"),
        ),
    ),
    Kind(
        "MetricTemplate",
        "metrictemplates",
        "A query that the metrics of many canaries can share.",
        MetricTemplateSpec,
        None,
        (Column("Provider", ".spec.provider.type"),),
    ),
    Kind(
        "AlertProvider",
        "alertproviders",
        "Where the alerts of canaries go.",
        AlertProviderSpec,
        None,
        (Column("Type", ".spec.type"),),
    ),
)


def definitions() -> tuple[Schema, ...]:
    """Generate the three CustomResourceDefinitions."""
    return tuple(definition(kind) for kind in KINDS)


def definition(kind: Kind) -> Schema:
    """Generate the CustomResourceDefinition of one kind."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": kind.crd_name,
            "annotations": {
                "helm.sh/resource-policy": "keep",
                SCHEMA_VERSION_ANNOTATION: str(SCHEMA_VERSION),
            },
        },
        "spec": {
            "group": GROUP,
            "names": {
                "kind": kind.kind,
                "listKind": f"{kind.kind}List",
                "plural": kind.plural,
                "singular": kind.kind.lower(),
                "categories": ["all"],
            },
            "scope": "Namespaced",
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": [column.to_json() for column in kind.columns],
                    "schema": {"openAPIV3Schema": object_schema(kind)},
                }
            ],
        },
    }


def object_schema(kind: Kind) -> Schema:
    """Generate the schema of one kind's objects."""
    properties: Schema = {
        "apiVersion": {"description": f"Always {GROUP}/{VERSION}.", "type": "string"},
        "kind": {"description": f"Always {kind.kind}.", "type": "string"},
        "metadata": {"type": "object"},
        "spec": structural(kind.spec),
    }
    if kind.status is not None:
        properties["status"] = structural(kind.status)
    return {"description": kind.description, "type": "object", "properties": properties}


def schema_problem(crd: Mapping[str, Any] | None) -> str | None:
    """Say why the installed CRD of canaries cannot be worked with, or None when it can.

    The schema itself is looked at as well as its version: an ``apply`` of Flagger's CRD over ours can leave our
    annotation behind.
    """
    upgrade = "run `flaggerpy crds apply` to upgrade it (Helm never upgrades CRDs)"
    if crd is None:
        return f"The CRD canaries.{GROUP} is not installed: run `flaggerpy crds apply`."
    text = (crd.get("metadata", {}).get("annotations") or {}).get(SCHEMA_VERSION_ANNOTATION, "")
    version = int(text) if text.isascii() and text.isdigit() else 0
    if version < SCHEMA_VERSION:
        found = f"has schema version {version}" if version else "is not flaggerpy's"
        return f"The CRD canaries.{GROUP} {found}, {SCHEMA_VERSION} is needed: {upgrade}."
    missing = [field for field in OUR_STATUS_FIELDS if field not in _status_fields(crd)]
    if missing:
        return f"The CRD canaries.{GROUP} lacks status.{' and status.'.join(missing)}: {upgrade}."
    return None


def _status_fields(crd: Mapping[str, Any]) -> Mapping[str, Any]:
    for version in crd.get("spec", {}).get("versions", ()):
        if version.get("name") == VERSION:
            node: Any = version
            for step in ("schema", "openAPIV3Schema", "properties", "status", "properties"):
                node = node.get(step) or {}
            return dict(node)
    return {}


class _Dumper(yaml.SafeDumper):
    """Writes every value in full, where PyYAML would write anchors for objects that it meets twice."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def to_yaml(crd: Schema) -> str:
    """Write a CRD as a file of the chart."""
    return _HEADER + yaml.dump(crd, Dumper=_Dumper, sort_keys=False, width=110)


def files() -> dict[str, str]:
    """Map the names of the chart's CRD files to their contents."""
    return {f"{kind.crd_name}.yaml": to_yaml(definition(kind)) for kind in KINDS}


def write(directory: Path) -> tuple[Path, ...]:
    """Write the three CRDs into a directory, which is made if missing."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, content in files().items():
        (directory / name).write_text(content, encoding="utf-8")
    return tuple(directory / name for name in files())


def main(arguments: Sequence[str]) -> int:
    """Write the CRDs into the directory that is named on the command line."""
    if len(arguments) != 1:
        sys.stderr.write("usage: python -m flaggerpy.api.crds DIR\n")
        return 2
    for path in write(Path(arguments[0])):
        sys.stdout.write(f"{path}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
