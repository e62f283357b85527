"""The command: what it reads, how it writes, and how it ends."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from flaggerpy.cli.main import main
from tests.api.fixtures import EXAMPLES, ROOT

SEED = EXAMPLES / "canary.yaml"
SEED_TEXT = SEED.read_text(encoding="utf-8")
WARNED = SEED_TEXT.replace("canary/", "canary:8080/").replace("interval: 30s", "interval: 5s")
RIGHT = SEED_TEXT.replace("canary/", "canary:8080/")


def run(*words: str | Path, given: str | bytes | None = None) -> Result:
    return CliRunner().invoke(main, ["lint", *map(str, words)], input=given, catch_exceptions=False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Make a folder with a faulty canary, deep inside, and files of all sorts that are not meant."""
    for name, text in {
        "apps/web/canary.yaml": SEED_TEXT,
        "apps/web/values.yml": "replicas: 2\n",
        "apps/package.json": "{// no JSON\n}",
        "apps/broken.yaml": "a: b: c\n",
        "chart/Chart.yaml": "name: web\n",
        "chart/templates/canary.yaml": f"{{{{ if .x }}}}\n{SEED_TEXT}",
        ".git/canary.yaml": SEED_TEXT,
        "canary.txt": SEED_TEXT,
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize(
    ("text", "words", "code", "summary"),
    [
        (RIGHT, [], 0, "no fault in 1 file (1 Canary)"),
        (RIGHT, ["--strict"], 0, "no fault in 1 file (1 Canary)"),
        (WARNED, [], 0, "1 warning in 1 file (1 Canary)"),
        (WARNED, ["--strict"], 1, "1 warning in 1 file (1 Canary)"),
        (WARNED, ["--min-interval=5s", "--strict"], 0, "no fault in 1 file (1 Canary)"),
        (SEED_TEXT, [], 1, "1 error in 1 file (1 Canary)"),
        (f"{WARNED}---\n{SEED_TEXT}", [], 1, "1 error and 1 warning in 1 file (2 Canaries)"),
        ("a: 1\n", [], 0, "no fault in 1 file (no canary)"),
    ],
)
def test_errors_fail_and_warnings_only_if_strict(text: str, words: list[str], code: int, summary: str) -> None:
    result = run(*words, "-", given=text)
    assert result.exit_code == code
    assert result.stderr.splitlines()[0] == f"flaggerpy lint: {summary}"


def test_a_fault_is_a_line_as_compilers_write_it() -> None:
    result = run(SEED)
    assert result.stdout == (
        f"{SEED}:31:9: error: spec.analysis.webhooks[0].metadata.cmd: http://payment-service-canary/ asks for port 80,"
        " but Service payment-service-canary has 8080: write http://payment-service-canary:8080/. [load-test]\n"
    )


def test_the_reference_shows_what_lint_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    result = run("docs/examples/canary.yaml")
    shown = f"$ flaggerpy lint docs/examples/canary.yaml\n{result.stdout}{result.stderr.splitlines()[0]}\n```"
    assert shown in (ROOT / "docs" / "reference" / "lint.md").read_text(encoding="utf-8")


def test_for_programs_faults_are_json() -> None:
    [fault] = json.loads(run("-o", "json", SEED).stdout)
    assert fault.pop("message").startswith("spec.analysis.webhooks[0].metadata.cmd: http://payment-service-canary/")
    assert fault == {
        "file": str(SEED),
        "line": 31,
        "column": 9,
        "level": "error",
        "rule": "load-test",
        "field": "spec.analysis.webhooks[0].metadata.cmd",
    }
    assert run("-o", "json", "-", given=RIGHT).stdout == "[]\n"


def test_for_github_faults_are_annotations(tmp_path: Path) -> None:
    file = tmp_path / "a,b.yaml"
    file.write_text(WARNED.replace("threshold: 5", 'threshold: "5%"'), encoding="utf-8")
    name = str(file).replace(",", "%2C")
    title = "title=flaggerpy lint%3A "
    assert run("--output=github", file).stdout.splitlines() == [
        f"::warning file={name},line=13,col=5,{title}remark::spec.analysis.interval: 5s is below the controller's"
        " minimum (--min-interval), so 10s is used instead: write 10s or more.",
        f'::error file={name},line=14,col=5,{title}schema::spec.analysis.threshold: "5%25" is not a number: write a'
        " number.",
    ]


def test_a_folder_stands_for_its_manifests(folder: Path) -> None:
    result = run(folder)
    assert [line.split(":")[0] for line in result.stdout.splitlines()] == [str(folder / "apps" / "web" / "canary.yaml")]
    chart = folder / "chart"
    assert result.stderr.splitlines()[:2] == [
        f"{chart}/templates is left out: render it first, as in helm template {chart} | flaggerpy lint -",
        "flaggerpy lint: 1 error in 5 files (1 Canary)",
    ]


def test_a_file_is_read_once_however_often_it_is_named(folder: Path) -> None:
    result = run(folder / "apps" / "web", folder / "apps" / "web" / "canary.yaml", folder / "apps" / "web")
    assert "1 error in 2 files (1 Canary)" in result.stderr


def test_a_broken_file_that_was_named_is_a_fault(folder: Path) -> None:
    result = run(folder / "apps" / "broken.yaml")
    assert result.exit_code == 1
    assert "broken.yaml:1:5: error: This is no YAML" in result.stdout


def test_what_standard_input_holds_is_called_stdin() -> None:
    assert run("-", given=SEED_TEXT).stdout.startswith("stdin:31:9: error: ")
    assert run("-", given=b"\xff").stdout.startswith("stdin:1:1: error: This is no text in UTF-8")


def test_the_flags_of_the_controller_are_understood_as_it_understands_them() -> None:
    assert "Provider appmesh" in run("-mesh-provider=appmesh", "-", given=RIGHT).stdout
    assert "gatewayRefs is empty" in run("--mesh-provider", "gatewayapi:v1", "-", given=RIGHT).stdout
    elsewhere = RIGHT.replace("/flagger-loadtester.test/", "/flagger-loadtester.stage/")
    assert "is looked up in namespace stage" in run("-n", "test", "-", given=elsewhere).stdout


def test_without_a_provider_the_reader_is_told_what_was_not_checked() -> None:
    assert "1 canary without spec.provider: say --mesh-provider" in run("-", given=RIGHT).stderr
    assert "without spec.provider" not in run("--mesh-provider=kubernetes", "-", given=RIGHT).stderr
    assert "2 canaries without spec.provider" in run("-", given=f"{RIGHT}---\n{RIGHT}").stderr


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "Missing argument 'FILES...'"),
        (["/nowhere/canary.yaml"], "does not exist"),
        (["-o", "xml", "-"], "'xml' is not one of 'text', 'json', 'github'"),
        (["--min-interval", "often", "-"], "often"),
    ],
)
def test_asked_wrongly_it_ends_with_2(words: list[str], says: str) -> None:
    result = run(*words)
    assert result.exit_code == 2
    assert says in result.output


def test_the_hook_for_pre_commit_lints_the_whole_repository(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    [hook] = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8"))
    assert not hook["pass_filenames"], "a canary is compared with objects of files that did not change"
    program, command = hook["entry"].split()
    assert (program, command) == ("flaggerpy", "lint")
    monkeypatch.chdir(folder)
    assert run(*hook["args"]).stdout.startswith("apps/web/canary.yaml:31:9: error: ")
