"""Objects for the tests of the kinds: what Flagger accepted, what it wrote, and the seed's examples."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import jsonschema_rs
import yaml

from flaggerpy.api.crds import KINDS, object_schema

ROOT: Final = Path(__file__).parents[2]
DATA: Final = Path(__file__).parent / "data"
EXAMPLES: Final = ROOT / "docs" / "examples"

JsonObject = dict[str, Any]

SCHEMAS: Final = {kind.kind: object_schema(kind) for kind in KINDS}
VALIDATORS: Final = {kind: jsonschema_rs.validator_for(schema) for kind, schema in SCHEMAS.items()}


def documents(path: Path) -> list[JsonObject]:
    """Read the documents of a YAML file."""
    return [document for document in yaml.safe_load_all(path.read_text(encoding="utf-8")) if document]


def refusals(obj: JsonObject) -> list[str]:
    """Say where an object does not fit our CRD's schema; empty when it is admitted."""
    return [
        ".".join(str(part) for part in error.instance_path) or "(the object)"
        for error in VALIDATORS[obj["kind"]].iter_errors(obj)
    ]


def title(obj: JsonObject) -> str:
    """Name a test case."""
    metadata = obj["metadata"]
    return f"{obj['kind']}-{metadata.get('namespace', 'seed')}-{metadata['name']}"


CANARIES: Final = documents(DATA / "canaries.yaml")
NONSENSE: Final = documents(DATA / "nonsense.yaml")
OTHERS: Final = documents(DATA / "metric-templates.yaml") + documents(DATA / "alert-providers.yaml")
STATUSES: Final = documents(DATA / "statuses.yaml")
SEED: Final = documents(EXAMPLES / "canary.yaml")[0]
