"""The tests that a page names: what they are, read from their files."""

from __future__ import annotations

import ast
from functools import cache

from tools.ci.phases import ROOT

Test = ast.FunctionDef | ast.AsyncFunctionDef


@cache
def module(path: str) -> ast.Module:
    """Return a module of tests, named from the repository's root on."""
    return ast.parse((ROOT / path).read_text(encoding="utf-8"))


def functions(path: str) -> dict[str, Test]:
    """Return the functions of a module by name; none if it does not exist."""
    if not (ROOT / path).is_file():
        return {}
    return {node.name: node for node in module(path).body if isinstance(node, Test)}


def exists(node_id: str) -> bool:
    """Whether there is a test of this name, ``path::function``."""
    path, _, name = node_id.partition("::")
    return name.startswith("test_") and name in functions(path)
