"""The commands of ``flaggerpy``: they are all there, and none is waited for that was not asked for."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib

import pytest
from click.testing import CliRunner

from flaggerpy import __version__
from flaggerpy.cli.main import main
from tools import commands

COMMANDS = (
    "abort",
    "adopt",
    "analyze",
    "controller",
    "crds",
    "get",
    "lint",
    "loadtester",
    "pause",
    "promote",
    "release",
    "resume",
    "retry",
    "status",
    "watch",
)


def run(*words: str) -> tuple[int, str]:
    result = CliRunner().invoke(main, words)
    return result.exit_code, result.output


def test_every_command_is_listed() -> None:
    code, said = run("--help")
    assert code == 0
    for name in COMMANDS:
        assert f"  {name} " in said


@pytest.mark.parametrize("name", COMMANDS)
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
        (["adopt"], 2, "the controller takes canaries over by itself"),
        (["adopt", "--dry-run", "-A", "web"], 2, "-A asks for every canary"),
        (["release"], 2, "name one canary, or say --all"),
        (["release", "web", "--all"], 2, "name one canary, or say --all"),
        (["release", "web", "--kubeconfig", "/nowhere"], 1, "no usable credentials in /nowhere"),
        (["crds", "apply", "--kubeconfig", "/nowhere"], 1, "no usable credentials in /nowhere"),
        (["controller", "--min-interval", "500ms"], 2, "must be 1s or longer"),
        (["controller", "-min-interval=often"], 2, "often"),
        (["controller", "-fail-fast-after=-1s"], 2, "must be 0 or longer"),
        (["controller", "-log-level=loud"], 2, "'loud' is not one of 'debug', 'info'"),
        (["controller", "-kubeconfig=/nowhere"], 1, "no usable credentials in /nowhere: there is no such file: name"),
        (["crds", "generate", f"{__file__}/below"], 1, "cannot be written: Not a directory. Name a folder that can."),
    ],
)
def test_mistakes_are_told_in_a_sentence(words: list[str], code: int, says: str) -> None:
    assert run(*words)[0] == code
    assert says in run(*words)[1]


def python(program: str, *words: str, **environment: str) -> str:
    """Run a program in an interpreter of its own and return what it prints."""
    done = subprocess.run(
        [sys.executable, "-c", program, *words],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        env=os.environ | environment,
    )
    return done.stdout


def test_a_command_does_not_load_the_others() -> None:
    look = "import sys; from flaggerpy.cli.main import main; print('flaggerpy.app' in sys.modules)"
    assert python(look).strip() == "False"


def test_no_command_needs_rich_before_it_draws() -> None:
    every = """
import sys
sys.modules["rich"] = None
from flaggerpy.cli.main import main
for name in sys.argv[1:]:
    main([name, "--help"], prog_name="flaggerpy", standalone_mode=False)
"""
    said = python(every, *COMMANDS)
    assert [line.split()[2] for line in said.splitlines() if line.startswith("Usage: flaggerpy ")] == list(COMMANDS)


def test_as_a_plugin_of_kubectl_it_shows_what_to_type() -> None:
    scripts = tomllib.loads((commands.PAGE.parents[2] / "pyproject.toml").read_text(encoding="utf-8"))["project"][
        "scripts"
    ]
    module, _, function = scripts["kubectl-flaggerpy"].partition(":")
    said = python(f"from {module} import {function}; {function}()", "get", "--help")
    assert said.startswith("Usage: kubectl flaggerpy get [OPTIONS] [NAME]")


def test_shells_complete_commands_and_flags() -> None:
    start = "from flaggerpy.cli.main import main; main(prog_name='flaggerpy')"
    asked = {"_FLAGGERPY_COMPLETE": "bash_complete", "COMP_CWORD": "1", "COMP_WORDS": "flaggerpy re"}
    assert python(start, **asked).split() == ["plain,release", "plain,resume", "plain,retry"]
    asked |= {"COMP_CWORD": "2", "COMP_WORDS": "flaggerpy status --wait"}
    assert python(start, **asked).split() == ["plain,--wait-when-paused"]


def test_the_reference_says_what_help_says() -> None:
    page = commands.PAGE.read_text(encoding="utf-8")
    assert page == commands.renewed(page), "run: python -m tools.commands"
    for name in COMMANDS:
        assert f"### flaggerpy {name}" in page
