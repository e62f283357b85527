"""One file for every kind of fault: lint says exactly what the comments in it say, in exactly these lines."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from flaggerpy.lint.faults import Rule
from tools import lints

CASES = sorted(lints.CASES.iterdir())
SENTENCES = [example.sentence for rule in Rule for example in lints.examples(rule)]
SPEAKERS = (
    "flaggerpy/api/validation.py",
    "flaggerpy/controller/served.py",
    *(str(path.relative_to(lints.ROOT)) for path in sorted((lints.ROOT / "flaggerpy" / "lint").glob("*.py"))),
)
"""Modules whose sentences for users all need an example."""
NOT_SAID = ("without a default", "size(self.group)")
"""What only a controller knows, and a rule in CEL that is no sentence."""
SILENT = ("flaggerpy/lint/faults.py", "flaggerpy/lint/formats.py")
"""Modules that speak of rules and of the report, not of faults."""


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_a_fault_is_found_in_its_line_and_told_in_these_words(case: Path) -> None:
    wanted = sorted((example.line, example.rule, example.sentence) for example in lints.expected(case))
    found = sorted((fault["line"], fault["rule"], fault["message"]) for fault in lints.said(case))
    assert found == wanted, f"if lint is right: python -m tools.lints, and read the difference of {case.name}"
    assert wanted


@pytest.mark.parametrize("rule", Rule, ids=lambda rule: rule.title)
def test_every_rule_has_a_case_of_its_name(rule: Rule) -> None:
    assert lints.examples(rule)


def test_the_list_in_the_reference_is_that_of_the_cases() -> None:
    page = lints.PAGE.read_text(encoding="utf-8")
    assert page == lints.renewed(page), "run: python -m tools.lints"


def clauses(module: str) -> Iterator[str]:
    """Find the texts of a module that are long enough to be a clause for a user, as patterns."""
    tree = ast.parse((lints.ROOT / module).read_text(encoding="utf-8"))
    documented = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    inner = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in ast.walk(node)}
    for node in ast.walk(tree):
        if id(node) in documented or (id(node) in inner and not isinstance(node, ast.JoinedStr)):
            continue
        parts = node.values if isinstance(node, ast.JoinedStr) else [node]
        texts = [part.value if isinstance(part, ast.Constant) else None for part in parts]
        known = " ".join(text for text in texts if isinstance(text, str))
        if len(re.findall(r"(?<!\S)[A-Za-z]{2,}", known)) >= 4 and not any(text in known for text in NOT_SAID):
            yield "".join(re.escape(text) if isinstance(text, str) else ".*" for text in texts)


@pytest.mark.parametrize("module", sorted(set(SPEAKERS) - set(SILENT)))
def test_every_sentence_of_the_code_has_an_example(module: str) -> None:
    without = [clause for clause in clauses(module) if not any(re.search(clause, said) for said in SENTENCES)]
    assert without == [], "write a case in tests/lint/data, then: python -m tools.lints"


def test_clauses_are_found() -> None:
    assert len(list(clauses("flaggerpy/api/validation.py"))) > 30
