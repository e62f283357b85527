"""Query templates: the part of Go's text/template that queries use, and nothing that can loop or compute.

Understood are ``{{ name }}`` and its kin, ``{{ variables.key }}``, ``{{ index variables "key" }}``,
``{{ printf "%s-x" target }}``, ``{{ print ... }}``, ``{{ if eq a b }}`` with else if, else and end, the functions
eq, ne, and, or and not, pipelines of these, comments and trim markers. Loops are refused with one sentence. A
general template engine is left out on purpose: whoever may write a MetricTemplate could then keep the controller
busy for ever.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from flaggerpy.metrics.conditions import Conditions
from flaggerpy.metrics.expressions import AnyVariable, Expression, short
from flaggerpy.rollout.errors import UserError

Role = Literal["canary", "primary"]

DEFAULT_INTERVAL = "1m"
MAX_LENGTH = 64 * 1024

_COMMENT = re.compile(r"\s*/\*.*\*/\s*", re.DOTALL)


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
        UserError: the template uses something that does not exist or is not understood, or nothing is left of it.

    """
    rendered = fill(template, context)
    if not rendered.strip():
        raise UserError(
            "The query is empty once its template is filled in: write a query, and an {{ else }} for every {{ if }}."
        )
    return rendered


def fill(template: str, context: QueryContext, escape: Callable[[str], str] = str) -> str:
    """Fill in any template; what is filled in is escaped.

    Raises:
        UserError: the template uses something that does not exist or is not understood.

    """
    if len(template) > MAX_LENGTH:
        raise UserError(f"The query template is longer than {MAX_LENGTH} characters.")
    parts: list[str] = []
    conditions = Conditions()

    names, nothing_missing = context.names(), AnyVariable()

    def holds(condition: str, matters: bool) -> bool:
        variables = context.variables if matters else nothing_missing
        return Expression(condition, names, variables, in_condition=True).holds()

    for text, action in _pieces(template):
        parts += [text] if conditions.taken else []
        if action is None or _COMMENT.fullmatch(action) or conditions.follow(action, holds):
            continue
        value = Expression(action, names, context.variables if conditions.taken else nothing_missing).value()
        parts += [escape(value)] if conditions.taken else []
    conditions.close()
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
            raise UserError(f"The query template has a {{{{ without its }}}}: {short(template[opening:])}.")
        action = template[opening + 2 : closing]
        if re.match(r"-\s", action):
            text, action = text.rstrip(), action[1:]
        trim = re.search(r"\s-\Z", action[-2:]) is not None
        yield text, action[:-1] if trim else action
        position = closing + 2
