"""What Terraform's errors mean, as our three lines: a table by what the first error says, and the
errors that a flow acts on.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from ops.core.errors import ConfigError, OpsError, Refused, Unreachable
from ops.core.redaction.redact import one_line
from ops.terraform.facts import Diagnostic, StateLock
from ops.terraform.output import diagnostics, lock_in, own_words, plain


@dataclass(frozen=True)
class TerraformLocation:
    """What the sentences need to name: the directory, the backend's file, how to log in."""

    directory: str
    backend_config: str | None
    login: str

    @property
    def by_hand(self) -> str:
        return f"terraform -chdir={self.directory}"

    @property
    def init(self) -> str:
        return f"{self.by_hand} init" + (
            f" -backend-config={self.backend_config}" if self.backend_config else ""
        )


class TerraformError(OpsError):
    """Terraform failed in a way that this table does not know, or that may pass. `said`: all of it,
    for the list of transient errors.
    """

    def __init__(self, what: str, why: str = "", next: str = "", said: str = "") -> None:
        super().__init__(what, why, next)
        self.said = said


class WantsInit(TerraformError):
    """The directory has to be initialised (again) first."""


class LockHeld(Refused):
    """Somebody holds the state's lock, so Terraform has done nothing; exit code 3."""

    untouched = True

    def __init__(self, what: str, lock: StateLock) -> None:
        super().__init__(
            what,
            lock.describe(),
            "wait for it (--wait 10m), or look: inv tf.locks; if its owner is dead: inv tf.unlock",
        )
        self.lock = lock


ErrorTranslator = Callable[[str, Diagnostic, TerraformLocation], OpsError]


def translate_error(what: str, output: str, where: TerraformLocation) -> OpsError:
    """`what` failed and printed `output`. Only its errors are judged: a warning beside them is no
    reason.
    """
    errors = [(each, each.text) for each in diagnostics(output) if each.severity == "error"] or [
        no_diagnostic(output)
    ]
    said = "\n".join(text for _, text in errors)
    lock = lock_in(said)
    if lock and "acquiring the state lock" in said:
        return LockHeld(f"{what}: the state is locked", lock)
    for pattern, teller in TRANSLATORS:
        meant = next((error for error, text in errors if pattern.search(text)), None)
        if meant:
            error = teller(what, meant, where)
            if isinstance(error, TerraformError):
                error.said = said
            return error
    return TerraformError(
        what, one_line(errors[0][0].text), f"look at it: {where.by_hand} plan", said
    )


def no_diagnostic(output: str) -> tuple[Diagnostic, str]:
    """What failed without an `Error:` (`force-unlock`, `state pull`): its own words to be shown,
    all of it to be judged.
    """
    return Diagnostic("error", own_words(output) or "it said nothing"), plain(output)[-4000:]


def too_old(what: str, first: Diagnostic, where: TerraformLocation) -> OpsError:
    ours = re.search(r"Terraform version (\d+(?:\.\d+)*(?:-\w+)?)", first.detail)
    wants = first.code or "required_version"
    why = (
        f"this is Terraform {ours[1] if ours else 'of another version'}, and the configuration "
        f"says {wants}"
    )
    how = "install a version that fits (tfenv install), and put it first on PATH"
    return ConfigError(f"{what}: Terraform's version does not fit", why, how)


def wants_init(what: str, first: Diagnostic, where: TerraformLocation) -> OpsError:
    return WantsInit(
        f"{what}: the directory is not initialised", one_line(first.text), "inv tf.init"
    )


def backend_changed(what: str, first: Diagnostic, where: TerraformLocation) -> OpsError:
    how = (
        f"the same state at a new address: {where.init} -reconfigure; another state that takes "
        f"this one over: {where.init} -migrate-state"
    )
    why = "the backend's configuration is not the one that this directory was initialised with"
    return ConfigError(f"{what}: the backend has changed", why, how)


