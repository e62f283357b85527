"""The rules of the house that no linter knows: sizes, and no registry's host name anywhere.

Sizes are a symptom, not a goal: who passes one is asked what second thing the module or function does.
"""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MODULE_LINES = 350
TEST_LINES = 600
"""Tables of cases are read row by row, not as a whole."""
FUNCTION_LINES = 60
PARAMETERS = 7
# Packages come from wherever pip, go and apt of the machine are told to look: a name here breaks mirrors.
# Written in parts, so that this file keeps the rule too.
REGISTRY_HOSTS = tuple(
    ".".join(parts)
    for parts in (
        ("pypi", "org"),
        ("files", "pythonhosted", "org"),
        ("proxy", "golang", "org"),
        ("sum", "golang", "org"),
        ("deb", "debian", "org"),
        ("registry", "npmjs", "org"),
    )
)


def tracked() -> list[Path]:
    """The files of the repository, new ones included, ignored ones not."""
    listing = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    return sorted({ROOT / line for line in listing.splitlines() if (ROOT / line).is_file()})


def parameters(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """How many things a caller must know about, `self` and `cls` not counted."""
    arguments = function.args
    names = [argument.arg for argument in (*arguments.posonlyargs, *arguments.args)]
    own = int(bool(names) and names[0] in {"self", "cls"})
    return len(names) + len(arguments.kwonlyargs) - own


def oversized(where: str, source: str) -> Iterator[str]:
    """Modules, functions and signatures that are too long to be about one thing."""
    lines, most = source.count("\n"), TEST_LINES if where.startswith("tests/") else MODULE_LINES
    if lines > most:
        yield f"{where}: {lines} lines (at most {most}): what second thing does this module do?"
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        length = (node.end_lineno or node.lineno) - node.lineno + 1
        if length > FUNCTION_LINES:
            yield f"{where}:{node.lineno}: {node.name} has {length} lines (at most {FUNCTION_LINES})"
        if parameters(node) > PARAMETERS:
            count = parameters(node)
            yield f"{where}:{node.lineno}: {node.name} has {count} parameters (at most {PARAMETERS})"


def registries(where: str, text: str) -> Iterator[str]:
    """Lines that name a package registry's host."""
    for number, line in enumerate(text.splitlines(), start=1):
        for host in REGISTRY_HOSTS:
            if host in line:
                yield f"{where}:{number}: names {host}: leave the address to the machine's own configuration"


def faults(paths: list[Path]) -> Iterator[str]:
    """Everything that is wrong in these files."""
    for path in paths:
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        where = path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else str(path)
        yield from registries(where, text)
        if path.suffix == ".py":
            yield from oversized(where, text)


def main() -> int:
    """Print every fault; 1 when there is one."""
    found = list(faults(tracked()))
    for fault in found:
        print(fault)
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
