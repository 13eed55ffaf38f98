"""`inv env.check`: the configuration against AWS, the checkout, Terraform and the bastion.

Read-only. All reads run at the same time, under one deadline.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from ops.core.errors import ConfigError
from ops.core.findings import Unknown
from ops.core.parallel import BackgroundCall, Call, run_calls
from ops.environment import read_aws, read_files
from ops.environment.model import (
    DEADLINE_PASSED,
    ConfigurationCheck,
    KeyComparison,
    WorldRead,
    absent,
    not_read,
)
from ops.environment.rules import parts

if TYPE_CHECKING:
    from ops.core.config.load import Configuration
    from ops.platform import Platform

_AT_ONCE = 16


def check(configuration: Configuration, deadline_s: float) -> ConfigurationCheck:
    """Compare everything that is configured with the world, within `deadline_s`."""
    ends_at = time.monotonic() + deadline_s
    settings = configuration.settings
    local = BackgroundCall(
        lambda: _run(list(read_files.reads(settings)), ends_at), "checkout and bastion"
    )
    found = [*_check_aws(configuration, ends_at), *local.result()]
    places = {
        each.key: str(origin)
        for each in found
        if (origin := configuration.origin(each.key)) is not None
    }
    return ConfigurationCheck(settings.name, _unique(found), places)


def _check_aws(configuration: Configuration, ends_at: float) -> list[KeyComparison]:
    """The credentials first: nothing of another account is compared."""
    from ops.platform import Platform

    settings, environment = configuration.settings, configuration.settings.environment
    try:
        platform = Platform.of(settings)
    except ConfigError as error:
        key = "aws.profile" if environment.aws.profile else "aws"
        value = environment.aws.profile or environment.aws.endpoint or ""
        why = Unknown(error.why or error.what)
        unread = read_aws.reads(settings, lambda: Platform.of(settings))
        account = not_read("account", environment.account, why)
        return [absent(key, value, error.why), account, *_all_unknown(unread, why)]
    reads = list(read_aws.reads(settings, lambda: platform))
    identity = _identity(platform, ends_at)
    if isinstance(identity, Unknown):
        account = not_read("account", environment.account, identity)
        return [account, *_all_unknown(reads, identity)]
    if identity.status != "same":
        why = Unknown("the credentials belong to another account")
        return [identity, *_all_unknown(reads, why)]
    return [identity, *_run(reads, ends_at)]


def _identity(platform: Platform, ends_at: float) -> KeyComparison | Unknown:
    from ops.aws import session

    account = platform.settings.environment.account
    call = Call(lambda: parts.account(account, session.identity(platform.cloud)), "read identity")
    found = run_calls([call], 1, max(0.0, ends_at - time.monotonic()))[0]
    return DEADLINE_PASSED if found is None else found


def _run(reads: Sequence[WorldRead], ends_at: float) -> list[KeyComparison]:
    """The comparisons of each read; of one that fails or is late, its keys are unknown."""
    calls = [
        Call(lambda read=each: list(read.run()), f"compare {next(iter(each.keys))}")  # type: ignore[misc]
        for each in reads
    ]
    results = run_calls(calls, _AT_ONCE, max(0.0, ends_at - time.monotonic()))
    found: list[KeyComparison] = []
    for read, result in zip(reads, results, strict=True):
        if result is None or isinstance(result, Unknown):
            found += _all_unknown([read], result or DEADLINE_PASSED)
        else:
            found += result
    return found


def _all_unknown(reads: Iterable[WorldRead], why: Unknown) -> list[KeyComparison]:
    return [not_read(key, value, why) for each in reads for key, value in each.keys.items()]


def _unique(found: Iterable[KeyComparison]) -> tuple[KeyComparison, ...]:
    """One comparison of each kind for a key: it is the same only if nothing contradicts."""
    comparisons = list(found)
    wrong = {each.key for each in comparisons if each.status != "same"}
    different = {each.key for each in comparisons if each.status == "different"}
    kept: dict[object, KeyComparison] = {}
    for each in comparisons:
        if each.status == "same" and each.key in wrong:
            continue
        if each.status == "unknown" and each.key in different:
            continue
        kept.setdefault((each.key, each.status, each.source), each)
    return tuple(kept.values())
