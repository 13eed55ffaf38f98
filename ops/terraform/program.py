"""The door to Terraform: its own program, run in the environment's directory, with everything that
it may use said explicitly.

Never `-auto-approve`: what is applied is a plan on disk that was shown. Image variables go along as
`-var` (they are no secrets), after the var files, so that they win, and because Terraform refuses
an undeclared `-var` where it ignores an undeclared `TF_VAR_x`."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ops.core.errors import ConfigError, OpsError
from ops.core.files import write_atomic
from ops.terraform import files, process
from ops.terraform.environment import environment
from ops.terraform.errors import TerraformLocation, translate_error
from ops.terraform.facts import StateVersion
from ops.terraform.output import progress
from ops.tools.shell import Completed

if TYPE_CHECKING:
    from ops.core.config.settings import Settings

PROGRAM = "terraform"
# below .terraform, which Terraform keeps out of git: our saved plans (they may hold secrets) and
# the stamp of init
OWN = "inv"
CHANGES = 2  # -detailed-exitcode: there are changes
Say = Callable[[str], None]


@dataclass(frozen=True)
class TerraformProgram:
    """One environment's directory, with the variables that its Terraform runs in (never shown: they
    may hold keys).

    `timeout_s` bounds each command; `more` says how to give it more.
    """

    directory: Path
    variables: Mapping[str, str]
    where: TerraformLocation
    backend_config: str | None
    var_files: tuple[str, ...]
    timeout_s: float
    more: str = "more time: terraform.timeout in invoke.yaml"

    def __repr__(self) -> str:
        return f"Terraform({str(self.directory)!r})"

    @property
    def own(self) -> Path:
        """The folder of our own files."""
        return self.directory / files.DATA / OWN

    def within(self, seconds: float | None) -> TerraformProgram:
        """Itself with `--timeout` for each command, where that was given and is shorter."""
        if seconds is None or seconds >= self.timeout_s:
            return self
        return replace(self, timeout_s=seconds, more="more time: a longer --timeout")


def connect(settings: Settings) -> TerraformProgram:
    """The environment's Terraform; nothing is run yet. Raises ConfigError: nothing configured, or a
    directory or file that isn't there.
    """
    place = settings.environment
    configured = place.terraform
    if configured is None:
        why = "terraform.directory is not configured"
        how = (
            f"add environments.{settings.name}.terraform to invoke.yaml (the environment dev "
            f"shows every key)"
        )
        raise ConfigError(
            f"environment {settings.name} has no Terraform", why, place.overlay_hint or how
        )
    directory = settings.source / configured.directory
    for path in (
        directory,
        *(directory / name for name in (configured.backend_config, *configured.var_files) if name),
    ):
        if not path.exists():
            how = (
                "correct environments."
                + settings.name
                + ".terraform in invoke.yaml (directory: relative to source; files: to directory)"
            )
            raise ConfigError(f"Terraform's {path}", "there is no such file or folder", how)
    login = (
        f"aws sso login --profile {place.aws.profile}"
        if place.aws.profile
        else "renew the AWS credentials"
    )
    where = TerraformLocation(str(directory), configured.backend_config, login)
    child = environment(settings, os.environ)
    return TerraformProgram(
        directory,
        child,
        where,
        configured.backend_config,
        tuple(configured.var_files),
        configured.timeout,
    )


def run(
    tf: TerraformProgram,
    what: str,
    *words: str,
    on_line: Say | None = None,
    fine: tuple[int, ...] = (0,),
) -> Completed:
    """One command that may write or lock. Raises what its error means, KeyboardInterrupt and
    TimedOut after its own end.
    """
    done = process.run(
        [PROGRAM, *words], tf.directory, tf.variables, tf.timeout_s, tf.more, on_line
    )
    if done.exit_code not in fine:
        raise translate_error(what, done.stdout + done.stderr, tf.where)
    return done


def read(tf: TerraformProgram, what: str, *words: str) -> dict[str, Any]:
    """The JSON object that a reading command prints; empty where it prints nothing. Raises OpsError
    for anything else.
    """
    done = process.document([PROGRAM, *words], tf.directory, tf.variables, tf.timeout_s)
    if done.exit_code:
        raise translate_error(what, done.stdout + done.stderr, tf.where)
    try:
        found = json.loads(done.stdout) if done.stdout.strip() else {}
    except (ValueError, RecursionError) as error:
        raise OpsError(
            what, f"its output is no JSON ({error})", f"{tf.where.by_hand} {' '.join(words)}"
        ) from None
    if not isinstance(found, dict):
        why = f"its output is {type(found).__name__}, not an object"
        raise OpsError(what, why, f"{tf.where.by_hand} {' '.join(words)}")
    return found


def version(tf: TerraformProgram) -> str:
    """`1.11.4`. Raises ConfigError where there is no such program."""
    return str(read(tf, "terraform version", "version", "-json").get("terraform_version", ""))


def init(tf: TerraformProgram, say: Say) -> None:
    """Initialise the directory: backend, modules, providers. Never moves or re-points a state: a
    changed backend is refused.
    """
    words = [f"-backend-config={tf.backend_config}"] if tf.backend_config else []

    def installs(line: str) -> None:
        if line.startswith("- "):
            say(f"  {line[2:]}")

    run(tf, "terraform init", "init", "-input=false", "-no-color", *words, on_line=installs)
    tf.own.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_atomic(stamp(tf), files.fingerprint(tf.directory, tf.backend_config, version(tf)))


def initialised(tf: TerraformProgram) -> bool:
    """Whether `init` has run with this binary, this backend and these providers and modules."""
    try:
        known = stamp(tf).read_text(encoding="utf-8")
    except OSError:
        return False
    return known == files.fingerprint(tf.directory, tf.backend_config, version(tf))


def stamp(tf: TerraformProgram) -> Path:
    return tf.own / "init.stamp"


def plan(
    tf: TerraformProgram,
    into: Path,
    images: Mapping[str, str],
    *,
    lock_wait_s: float,
    refresh_only: bool,
    say: Say,
    targets: tuple[str, ...] = (),
) -> None:
    """Make a plan and save it in `into`; nothing else is written. `targets`: only these addresses,
    and what they depend on.
    """
    into.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    words = [f"-var-file={name}" for name in tf.var_files] + [
        f"-var={name}={value}" for name, value in sorted(images.items())
    ]
    kind = [
        *(["-refresh-only"] if refresh_only else []),
        *(f"-target={address}" for address in targets),
    ]
    run(
        tf,
        "terraform plan",
        "plan",
        "-json",
        "-input=false",
        "-detailed-exitcode",
        f"-out={into}",
        waiting(lock_wait_s),
        *kind,
        *words,
        on_line=progress_printer(say, summary=False),
        fine=(0, CHANGES),
    )
    into.chmod(0o600)


def show(tf: TerraformProgram, saved: Path) -> dict[str, Any]:
    """A saved plan as Terraform's JSON ("JSON Output Format": plan representation)."""
    return read(tf, "terraform show", "show", "-json", str(saved))


