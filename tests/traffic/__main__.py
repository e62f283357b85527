"""The steady client as a program: writes a line of JSON a request, and a table at the end."""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path

from tests.traffic.client import SteadyClient
from tests.traffic.plan import Plan, Refused
from tests.traffic.summary import Summary


def main(arguments: list[str] | None = None) -> int:
    """Run until the time is over, or SIGINT or SIGTERM; 0: every request had a 2xx answer, 1: some had not."""
    flags = _parser().parse_args(arguments)
    try:
        plan = Plan(
            url=flags.url,
            host=flags.host,
            rate=flags.rate,
            duration=flags.duration,
            keep_alive=flags.keep_alive,
            timeout=flags.timeout,
            allow=tuple(flags.allow),
            upstream_header=flags.upstream_header,
        )
    except Refused as refused:
        sys.stderr.write(f"{refused}\n")
        return 2
    client = SteadyClient(plan, flags.out)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, frame: client.finish())
    client.start()
    summary = client.wait()
    sys.stdout.write(table(summary))
    return 1 if summary.failed() else 0


def table(summary: Summary) -> str:
    """Write the counts for people."""
    counts = summary.by_version_and_result().items()
    lines = [f"{version or '(unknown)':20} {result:>12} {count:>8}" for (version, result), count in counts]
    last = f"{summary.total} requests, {len(summary.failed())} failed, {summary.missed} due but not sent"
    return "\n".join([f"{'version':20} {'result':>12} {'count':>8}", *lines, last, ""])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.traffic", description=__doc__)
    parser.add_argument("--url", required=True, help="http://ADDRESS:PORT/PATH, loopback or allowed")
    parser.add_argument("--host", required=True, help="the Host header")
    parser.add_argument("--rate", type=float, default=50.0, help="requests a second")
    parser.add_argument("--duration", type=float, default=30.0, help="seconds")
    parser.add_argument("--timeout", type=float, default=5.0, help="seconds a request may take")
    parser.add_argument("--keep-alive", action="store_true", help="use connections again; else one a request")
    parser.add_argument("--allow", action="append", default=[], help="a private address or network of the cluster")
    parser.add_argument("--upstream-header", default="x-upstream", help="in which the proxy tells the pod's address")
    parser.add_argument("--out", type=Path, help="file for the records, JSON lines")
    return parser


if __name__ == "__main__":
    sys.exit(main())
