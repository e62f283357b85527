"""The texts of session affinity, the same for every provider: the header that gives a cookie, and who has it."""

from __future__ import annotations

import re

from flaggerpy.api.analysis import SessionAffinity

SET_COOKIE = "Set-Cookie"
GONE = -1
"""Age of a cookie that is taken back."""
_SPECIAL = re.compile(r"[$*+.^|]")
"""What the name of a cookie may hold and a regular expression reads as something else."""


def holders_pattern(cookie: str) -> str:
    """Return what the header Cookie of a user looks like who has this cookie, given as ``name=value``."""
    name, _, value = cookie.partition("=")
    return f".*{_SPECIAL.sub(_escaped, name)}.*{value}.*"


def set_cookie(cookie: str, affinity: SessionAffinity, max_age: int) -> str:
    """Write the header in Flagger's order; the age is in seconds."""
    attributes = {
        f"Max-Age={max_age}": True,
        f"Domain={affinity.domain}": affinity.domain,
        "HttpOnly": affinity.http_only,
        "Partitioned": affinity.partitioned,
        f"Path={affinity.path}": affinity.path,
        f"SameSite={affinity.same_site}": affinity.same_site,
        "Secure": affinity.secure,
    }
    return "; ".join([cookie, *(text for text, wanted in attributes.items() if wanted)])


def given_in(header: str, *, expired: bool = False) -> str:
    """Return the cookie that a header gives or, if ``expired``, takes back; empty when it does the other thing."""
    cookie, *attributes = [text.strip() for text in header.split(";")]
    return cookie if (f"Max-Age={GONE}" in attributes) is expired else ""


def _escaped(found: re.Match[str]) -> str:
    return f"\\{found[0]}"
