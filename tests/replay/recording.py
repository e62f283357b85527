"""Recordings of a real Flagger, as ``trim`` wrote them."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from tests.replay.story import JsonObject, Story

DATA = Path(__file__).with_name("data")


@dataclass(frozen=True, slots=True)
class Recording:
    """What was done to a Flagger and what it did."""

    name: str
    about: str
    steps: list[JsonObject]
    flagger: Story
    provider: str = ""
    """What stands for the recording's own provider; empty where it is served and its routes are compared."""
    settings: dict[str, Any] = field(default_factory=dict)
    """Flags other than those of most recordings, under the names of our settings."""
    settle: bool = True
    """Whether the last step was followed by quiet; otherwise Flagger was in the middle of something."""
    differs: list[str] = field(default_factory=list)
    """The ids of all known differences that can be seen in it."""

    @property
    def given(self) -> frozenset[tuple[str, str]]:
        """Kind and name of everything that the user made."""
        return frozenset(
            (obj["kind"], obj["metadata"]["name"]) for step in self.steps for obj in step.get("objects") or ()
        )

    @property
    def canaries(self) -> list[str]:
        """The names of the canaries."""
        return sorted(name for kind, name in self.given if kind == "Canary")


def names() -> list[str]:
    """Return the names of all recordings."""
    return sorted(path.stem for path in DATA.glob("*.yaml"))


def read(name: str) -> JsonObject:
    """Return a recording as it is in its file."""
    written: JsonObject = yaml.safe_load((DATA / f"{name}.yaml").read_text(encoding="utf-8"))
    return written


@cache
def load(name: str) -> Recording:
    """Read a recording."""
    written = read(name)
    return Recording(name=name, **{**written, "flagger": Story.from_json(written["flagger"])})
