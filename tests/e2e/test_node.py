"""What the node does with connections before any Service has its rules."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(60)]

NOBODY = "10.201.255.254"
"""An address for Services, the last of them: they are given out at random, so hardly ever anybody's."""


def test_a_service_that_kube_proxy_does_not_know_yet_is_refused_and_not_remembered() -> None:
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((NOBODY, 80), timeout=2)
    remembered = Path("/proc/self/net/nf_conntrack").read_text(encoding="utf-8")
    assert NOBODY not in remembered
