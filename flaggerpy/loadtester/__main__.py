"""The command line of the load tester: Flagger's flags, with one dash or two, and a few of our own."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any, get_args

import click

from flaggerpy.durations import InvalidDuration, parse_duration
from flaggerpy.loadtester.permission import AllowList, NoToken, Tokens
from flaggerpy.loadtester.program import Settings, run
from flaggerpy.telemetry.logging import LEVELS, Encoding, configure


class _Duration(click.ParamType[float]):
    """A Go duration longer than zero, as seconds."""

    name = "duration"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            seconds = parse_duration(str(value)).total_seconds()
        except InvalidDuration as error:
            self.fail(str(error), param, ctx)
        if seconds <= 0:
            self.fail(f'"{value}" is not longer than zero', param, ctx)
        return seconds


class _Pattern(click.ParamType[re.Pattern[str]]):
    """A regular expression."""

    name = "regexp"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> re.Pattern[str]:
        try:
            return re.compile(str(value))
        except re.error as error:
            self.fail(f'"{value}" is no regular expression: {error}', param, ctx)


@click.command(context_settings={"help_option_names": ["-h", "-help", "--help"]})
@click.option(
    "-log-level",
    "--log-level",
    type=click.Choice(list(LEVELS), case_sensitive=False),
    default="debug",
    show_default=True,
)
@click.option("-port", "--port", type=click.IntRange(0, 65535), default=9090, show_default=True)
@click.option(
    "-timeout",
    "--timeout",
    "time_limit",
    type=_Duration(),
    default="1h",
    show_default=True,
    help="How long a task may run before it is killed.",
)
@click.option(
    "-namespace-regexp",
    "--namespace-regexp",
    "namespaces",
    type=_Pattern(),
    default="",
    help="Namespaces whose canaries may use gates and tasks; a match anywhere in a name counts. Empty: all.",
)
@click.option(
    "-zap-encoding",
    "--zap-encoding",
    "encoding",
    type=click.Choice(get_args(Encoding)),
    default="json",
    show_default=True,
    help="How log lines look.",
)
@click.option(
    "-zap-replace-globals",
    "--zap-replace-globals",
    type=bool,
    is_flag=False,
    flag_value="true",
    default="false",
    help="Accepted for the sake of Flagger's manifests; does nothing.",
)
@click.option("-address", "--address", default="", help="Address to listen on. Empty: all.")
@click.option(
    "-max-tasks",
    "--max-tasks",
    type=click.IntRange(min=1),
    default=100,
    show_default=True,
    help="How many tasks may run at the same time.",
)
@click.option(
    "-output-limit",
    "--output-limit",
    type=click.IntRange(min=256),
    default=64 * 1024,
    show_default=True,
    help="How many bytes of a task's output are kept: its beginning and its end.",
)
@click.option(
    "-shutdown-grace",
    "--shutdown-grace",
    type=_Duration(),
    default="20s",
    show_default=True,
    help="How long tasks whose callers wait may go on after SIGTERM.",
)
@click.option(
    "-state-configmap",
    "--state-configmap",
    "state",
    default="",
    metavar="[NAMESPACE/]NAME",
    help="Keep gates and results in this ConfigMap, where they outlive the process and all replicas see the same. "
    "Empty: in memory.",
)
@click.option(
    "-token-file",
    "--token-file",
    type=click.Path(path_type=Path),
    help="File with the tokens of which callers must send one, one a line. Without it everybody may ask.",
)
@click.option(
    "-allow-command",
    "--allow-command",
    "allowed",
    type=_Pattern(),
    multiple=True,
    help="Run only commands that this pattern matches from beginning to end, and without a shell; may be repeated. "
    "Without it every command is run.",
)
@click.option(
    "-allow-shell",
    "--allow-shell",
    type=bool,
    is_flag=False,
    flag_value="true",
    default="false",
    help="Run commands by a shell although there is -allow-command, whose patterns must then think of all that a "
    "shell can do.",
)
def main(log_level: str, encoding: Encoding, zap_replace_globals: bool, **flags: Any) -> None:
    """Answer rollout hooks: manual gates, and commands that load or test what is being rolled out.

    Whoever can reach this server can run commands in its container, within -allow-command. Keep it inside the cluster.
    """
    del zap_replace_globals
    tokens = Tokens(flags.pop("token_file"))
    try:
        tokens.known()
    except NoToken as error:
        raise click.BadParameter(str(error), param_hint="-token-file") from error
    commands = AllowList(flags.pop("allowed"), with_shell=flags.pop("allow_shell"))
    configure(log_level, encoding)
    asyncio.run(run(Settings(tokens=tokens, commands=commands, **flags)))


if __name__ == "__main__":
    main()
