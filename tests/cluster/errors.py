"""The one error of the harness: a sentence for the person at the terminal. No logic lives here."""

from __future__ import annotations


class ClusterError(Exception):
    """Something that the person who asked can read and act on; shown without a traceback."""
