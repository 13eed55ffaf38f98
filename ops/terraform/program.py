"""Run Terraform commands in the environment's directory.

Never with `-auto-approve`: only a plan file that was printed is applied. Image variables are passed
as `-var` (they are not secrets) after the var files, so that they win, and because Terraform
refuses an undeclared `-var` but ignores an undeclared `TF_VAR_x`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ops.aws.errors import login_advice
from ops.core.errors import ConfigError, OpsError
from ops.core.files import write_atomic
from ops.terraform import files, process
from ops.terraform.environment import child_environment
from ops.terraform.errors import TerraformLocation, translate_error
from ops.terraform.facts import OutputValue, StateVersion
from ops.terraform.output import is_wrapped, progress_text
from ops.terraform.rules.plan_json import PlanDocument
from ops.tools.shell import Completed

if TYPE_CHECKING:
    from ops.core.config.settings import Settings

_OWN_FOLDER = "inv"
_CHANGES = 2  # exit code of `plan -detailed-exitcode` if there are changes
Report = Callable[[str], None]


@dataclass(frozen=True)
class TerraformProgram:
    """Terraform in one environment's directory.

    `environment` is never printed: it may hold keys. `timeout_s` limits each command, and
    `timeout_hint` tells how to raise it.
    """

    directory: Path
    environment: Mapping[str, str]
    location: TerraformLocation
    backend_config: str | None
    var_files: tuple[str, ...]
    timeout_s: float
    timeout_hint: str = "more time: terraform.timeout in invoke.yaml"

    @property
    def program(self) -> str:
        """The program's name or path, as configured."""
        return self.location.program

    def __repr__(self) -> str:
        return f"Terraform({str(self.directory)!r})"

    @property
    def own_folder(self) -> Path:
        """The folder of our own files: saved plans, which may hold secrets, and init's stamp.

        It is below .terraform, which is not committed.
        """
        return self.directory / files.DATA_FOLDER / _OWN_FOLDER

    def limit_timeout(self, seconds: float | None) -> TerraformProgram:
        """Return a copy with `--timeout` for each command, if that is given and shorter."""
        if seconds is None or seconds >= self.timeout_s:
            return self
        return replace(self, timeout_s=seconds, timeout_hint="more time: a longer --timeout")


def connect(settings: Settings) -> TerraformProgram:
    """Return the environment's Terraform, without running it.

    Raises ConfigError if it is not configured, or a directory or file does not exist.
    """
    settings.refuse_none("terraform", "Terraform")
    environment = settings.environment
    configured = environment.terraform
    if configured is None:
        why = "terraform.directory is not configured"
        how = (
            f"add environments.{settings.name}.terraform to invoke.yaml (the environment dev has "
            f"every key)"
        )
        raise ConfigError(
            f"environment {settings.name} has no Terraform", why, environment.overlay_hint or how
        )
    directory = settings.source / configured.directory
    names = (configured.backend_config, *configured.var_files)
    for path in (directory, *(directory / name for name in names if name)):
        if not path.exists():
            how = (
                f"correct environments.{settings.name}.terraform in invoke.yaml (directory: "
                f"relative to source; files: to directory)"
            )
            raise ConfigError(f"Terraform's {path}", "there is no such file or folder", how)
    login = login_advice(environment.aws.profile, environment.aws.endpoint)
    return TerraformProgram(
        directory,
        child_environment(settings, os.environ),
        TerraformLocation(str(directory), configured.backend_config, login, configured.program),
        configured.backend_config,
        tuple(configured.var_files),
        configured.timeout,
    )


def _run(
    tf: TerraformProgram,
    what: str,
    *words: str,
    on_line: Report | None = None,
    ok_codes: tuple[int, ...] = (0,),
) -> Completed:
    """Run a command that may write or lock.

    Raises the translation of its error, and KeyboardInterrupt and TimedOut after it has ended.
    """
    done = process.run(
        [tf.program, *words], tf.directory, tf.environment, tf.timeout_s, tf.timeout_hint, on_line
    )
    if done.exit_code not in ok_codes:
        raise translate_error(what, done.stdout + done.stderr, tf.location)
    return done


def _read_json(tf: TerraformProgram, what: str, *words: str) -> dict[str, Any]:
    """Return the JSON object that a reading command prints; empty if it prints nothing.

    Raises OpsError for other output.
    """
    done = process.read_output([tf.program, *words], tf.directory, tf.environment, tf.timeout_s)
    if done.exit_code:
        raise translate_error(what, done.stdout + done.stderr, tf.location)
    _refuse_wrapper(tf, done)
    by_hand = f"{tf.location.command} {' '.join(words)}"
    try:
        found = json.loads(done.stdout) if done.stdout.strip() else {}
    except (ValueError, RecursionError) as error:
        raise OpsError(what, f"its output is not JSON ({error})", by_hand) from None
    if not isinstance(found, dict):
        raise OpsError(what, f"its output is {type(found).__name__}, not an object", by_hand)
    return found


