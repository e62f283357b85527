"""Which metrics and labels a PromQL expression uses.

It reads as much of the language as that takes: operands, operators with their matching, aggregations, functions and
selectors. Precedence does not matter for the question. What is not understood is an error, never a shrug.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

_TOKEN = re.compile(
    r"""
    (?P<space>\s+)
    | (?P<text>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
    | (?P<window>\[[^\]]*\])
    | (?P<number>\d[\w.]*)
    | (?P<name>[A-Za-z_:][\w:]*)
    | (?P<sign>=~|!~|!=|==|<=|>=|[-+*/%^<>=(){},])
    """,
    re.VERBOSE,
)
_OPERATORS = frozenset({"+", "-", "*", "/", "%", "^", "==", "!=", "<", ">", "<=", ">=", "and", "or", "unless"})
_MATCHERS = frozenset({"=", "!=", "=~", "!~"})
_AGGREGATIONS = frozenset({"sum", "min", "max", "avg", "count", "group", "stddev", "topk", "bottomk", "quantile"})
_GROUPING = frozenset({"by", "without"})
_GROUPS = frozenset({"group_left", "group_right"})


class NotUnderstoodError(Exception):
    """The expression has something in it that this module does not know."""


@dataclass(slots=True)
class Use:
    """One metric in an expression.

    Attributes:
        wanted: labels of its own that are asked of it.
        left: labels that an aggregation has left of it, None before the first.
        made: labels that a function has added.
        lost: labels that are asked of it after an aggregation has taken them away.

    """

    metric: str
    wanted: set[str] = field(default_factory=set)
    left: set[str] | None = None
    made: set[str] = field(default_factory=set)
    lost: set[str] = field(default_factory=set)

    def ask(self, labels: Iterable[str]) -> None:
        """Note that it needs these labels here."""
        for label in set(labels) - self.made:
            if self.left is None:
                self.wanted.add(label)
            elif label not in self.left:
                self.lost.add(label)

    def aggregate(self, labels: set[str], *, by: bool) -> None:
        """Note that it is aggregated to these labels, or without them."""
        self.ask(labels)
        if by:
            self.left, self.made = labels, set()


def uses(expression: str) -> list[Use]:
    """Return the metrics of an expression, in order."""
    reader = _Reader(expression)
    found = reader.expression()
    reader.end()
    return found


def labels_of_text(text: str) -> set[str]:
    """Return the labels that a legend of Grafana or a text of an alert names."""
    return set(re.findall(r"\{\{\s*(\w+)\s*\}\}", text)) | set(re.findall(r"\$labels\.(\w+)", text))


def _tokens(expression: str) -> Iterator[tuple[str, str]]:
    at = 0
    while at < len(expression):
        match = _TOKEN.match(expression, at)
        if match is None or match.lastgroup is None:
            raise NotUnderstoodError(f"{expression[at:]!r} in {expression!r}")
        at = match.end()
        if match.lastgroup != "space":
            yield match.lastgroup, match.group()


class _Reader:
    def __init__(self, expression: str) -> None:
        self._whole = expression
        self._tokens = [*_tokens(expression), ("end", "")]
        self._at = 0

    def expression(self) -> list[Use]:
        """Read operands with operators between them."""
        left = self._operand()
        while self._text in _OPERATORS:
            self._next()
            self._accept("bool")
            matching = self._labels() if self._accept("on", "ignoring") else set()
            several = self._several()
            right = self._operand()
            for use in (*left, *right):
                use.ask(matching)
            for use in right:
                use.ask(several)
            left = [*left, *right]
        return left

    def end(self) -> None:
        """Check that nothing is left."""
        if self._kind != "end":
            raise self._puzzled()

    def _several(self) -> set[str]:
        if not self._accept(*_GROUPS):
            return set()
        return self._labels() if self._text == "(" else set()

    def _operand(self) -> list[Use]:
        self._accept("-", "+")
        match self._kind:
            case "number" | "text":
                self._next()
                return []
            case "name":
                found = self._named(self._next())
            case _:
                self._expect("(")
                found = self.expression()
                self._expect(")")
        if self._kind == "window":
            self._next()
        return found

    def _named(self, name: str) -> list[Use]:
        if name in _AGGREGATIONS:
            return self._aggregation()
        if self._text == "(":
            return self._function(name)
        use = Use(name)
        if self._accept("{"):
            use.ask(self._matchers())
        return [use]

    def _aggregation(self) -> list[Use]:
        clause = self._clause()
        found = [use for argument in self._arguments() for use in argument]
        clause = clause or self._clause() or (set(), True)
        for use in found:
            use.aggregate(set(clause[0]), by=clause[1])
        return found

    def _clause(self) -> tuple[set[str], bool] | None:
        word = self._text
        return (self._labels(), word == "by") if self._accept(*_GROUPING) else None

    def _function(self, name: str) -> list[Use]:
        begin = self._at
        arguments = self._arguments()
        found = [use for argument in arguments for use in argument]
        if name == "label_replace":
            texts = [text.strip("\"'") for kind, text in self._tokens[begin : self._at] if kind == "text"]
            made, _, source, _ = texts[-4:]
            for use in found:
                use.ask({source})
                use.made.add(made)
        return found

    def _arguments(self) -> list[list[Use]]:
        self._expect("(")
        found: list[list[Use]] = []
        while not self._accept(")"):
            found.append(self.expression())
            if self._text != ")":
                self._expect(",")
        return found

    def _matchers(self) -> set[str]:
        found = set()
        while not self._accept("}"):
            found.add(self._name())
            if self._next() not in _MATCHERS or self._kind != "text":
                raise self._puzzled()
            self._next()
            if self._text != "}":
                self._expect(",")
        return found

    def _labels(self) -> set[str]:
        self._expect("(")
        found = set()
        while not self._accept(")"):
            found.add(self._name())
            if self._text != ")":
                self._expect(",")
        return found

    @property
    def _kind(self) -> str:
        return self._tokens[self._at][0]

    @property
    def _text(self) -> str:
        return self._tokens[self._at][1]

    def _next(self) -> str:
        text = self._text
        self._at += 1
        return text

    def _name(self) -> str:
        if self._kind != "name":
            raise self._puzzled()
        return self._next()

    def _accept(self, *texts: str) -> bool:
        found = self._text in texts and self._kind != "text"
        if found:
            self._next()
        return found

    def _expect(self, text: str) -> None:
        if not self._accept(text):
            raise self._puzzled()

    def _puzzled(self) -> NotUnderstoodError:
        return NotUnderstoodError(f"{self._text or 'the end'!r} (token {self._at + 1}) in {self._whole!r}")
