"""The command line: `python -m tests.cluster`. It reads arguments and prints; the work is launch.py's."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from pathlib import Path

from tests.cluster import addons, launch, parts
from tests.cluster.build import obtain
from tests.cluster.errors import ClusterError
from tests.cluster.progress import Progress
from tests.cluster.state import Home, Kind, homes, states_root


def main(arguments: list[str]) -> int:
    """Run one command; gives the exit code."""
    own, command = _split(arguments)
    options = _parser().parse_args(own)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    signal.signal(signal.SIGHUP, lambda *_: sys.exit(129))
    try:
        return _dispatch(options, command)
    except ClusterError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _split(arguments: list[str]) -> tuple[list[str], list[str]]:
    """Our own words, and the command behind the first `--`."""
    if "--" not in arguments:
        return arguments, []
    place = arguments.index("--")
    return arguments[:place], arguments[place + 1 :]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.cluster", description="A real Kubernetes on this machine.")
    commands = parser.add_subparsers(dest="verb", required=True)
    for verb, help_text in (("up", "start a cluster that stays"), ("run", "run a command in a cluster of its own")):
        starting = commands.add_parser(verb, help=help_text)
        starting.add_argument("--control-plane", action="store_true", help="no node, no root: pods only look ready")
        starting.add_argument("--kwok-nodes", type=int, default=1, help="pretended nodes of the control plane")
        starting.add_argument("--addons", nargs="*", default=[], metavar="NAME", help=f"of {', '.join(addons.ADDONS)}")
    commands.add_parser("down", help="end the cluster that stays")
    commands.add_parser("status", help="which clusters run")
    commands.add_parser("exec", help="run a command inside the running cluster's network")
    build = commands.add_parser("build", help="fill the cache with parts")
    build.add_argument("names", nargs="*", help=f"of {', '.join(parts.PARTS)}; all when none is named")
    adding = commands.add_parser("addons", help="put add-ons on the running cluster")
    adding.add_argument("names", nargs="+", metavar="NAME", help=f"of {', '.join(addons.ADDONS)}")
    images = commands.add_parser("load-image", help="bring image archives into the running node")
    images.add_argument("archives", nargs="+", type=Path, metavar="FILE.oci.tar")
    component = commands.add_parser("component", help="start, stop, restart, freeze or thaw one process of the cluster")
    component.add_argument("action", choices=("start", "stop", "restart", "freeze", "thaw"))
    component.add_argument("name")
    return parser


def _dispatch(options: argparse.Namespace, command: list[str]) -> int:
    progress = Progress()
    match options.verb:
        case "up":
            home = launch.up(_kind(options), options.kwok_nodes, progress)
            addons.install(home, options.addons, progress)
            print(f"Running. 'python -m tests.cluster exec -- kubectl get pods -A' looks into it ({home.folder}).")
        case "down":
            _down()
        case "status":
            return _status()
        case "run":
            return _run(options, command, progress)
        case "exec":
            home = running()
            return launch.execute(_needed(command), launch.environment(home), launch.entrance(home))
        case "build":
            _build(options.names or list(parts.PARTS), progress)
        case "addons":
            addons.install(running(), options.names, progress)
        case "load-image":
            addons.load_images(running(), options.archives)
        case "component":
            _component(running(), options.action, options.name)
        case _:
            raise ClusterError(f"unknown command {options.verb}")
    return 0


def running() -> Home:
    """The cluster that a command means: the one it runs in, else the one that `up` started."""
    inside = os.environ.get("FLAGGERPY_CLUSTER_STATE")
    home = Home(Path(inside)) if inside else Home(states_root() / launch.UP_NAME)
    if not home.alive():
        raise ClusterError("No cluster is running; 'python -m tests.cluster up' starts one.")
    return home


def _run(options: argparse.Namespace, command: list[str], progress: Progress) -> int:
    _needed(command)
    if os.environ.get("KUBECONFIG"):
        progress.say(f"KUBECONFIG is set: using that cluster ({os.environ['KUBECONFIG']}), starting nothing.")
        kind = os.environ.get("FLAGGERPY_CLUSTER_KIND", "external")
        return launch.execute(command, {"FLAGGERPY_CLUSTER_KIND": kind}, [])
    with launch.temporary(_kind(options), options.kwok_nodes, progress) as home:
        addons.install(home, options.addons, progress)
        code = launch.execute(command, launch.environment(home), launch.entrance(home))
        if not home.alive():
            status = home.status()
            reason = status.sentence if status and status.sentence else "its supervisor was killed"
            raise ClusterError(f"The cluster ended before its command, which gave {code}: {reason}")
        return code


def _down() -> None:
    home = Home(states_root() / launch.UP_NAME)
    if home.folder.exists():
        launch.down(home)
        print("Ended, nothing is left of it.")
    else:
        print("No cluster is running.")


def _component(home: Home, action: str, name: str) -> None:
    """Do it, and where the API server was started wait for it: the next command will want it."""
    launch.control(home, action, name)
    if name == "kube-apiserver" and action not in {"stop", "freeze"}:
        ready = "until kubectl get --raw /readyz >/dev/null 2>&1; do sleep 0.1; done"
        words = ["timeout", "60", "sh", "-c", ready]
        if launch.execute(words, launch.environment(home), launch.entrance(home)) != 0:
            raise ClusterError("The API server does not get ready.")


def _status() -> int:
    launch.sweep()
    found = homes()
    for home in found:
        print(launch.describe(home))
    if not found:
        print("No cluster is running.")
    return 0 if found else 3


def _build(names: list[str], progress: Progress) -> None:
    unknown = [name for name in names if name not in parts.PARTS]
    if unknown:
        raise ClusterError(f"No such part: {', '.join(unknown)}. There are: {', '.join(parts.PARTS)}.")
    for name, place in obtain(names, progress).items():
        print(f"{name}: {place}")


def _kind(options: argparse.Namespace) -> Kind:
    return Kind.CONTROL_PLANE if options.control_plane else Kind.FULL


def _needed(command: list[str]) -> list[str]:
    if not command:
        raise ClusterError("Say which command to run, behind '--'.")
    return command


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
