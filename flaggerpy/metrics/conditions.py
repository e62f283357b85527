"""Conditions of query templates: which parts of a text count, from if to end. Nothing here evaluates."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from flaggerpy.rollout.errors import UserError

DEEPEST = 20
_MARK = re.compile(r"\s*(?P<word>if|else|end)(?P<rest>\s.*|\(.*|)\Z", re.DOTALL)
_LOOPS = frozenset({"range", "with", "define", "template", "block", "break", "continue"})


@dataclass(slots=True)
class _If:
    """One if: ``above`` tells whether it counts at all, ``done`` whether a branch has been taken."""

    above: bool
    taken: bool
    done: bool
    last: bool = False


class Conditions:
    """The ifs that are open at a place of a template."""

    def __init__(self) -> None:
        self._open: list[_If] = []

    @property
    def taken(self) -> bool:
        """Tell whether what stands here counts."""
        return not self._open or self._open[-1].taken

    def follow(self, action: str, holds: Callable[[str, bool], bool]) -> bool:
        """Take an action that is an if, an else or an end; tell whether it was one.

        ``holds`` evaluates a condition; its second argument tells whether the result matters.

        Raises:
            UserError: it does not belong here, or is a loop.

        """
        found = _MARK.fullmatch(action)
        if found is None:
            _refuse_loops(action)
            return False
        rest = found["rest"].strip()
        match found["word"]:
            case "if":
                self._begin(rest, holds)
            case "else":
                self._otherwise(rest, holds)
            case _:
                self._innermost("end", rest)
                self._open.pop()
        return True

    def close(self) -> None:
        """Take the end of the template.

        Raises:
            UserError: an if has no end.

        """
        if self._open:
            raise UserError("The query template has an {{ if }} without its {{ end }}.")

    def _begin(self, condition: str, holds: Callable[[str, bool], bool]) -> None:
        if len(self._open) >= DEEPEST:
            raise UserError(f"The query template has more than {DEEPEST} conditions in one another.")
        above = self.taken
        taken = holds(condition, above) and above
        self._open.append(_If(above, taken, done=taken))

    def _otherwise(self, rest: str, holds: Callable[[str, bool], bool]) -> None:
        here = self._innermost("else", "")
        if here.last:
            raise UserError("The query template has something after the {{ else }} of a condition but its {{ end }}.")
        matters = here.above and not here.done
        if not rest:
            here.taken, here.last = matters, True
        elif (found := _MARK.fullmatch(rest)) is not None and found["word"] == "if":
            here.taken = holds(found["rest"].strip(), matters) and matters
        else:
            raise UserError(f'The query template has "{{{{ else {rest[:40]} }}}}": write else, or else if.')
        here.done = here.done or here.taken

    def _innermost(self, word: str, rest: str) -> _If:
        if not self._open:
            raise UserError(f"The query template has an {{{{ {word} }}}} without its {{{{ if }}}}.")
        if rest:
            raise UserError(f'The query template has "{{{{ {word} {rest[:40]} }}}}": write nothing behind {word}.')
        return self._open[-1]


def _refuse_loops(action: str) -> None:
    word = re.match(r"\s*(\w+)", action)
    if word is not None and word[1] in _LOOPS:
        raise UserError(
            f'The query template uses "{word[1]}": loops and parts of Go templates are not supported, so write one '
            "MetricTemplate for each case."
        )
