"""How figures are put together from what the audit log shows, and which mistakes are told."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter

import httpx
import pytest

from tests.bench.auditing import CONTROLLER, rollout, route
from tools.bench.audit import Tally, rollouts
from tools.bench.errors import BenchError
from tools.bench.figures import ROOT
from tools.bench.measure import Rolled, looked_at, rolled

NOTHING = Tally(0, 0, Counter())
KEYS = [("site-1-1", "app-1"), ("site-1-1", "app-2")]


def test_the_times_of_all_rollouts_are_kept() -> None:
    found = rollouts([*rollout(0.0, "app-2", reaction=0.5), *rollout(1.0, "app-1", reaction=0.25)], CONTROLLER)
    tally = Tally(1, 2, Counter({"patch httproutes": 12}))
    assert rolled(found, KEYS, tally) == Rolled([0.5, 0.25], [51.0, 50.75], tally)


def test_a_change_that_the_log_does_not_show_is_told() -> None:
    found = rollouts(rollout(0.0, "app-1"), CONTROLLER)
    with pytest.raises(BenchError, match="shows 1 changes of targets where 2 were made"):
        rolled(found, KEYS, NOTHING)


def test_a_rollout_without_its_end_is_told() -> None:
    unended = [*rollout(0.0, "app-1"), *rollout(0.0, "app-2")[:5], route(9.0, "app-2", 10)]
    with pytest.raises(BenchError, match="the scale-up of 2 and the promotion of 1 of 2 rollouts"):
        rolled(rollouts(unended, CONTROLLER), KEYS, NOTHING)


def test_canaries_that_were_looked_at_are_those_with_a_series() -> None:
    text = (
        "# HELP flagger_canary_status 0 running, 1 successful, 2 failed.\n"
        'flagger_canary_status{name="app-1",namespace="site-1-1"} 1.0\n'
        'flagger_canary_status{name="app-2",namespace="site-1-1"} 1.0\n'
        'flagger_canary_total{namespace="site-1-1"} 9.0\n'
    )
    assert looked_at(httpx.Response(200, text=text)) == 2


def bench(*words: str, module: str = "tools.bench", **environment: str) -> subprocess.CompletedProcess[str]:
    others = {name: value for name, value in os.environ.items() if name != "KUBECONFIG"}
    return subprocess.run(
        [sys.executable, "-m", module, *words],
        cwd=ROOT,
        env=others | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize(
    ("title", "words", "environment", "sentence"),
    [
        ("no canaries", ["--n", "0"], {}, "bench: --n counts canaries: it takes numbers from 1 on.\n"),
        ("too long a rest", ["--idle", "4000"], {}, "bench: --idle takes 1 to 1800 seconds.\n"),
        ("a cluster of others", [], {"KUBECONFIG": "/there/already"}, "bench: KUBECONFIG is set, but requests are"),
    ],
)
def test_a_mistake_is_told_in_a_sentence(
    title: str, words: list[str], environment: dict[str, str], sentence: str
) -> None:
    done = bench(*words, **environment)
    assert (done.returncode, done.stdout) == (1, ""), title
    assert done.stderr.startswith(sentence)
