"""Packed parts of images, and the shelf where they are kept: what did not change is not packed again."""

import gzip
import hashlib
import io
import json
import posixpath
import shutil
import tarfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tools.image.elf import needed
from tools.image.tree import Layer, Tree, layer_of

HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Part:
    """A layer, and what is asked of it when images are put together."""

    layer: Layer
    names: frozenset[str]
    needs: tuple[tuple[str, str], ...]

    def tree(self) -> Tree:
        """The files of the layer."""
        tree = Tree()
        with tarfile.open(fileobj=io.BytesIO(gzip.decompress(self.layer.blob))) as archive:
            tree.read_tar(archive)
        tree.merge_usr()
        return tree


def pack(tree: Tree, epoch: int) -> Part:
    """Make a layer of a tree."""
    names = frozenset(posixpath.basename(name) for name in tree.nodes)
    needs = tuple((name, library) for name, data in tree.files() for library in needed(data))
    return Part(layer_of(tree, epoch), names, needs)


def missing(parts: Iterable[Part]) -> Iterator[str]:
    """A sentence for every library that some file of an image needs and none of its parts has."""
    every = list(parts)
    present = frozenset[str]().union(*(part.names for part in every))
    for part in every:
        for name, library in part.needs:
            if library not in present:
                yield f"/{name} needs {library}, which no package of the image brings"


class Shelf:
    """Packed parts on disk, by name; each is good for one key, which holds all that it was made of."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        # This code and the compressor are inputs like the packages.
        self._code = (
            "".join(_sha256(path.read_bytes()) for path in sorted(HERE.glob("*.py"))) + zlib.ZLIB_RUNTIME_VERSION
        )

    def part(self, name: str, inputs: str, make: Callable[[], Part]) -> Part:
        """Take the part from the shelf, or make it and put it there in place of an older one."""
        key = _sha256((self._code + inputs).encode())[:32]
        place = self._folder / name / key
        if (place / "facts.json").exists():
            return _read(place)
        part = make()
        shutil.rmtree(place.parent, ignore_errors=True)
        place.mkdir(parents=True)
        (place / "layer.tar.gz").write_bytes(part.layer.blob)
        facts = {
            "digest": part.layer.digest,
            "diff_id": part.layer.diff_id,
            "names": sorted(part.names),
            "needs": part.needs,
        }
        (place / "facts.part").write_text(json.dumps(facts), encoding="utf-8")
        (place / "facts.part").rename(place / "facts.json")
        return part


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _read(place: Path) -> Part:
    facts = json.loads((place / "facts.json").read_text(encoding="utf-8"))
    layer = Layer((place / "layer.tar.gz").read_bytes(), facts["digest"], facts["diff_id"])
    return Part(layer, frozenset(facts["names"]), tuple((name, library) for name, library in facts["needs"]))
