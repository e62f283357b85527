"""`python -m tools.image build`: write the OCI archives of controller and load tester."""

import argparse
import sys
import time
from pathlib import Path

from tools.image.build import build
from tools.image.errors import ImageError
from tools.image.recipes import ARCHITECTURES, RECIPES


def main(words: list[str]) -> int:
    """Build what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m tools.image", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    command = commands.add_parser("build", help="write the archives, images.json beside them")
    command.add_argument("--output", type=Path, default=Path("dist"), help="folder for the archives (dist)")
    command.add_argument("--arch", action="append", choices=ARCHITECTURES, help="only this one; may be repeated")
    command.add_argument("--image", action="append", choices=[one.name for one in RECIPES], help="only this one")
    command.add_argument("--fresh", action="store_true", help="pack every layer anew, even one that is in the cache")
    chosen = parser.parse_args(words)
    began = time.monotonic()

    def say(sentence: str) -> None:
        print(f"[{time.monotonic() - began:6.1f} s] {sentence}", flush=True)

    recipes = tuple(recipe for recipe in RECIPES if not chosen.image or recipe.name in chosen.image)
    architectures = tuple(one for one in ARCHITECTURES if not chosen.arch or one in chosen.arch)
    try:
        built = build(chosen.output, architectures, recipes, say=say, fresh=chosen.fresh)
    except ImageError as error:
        print(f"image: {error}", file=sys.stderr)
        return 1
    for one in built:
        size = one.path.stat().st_size / 1e6
        print(f"{one.reference}  {one.digest}  {', '.join(one.architectures)}  {size:.1f} MB  {one.path}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
