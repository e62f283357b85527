"""What the kernel tells."""

from __future__ import annotations

import os

import pytest

from tools.bench.machine import cpu_model, cpu_seconds, kilobytes, peak_rss_mb, this_machine, ticks

STATUS = "Name:\tpython\nVmPeak:\t  402148 kB\nVmHWM:\t   71234 kB\nVmRSS:\t   70012 kB\n"


def test_the_model_of_the_first_processor() -> None:
    assert (
        cpu_model("processor\t: 0\nmodel\t\t: 167\nmodel name\t: Abacus: 9000\n\nmodel name\t: other\n")
        == "Abacus: 9000"
    )


def test_machines_that_name_no_model_have_none() -> None:
    assert cpu_model("processor\t: 0\nBogoMIPS\t: 50.00\nCPU part\t: 0xd0c\n") == ""


def test_the_most_memory_and_not_that_of_now() -> None:
    assert kilobytes(STATUS, "VmHWM") == 71234


def test_a_line_that_is_missing_is_named() -> None:
    with pytest.raises(ValueError, match="VmSwap"):
        kilobytes(STATUS, "VmSwap")


def test_processor_time_is_that_of_program_and_kernel_whatever_the_program_is_called() -> None:
    before = ["S", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10"]
    stat = " ".join(["4711", "(a) (b c)", *before, "250", "31", "7", "8", "20", "0"])
    assert ticks(stat) == 281


def test_this_process_has_used_memory_and_time() -> None:
    assert 10 < peak_rss_mb(os.getpid()) < 10_000
    assert 0 < cpu_seconds(os.getpid()) < 10_000


def test_this_machine_has_all_its_facts() -> None:
    machine = this_machine()
    assert machine.cores >= 1
    assert machine.memory_gb > 0
    assert all((machine.cpu, machine.kernel, machine.python))
