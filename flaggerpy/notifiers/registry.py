"""Which receivers exist; a name that is not here is the user's mistake, never a fallback."""

from __future__ import annotations

from flaggerpy.notifiers.base import Notifier
from flaggerpy.notifiers.gchat import GCHAT
from flaggerpy.notifiers.msteams import MSTEAMS
from flaggerpy.notifiers.slack import DISCORD, ROCKET, SLACK
from flaggerpy.notifiers.webhook import WEBHOOK
from flaggerpy.rollout.errors import UserError

NOTIFIERS: dict[str, Notifier] = {
    "discord": DISCORD,
    "gchat": GCHAT,
    "msteams": MSTEAMS,
    "rocket": ROCKET,
    "slack": SLACK,
    "webhook": WEBHOOK,
}


def notifier_for(kind: str) -> Notifier:
    """Find the notifier of a type.

    Raises:
        UserError: the type does not exist.

    """
    if kind in NOTIFIERS:
        return NOTIFIERS[kind]
    raise UserError(f'The alert provider type "{kind}" does not exist; known are: {", ".join(NOTIFIERS)}.')
