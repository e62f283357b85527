"""The commands of ``flaggerpy``: they are all there, and none is waited for that was not asked for."""

from __future__ import annotations

import subprocess
import sys

import pytest
from click.testing import CliRunner

from flaggerpy import __version__
from flaggerpy.cli.main import main


def run(*words: str) -> tuple[int, str]:
    result = CliRunner().invoke(main, words)
    return result.exit_code, result.output


def test_every_command_is_listed() -> None:
    code, said = run("--help")
    assert code == 0
    for name in ("controller", "crds", "lint", "loadtester", "release"):
        assert f"  {name} " in said


@pytest.mark.parametrize("name", ["controller", "crds", "lint", "loadtester", "release"])
def test_every_command_explains_itself(name: str) -> None:
    code, said = run(name, "--help")
    assert code == 0
    assert said.startswith(f"Usage: main {name} [OPTIONS]")


def test_an_unknown_command_is_named() -> None:
    code, said = run("nonsense")
    assert code == 2
    assert "No such command 'nonsense'" in said


def test_the_version_is_told() -> None:
    assert run("--version") == (0, f"{__version__}\n")


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["release"], 2, "name one canary, or say --all"),
        (["release", "web", "--all"], 2, "name one canary, or say --all"),
        (["release", "web", "--kubeconfig", "/nowhere"], 1, "no usable credentials in /nowhere"),
        (["crds", "apply", "--kubeconfig", "/nowhere"], 1, "no usable credentials in /nowhere"),
        (["controller", "--min-interval", "500ms"], 2, "must be 1s or longer"),
        (["controller", "-min-interval=often"], 2, "often"),
    ],
)
def test_mistakes_are_told_in_a_sentence(words: list[str], code: int, says: str) -> None:
    assert run(*words)[0] == code
    assert says in run(*words)[1]


def test_a_command_does_not_load_the_others() -> None:
    look = "import sys; from flaggerpy.cli.main import main; print('flaggerpy.app' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True, timeout=30)
    assert done.stdout.strip() == "False"
