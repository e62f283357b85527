"""Where the parts of images are made: each from its packages, compiled by the image's own Python, then packed."""

import os
from collections.abc import Callable
from functools import cached_property
from pathlib import Path

from tools.image import debian, layers, wheels
from tools.image.bytecode import Compiler
from tools.image.parts import Part, Shelf, pack
from tools.image.recipes import BASE, RUN_HERE, Recipe
from tools.image.tree import Tree

# The date that zip files and our wheel use where SOURCE_DATE_EPOCH does not say otherwise.
EPOCH = 1_580_601_600


def epoch() -> int:
    """The date of every file in the images."""
    return int(os.environ.get("SOURCE_DATE_EPOCH", EPOCH))


class Kitchen:
    """What stays the same over one build: caches, a folder to work in, and whom to tell."""

    def __init__(self, cache: Path, folder: Path, say: Callable[[str], None], *, fresh: bool) -> None:
        self._cache, self._folder, self._say = cache, folder, say
        self._shelf = Shelf(folder / "shelf" if fresh else cache / "layers")
        self._made: dict[str, Part] = {}
        self._raw: dict[str, Tree] = {}
        self._fetched: dict[tuple[str, tuple[str, ...]], list[debian.Package]] = {}

    def base(self, architecture: str) -> Part:
        """Debian with Python."""
        packages = self._packages(architecture, BASE)
        return self._part(f"base-{architecture}", repr(packages), lambda: self._raw_base(architecture, packages))

    def dependencies(self, architecture: str) -> Part:
        """The locked wheels."""

        def make() -> Tree:
            self._say(f"{architecture}: locked wheels")
            return layers.dependencies(architecture, self._cache)

        return self._part(f"dependencies-{architecture}", layers.LOCK.read_text(encoding="utf-8"), make)

    def tools(self, recipe: Recipe, architecture: str) -> Part:
        """What the commands of webhooks use."""
        packages = self._packages(architecture, recipe.tools)
        helm = layers.helm() if architecture == RUN_HERE else None
        inputs = repr(packages) + layers.KUBECTL_LOCK.read_text(encoding="utf-8") + (helm.name if helm else "")

        def make() -> Tree:
            self._say(f"{architecture}: tools of {recipe.name}")
            tree = layers.load_tools(packages, architecture, self._cache)
            if helm is not None:
                tree.file("usr/local/bin/helm", (helm / "bin" / "helm").read_bytes(), 0o755)
            return tree

        return self._part(f"{recipe.name}-tools-{architecture}", inputs, make)

    def application(self) -> Part:
        """flaggerpy itself, made anew in every build and the same on every architecture."""
        if "application" not in self._made:
            self._say("flaggerpy's wheel")
            tree = layers.application(wheels.own(layers.ROOT, self._folder))
            self._compiler.compile(tree)
            self._made["application"] = pack(tree, epoch())
        return self._made["application"]

    def _packages(self, architecture: str, names: tuple[str, ...]) -> list[debian.Package]:
        if (architecture, names) not in self._fetched:
            self._say(f"{architecture}: {len(names)} Debian packages")
            self._fetched[architecture, names] = debian.Apt(architecture, self._cache).fetch(names)
        return self._fetched[architecture, names]

    def _part(self, name: str, inputs: str, make: Callable[[], Tree]) -> Part:
        def packed() -> Part:
            tree = make()
            self._compiler.compile(tree)
            return pack(tree, epoch())

        if name not in self._made:
            self._made[name] = self._shelf.part(name, f"{epoch()} {inputs}", packed)
        return self._made[name]

    def _raw_base(self, architecture: str, packages: list[debian.Package]) -> Tree:
        if architecture not in self._raw:
            self._raw[architecture] = layers.base(packages)
        return self._raw[architecture]

    @cached_property
    def _compiler(self) -> Compiler:
        """The interpreter of the amd64 base: from the packed part, or from its files while that is being made."""
        if RUN_HERE not in self._raw:
            return Compiler(self.base(RUN_HERE).tree(), self._folder)
        return Compiler(self._raw[RUN_HERE], self._folder)
