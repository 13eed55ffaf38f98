"""Translate Terraform's errors to ours, by a table of patterns."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ops.core.errors import ConfigError, OpsError, Refused, Unreachable
from ops.core.redaction.redact import one_line
from ops.core.text import format_count
from ops.terraform.facts import Diagnostic, StateLock, product_name
from ops.terraform.output import diagnostics, failure_line, lock_from_error, plain_text


@dataclass(frozen=True)
class TerraformLocation:
    """What error messages name: directory, backend's file, command to log in, and program."""

    directory: str
    backend_config: str | None
    login: str
    program: str = "terraform"

    @property
    def command(self) -> str:
        """Terraform as an operator runs it."""
        return f"{self.program} -chdir={self.directory}"

    @property
    def name(self) -> str:
        """The program's own name."""
        return product_name(self.program)

    @property
    def init_command(self) -> str:
        return f"{self.command} init" + (
            f" -backend-config={self.backend_config}" if self.backend_config else ""
        )


class TerraformError(OpsError):
    """An error without translation, or one that may pass; `output` is its text for retries."""

    def __init__(self, what: str, why: str = "", next: str = "", output: str = "") -> None:
        super().__init__(what, why, next)
        self.output = output


class WantsInit(TerraformError):
    """The directory has to be initialised (again) first."""


class LockHeld(Refused):
    """The state is locked, so Terraform has done nothing; exit code 3.

    `lock` is None if it was lost in a race, and its owner released it before it could be read.
    """

    untouched = True

    def __init__(self, what: str, lock: StateLock | None) -> None:
        super().__init__(
            what,
            lock.describe() if lock else "another run took it first, and has released it since",
            "wait for it (--lock-wait 10m), or see: inv tf.locks; if its owner is dead: "
            "inv tf.unlock",
        )
        self.lock = lock


# the answers of S3 and DynamoDB to a conditional write that another one preceded
_LOST_RACE = re.compile(
    r"PreconditionFailed|ConditionalRequestConflict|ConditionalCheckFailed(Exception)?"
)
_MAX_NAMED, _SHORT = 2, 160  # of the errors after the first: how many, and characters of each
_Translator = Callable[[str, Diagnostic, TerraformLocation], OpsError]


def translate_error(what: str, output: str, location: TerraformLocation) -> OpsError:
    """Translate the errors in the output of a failed command; warnings are ignored."""
    errors = [(each, each.text) for each in diagnostics(output) if each.severity == "error"] or [
        _without_diagnostic(output)
    ]
    text = "\n".join(each for _, each in errors)
    lock = lock_from_error(text)
    if "acquiring the state lock" in text and (lock or _LOST_RACE.search(text)):
        return LockHeld(f"{what}: the state is locked", lock)
    for pattern, translate in _TRANSLATORS:
        match = next((error for error, each in errors if pattern.search(each)), None)
        if match:
            error = translate(what, match, location)
            if isinstance(error, TerraformError):
                error.output = text
            return error
    first, *others = [each for each, _ in errors]
    why = "; ".join([one_line(first.text), *_others(others)])
    return TerraformError(what, why, f"see all of it: {location.command} plan", text)


def _others(errors: Sequence[Diagnostic]) -> list[str]:
    """The errors after the first, shortened; an apply has one for each resource that failed."""
    named = [one_line(each.text, limit=_SHORT) for each in errors[:_MAX_NAMED]]
    more = len(errors) - len(named)
    return [*named, *([f"and {format_count(more, 'more error')}"] if more else [])]


def _without_diagnostic(output: str) -> tuple[Diagnostic, str]:
    """Return a failure without `Error:` (`force-unlock`, `state pull`), and all of its text."""
    return (
        Diagnostic("error", failure_line(output) or "it printed nothing"),
        plain_text(output)[-4000:],
    )


def _too_old(what: str, error: Diagnostic, location: TerraformLocation) -> OpsError:
    ours = re.search(r"(?:Terraform|OpenTofu) version (\d+(?:\.\d+)*(?:-\w+)?)", error.detail)
    wants = error.code or "required_version"
    why = (
        f"this is {location.name} {ours[1] if ours else 'of another version'}, and the "
        f"configuration says {wants}"
    )
    installer = "tofuenv" if location.name == "OpenTofu" else "tfenv"
    how = f"install a version that fits ({installer} install), and put it first on PATH"
    return ConfigError(f"{what}: {location.name}'s version does not fit", why, how)


def _wants_init(what: str, error: Diagnostic, location: TerraformLocation) -> OpsError:
    return WantsInit(
        f"{what}: the directory is not initialised", one_line(error.text), "inv tf.init"
    )


def _backend_changed(what: str, error: Diagnostic, location: TerraformLocation) -> OpsError:
    how = (
        f"if the same state has moved: {location.init_command} -reconfigure; to copy the state "
        f"to a new backend: {location.init_command} -migrate-state"
    )
    why = "the backend's configuration is not the one that this directory was initialised with"
    return ConfigError(f"{what}: the backend has changed", why, how)


