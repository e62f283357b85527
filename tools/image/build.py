"""Builds the images: from packages and wheels to archives in a folder."""

import json
import os
import tempfile
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from tools.image import debian, elf, layers, wheels
from tools.image.bytecode import Compiler
from tools.image.errors import ImageError
from tools.image.oci import Json, PlatformImage, write
from tools.image.recipes import ARCHITECTURES, BASE, ENVIRONMENT, RECIPES, RUN_HERE, UID, Recipe
from tools.image.tree import Layer, Tree, layer_of, union

# The date that zip files and our wheel use where SOURCE_DATE_EPOCH does not say otherwise.
EPOCH = 1_580_601_600
NOT_RUN = "built, not run"


@dataclass(frozen=True, slots=True)
class Built:
    """An archive and what is in it."""

    reference: str
    path: Path
    digest: str
    architectures: tuple[str, ...]


def cache_folder() -> Path:
    """Where downloads are kept: outside the checkout, shared by all checkouts."""
    home = os.environ.get("FLAGGERPY_CACHE") or Path.home() / ".cache" / "flaggerpy"
    return Path(home).resolve() / "images"


def version() -> str:
    """flaggerpy's version."""
    with (layers.ROOT / "pyproject.toml").open("rb") as file:
        return str(tomllib.load(file)["project"]["version"])


def build(
    output: Path,
    architectures: tuple[str, ...] = ARCHITECTURES,
    recipes: tuple[Recipe, ...] = RECIPES,
    say: Callable[[str], None] = print,
) -> list[Built]:
    """Write an archive a recipe to `output`."""
    epoch = int(os.environ.get("SOURCE_DATE_EPOCH", EPOCH))
    kitchen = _Kitchen(cache_folder(), epoch, say)
    images: dict[str, list[PlatformImage]] = {recipe.name: [] for recipe in recipes}
    # amd64's interpreter compiles for every architecture, so its base is needed whatever is built.
    foundation = kitchen.base(RUN_HERE)
    with tempfile.TemporaryDirectory(prefix="flaggerpy-wheel-") as folder, Compiler(foundation) as compiler:
        say("building flaggerpy's wheel")
        wheel = wheels.own(layers.ROOT, Path(folder))
        for architecture in architectures:
            ground = foundation if architecture == RUN_HERE else kitchen.base(architecture)
            parts = kitchen.common(architecture, ground, wheel, compiler)
            for recipe in recipes:
                images[recipe.name].append(kitchen.image(recipe, architecture, parts))
    output.mkdir(parents=True, exist_ok=True)
    built = []
    for recipe in recipes:
        path = output / f"{recipe.name}-{version()}.oci.tar"
        say(f"writing {path}")
        reference = recipe.reference(version())
        digest = write(path, reference, tuple(images[recipe.name]))
        built.append(Built(reference, path, digest, architectures))
    _list(output / "images.json", built)
    return built


def _list(path: Path, built: list[Built]) -> None:
    rows = [
        {
            "reference": one.reference,
            "file": one.path.name,
            "digest": one.digest,
            "architectures": list(one.architectures),
        }
        for one in built
    ]
    path.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


@dataclass(frozen=True, slots=True)
class _Parts:
    """The layers that all images of one architecture share."""

    trees: dict[str, Tree]
    packed: dict[str, Layer]


class _Kitchen:
    """What stays the same over one build: the cache, the date, and whom to tell."""

    def __init__(self, cache: Path, epoch: int, say: Callable[[str], None]) -> None:
        self._cache, self._epoch, self._say = cache, epoch, say

    def base(self, architecture: str) -> Tree:
        self._say(f"{architecture}: Debian packages")
        return layers.base(debian.Apt(architecture, self._cache).fetch(BASE))

    def common(self, architecture: str, ground: Tree, wheel: Path, compiler: Compiler) -> _Parts:
        self._say(f"{architecture}: locked wheels")
        trees = {
            "base": ground,
            "dependencies": layers.dependencies(architecture, self._cache),
            "application": layers.application(wheel),
        }
        self._say(f"{architecture}: compiling and packing")
        for tree in trees.values():
            compiler.compile(tree)
        return _Parts(trees, {name: layer_of(tree, self._epoch) for name, tree in trees.items()})

    def image(self, recipe: Recipe, architecture: str, parts: _Parts) -> PlatformImage:
        trees, packed = dict(parts.trees), dict(parts.packed)
        if recipe.tools:
            self._say(f"{architecture}: tools of {recipe.name}")
            packages = debian.Apt(architecture, self._cache).fetch(recipe.tools)
            trees["tools"] = layers.load_tools(packages, architecture, self._cache)
            packed["tools"] = layer_of(trees["tools"], self._epoch)
        for fault in elf.missing(union(trees.values())):
            raise ImageError(f"{recipe.name} for {architecture}: {fault}")
        # What changes most often comes last, so that a push or a pull moves little.
        order = [name for name in ("base", "dependencies", "tools", "application") if name in packed]
        chosen = tuple(packed[name] for name in order)
        notes = {
            "dev.flaggerpy.tested": "run" if architecture == RUN_HERE else NOT_RUN,
            "org.opencontainers.image.licenses": "Apache-2.0",
            "org.opencontainers.image.title": recipe.title,
            "org.opencontainers.image.version": version(),
        }
        return PlatformImage(architecture, self._config(recipe, architecture, chosen, notes), chosen, notes)

    def _config(self, recipe: Recipe, architecture: str, chosen: tuple[Layer, ...], notes: dict[str, str]) -> Json:
        created = datetime.fromtimestamp(self._epoch, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        return {
            "architecture": architecture,
            "os": "linux",
            "created": created,
            "config": {
                "User": f"{UID}:{UID}",
                "Env": [f"{name}={value}" for name, value in sorted(ENVIRONMENT.items())],
                "Entrypoint": list(recipe.entrypoint),
                "Cmd": list(recipe.command),
                "ExposedPorts": {f"{recipe.port}/tcp": {}},
                "WorkingDir": "/",
                "Labels": notes,
            },
            "rootfs": {"type": "layers", "diff_ids": [layer.diff_id for layer in chosen]},
            "history": [{"created": created, "created_by": "tools.image"} for _ in chosen],
        }
