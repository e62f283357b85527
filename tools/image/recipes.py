"""What is in the two images, as data."""

from dataclasses import dataclass

UID = 10001
RUN_HERE = "amd64"
ARCHITECTURES = ("amd64", "arm64")
REGISTRY = "ghcr.io/flaggerpy"

# Python 3.11 and what its modules link, certificates and time zones: named one by one, because the closure that apt
# computes drags in perl, dpkg and debconf. tools/image/elf.py finds a library that is missing.
BASE = (
    "base-files",
    "ca-certificates",
    "libbz2-1.0",
    "libc6",
    "libcrypt1",
    "libexpat1",
    "libffi8",
    "libgcc-s1",
    "liblzma5",
    "libpython3.11-minimal",
    "libpython3.11-stdlib",
    "libssl3",
    "libstdc++6",
    "libuuid1",
    "python3.11-minimal",
    "tzdata",
    "zlib1g",
)

# What the commands in people's webhooks use.
TOOLS = (
    "bash",
    "bats",
    "coreutils",
    "curl",
    "dash",
    "debianutils",
    "findutils",
    "grep",
    "hey",
    "jq",
    "mawk",
    "sed",
    "wrk",
)
TOOL_LIBRARIES = (
    "libacl1",
    "libattr1",
    "libbrotli1",
    "libcom-err2",
    "libcurl4",
    "libgmp10",
    "libgnutls30",
    "libgssapi-krb5-2",
    "libhogweed6",
    "libidn2-0",
    "libjq1",
    "libk5crypto3",
    "libkeyutils1",
    "libkrb5-3",
    "libkrb5support0",
    "libldap-2.5-0",
    "libluajit-5.1-2",
    "libluajit-5.1-common",
    "libnettle8",
    "libnghttp2-14",
    "libonig5",
    "libp11-kit0",
    "libpcre2-8-0",
    "libpsl5",
    "librtmp1",
    "libsasl2-2",
    "libselinux1",
    "libssh2-1",
    "libtasn1-6",
    "libtinfo6",
    "libunistring2",
    "libzstd1",
)

# Of Python's library: what a service never imports, and modules whose libraries would double the image.
PYTHON_DROP = tuple(
    f"usr/lib/python3.11/{name}"
    for name in ("ensurepip", "idlelib", "lib2to3", "pydoc_data", "tkinter", "turtledemo", "test", "venv")
)
PYTHON_MODULES_DROP = ("_curses", "_curses_panel", "_dbm", "_sqlite3", "nis", "readline")


@dataclass(frozen=True, slots=True)
class Recipe:
    """One image."""

    name: str
    title: str
    tools: tuple[str, ...]
    with_kubectl: bool
    entrypoint: tuple[str, ...]
    command: tuple[str, ...]
    port: int = 8080

    def reference(self, version: str) -> str:
        """The name under which a cluster asks for it."""
        return f"{REGISTRY}/{self.name}:{version}"


CONTROLLER = Recipe(
    name="flaggerpy",
    title="flaggerpy, progressive delivery for Kubernetes",
    tools=(),
    with_kubectl=False,
    entrypoint=("/usr/bin/python3", "-m", "flaggerpy"),
    command=("controller",),
)
LOAD_TESTER = Recipe(
    name="flaggerpy-loadtester",
    title="flaggerpy's load tester",
    tools=TOOLS + TOOL_LIBRARIES,
    with_kubectl=True,
    entrypoint=("/usr/bin/python3", "-m", "flaggerpy.loadtester"),
    command=("-port=8080",),
)
RECIPES = (CONTROLLER, LOAD_TESTER)
COMMANDS = frozenset({"flaggerpy", "flaggerpy-loadtester"})
ENVIRONMENT = {
    "HOME": "/tmp",  # noqa: S108 - the one place that a read-only container may give us to write to
    "LANG": "C.UTF-8",
    "PATH": "/usr/local/bin:/usr/bin:/usr/sbin",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONSAFEPATH": "1",
    "PYTHONUNBUFFERED": "1",
    "SSL_CERT_FILE": "/etc/ssl/certs/ca-certificates.crt",
}
