"""``python -m flaggerpy`` and the console script."""

from __future__ import annotations

from flaggerpy.cli.main import main

if __name__ == "__main__":
    main()