def _refuse_wrapper(tf: TerraformProgram, done: Completed) -> None:
    """Refuse the wrapper of the GitHub action, which adds lines and loses exit codes."""
    if is_wrapped(done.stdout):
        raise ConfigError(
            f"{tf.program} on PATH is a wrapper of the setup action of GitHub Actions",
            "it adds lines to Terraform's JSON and returns 0 for other exit codes",
            "set `terraform_wrapper: false` (OpenTofu: `tofu_wrapper: false`) in the workflow's "
            "setup step",
        )


def version(tf: TerraformProgram) -> str:
    """Return the version (`1.11.4`). Raises ConfigError if there is no such program."""
    found = _read_json(tf, f"{tf.program} version", "version", "-json")
    return str(found.get("terraform_version", ""))


def init(tf: TerraformProgram, report: Report) -> None:
    """Initialise the directory: backend, modules, providers.

    It never moves a state: Terraform refuses a changed backend.
    """
    words = [f"-backend-config={tf.backend_config}"] if tf.backend_config else []

    def report_installation(line: str) -> None:
        if line.startswith("- "):
            report(f"  {line[2:]}")

    _run(
        tf,
        f"{tf.program} init",
        "init",
        "-input=false",
        "-no-color",
        *words,
        on_line=report_installation,
    )
    tf.own_folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_atomic(_init_stamp(tf), _fingerprint(tf))


def is_initialised(tf: TerraformProgram) -> bool:
    """Whether `init` has run with this program, backend, providers and modules."""
    try:
        stamp = _init_stamp(tf).read_text(encoding="utf-8")
    except OSError:
        return False
    return stamp == _fingerprint(tf)


def _init_stamp(tf: TerraformProgram) -> Path:
    return tf.own_folder / "init.stamp"


def _fingerprint(tf: TerraformProgram) -> str:
    return files.fingerprint(tf.directory, tf.backend_config, version(tf))


def plan(
    tf: TerraformProgram,
    file: Path,
    images: Mapping[str, str],
    *,
    lock_wait_s: float,
    refresh_only: bool,
    report: Report,
    targets: tuple[str, ...] = (),
) -> None:
    """Make a plan and save it in `file`; nothing else is written.

    `targets` limits it to these addresses and their dependencies.
    """
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    words = [
        *(["-refresh-only"] if refresh_only else []),
        *(f"-target={address}" for address in targets),
        *(f"-var-file={name}" for name in tf.var_files),
        *(f"-var={name}={value}" for name, value in sorted(images.items())),
    ]
    _run(
        tf,
        f"{tf.program} plan",
        "plan",
        "-json",
        "-input=false",
        "-detailed-exitcode",
        f"-out={file}",
        _lock_timeout(lock_wait_s),
        *words,
        on_line=_progress_printer(report, summary=False),
        ok_codes=(0, _CHANGES),
    )
    file.chmod(0o600)


def show(tf: TerraformProgram, file: Path) -> PlanDocument:
    """Read a saved plan. Raises OpsError for a plan that does not have the documented format."""
    return PlanDocument.from_document(
        _read_json(tf, f"{tf.program} show", "show", "-json", str(file))
    )


def apply(tf: TerraformProgram, file: Path, *, lock_wait_s: float, report: Report) -> None:
    """Apply a saved plan, and nothing but a saved plan."""
    _run(
        tf,
        f"{tf.program} apply",
        "apply",
        "-json",
        "-input=false",
        _lock_timeout(lock_wait_s),
        str(file),
        on_line=_progress_printer(report, summary=True),
    )


def _lock_timeout(seconds: float) -> str:
    return f"-lock-timeout={max(0, round(seconds))}s"


def _progress_printer(report: Report, *, summary: bool) -> Report:
    def on_line(line: str) -> None:
        text = progress_text(line)
        if text and (summary or not text.startswith("Plan:")):
            report(f"  {text}")

    return on_line


def outputs(tf: TerraformProgram) -> tuple[OutputValue, ...]:
    """Read all outputs, without the values of sensitive ones."""
    found = _read_json(tf, f"{tf.program} output", "output", "-json", "-no-color")
    return tuple(OutputValue.from_document(name, found[name]) for name in sorted(found))


def state_version(tf: TerraformProgram) -> StateVersion:
    """Read serial and lineage of the current state; serial 0 if there is no state yet."""
    try:
        return StateVersion.from_document(_read_json(tf, f"{tf.program} state", "state", "pull"))
    except ValueError as error:
        raise OpsError(
            f"{tf.program} state", str(error), f"{tf.location.command} state pull"
        ) from None


def force_unlock(tf: TerraformProgram, lock_id: str) -> None:
    """Remove the lock with this id; Terraform refuses another id."""
    _run(tf, f"{tf.program} force-unlock {lock_id}", "force-unlock", "-force", lock_id)


def declared_variables(tf: TerraformProgram) -> frozenset[str]:
    """Return the variables that the directory declares."""
    return files.declared_variables(tf.directory)
