"""The schema of what a generic webhook is told of an alert, docs/reference/alert.schema.json.

``python -m tools.alert_schema`` rewrites it; a test fails when it is stale.
"""

import json
from pathlib import Path

from flaggerpy.api.alert import AlertPayload

PAGE = Path(__file__).resolve().parents[1] / "docs" / "reference" / "alert.schema.json"


def written() -> str:
    """The page as it should be."""
    schema = AlertPayload.model_json_schema(mode="serialization")
    return json.dumps({"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}, indent=2) + "\n"


if __name__ == "__main__":
    PAGE.write_text(written(), encoding="utf-8")
