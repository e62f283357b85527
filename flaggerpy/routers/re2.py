"""Is a text a regular expression in RE2's syntax? Where a proxy drops a whole route for one that is not, ask before.

Python's own expressions are almost a superset. What only Python has is refused here, and so are the few things that
only RE2 has, like classes of Unicode: they cannot be checked.
"""

from __future__ import annotations

import re
import warnings

from flaggerpy.rollout.errors import UserError

_PLAIN = re.compile(r"\[\^?\]?(?:\\.|[^\]\\])*\]|\\[^0-9A-Za-z]|\\[dDsSwWbBAnrtfvx0]", re.DOTALL)
"""What means the same in both and holds nothing that could look like something else: classes and escapes."""
_ONLY_PYTHON = re.compile(r"\\|\(\?(?!:|P<|[ims-]+[:)])|[*+?}]\+")
"""Other escapes, lookarounds and the like, possessive repetition."""
_MOST_REPETITIONS = 1000
_COUNTED = re.compile(r"\{(\d+)(?:,(\d*))?\}")


def check_re2(place: str, pattern: str) -> None:
    """Make sure that a pattern can be used.

    Raises:
        UserError: it is no regular expression, or cannot be checked.

    """
    rest = _PLAIN.sub("_", pattern)
    counts = [int(count) for found in _COUNTED.findall(rest) for count in found if count]
    fault = _fault(pattern)
    if not fault and _ONLY_PYTHON.search(rest):
        fault = "it uses what RE2 does not have"
    if not fault and any(count > _MOST_REPETITIONS for count in counts):
        fault = f"it repeats something more than {_MOST_REPETITIONS} times"
    if fault:
        raise UserError(
            f"{place} is {pattern}, which is no regular expression for the proxy ({fault}): write one in RE2 syntax "
            f"for the whole value, like ^(.*;)?canary=always(;.*)?$."
        )


def _fault(pattern: str) -> str:
    with warnings.catch_warnings():
        # RE2 has the classes of POSIX, which Python reads as something else and may have one day.
        warnings.simplefilter("ignore", FutureWarning)
        try:
            re.compile(pattern)
        except re.error as error:
            return str(error)
    return ""
