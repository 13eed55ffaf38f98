"""Everything that can go wrong, as one small tree.

`OpsError` is Invoke's `Exit`, so Invoke prints it without a traceback and leaves with its code:
that class is the whole error boundary. Each error says three things, a line each: what failed and
where, why, and what to type next.

    OpsError            1    failed, and not undone
    ├── ConfigError     2    a bad configuration or argument
    ├── Refused         3    a check, a lock that is held, an answer of no
    ├── TimedOut        6    a limit was reached
    └── Cancelled       130  SIGINT, SIGTERM or SIGHUP

Verdicts of a roll-out (rolled back 4, superseded 5) are results, not errors: see
`ops.core.findings.Verdict`."""

from __future__ import annotations

from typing import Any

from invoke.exceptions import Exit

from ops.core.redaction.redact import known


class OpsError(Exit):
    """What failed and where (`what`), why (`why`), what to type next (`next`). Known secrets are
    hidden.
    """

    exit_code = 1
    # True: the step that raised this has changed nothing, so there is nothing to undo
    # (`ops.core.apply`)
    untouched = False
    # True: repeating the call cannot help (credentials, permission, a wrong name)
    permanent = True
    # the missing permission, such as "ecs:DescribeServices", where AWS names it
    denied_action = ""

    def __init__(self, what: str, why: str = "", next: str = "") -> None:
        self.what, self.why, self.next = known.hide(what), known.hide(why), known.hide(next)
        self.about: dict[
            str, Any
        ] = {}  # what a front door adds for `--json`: the verdict "refused", for example
        super().__init__(message=str(self), code=self.exit_code)

    def __str__(self) -> str:
        lines = [f"error: {self.what}"]
        if self.why:
            lines.append(f"  why: {self.why}")
        if self.next:
            lines.append(f" next: {self.next}")
        return "\n".join(lines)

    def as_document(self) -> dict[str, Any]:
        """The shape that `--json` prints for an error."""
        return {**self.about, "error": {"what": self.what, "why": self.why, "next": self.next}}


class ConfigError(OpsError):
    """A bad configuration or argument."""

    exit_code = 2


class Refused(OpsError):
    """A check said no, a lock is held, or the answer to a question was no."""

    exit_code = 3


class TimedOut(OpsError):
    """A limit that the operator set, or the configuration, was reached."""

    exit_code = 6


class Cancelled(OpsError):
    """The operator, or the machine, asked us to stop."""

    exit_code = 130


class Interrupted(KeyboardInterrupt):
    """SIGINT, SIGTERM or SIGHUP, as one exception: no `except Exception` on the way swallows it."""

    def __init__(self, signal_name: str = "SIGINT") -> None:
        self.signal_name = signal_name
        super().__init__(f"interrupted by {signal_name}")


class Unreachable(OpsError):
    """An outside thing did not answer, or said no, in a way that may be looked at again:
    credentials, network, permission.
    """

    permanent = False


class Denied(Unreachable):
    """AWS does not accept the credentials, or they lack a permission (`denied_action`)."""

    permanent = True

    def __init__(self, what: str, why: str = "", next: str = "", denied_action: str = "") -> None:
        super().__init__(what, why, next)
        self.denied_action = denied_action
