"""Keeping the beginning and the end of an output of any length. No processes, no I/O."""

from __future__ import annotations


class Clip:
    """Collects bytes and keeps at most `limit` of them: the first half and the last half.

    The beginning says what ran, the end says how it went; what is lost lies between and its size is told.
    """

    def __init__(self, limit: int) -> None:
        self._head_limit = (limit + 1) // 2
        self._tail_limit = limit // 2
        self._head = bytearray()
        self._tail = bytearray()
        self._left_out = 0

    @property
    def left_out(self) -> int:
        """How many bytes were dropped from the middle."""
        return self._left_out

    def feed(self, data: bytes) -> None:
        """Take the next piece of the output."""
        room = self._head_limit - len(self._head)
        if room > 0:
            self._head += data[:room]
            data = data[room:]
        self._tail += data
        excess = len(self._tail) - self._tail_limit
        if excess > 0:
            del self._tail[:excess]
            self._left_out += excess

    def text(self) -> str:
        """Return what was kept; bytes that are no UTF-8 show as replacement characters."""
        if not self._left_out:
            return bytes(self._head + self._tail).decode(errors="replace")
        head, tail = self._head.decode(errors="replace"), self._tail.decode(errors="replace")
        return f"{head}\n[… {self._left_out} bytes left out …]\n{tail}"
