"""Every error of this tool, as one small tree.

`OpsError` is Invoke's `Exit`, so Invoke prints it without a traceback and exits with its code: that
class is the whole error boundary. Each error has three lines: what failed and where, why, and what
to type next.

    OpsError            1    failed, and not undone
    ├── ConfigError     2    a bad configuration or argument
    ├── Refused         3    a failed check, a held lock, an answer of no
    ├── TimedOut        6    a limit was reached
    └── Cancelled       130  SIGINT, SIGTERM or SIGHUP

Verdicts of a rollout (rolled back 4, superseded 5) are results, not errors: see
`ops.core.findings.Verdict`.
"""

from __future__ import annotations

import sys
from typing import Any

from invoke.exceptions import Exit

from ops.core.invocation import invocation
from ops.core.redaction.redact import known
from ops.core.terminal.layout import fitted


class OpsError(Exit):
    """What failed and where (`what`), why (`why`), and what to type next (`next`).

    Known secrets are hidden.
    """

    exit_code = 1
    # True: the step that raised this has changed nothing, so there is nothing to undo
    # (`ops.core.apply`)
    untouched = False
    # True: repeating the call cannot help (credentials, permission, a wrong name)
    permanent = True
    # the missing permission, such as "ecs:DescribeServices", and who lacks it, where AWS names them
    denied_action = ""
    denied_to = ""
    # what to do about credentials that AWS does not accept, where that is the reason
    login = ""

    def __init__(self, what: str, why: str = "", next: str = "") -> None:
        self.what, self.why, self.next = known.hide(what), known.hide(why), known.hide(next)
        self.about: dict[
            str, Any
        ] = {}  # what a task adds for `--json`, such as the verdict "refused"
        # Invoke prints `message` on stderr
        super().__init__(message=fitted(str(self), sys.stderr), code=self.exit_code)

    def __str__(self) -> str:
        lines = [f"error: {self.what}"]
        if self.why:
            lines.append(f"  why: {self.why}")
        if self.next:
            lines.append(f" next: {self.next}")
        return invocation.as_typed("\n".join(lines))

    def as_document(self) -> dict[str, Any]:
        """The form that `--json` prints for an error."""
        return {**self.about, "error": {"what": self.what, "why": self.why, "next": self.next}}


class ConfigError(OpsError):
    """A bad configuration or argument."""

    exit_code = 2


class Refused(OpsError):
    """A check failed, a lock is held, or the answer to a question was no."""

    exit_code = 3


class TimedOut(OpsError):
    """A limit set by the operator or the configuration was reached."""

    exit_code = 6


class Cancelled(OpsError):
    """The operator or the machine asked this process to stop."""

    exit_code = 130


class Interrupted(KeyboardInterrupt):
    """SIGINT, SIGTERM or SIGHUP as one exception, which no `except Exception` swallows."""

    def __init__(self, signal_name: str = "SIGINT") -> None:
        self.signal_name = signal_name
        super().__init__(f"interrupted by {signal_name}")


class Detached(Exception):
    """The operator ended a watch by a key: what was watched goes on, and nothing is undone."""


class Unreachable(OpsError):
    """An outside system did not answer or denied access: credentials, network, permission.

    Unless `permanent` is set, trying again may help.
    """

    permanent = False


class Denied(Unreachable):
    """AWS does not accept the credentials, or `denied_to` lacks a permission (`denied_action`)."""

    permanent = True

    def __init__(
        self,
        what: str,
        why: str = "",
        next: str = "",
        *,
        denied_action: str = "",
        denied_to: str = "",
    ) -> None:
        super().__init__(what, why, next)
        self.denied_action, self.denied_to = denied_action, known.hide(denied_to)


class CredentialsRefused(Denied):
    """Credentials that cannot be loaded, or that AWS does not accept: no call is answered."""

    def __init__(self, what: str, why: str = "", next: str = "") -> None:
        super().__init__(what, why, next)
        self.login = self.next


_KINDS: dict[str, type[OpsError]] = {
    "failed": OpsError,
    "config": ConfigError,
    "refused": Refused,
    "timed_out": TimedOut,
    "cancelled": Cancelled,
    "unreachable": Unreachable,
    "denied": Denied,
}


def error_kind(error: OpsError) -> str:
    """The kind of an error, as messages between processes name it."""
    kinds = {each: kind for kind, each in _KINDS.items()}
    return next(kinds[each] for each in type(error).__mro__ if each in kinds)


def error_of_kind(kind: str, what: str, why: str = "", next: str = "") -> OpsError:
    """The error that another process reported; an unknown kind is a failure."""
    return _KINDS.get(kind, OpsError)(what, why, next)
