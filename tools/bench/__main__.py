"""`make bench`: what canaries cost, measured on a cluster of its own for each number of them.

This half runs on the machine itself: it starts the clusters, in which `tools.bench.measure` runs, prints the table and
keeps the figures in .bench/latest.json. It fails when rollouts fail, never because a machine is slow.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from flaggerpy import __version__
from tools.bench.errors import BenchError
from tools.bench.figures import LATEST, ROOT, Measurement, Report, render
from tools.bench.machine import this_machine

KWOK_NODES = 10
LONGEST_IDLE = 1800
"""The controller's token is good for an hour."""


def main() -> int:
    options = _parser().parse_args()
    began = time.monotonic()
    # An orderly way out: the cluster is ended by whoever started it, and the controller in it by `measure`.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        _check(options)
        measurements = [_measure(count, options.idle) for count in options.n]
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    machine = this_machine()
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    LATEST.parent.mkdir(exist_ok=True)
    LATEST.write_text(
        Report(tuple(one.row for one in measurements), machine, __version__, now).dump(), encoding="utf-8"
    )
    print(f"\n── What the controller costs\n\n{render(measurements, machine)}")
    print(f"\nThe bench took {time.monotonic() - began:.0f} s in all; its figures are in {LATEST.relative_to(ROOT)}.")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tools.bench", description="What canaries cost.")
    parser.add_argument("--n", type=int, nargs="+", default=[50, 500], help="canaries present, a cluster for each")
    parser.add_argument("--idle", type=float, default=300.0, help="seconds of the idle window")
    return parser


def _check(options: argparse.Namespace) -> None:
    if min(options.n) < 1:
        raise BenchError("--n counts canaries: it takes numbers from 1 on.")
    if not 1 <= options.idle <= LONGEST_IDLE:
        raise BenchError(f"--idle takes 1 to {LONGEST_IDLE} seconds.")
    if os.environ.get("KUBECONFIG"):
        raise BenchError(
            "KUBECONFIG is set, but requests are counted from the audit log of a cluster of our own: unset it."
        )


def _measure(count: int, idle: float) -> Measurement:
    """Start a cluster, measure in it, and end it."""
    print(f"\n── {count} canaries", flush=True)
    with tempfile.TemporaryDirectory(prefix="flaggerpy-bench-") as folder:
        output = Path(folder) / "measurement.json"
        cluster = ["run", "--control-plane", "--kwok-nodes", str(KWOK_NODES), "--addons", "gateway-api", "--"]
        inside = ["--n", str(count), "--idle", str(idle), "--output", str(output)]
        python = [sys.executable, "-m"]
        command = [*python, "tests.cluster", *cluster, *python, "tools.bench.measure", *inside]
        done = subprocess.run(command, cwd=ROOT, check=False)
        if done.returncode:
            raise BenchError(f"the run with {count} canaries failed with exit code {done.returncode}, see above")
        return Measurement.load(output.read_text(encoding="utf-8"))


if __name__ == "__main__":
    raise SystemExit(main())
