"""The link of an alert: an address with the names of the canary filled in."""

from __future__ import annotations

import re
from urllib.parse import quote

from flaggerpy.api.canary import Canary
from flaggerpy.api.validation import url_problem
from flaggerpy.rollout.errors import UserError

NAMES = ("namespace", "name", "target")
"""What may stand between ``{{`` and ``}}``."""
_PLACEHOLDER = re.compile(r"\{\{\s*(.*?)\s*\}\}")


def link_of(template: str, canary: Canary) -> str:
    """Fill in an address; empty without one.

    Raises:
        UserError: the template cannot be filled in, or is no address.

    """
    return _filled(template, {"namespace": canary.namespace, "name": canary.name, "target": canary.target_name})


def link_problem(template: str) -> str | None:
    """Say why a template makes no link for any canary, or None when it does."""
    try:
        _filled(template, dict.fromkeys(NAMES, "x"))
    except UserError as error:
        return str(error)
    return None


def _filled(template: str, values: dict[str, str]) -> str:
    unknown = [name for name in _PLACEHOLDER.findall(template) if name not in values]
    if unknown:
        known = ", ".join(f"{{{{ {name} }}}}" for name in NAMES)
        raise UserError(f"The link of alerts has {{{{ {unknown[0]} }}}}, which is not known: write {known}.")
    link = _PLACEHOLDER.sub(lambda found: quote(values[found[1]], safe=""), template)
    if link and (reason := url_problem(link)):
        raise UserError(f"The link of alerts is wrong: {reason}.")
    return link
