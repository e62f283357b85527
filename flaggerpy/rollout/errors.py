"""Whose fault is it? A user's mistake is a sentence; anything else is not raised from here."""

from __future__ import annotations


class UserError(Exception):
    """Something a user wrote cannot be served.

    The message is one sentence: what is wrong, where, and what to write instead. It is shown as an event and as the
    Stalled condition, is not retried until something it depends on changes, and never touches traffic.
    """
