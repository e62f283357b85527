"""The images made from parts of the cache: what goes into each, and its name. Writing them is images.py's."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.cache import keep
from tests.cluster.images import Entry, ImageConfig, write_image
from tests.cluster.parts import CONTOUR, PODINFO_VERSIONS

RECIPE = "1"
"""Raise it when an image's content changes while its part does not."""


@dataclass(frozen=True, slots=True)
class Stock:
    """One image: the part it is made of, its name, its files and its start."""

    part: str
    name: str
    entries: Callable[[Path], list[Entry]]
    config: ImageConfig


def stock_images(names: Iterable[str], places: Mapping[str, Path]) -> list[Path]:
    """The archives of the named images, written into the cache where they are missing."""
    return [_archive(STOCK[name], places[STOCK[name].part]) for name in names]


def _archive(stock: Stock, place: Path) -> Path:
    def make(scratch: Path) -> None:
        write_image(scratch / "image.oci.tar", [stock.name], stock.entries(place), stock.config)

    # The part's folder ends with its key, so a new part gives a new image.
    return keep(f"image-{stock.part}", f"{RECIPE}-{place.name}", make) / "image.oci.tar"


def _one_program(program: str) -> Callable[[Path], list[Entry]]:
    return lambda place: [Entry(f"/{program}", place / "bin" / program, 0o755)]


def _podinfo_entries(place: Path) -> list[Entry]:
    # The place that the published image has: manifests start it as ./podinfo.
    return [Entry("/home/app/podinfo", place / "bin" / "podinfo", 0o755), Entry("/data/.keep")]


def _table() -> Iterable[Stock]:
    yield Stock("pause", "localhost/pause:local", _one_program("pause"), ImageConfig(("/pause",)))
    yield Stock("coredns", "localhost/coredns:local", _one_program("coredns"), ImageConfig(("/coredns",)))
    yield Stock(
        "contour", f"ghcr.io/projectcontour/contour:v{CONTOUR}", _one_program("contour"), ImageConfig(("/contour",))
    )
    for version in PODINFO_VERSIONS:
        yield Stock(
            f"podinfo-{version}",
            f"ghcr.io/stefanprodan/podinfo:{version}",
            _podinfo_entries,
            ImageConfig((), ("./podinfo",), folder="/home/app"),
        )


STOCK: dict[str, Stock] = {stock.part: stock for stock in _table()}
