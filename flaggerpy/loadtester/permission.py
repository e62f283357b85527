"""Who may ask, and for what: tokens of callers, and an allow-list of commands. No HTTP.

All of it is off by default, as in Flagger; then whoever reaches the load tester runs what they like in its container.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import re
import shlex
from dataclasses import dataclass, replace
from pathlib import Path

from flaggerpy.loadtester.errors import NotAllowed
from flaggerpy.loadtester.tasks import Command, Task

_OPERATORS = re.compile(r"[();<>|&]+")


class NoToken(Exception):
    """The file of tokens cannot be used; the message says why."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """Secrets that callers know: one in each line of a file, which is read at every use so that they can be changed."""

    path: Path | None = None

    def known(self) -> tuple[bytes, ...]:
        """Return all tokens; raises `NoToken` when there is not one."""
        if self.path is None:
            return ()
        try:
            lines = self.path.read_bytes().splitlines()
        except OSError as error:
            raise NoToken(f"{self.path} cannot be read: {error.strerror}") from error
        if found := tuple(line.strip() for line in lines if line.strip()):
            return found
        raise NoToken(f"{self.path} holds no token")

    def admit(self, authorization: str) -> bool:
        """Tell whether a caller with this header may ask; with `Basic` the password is the token."""
        if self.path is None:
            return True
        given = _token(authorization)
        return bool(given) and any(hmac.compare_digest(given, token) for token in self.known())


@dataclass(frozen=True, slots=True)
class AllowList:
    """Commands that may run: those that one of the patterns matches from the beginning to the end.

    Without a pattern every command may run. With patterns no shell takes part, or whatever a pattern's `.*` lets
    through could go on after a semicolon; `with_shell` brings it back.
    """

    patterns: tuple[re.Pattern[str], ...] = ()
    with_shell: bool = False

    def admit(self, task: Task) -> Task:
        """Return the task as it may run; raises `NotAllowed`."""
        if not self.patterns:
            return task
        if not any(pattern.fullmatch(task.command) for pattern in self.patterns):
            raise NotAllowed(f"the command {task.command} is not allowed here: it matches no pattern of -allow-command")
        if isinstance(task.work, Command) and task.work.by_shell and not self.with_shell:
            return replace(task, work=Command(_words(task.command)))
        return task


def _words(command: str) -> tuple[str, ...]:
    """Split a command as a shell does, without being one."""
    lexer = shlex.shlex(command, posix=True, punctuation_chars=True)
    lexer.whitespace_split, lexer.commenters = True, ""
    try:
        words = tuple(lexer)
    except ValueError as error:
        raise NotAllowed(f"metadata.cmd cannot be split into arguments: {str(error).lower()}") from error
    if operator := next((word for word in words if _OPERATORS.fullmatch(word)), None):
        raise NotAllowed(
            f"the command {command} needs a shell for its {operator}, which -allow-command goes without; "
            "whoever runs the load tester may add -allow-shell"
        )
    return words


def _token(authorization: str) -> bytes:
    scheme, _, rest = authorization.strip().partition(" ")
    if scheme.lower() == "bearer":
        return rest.strip().encode("utf-8", "surrogateescape")
    if scheme.lower() != "basic":
        return b""
    try:
        _, _, password = base64.b64decode(rest.strip(), validate=True).partition(b":")
    except (binascii.Error, ValueError):
        return b""
    return password
