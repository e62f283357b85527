"""Compiles Python sources ahead, with the very interpreter of the image, so that a read-only container starts fast.

The compiled files hold no time stamps and are trusted without a look at the source (PEP 552, unchecked): an image
never changes. They are the same on every architecture, so one interpreter, amd64's, compiles for all.
"""

import platform
import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path

from tools.image.errors import ImageError
from tools.image.tree import Tree

LIBRARIES = "usr/lib/x86_64-linux-gnu"
# One process a file would be the surest way to equal bytes and take minutes; a fixed order and hash seed do as well.
COMPILE = """
import py_compile, sys
mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
for line in sys.stdin:
    source, compiled, name = line.rstrip("\\n").split("\\t")
    try:
        py_compile.compile(source, cfile=compiled, dfile=name, doraise=True, invalidation_mode=mode)
    except py_compile.PyCompileError as error:
        print(name, error.msg, file=sys.stderr)
"""


class Compiler:
    """The image's interpreter, run through its own loader: no root and no chroot needed."""

    def __init__(self, base: Tree, folder: Path) -> None:
        if platform.machine() != "x86_64":
            raise ImageError("building images runs the amd64 Python of the image: it needs an x86-64 machine")
        self._root = folder / "root"
        base.write_to(self._root)
        self._seen: dict[tuple[str, bytes], bytes | None] = {}

    def compile(self, tree: Tree) -> None:
        """Add the compiled form of every module of the tree that compiles."""
        sources = [(name, data) for name, data in tree.files() if name.endswith(".py")]
        fresh = [one for one in sources if one not in self._seen]
        for one, compiled in zip(fresh, self._run(fresh), strict=True):
            self._seen[one] = compiled
        for name, data in sources:
            compiled = self._seen[name, data]
            if compiled is not None:
                folder, _, module = name.rpartition("/")
                tree.file(f"{folder}/__pycache__/{module.removesuffix('.py')}.cpython-311.pyc", compiled)

    def _run(self, sources: Iterable[tuple[str, bytes]]) -> list[bytes | None]:
        with tempfile.TemporaryDirectory(prefix="flaggerpy-compile-") as folder:
            jobs, outputs = [], []
            for number, (name, data) in enumerate(sources):
                source, compiled = Path(folder) / f"{number}.py", Path(folder) / f"{number}.pyc"
                source.write_bytes(data)
                jobs.append(f"{source}\t{compiled}\t/{name}\n")
                outputs.append(compiled)
            self._interpreter("".join(jobs))
            # A wheel may carry sources for other versions of Python, which do not compile; they run as little.
            return [output.read_bytes() if output.exists() else None for output in outputs]

    def _interpreter(self, jobs: str) -> None:
        libraries = self._root / LIBRARIES
        command = [
            *(str(libraries / "ld-linux-x86-64.so.2"), "--library-path", str(libraries)),
            *(str(self._root / "usr/bin/python3.11"), "-B", "-S", "-s", "-c", COMPILE),
        ]
        environment = {"PYTHONHOME": str(self._root / "usr"), "PYTHONHASHSEED": "0", "LC_ALL": "C.UTF-8"}
        done = subprocess.run(command, input=jobs, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise ImageError(f"the image's Python does not run here: {done.stderr.strip()}")