def _undeclared(what: str, error: Diagnostic, location: TerraformLocation) -> OpsError:
    name = re.search(r'variable named "([^"]+)"', error.detail)
    why = (
        f"{location.directory} declares no variable {name[1] if name else 'of that name'}; "
        f"Terraform would ignore TF_VAR_ for it"
    )
    return ConfigError(
        f"{what}: undeclared variable",
        why,
        "correct image_variable of the service in invoke.yaml, or declare the variable",
    )


def _unset(what: str, error: Diagnostic, location: TerraformLocation) -> OpsError:
    name = re.search(r'variable "([^"]+)"', error.detail)
    variable = name[1] if name else "a variable"
    how = (
        f"name the file that sets it under terraform.var_files in invoke.yaml, or export "
        f"TF_VAR_{variable}"
    )
    return ConfigError(
        f"{what}: {variable} has no value",
        "it is declared without a default, and no var file sets it",
        how,
    )


def _needs_target(what: str, error: Diagnostic, location: TerraformLocation) -> OpsError:
    line = f" ({' '.join(error.code.split())})" if error.code else ""
    why = f"the number of a resource's instances{line} depends on what only an apply can tell"
    how = (
        "apply what it depends on first: inv tf.plan --target ADDRESS, then inv tf.apply and "
        "inv tf.plan"
    )
    return OpsError(f"{what}: it takes two applies", why, how)


def _no_provider(what: str, error: Diagnostic, location: TerraformLocation) -> OpsError:
    how = (
        "check network and proxy; without a network: a mirror (provider_installation in "
        "TF_CLI_CONFIG_FILE), or TF_PLUGIN_CACHE_DIR"
    )
    return TerraformError(f"{what}: a provider could not be installed", one_line(error.text), how)


def _expired(what: str, error: Diagnostic, location: TerraformLocation) -> OpsError:
    why = (
        f"the login has expired or is not accepted ({one_line(error.text, limit=200)}); what "
        f"was applied before is in the state"
    )
    return Unreachable(what, why, f"{location.login}, then run it again")


def _stale(what: str, error: Diagnostic, location: TerraformLocation) -> OpsError:
    why = "the state was written since the plan was made, so the plan is out of date"
    refused = Refused(f"{what}: the state has moved", why, "plan again: inv tf.plan")
    refused.untouched = True  # Terraform compares the plan's serial before it does anything
    return refused


def _unsaved(what: str, error: Diagnostic, location: TerraformLocation) -> OpsError:
    why = (
        f"what was applied could not be written to the state "
        f"({one_line(error.text, limit=200)}); it is saved in errored.tfstate"
    )
    return OpsError(
        f"{what}: the state was not saved",
        why,
        f"{location.login}, then: {location.command} state push errored.tfstate",
    )


def _no_backend(what: str, error: Diagnostic, location: TerraformLocation) -> OpsError:
    how = f"correct {location.backend_config or 'the backend block'} in {location.directory}"
    return ConfigError(f"{what}: the state's backend does not exist", one_line(error.text), how)


def _unlock_mismatch(what: str, error: Diagnostic, location: TerraformLocation) -> OpsError:
    return Refused(f"{what}: another lock is held now", one_line(error.text), "see: inv tf.locks")


_TRANSLATORS: tuple[tuple[re.Pattern[str], _Translator], ...] = tuple(
    (re.compile(pattern, re.I | re.S), translate)
    for pattern, translate in (
        (r"errored\.tfstate|error saving state|failed to (save|persist) state", _unsaved),
        (r"unsupported (terraform|opentofu) core version", _too_old),
        (
            r"backend configuration (block has )?changed|backend type changed|backend "
            r"configuration has changed",
            _backend_changed,
        ),
        (r"value for undeclared variable", _undeclared),
        (r"no value for required variable", _unset),
        (r"invalid (count|for_each) argument.*until apply", _needs_target),
        (
            r"saved plan is stale|plan file .* (stale|different state lineage)|saved plan "
            r"does not match",
            _stale,
        ),
        (
            r"ExpiredToken|RequestExpired|token (included in the request )?(is|has) "
            r"expired|your session has expired"
            r"|\bsso session (token )?(associated with (this )?profile( \S+)? )?(is|has) expired"
            r"|refresh cached SSO token|InvalidClientTokenId|UnrecognizedClient|no valid "
            r"credential sources"
            r"|failed to refresh cached credentials|InvalidGrantException",
            _expired,
        ),
        (
            r"failed to (query|resolve) .{0,40}provider packages|failed to install "
            r"provider|the list of available versions",
            _no_provider,
        ),
        (
            r"initialization required|please run \"?(?:terraform|tofu) init|required plugins are "
            r"not installed|module not installed"
            r"|inconsistent dependency lock|could not load plugin|missing required "
            r"provider|provider .* not available",
            _wants_init,
        ),
        (r"NoSuchBucket|S3 bucket .* does not exist", _no_backend),
        (r"does not match (the )?existing lock", _unlock_mismatch),
    )
)
