#!/bin/sh
# Installs the locked dependencies (hashes required) and this checkout, editable, for `python` on PATH.
# Where that interpreter refuses (PEP 668, not writable, too old) it makes .venv beside this checkout and installs there;
# the Makefile puts .venv/bin first on PATH whenever it exists.
set -eu
cd "$(dirname "$0")/../.."

say() { printf '%s\n' "install: $*"; }

new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; }

base=
for candidate in .venv/bin/python python python3 python3.13 python3.12 python3.11; do
    if new_enough "$candidate"; then base=$candidate; break; fi
done
if [ -z "$base" ]; then
    say "flaggerpy needs Python 3.11 or newer on PATH; on Debian 12: apt-get install python3 python3-venv" >&2
    exit 1
fi

# 0: this interpreter takes packages as it is. Anything else: it says no, and .venv is the way.
accepts() {
    "$1" - <<'PY'
import importlib.util, os, sys, sysconfig
owned = sys.prefix != sys.base_prefix
managed = os.path.exists(os.path.join(sysconfig.get_path("stdlib"), "EXTERNALLY-MANAGED"))
writable = os.access(sysconfig.get_path("purelib"), os.W_OK) and os.access(sysconfig.get_path("scripts"), os.W_OK)
sys.exit(not (importlib.util.find_spec("pip") and writable and (owned or not managed)))
PY
}

if [ "$base" = .venv/bin/python ] && ! accepts "$base"; then
    say ".venv is broken (made half, or by an interpreter that has gone): making it anew"
    rm -rf .venv
    exec "$0"
fi
# The Makefile and everybody's `python -m pytest` must mean the same interpreter: that is why a python3 that is not called python gets .venv.
if [ "$base" != .venv/bin/python ] && { [ "$base" != python ] || ! accepts "$base"; }; then
    say "$base on PATH does not take packages or is not called python: using .venv"
    if ! "$base" -m venv .venv >/dev/null 2>&1; then
        rm -rf .venv
        if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
            say "python3-venv is missing: installing it"
            apt-get update -qq
            DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends python3-venv >/dev/null
            "$base" -m venv .venv
        else
            say "$base cannot make a virtual environment; on Debian: apt-get install python3-venv" >&2
            exit 1
        fi
    fi
    base=.venv/bin/python
fi

say "into $("$base" -c 'import sys; print(sys.prefix)') ($("$base" -V))"
"$base" -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --require-hashes -r requirements/dev.txt
"$base" -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --no-deps --no-build-isolation --editable .
say "done"
