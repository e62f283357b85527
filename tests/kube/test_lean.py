"""What the library for credentials brings along stays outside."""

from __future__ import annotations

import subprocess
import sys

SCRIPT = """
import sys
import flaggerpy.kube.transport
import kubernetes_asyncio.client as client
from flaggerpy.kube.lean import Unused

print(sum(name.startswith("kubernetes_asyncio") and module.__spec__.origin is not None
          for name, module in sys.modules.items()))
print(client.V1Pod is Unused, client.CoreV1Api is Unused, client.Configuration is Unused, client.ApiClient is Unused)
print(any("lean" in type(finder).__module__ for finder in sys.meta_path))
"""


def test_no_model_is_imported() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    files, stand_ins, finder_left = done.stdout.splitlines()
    assert 10 < int(files) < 60
    assert stand_ins == "True True False False"
    assert finder_left == "False"
