"""What CI runs, as data: the gates, the test phases and which cluster each of them needs.

Nothing here starts a process; see run.py for that.
"""

import re
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.build import present
from tests.cluster.parts import DATA_PLANES

ROOT = Path(__file__).resolve().parents[2]
PYTHON = sys.executable
CLUSTER_MARKERS = ("integration", "e2e", "planes", "crash", "takeover", "replay", "keda")
ON_REQUEST = frozenset({"keda"})
"""Markers whose tests CI leaves out, because what they need takes too long to build; see end-to-end.md."""
# What machines write, and what is not in the repository.
NOT_PROSE = "*.sum,./tests/*/data,*.mod,*.lock,./requirements,./.venv,./dist,./build,./.git"
APART = ("tests/charts", "tests/image", "tests/servers")


@dataclass(frozen=True, slots=True)
class Phase:
    """One step of CI: commands to run in order; a test phase is one pytest whose results are counted.

    `prepare` runs before it, outside the cluster that `prefix` starts; when that fails, the phase has failed.
    CI leaves a phase out while one of the cluster's `parts` is not in the cache, because they take long to build; who
    asks for the phase by its name waits for them.
    """

    name: str
    commands: tuple[tuple[str, ...], ...]
    tests: bool = False
    marker: str | None = None
    paths: tuple[str, ...] = ()
    in_everything: bool = True
    prefix: tuple[str, ...] = ()
    prepare: tuple[tuple[str, ...], ...] = ()
    parts: tuple[str, ...] = ()

    def unbuilt(self) -> tuple[str, ...]:
        """The parts that are not in the cache."""
        there = present(self.parts)
        return tuple(part for part in self.parts if part not in there)

    def has_tests(self, root: Path = ROOT) -> bool:
        """Whether there is anything to run: a phase whose rooms are empty is left out, with a word."""
        if not self.tests:
            return True
        if self.marker is None:
            return any((root / path).is_file() or any((root / path).rglob("test_*.py")) for path in self.paths)
        mark = re.compile(rf"\bmark\.{self.marker}\b")
        return any(mark.search(path.read_text(encoding="utf-8")) for path in (root / "tests").rglob("*.py"))


def _python(*arguments: str) -> tuple[str, ...]:
    return (PYTHON, "-m", *arguments)


def _gate(name: str, *commands: tuple[str, ...]) -> Phase:
    return Phase(name, commands)


def _marked(
    name: str,
    cluster: tuple[str, ...],
    *,
    in_everything: bool = True,
    prepare: tuple[tuple[str, ...], ...] = (),
    options: tuple[str, ...] = (),
    parts: tuple[str, ...] = (),
) -> Phase:
    return Phase(
        name,
        (_python("pytest", *options, "-m", name, "tests"),),
        tests=True,
        marker=name,
        in_everything=in_everything,
        prefix=_python("tests.cluster", "run", *cluster, "--"),
        prepare=prepare,
        parts=parts,
    )


def _workers(count: int) -> tuple[str, ...]:
    """Modules side by side, the longest first; a module's tests run one after the other."""
    return ("-n", str(count), "--dist", "loadfile", "--no-loadscope-reorder")


def _by_path(name: str, *paths: str, options: tuple[str, ...] = (), prepare: tuple[tuple[str, ...], ...] = ()) -> Phase:
    return Phase(name, (_python("pytest", *options, *paths),), tests=True, paths=paths, prepare=prepare)


PHASES: tuple[Phase, ...] = (
    _gate(
        "lint",
        _python("ruff", "check", "."),
        _python("ruff", "format", "--check", "."),
        _python("tools.house"),
        _python("codespell_lib", f"--skip={NOT_PROSE}", "."),
    ),
    _gate("types", _python("mypy")),
    _gate("layers", (PYTHON, "-c", "from importlinter.cli import lint_imports_command as lint; lint()")),
    _by_path(
        "unit",
        "tests",
        options=(
            "-n",
            "2",
            "-m",
            "not (" + " or ".join(CLUSTER_MARKERS) + ")",
            *(f"--ignore={path}" for path in APART),
        ),
    ),
    _by_path(
        "charts",
        "tests/charts",
        options=(*_workers(2), "-m", "not integration"),
        # The first time these take minutes to build, which no test should wait for.
        prepare=(_python("tests.cluster", "build", "helm", "prometheus"),),
    ),
    _by_path(
        "servers",
        "tests/servers",
        prepare=(_python("tests.cluster", "build", "graphite", "influxdb", "moto", "prometheus"),),
    ),
    _by_path("image", "tests/image"),
    # Each leaves the machine idle for most of its time, so CI runs them side by side.
    Phase(
        "control-plane",
        (_python("pytest", *_workers(4), "-m", "integration or crash or takeover or replay", "tests"),),
        tests=True,
        paths=("tests/integration", "tests/crash", "tests/replay"),
        prefix=_python("tests.cluster", "run", "--control-plane", "--"),
    ),
    _marked("integration", ("--control-plane",), in_everything=False, options=_workers(3)),
    _marked("crash", ("--control-plane",), in_everything=False, options=_workers(2)),
    _marked("takeover", ("--control-plane",), in_everything=False),
    _marked("replay", ("--control-plane",), in_everything=False),
    _marked(
        "e2e",
        ("--addons", "contour", "prometheus", "metrics-server", "podinfo"),
        # There is no way out of the cluster's network: what it installs is made before.
        prepare=(_python("tools.image", "build", "--arch", "amd64"),),
        options=_workers(3),
    ),
    _marked(
        "planes",
        ("--addons", "contour", "istio", "traefik", "prometheus", "podinfo"),
        prepare=(_python("tools.image", "build", "--arch", "amd64"), _python("tests.cluster", "build", *DATA_PLANES)),
        # Every test has a namespace of its own, so none waits for the others of its file.
        options=("-n", "3", "--dist", "worksteal"),
        parts=DATA_PLANES,
    ),
    _marked(
        "keda",
        ("--addons", "contour", "prometheus", "keda", "podinfo"),
        in_everything=False,
        prepare=(_python("tools.image", "build", "--arch", "amd64"), _python("tests.cluster", "build", "keda")),
    ),
)


def chosen(names: tuple[str, ...]) -> tuple[Phase, ...]:
    """The phases of these names, in CI's order; all that belong to CI when none is named."""
    known = {phase.name: phase for phase in PHASES}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise SystemExit(f"no phase is called {unknown[0]!r}; there are: {', '.join(known)}")
    return tuple(phase for phase in PHASES if (phase.name in names if names else phase.in_everything))