def apply(tf: TerraformProgram, saved: Path, *, lock_wait_s: float, say: Say) -> None:
    """Apply a saved plan, and nothing but a saved plan."""
    run(
        tf,
        "terraform apply",
        "apply",
        "-json",
        "-input=false",
        waiting(lock_wait_s),
        str(saved),
        on_line=progress_printer(say, summary=True),
    )


def waiting(seconds: float) -> str:
    return f"-lock-timeout={max(0, round(seconds))}s"


def progress_printer(say: Say, *, summary: bool) -> Say:
    def on_line(line: str) -> None:
        translate_error = progress(line)
        if translate_error and (summary or not translate_error.startswith("Plan:")):
            say(f"  {translate_error}")

    return on_line


def output(tf: TerraformProgram) -> dict[str, Any]:
    """Every output: its value, None where it is sensitive."""
    found = read(tf, "terraform output", "output", "-json", "-no-color")
    return {
        name: None
        if not isinstance(each, dict) or each.get("sensitive", True)
        else each.get("value")
        for name, each in found.items()
    }


def state_version(tf: TerraformProgram) -> StateVersion:
    """Serial and lineage of the state as it is kept now; serial 0 where there is none yet. The
    state itself is not kept in memory.
    """
    found = read(tf, "terraform state", "state", "pull")
    serial = found.get("serial", 0)
    if not isinstance(serial, int):
        raise OpsError(
            "terraform state", f"its serial is {serial!r}", f"{tf.where.by_hand} state pull"
        )
    return StateVersion(serial, str(found.get("lineage", "")))


def force_unlock(tf: TerraformProgram, lock_id: str) -> None:
    """Take the lock with this id away. Terraform itself refuses another id."""
    run(tf, f"terraform force-unlock {lock_id}", "force-unlock", "-force", lock_id)


def variables(tf: TerraformProgram) -> frozenset[str]:
    """The variables that the directory declares."""
    return files.declared(tf.directory)
