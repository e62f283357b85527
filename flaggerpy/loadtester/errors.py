"""What whoever asks is told when nothing is done; the text of each is one sentence for them."""

from __future__ import annotations


class Refused(Exception):
    """A payload that asks for nothing we can do."""


class NotAllowed(Exception):
    """A payload that asks for something that is not allowed here."""
