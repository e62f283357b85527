"""Builds the images: from packages and wheels to archives in a folder."""

import fcntl
import json
import tempfile
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from tests.cluster.cache import cache_root
from tools.image import layers
from tools.image.errors import ImageError
from tools.image.kitchen import Kitchen, epoch
from tools.image.oci import Json, PlatformImage, write
from tools.image.parts import missing
from tools.image.recipes import ARCHITECTURES, ENVIRONMENT, RECIPES, RUN_HERE, UID, Recipe
from tools.image.tree import Layer

NOT_RUN = "built, not run"


@dataclass(frozen=True, slots=True)
class Built:
    """An archive and what is in it."""

    reference: str
    path: Path
    digest: str
    architectures: tuple[str, ...]


def version() -> str:
    """flaggerpy's version."""
    with (layers.ROOT / "pyproject.toml").open("rb") as file:
        return str(tomllib.load(file)["project"]["version"])


def build(
    output: Path,
    architectures: tuple[str, ...] = ARCHITECTURES,
    recipes: tuple[Recipe, ...] = RECIPES,
    *,
    say: Callable[[str], None] = print,
    fresh: bool = False,
) -> list[Built]:
    """Write an archive a recipe to `output`; `fresh` takes nothing but downloads from the cache."""
    cache = cache_root().resolve() / "images"
    cache.mkdir(parents=True, exist_ok=True)
    output.mkdir(parents=True, exist_ok=True)
    with (cache / "lock").open("w") as lock, tempfile.TemporaryDirectory(prefix="flaggerpy-image-") as folder:
        fcntl.flock(lock, fcntl.LOCK_EX)
        kitchen = Kitchen(cache, Path(folder), say, fresh=fresh)
        return [_write(recipe, output, architectures, kitchen, say) for recipe in recipes]


def _write(
    recipe: Recipe, output: Path, architectures: tuple[str, ...], kitchen: Kitchen, say: Callable[[str], None]
) -> Built:
    images = tuple(_image(recipe, architecture, kitchen) for architecture in architectures)
    path = output / f"{recipe.name}-{version()}.oci.tar"
    say(f"writing {path}")
    reference = recipe.reference(version())
    built = Built(reference, path, write(path, reference, images), architectures)
    _list(output / "images.json", built)
    return built


def _list(path: Path, built: Built) -> None:
    """Keep the list of what is in the folder, one row a reference."""
    rows = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    row = {
        "reference": built.reference,
        "file": built.path.name,
        "digest": built.digest,
        "architectures": list(built.architectures),
    }
    rows = [*(one for one in rows if one["file"] != built.path.name), row]
    path.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


def _image(recipe: Recipe, architecture: str, kitchen: Kitchen) -> PlatformImage:
    # What changes most often comes last, so that a push or a pull moves little.
    parts = [kitchen.base(architecture), kitchen.dependencies(architecture)]
    if recipe.tools:
        parts.append(kitchen.tools(recipe, architecture))
    parts.append(kitchen.application())
    for fault in missing(parts):
        raise ImageError(f"{recipe.name} for {architecture}: {fault}")
    notes = {
        "dev.flaggerpy.tested": "run" if architecture == RUN_HERE else NOT_RUN,
        "org.opencontainers.image.licenses": "Apache-2.0",
        "org.opencontainers.image.title": recipe.title,
        "org.opencontainers.image.version": version(),
    }
    chosen = tuple(part.layer for part in parts)
    return PlatformImage(architecture, _config(recipe, architecture, chosen, notes), chosen, notes)


def _config(recipe: Recipe, architecture: str, chosen: tuple[Layer, ...], notes: dict[str, str]) -> Json:
    created = datetime.fromtimestamp(epoch(), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
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
