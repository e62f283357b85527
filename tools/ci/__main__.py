"""`python -m tools.ci [PHASE …]`: run these phases, or all of CI, and end with one line like pytest's."""

import sys

from tools.ci.phases import chosen
from tools.ci.results import Result, closing_line, failures, table
from tools.ci.run import StoppedError, run, stopping


def main(names: tuple[str, ...]) -> int:
    """Run the phases; 0 only when each of them ran and none failed."""
    results: list[Result] = []
    phases = chosen(names)
    with stopping():
        try:
            for phase in phases:
                if not phase.has_tests():
                    print(f"== {phase.name}: no tests there yet", flush=True)
                    continue
                if not names and (unbuilt := phase.unbuilt()):
                    hint = f"'python -m tools.ci {phase.name}' builds them"
                    print(f"== {phase.name}: left out, not in the cache yet: {', '.join(unbuilt)}; {hint}", flush=True)
                    continue
                print(f"== {phase.name}", flush=True)
                results.append(run(phase))
        except StoppedError as stopped:
            print(f"stopped by {stopped}", file=sys.stderr)
            return 128 + stopped.number
    print(failures(results))
    print(table(results))
    print(closing_line(results), flush=True)
    return 0 if results and all(result.ok for result in results) else 1


if __name__ == "__main__":
    raise SystemExit(main(tuple(sys.argv[1:])))
