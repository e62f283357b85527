"""What reading a user's object can end with; mistakes that leave it readable are sentences, not errors."""

from __future__ import annotations


class InvalidObject(Exception):
    """An object cannot be read at all: something without which it means nothing is missing.

    ``sentences`` are for people: what is wrong, where, and what to write instead.
    """

    def __init__(self, *sentences: str) -> None:
        super().__init__(" ".join(sentences))
        self.sentences: tuple[str, ...] = sentences
