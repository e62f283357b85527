"""A few requests to the API server with the standard library alone. No watch, no cache, no model."""

from __future__ import annotations

import base64
import json
import ssl
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import yaml

from tests.cluster.errors import ClusterError


class RefusedError(Exception):
    """The API server answered, and not with success."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(f"{status}: {text}")
        self.status = status


class Kube:
    """Speaks to the API server of a kubeconfig with certificates inside."""

    def __init__(self, kubeconfig: Path) -> None:
        content = yaml.safe_load(kubeconfig.read_text())
        cluster, user = content["clusters"][0]["cluster"], content["users"][0]["user"]
        self._server: str = cluster["server"]
        context = ssl.create_default_context(cadata=base64.b64decode(cluster["certificate-authority-data"]).decode())
        with tempfile.NamedTemporaryFile() as pair:
            for field in ("client-certificate-data", "client-key-data"):
                pair.write(base64.b64decode(user[field]))
            pair.flush()
            context.load_cert_chain(pair.name)
        # A proxy of the machine has no way into the cluster's network.
        self._opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
        )

    def ready(self) -> bool:
        """Whether /readyz says so."""
        try:
            self._send("GET", "/readyz", None)
        except (RefusedError, OSError):
            return False
        return True

    def wait_ready(self, limit: float) -> None:
        """Wait until /readyz says so, at most `limit` seconds."""
        deadline = time.monotonic() + limit
        while not self.ready():
            if time.monotonic() > deadline:
                raise ClusterError(f"The API server at {self._server} is not ready after {limit:.0f} s.")
            time.sleep(0.05)

    def get(self, path: str) -> dict[str, Any]:
        """One object or list."""
        answer: dict[str, Any] = json.loads(self._send("GET", path, None))
        return answer

    def exists(self, path: str) -> bool:
        """Whether there is such an object."""
        try:
            self._send("GET", path, None)
        except RefusedError as refused:
            if refused.status != 404:
                raise
            return False
        return True

    def create(self, path: str, content: dict[str, Any]) -> None:
        """Create an object; that it exists already is fine."""
        try:
            self._send("POST", path, content)
        except RefusedError as refused:
            if refused.status != 409:
                raise

    def _send(self, method: str, path: str, content: dict[str, Any] | None) -> bytes:
        request = urllib.request.Request(  # noqa: S310 - the address is our own server's, always https
            f"{self._server}{path}",
            method=method,
            data=None if content is None else json.dumps(content).encode(),
            headers={"Content-Type": "application/json"},
        )
        try:
            with self._opener.open(request, timeout=10) as answer:
                body: bytes = answer.read()
                return body
        except urllib.error.HTTPError as error:
            with error:
                raise RefusedError(error.code, error.read().decode(errors="replace")) from error
