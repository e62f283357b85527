"""``python -m flaggerpy`` and the console scripts."""

from __future__ import annotations

from flaggerpy.cli.main import main


def plugin() -> None:
    """Run as ``kubectl flaggerpy``: kubectl finds the script ``kubectl-flaggerpy`` on PATH."""
    main(prog_name="kubectl flaggerpy")


if __name__ == "__main__":
    main()
