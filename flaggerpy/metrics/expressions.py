"""What stands between the braces of a query template: names, functions and pipelines, evaluated from left to right."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from flaggerpy.rollout.errors import UserError

_TOKEN = re.compile(
    r"""\s*(?:
      (?P<string>"(?:[^"\\\n]|\\.)*"|`[^`]*`)
    | (?P<number>-?\d+)(?![\w.])
    | (?P<word>[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)
    | (?P<mark>[|()])
    )""",
    re.VERBOSE,
)
_VERB = re.compile(r"%(?P<flags>-?)(?P<width>\d{0,3})(?P<verb>[a-zA-Z%])?")
_FUNCTIONS = frozenset({"printf", "print", "index", "eq", "ne", "and", "or", "not"})


def short(text: str) -> str:
    """Quote the beginning of a text."""
    text = " ".join(text[:200].split())
    return text if len(text) <= 60 else f"{text[:57]}..."


@dataclass(frozen=True, slots=True)
class _Variables:
    """The map itself, which can be indexed but has no text."""

    values: Mapping[str, str]


class AnyVariable(dict[str, str]):
    """Variables of which each has a value: what remains wrong with a template is its own fault."""

    def __contains__(self, key: object) -> bool:
        return True

    def __missing__(self, key: str) -> str:
        return key


_Argument = str | int | bool | _Variables


class Expression:
    """What stands between two pairs of braces, parsed and evaluated from left to right."""

    def __init__(
        self, body: str, names: Mapping[str, str], variables: Mapping[str, str], *, in_condition: bool = False
    ) -> None:
        self._body = body
        self._names = names
        self._values = variables
        self._in_condition = in_condition
        self._tokens = list(self._scan(body))
        self._at = 0

    def value(self) -> str:
        """Evaluate to a text.

        Raises:
            UserError: it is not understood, or has no text.

        """
        return _as_text(self._whole(), self._body)

    def holds(self) -> bool:
        """Evaluate to true or false.

        Raises:
            UserError: it is not understood.

        """
        return _holds(self._whole())

    def _whole(self) -> _Argument:
        value = self._pipeline(depth=0)
        if self._at < len(self._tokens):
            raise self._unclear()
        return value

    def _scan(self, body: str) -> Iterator[tuple[str, str]]:
        body = body.rstrip()
        position = 0
        while position < len(body):
            token = _TOKEN.match(body, position)
            if token is None or token.lastgroup is None:
                raise self._unclear()
            yield token.lastgroup, token[token.lastgroup]
            position = token.end()

    def _unclear(self) -> UserError:
        return UserError(
            f'The query template has "{{{{ {short(self._body)} }}}}", which is not supported: use '
            f"{', '.join(self._names)}, variables.<key>, index, print, printf, if, eq, ne, and, or, not."
        )

    def _pipeline(self, depth: int) -> _Argument:
        if depth > 5:
            raise self._unclear()
        value = self._command(depth, ())
        while self._peek() == ("mark", "|"):
            self._at += 1
            value = self._command(depth, (value,))
        return value

    def _command(self, depth: int, piped: tuple[_Argument, ...]) -> _Argument:
        kind, text = self._peek()
        if kind == "word" and text in _FUNCTIONS:
            self._at += 1
            return self._call(text, (*self._arguments(text, depth), *piped))
        value = self._operand(depth)
        if piped or self._peek()[0] not in {"", "mark"}:
            raise self._unclear()
        return value

    def _arguments(self, function: str, depth: int) -> tuple[_Argument, ...]:
        """Read arguments; those of and and or that no longer matter may name what is not there."""
        values, found = self._values, list[_Argument]()
        while self._peek()[0] and self._peek() not in {("mark", "|"), ("mark", ")")}:
            found.append(self._operand(depth))
            if function in {"and", "or"} and _holds(found[-1]) == (function == "or"):
                self._values = AnyVariable()
        self._values = values
        return tuple(found)

    def _operand(self, depth: int) -> _Argument:
        kind, text = self._peek()
        self._at += 1
        match kind, text:
            case "string", _:
                return self._literal(text)
            case "number", _ if len(text) <= 18:
                return int(text)
            case "word", _:
                return self._word(text)
            case "mark", "(":
                value = self._pipeline(depth + 1)
                if self._peek() != ("mark", ")"):
                    raise self._unclear()
                self._at += 1
                return value
            case _:
                raise self._unclear()

    def _literal(self, text: str) -> str:
        if text.startswith("`"):
            return text[1:-1]
        try:
            return str(json.loads(text))
        except ValueError:
            raise self._unclear() from None

    def _word(self, word: str) -> _Argument:
        if word == "variables":
            return _Variables(self._values)
        if word in {"true", "false"}:
            return word == "true"
        if word in self._names:
            return self._names[word]
        head, _, key = word.partition(".")
        if head == "variables" and "." not in key:
            return self._variable(key)
        raise self._unclear()

    def _variable(self, key: str) -> str:
        if key in self._values:
            return self._values[key]
        known = ", ".join(sorted(self._values)) or "none"
        raise UserError(
            f'The query template uses variables.{key}, but templateVariables has no "{key}" (it has: {known}).'
        )

    def _call(self, function: str, arguments: tuple[_Argument, ...]) -> _Argument:
        match function, arguments:
            case "index", (_Variables(values), str(key)):
                return values.get(key, "") if self._in_condition else self._variable(key)
            case "eq", (first, _, *_):
                return any(self._same(first, other) for other in arguments[1:])
            case "ne", (first, second):
                return not self._same(first, second)
            case "not", (value,):
                return not _holds(value)
            case "and" | "or", (_, *_):
                return next((one for one in arguments if _holds(one) == (function == "or")), arguments[-1])
            case "print", _:
                return "".join(_as_text(argument, self._body) for argument in arguments)
            case "printf", (str(pattern), *values):
                return self._printf(pattern, values)
            case _:
                raise self._unclear()

    def _same(self, first: _Argument, second: _Argument) -> bool:
        if type(first) is not type(second) or isinstance(first, _Variables):
            raise UserError(
                f'The query template has "{{{{ {short(self._body)} }}}}", which compares what cannot be compared: '
                "texts go with texts, in quotes, and numbers with numbers."
            )
        return first == second

    def _printf(self, pattern: str, values: list[_Argument]) -> str:
        left = list(values)

        def fill(found: re.Match[str]) -> str:
            if found["verb"] == "%":
                return "%"
            if not left or found["verb"] not in {"s", "v", "q", "d"}:
                raise self._unclear()
            value = left.pop(0)
            whole = isinstance(value, int) and not isinstance(value, bool)
            if found["verb"] != "v" and ((found["verb"] == "d") != whole or isinstance(value, bool)):
                raise self._unclear()
            text = _as_text(value, self._body)
            text = json.dumps(text, ensure_ascii=False) if found["verb"] == "q" else text
            width = int(found["width"] or 0)
            return text.ljust(width) if found["flags"] else text.rjust(width)

        text = _VERB.sub(fill, pattern)
        if left:
            raise self._unclear()
        return text

    def _peek(self) -> tuple[str, str]:
        return self._tokens[self._at] if self._at < len(self._tokens) else ("", "")


def _as_text(value: _Argument, body: str) -> str:
    match value:
        case _Variables():
            raise UserError(
                f'The query template has "{{{{ {short(body)} }}}}", which is a whole map: '
                "name one of its keys, as in {{ variables.key }}."
            )
        case str():
            return value
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)


def _holds(value: _Argument) -> bool:
    """Tell what counts as true in Go: everything but false, 0, an empty text and an empty map."""
    return bool(value.values) if isinstance(value, _Variables) else bool(value)
