"""Where built parts are kept: a folder outside the checkout, one folder a part, named after its content.

A part is there or it is not: it is made in a scratch folder and renamed into place. How it is made is not
known here.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path


def cache_root() -> Path:
    """The cache folder: $FLAGGERPY_CACHE, or flaggerpy in the user's cache folder."""
    chosen = os.environ.get("FLAGGERPY_CACHE")
    if chosen:
        return Path(chosen).absolute()
    home = os.environ.get("XDG_CACHE_HOME")
    base = Path(home) if home else Path.home() / ".cache"
    return base / "flaggerpy"


@contextlib.contextmanager
def only_one(lock: Path) -> Iterator[None]:
    """Hold a lock file: a second builder waits for the first and then finds its work done."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def keep(name: str, key: str, make: Callable[[Path], None]) -> Path:
    """The folder of a part, made by `make` in a scratch folder if it is not there yet."""
    root = cache_root() / "parts"
    place = root / f"{name}-{key}"
    if place.is_dir():
        return place
    with only_one(root / ".locks" / name):
        if place.is_dir():
            return place
        scratch = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=root))
        try:
            make(scratch)
            scratch.chmod(0o755)
            scratch.rename(place)
        except BaseException:
            shutil.rmtree(scratch, ignore_errors=True)
            raise
    return place