def undeclared(what: str, first: Diagnostic, where: TerraformLocation) -> OpsError:
    name = re.search(r'variable named "([^"]+)"', first.detail)
    why = (
        f"{where.directory} declares no variable {name[1] if name else 'of that name'}; "
        f"Terraform would ignore TF_VAR_ for it"
    )
    return ConfigError(
        f"{what}: undeclared variable",
        why,
        "correct image_variable of the service in invoke.yaml, or declare the variable",
    )


def unset(what: str, first: Diagnostic, where: TerraformLocation) -> OpsError:
    name = re.search(r'variable "([^"]+)"', first.detail)
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


def no_provider(what: str, first: Diagnostic, where: TerraformLocation) -> OpsError:
    how = (
        "check network and proxy; without a network: a mirror (provider_installation in "
        "TF_CLI_CONFIG_FILE), or TF_PLUGIN_CACHE_DIR"
    )
    return TerraformError(f"{what}: a provider can't be had", one_line(first.text), how)


def expired(what: str, first: Diagnostic, where: TerraformLocation) -> OpsError:
    why = (
        f"the login has expired or is not accepted ({one_line(first.text, limit=200)}); what "
        f"was applied before stands in the state"
    )
    return Unreachable(what, why, f"{where.login}, then run it again")


def stale(what: str, first: Diagnostic, where: TerraformLocation) -> OpsError:
    why = (
        "the state was written by somebody since the plan was made, so the plan no longer says "
        "what would happen"
    )
    error = Refused(f"{what}: the state has moved", why, "plan again: inv tf.plan")
    error.untouched = True  # Terraform looks at the plan's serial before it does anything
    return error


def unsaved(what: str, first: Diagnostic, where: TerraformLocation) -> OpsError:
    why = (
        f"what was applied could not be written to the state "
        f"({one_line(first.text, limit=200)}); it is kept in errored.tfstate"
    )
    return OpsError(
        f"{what}: the state was not saved",
        why,
        f"{where.login}, then: {where.by_hand} state push errored.tfstate",
    )


def no_backend(what: str, first: Diagnostic, where: TerraformLocation) -> OpsError:
    how = f"correct {where.backend_config or 'the backend block'} in {where.directory}"
    return ConfigError(f"{what}: the state's backend is not there", one_line(first.text), how)


def unlock_mismatch(what: str, first: Diagnostic, where: TerraformLocation) -> OpsError:
    return Refused(
        f"{what}: another lock is held now", one_line(first.text), "look again: inv tf.locks"
    )


TRANSLATORS: tuple[tuple[re.Pattern[str], ErrorTranslator], ...] = tuple(
    (re.compile(pattern, re.I | re.S), teller)
    for pattern, teller in (
        (r"errored\.tfstate|error saving state|failed to (save|persist) state", unsaved),
        (r"unsupported terraform core version", too_old),
        (
            r"backend configuration (block has )?changed|backend type changed|backend "
            r"configuration has changed",
            backend_changed,
        ),
        (r"value for undeclared variable", undeclared),
        (r"no value for required variable", unset),
        (
            r"saved plan is stale|plan file .* (stale|different state lineage)|saved plan "
            r"does not match",
            stale,
        ),
        (
            r"ExpiredToken|RequestExpired|token (included in the request )?(is|has) "
            r"expired|your session has expired"
            r"|\bsso session (token )?(associated with (this )?profile( \S+)? )?(is|has) expired"
            r"|refresh cached SSO token|InvalidClientTokenId|UnrecognizedClient|no valid "
            r"credential sources"
            r"|failed to refresh cached credentials|InvalidGrantException",
            expired,
        ),
        (
            r"failed to (query|resolve) .{0,40}provider packages|failed to install "
            r"provider|the list of available versions",
            no_provider,
        ),
        (
            r"initialization required|please run \"?terraform init|required plugins are "
            r"not installed|module not installed"
            r"|inconsistent dependency lock|could not load plugin|missing required "
            r"provider|provider .* not available",
            wants_init,
        ),
        (r"NoSuchBucket|S3 bucket .* does not exist", no_backend),
        (r"does not match (the )?existing lock", unlock_mismatch),
    )
)
