"""Our last stories, kept to be looked at again without a cluster."""

from __future__ import annotations

import json
from pathlib import Path

from tests.replay.story import Story

FOLDER = Path(__file__).parents[2] / "dist" / "replay"


def keep(name: str, story: Story) -> None:
    """Keep a story until the next one of this recording."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    (FOLDER / f"{name}.json").write_text(json.dumps(story.as_json(), indent=1, ensure_ascii=False), encoding="utf-8")


def last_told(name: str) -> Story | None:
    """Return what was kept last, None when nothing was."""
    path = FOLDER / f"{name}.json"
    return Story.from_json(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else None
