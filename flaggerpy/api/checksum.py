"""Flagger's short hash, for the ``checksum`` of webhook payloads that receivers compare between calls."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

_ALPHABET: Final = "bcdfghjklmnpqrstvwxz2456789"
_OFFSET: Final = 0x811C9DC5
_PRIME: Final = 0x01000193


def short_hash(text: str) -> str:
    """Hash a text as Flagger does: FNV-1a (32 bit), its decimal digits mapped to unpronounceable letters."""
    value = _OFFSET
    for byte in text.encode():
        value = ((value ^ byte) * _PRIME) & 0xFFFFFFFF
    return "".join(_ALPHABET[ord(digit) % len(_ALPHABET)] for digit in str(value))


def webhook_checksum(tracked: Mapping[str, str] | None, applied: str) -> str:
    """Return the checksum of a revision: its tracked configs and its applied spec, written as Go would dump them."""
    configs = "<nil>" if tracked is None else f"map[{' '.join(f'{key}:{tracked[key]}' for key in sorted(tracked))}]"
    return short_hash(
        "(struct { TrackedConfigs *map[string]string; LastAppliedSpec string })"
        f"{{TrackedConfigs:(*map[string]string){configs} LastAppliedSpec:(string){applied}}}"
    )
