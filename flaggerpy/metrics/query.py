"""Query templates: the part of Go's text/template that queries use, and nothing that can loop or compute.

Understood are ``{{ name }}`` and its kin, ``{{ variables.key }}``, ``{{ index variables "key" }}``,
``{{ printf "%s-x" target }}``, ``{{ print ... }}``, pipelines of these, comments and trim markers. Control
flow is refused with one sentence. A general template engine is left out on purpose: whoever may write a
MetricTemplate could then keep the controller busy for ever.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from flaggerpy.rollout.errors import UserError

Role = Literal["canary", "primary"]

DEFAULT_INTERVAL = "1m"
MAX_LENGTH = 64 * 1024

_COMMENT = re.compile(r"\s*/\*.*\*/\s*", re.DOTALL)
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
_CONTROL = frozenset({"if", "else", "end", "range", "with", "define", "template", "block", "break", "continue"})


@dataclass(frozen=True, slots=True)
class QueryContext:
    """The names that a query template may use.

    Attributes:
        service: the apex Service's name.
        ingress: the Ingress' name, or the target's.
        route: the APISIX route's name or Knative's newest revision, or the target's name.
        interval: the window to look back on, as the user wrote it; empty means one minute.
        role: whose numbers are asked for; ``target`` is the workload that plays it.

    """

    name: str
    namespace: str
    target: str
    service: str = ""
    ingress: str = ""
    route: str = ""
    interval: str = ""
    variables: Mapping[str, str] = field(default_factory=dict)
    role: Role = "canary"

    def names(self) -> dict[str, str]:
        """Return the functions without arguments and their values."""
        return {
            "name": self.name,
            "namespace": self.namespace,
            "target": self.target,
            "service": self.service or self.target,
            "ingress": self.ingress or self.target,
            "route": self.route or self.target,
            "interval": self.interval or DEFAULT_INTERVAL,
            "role": self.role,
        }


def render(template: str, context: QueryContext) -> str:
    """Fill in a query template.

    Raises:
        UserError: the template uses something that does not exist or is not understood.

    """
    if len(template) > MAX_LENGTH:
        raise UserError(f"The query template is longer than {MAX_LENGTH} characters.")
    parts: list[str] = []
    for text, action in _pieces(template):
        parts.append(text)
        if action is not None and not _COMMENT.fullmatch(action):
            parts.append(_Action(action, context).value())
    rendered = "".join(parts)
    if len(rendered) > MAX_LENGTH:
        raise UserError(f"The rendered query is longer than {MAX_LENGTH} characters.")
    return rendered


def _pieces(template: str) -> Iterator[tuple[str, str | None]]:
    """Split a template into pairs of text and the action that follows it, None at the end.

    A search for fixed marks takes time in proportion to the template, which a pattern would not.
    """
    position, trim = 0, False
    while True:
        opening = template.find("{{", position)
        text = template[position:] if opening < 0 else template[position:opening]
        text = text.lstrip() if trim else text
        if opening < 0:
            yield text, None
            return
        closing = template.find("}}", opening + 2)
        if closing < 0:
            raise UserError(f"The query template has a {{{{ without its }}}}: {_short(template[opening:])}.")
        action = template[opening + 2 : closing]
        if re.match(r"-\s", action):
            text, action = text.rstrip(), action[1:]
        trim = re.search(r"\s-\Z", action[-2:]) is not None
        yield text, action[:-1] if trim else action
        position = closing + 2


def _short(text: str) -> str:
    text = " ".join(text[:200].split())
    return text if len(text) <= 60 else f"{text[:57]}..."


@dataclass(frozen=True, slots=True)
class _Variables:
    """The map itself, which can be indexed but has no text."""

    values: Mapping[str, str]


_Argument = str | int | _Variables


class _Action:
    """What stands between two pairs of braces, parsed and evaluated from left to right."""

    def __init__(self, body: str, context: QueryContext) -> None:
        self._body = body
        self._context = context
        self._tokens = list(self._scan(body))
        self._at = 0

    def value(self) -> str:
        value = self._pipeline(depth=0)
        if self._at < len(self._tokens):
            raise self._unclear()
        return _as_text(value, self._body)

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
            f'The query template has "{{{{ {_short(self._body)} }}}}", which is not supported: use '
            f"{', '.join(self._context.names())}, variables.<key>, index, print or printf."
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
        if kind == "word" and text in _CONTROL:
            raise UserError(
                f'The query template uses "{text}": loops and conditions of Go templates are not '
                "supported, so write one MetricTemplate for each case."
            )
        if kind == "word" and text in {"printf", "print", "index"}:
            self._at += 1
            return self._call(text, (*self._arguments(depth), *piped))
        value = self._operand(depth)
        if piped or self._peek()[0] not in {"", "mark"}:
            raise self._unclear()
        return value

    def _arguments(self, depth: int) -> tuple[_Argument, ...]:
        found: list[_Argument] = []
        while self._peek()[0] and self._peek() not in {("mark", "|"), ("mark", ")")}:
            found.append(self._operand(depth))
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
            return _Variables(self._context.variables)
        known = self._context.names()
        if word in known:
            return known[word]
        head, _, key = word.partition(".")
        if head == "variables" and "." not in key:
            return self._variable(key)
        raise self._unclear()

    def _variable(self, key: str) -> str:
        if key in self._context.variables:
            return self._context.variables[key]
        known = ", ".join(sorted(self._context.variables)) or "none"
        raise UserError(
            f'The query template uses variables.{key}, but templateVariables has no "{key}" (it has: {known}).'
        )

    def _call(self, function: str, arguments: tuple[_Argument, ...]) -> str:
        match function, arguments:
            case "index", (_Variables(), str(key)):
                return self._variable(key)
            case "print", _:
                return "".join(_as_text(argument, self._body) for argument in arguments)
            case "printf", (str(pattern), *values):
                return self._printf(pattern, values)
            case _:
                raise self._unclear()

    def _printf(self, pattern: str, values: list[_Argument]) -> str:
        left = list(values)

        def fill(found: re.Match[str]) -> str:
            if found["verb"] == "%":
                return "%"
            if not left or found["verb"] not in {"s", "v", "q", "d"}:
                raise self._unclear()
            value = left.pop(0)
            if (found["verb"] == "d") != isinstance(value, int) and found["verb"] != "v":
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
                f'The query template has "{{{{ {_short(body)} }}}}", which is a whole map: '
                "name one of its keys, as in {{ variables.key }}."
            )
        case str():
            return value
        case int():
            return str(value)
