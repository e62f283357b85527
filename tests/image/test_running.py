"""The amd64 images at work: their own user, a read-only root, the entry point of the image and the chart's words."""

import socket

import pytest

from tests.image.conftest import Image
from tools.image.build import version

pytestmark = pytest.mark.timeout(900)
IMPORT_ALL = """
import importlib, pkgutil, flaggerpy
extras = {"flaggerpy.cli.picture", "flaggerpy.cli.live"}  # these draw, with rich, which is an extra
names = [module.name for module in pkgutil.walk_packages(flaggerpy.__path__, "flaggerpy.") if module.name not in extras]
for name in names:
    if not name.endswith("__main__"):
        importlib.import_module(name)
print(len(names))
"""
WRITABLE = """
import os
for folder, folders, files in os.walk("/", topdown=True):
    if folder == "/":
        folders[:] = [one for one in folders if one not in ("proc", "sys", "dev")]
    if os.access(folder, os.W_OK):
        print(folder)
"""


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def test_the_entry_point_is_flaggerpy(controller: Image) -> None:
    done = controller.run(*controller.config["Entrypoint"], "--version")
    assert (done.returncode, version() in done.stdout) == (0, True), done.stderr


@pytest.mark.parametrize("words", [("controller", "--help"), ("release", "--help"), ("crds", "--help")])
def test_the_commands_that_the_chart_runs_exist(controller: Image, words: tuple[str, ...]) -> None:
    done = controller.run(*controller.config["Entrypoint"], *words)
    assert (done.returncode, done.stderr) == (0, "")


def test_flaggerpy_is_on_path_too(controller: Image) -> None:
    done = controller.run("flaggerpy", "--version")
    assert (done.returncode, version() in done.stdout) == (0, True), done.stderr


def test_every_module_finds_what_it_imports(controller: Image) -> None:
    done = controller.run("/usr/bin/python3", "-c", IMPORT_ALL)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 50


def test_modules_come_compiled(controller: Image) -> None:
    check = "import importlib.util as u; print(u.find_spec('flaggerpy.loadtester').cached)"
    done = controller.run("/usr/bin/python3", "-c", f"{check}; import flaggerpy.loadtester as m; print(m.__cached__)")
    spec, loaded = done.stdout.split()
    assert spec == loaded
    assert (controller.root / spec.removeprefix("/")).is_file()


def test_it_runs_as_nobody_in_particular_and_may_write_to_tmp_only(controller: Image) -> None:
    done = controller.run("/usr/bin/python3", "-c", f"import os; print(os.getuid(), os.getgid()){WRITABLE}")
    assert done.stdout.split("\n")[:-1] == ["10001 10001", "/tmp"], done.stderr


def test_certificates_and_time_zones_are_there(controller: Image) -> None:
    check = (
        "import ssl, zoneinfo; print(len(ssl.create_default_context().get_ca_certs()) > 100);"
        "print(zoneinfo.ZoneInfo('Europe/Berlin').key)"
    )
    assert controller.run("/usr/bin/python3", "-c", check).stdout.split() == ["True", "Europe/Berlin"]


def test_the_controller_has_no_shell(controller: Image) -> None:
    assert not [name for name in ("sh", "bash", "dash") if (controller.root / "usr/bin" / name).exists()]


@pytest.mark.parametrize(
    ("words", "prints"),
    [
        (("sh", "-c", "echo from $0"), "from sh"),
        (("bash", "--version"), "GNU bash"),
        (("curl", "--version"), "OpenSSL"),
        (("jq", "-n", "1+1"), "2"),
        (("hey",), "Usage: hey"),
        (("wrk", "-v"), "wrk"),
        (("kubectl", "version", "--client"), "Client Version"),
        (("helm", "version", "--short"), "v3."),
        (("helm", "test", "--help"), "runs the tests for a release"),
        (("bats", "--version"), "Bats 1"),
        (("awk", "BEGIN {print 6*7}"), "42"),
        (("sed", "--version"), "GNU sed"),
        (("grep", "--version"), "GNU grep"),
        (("find", "--version"), "GNU findutils"),
        (("timeout", "--version"), "GNU coreutils"),
        (("seq", "2"), "1\n2"),
    ],
)
def test_the_load_tester_has_the_commands_of_webhooks(load_tester: Image, words: tuple[str, ...], prints: str) -> None:
    done = load_tester.run(*words)
    assert prints in done.stdout + done.stderr


def test_the_load_tester_answers_and_runs_hey(load_tester: Image) -> None:
    port = free_port()
    entry = " ".join(load_tester.config["Entrypoint"])
    asks = "curl --silent --show-error --max-time 20"
    script = f"""
        {entry} -port={port} & tester=$!
        {asks} --retry 50 --retry-delay 1 --retry-connrefused http://127.0.0.1:{port}/healthz; echo
        {asks} --json '{{"name":"podinfo","namespace":"test","phase":"Progressing","metadata":{{"type":"bash",
          "cmd":"hey -n 20 -c 2 http://127.0.0.1:{port}/healthz","returnCmdOutput":"true"}}}}' http://127.0.0.1:{port}/
        kill $tester; wait $tester; echo "ended $?"
    """
    done = load_tester.run("bash", "-c", script)
    assert done.stdout.startswith("OK\n"), done.stderr
    assert "[200]\t20 responses" in done.stdout, done.stdout + done.stderr
    assert done.stdout.endswith("ended 0\n")
