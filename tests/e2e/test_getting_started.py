"""The guide for newcomers, run word for word as one shell session, while its users' answers are written down."""

from __future__ import annotations

import asyncio
import re
import shlex
from collections import Counter
from pathlib import Path

import pytest

from flaggerpy.kube.resources import DEPLOYMENTS
from tests.e2e.conftest import Figures
from tests.e2e.place import new_place
from tests.e2e.stage import ROOT

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]

GUIDE = ROOT / "docs" / "getting-started.md"
NAMESPACE = "shop"
_BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.DOTALL | re.MULTILINE)
PATIENCE = 330.0


def script() -> str:
    """Return what the guide tells to type in the cluster's shell; a command that fails ends it."""
    blocks = _BLOCK.findall(GUIDE.read_text(encoding="utf-8"))
    shown = [f"printf '%s' {shlex.quote(block)}\n{block}" for block in blocks]
    return "\n".join(["set -euo pipefail", *shown])


async def test_the_guide_does_what_it_says(tmp_path: Path, figures: Figures) -> None:
    (tmp_path / "docs").symlink_to(ROOT / "docs")
    async with new_place(NAMESPACE) as place:
        shell = await asyncio.create_subprocess_exec(
            "bash", "-c", script(), cwd=tmp_path, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        try:
            said, _ = await asyncio.wait_for(shell.communicate(), PATIENCE)
        finally:
            if shell.returncode is None:
                shell.kill()
        text = said.decode()
        assert shell.returncode == 0, text

        answers = Counter((tmp_path / "answers.txt").read_text(encoding="utf-8").split())
        figures(f"the guide's users: {dict(answers)}")
        assert set(answers) == {"200"}
        assert sum(answers.values()) > 300
        assert re.findall(r"^ghcr\.io/\S+/podinfo:(\S+)$", text, re.MULTILINE) == ["6.0.1"]
        assert "paused" in text
        assert "aborted" in text
        assert await place.image("hello") == "6.0.2"
        assert await place.find(DEPLOYMENTS, "hello-primary") is None
