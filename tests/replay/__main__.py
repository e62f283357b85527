"""Look again at what the last replays told, without a cluster: ``python -m tests.replay [accept] [NAME…]``.

Prints the lines that no known difference explains, and the known ones that a recording does not list or lists in vain;
``accept`` writes the list of each recording anew.
"""

from __future__ import annotations

import sys

from tests.replay.differences import BY_CHANCE, explained
from tests.replay.recording import load, names, read
from tests.replay.story import compare
from tests.replay.told import last_told
from tests.replay.trim import save


def main(words: list[str]) -> None:
    """Do as the words say."""
    accept = words[:1] == ["accept"]
    for name in words[accept:] or names():
        recording, ours = load(name), last_told(name)
        if ours is None:
            print(f"{name}: not replayed yet")
            continue
        seen, unknown = explained(name, compare(recording.flagger, ours))
        seen |= BY_CHANCE & set(recording.differs)
        if seen != set(recording.differs) and accept:
            save(name, {**read(name), "differs": sorted(seen)})
        new, vain = sorted(seen - set(recording.differs)), sorted(set(recording.differs) - seen)
        if unknown or (not accept and (new or vain)):
            print(f"{name}: {recording.about}", *unknown, sep="\n    ")
            if not accept:
                print(f"    new: {new}, in vain: {vain}")


if __name__ == "__main__":
    main(sys.argv[1:])
