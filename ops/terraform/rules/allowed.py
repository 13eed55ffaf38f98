"""Which destroys and replacements `--allow-destroy` allows.

An exact address allows its resource. A module's address allows what is inside it, except what holds
data or is an entry point (`protected`), which is named by its own address.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Sequence

from ops.terraform.rules.plan_diff import ResourceChange
from ops.terraform.rules.protected import protected_kind

_MODULE = re.compile(r'module\.[\w-]+(?:\["(?:[^"\\]|\\.)*"\]|\[\d+\])?(?=\.)')
_FEW = 3  # so many are named one by one


def is_allowed(change: ResourceChange, allowed: Collection[str]) -> bool:
    """Whether an allowed address is that of the change, or of a module around it."""
    return change.address in allowed or any(_covers(each, change) for each in allowed)


def unmatched(allowed: Collection[str], changes: Sequence[ResourceChange]) -> list[str]:
    """The allowed addresses that allow none of these changes."""
    return sorted(
        each
        for each in allowed
        if not any(each == change.address or _covers(each, change) for change in changes)
    )


def addresses_to_allow(changes: Sequence[ResourceChange]) -> list[str]:
    """The shortest list of addresses that allows all of these changes."""
    if len(changes) <= _FEW:
        return [change.address for change in changes]
    modules = {change.address: _module(change) for change in changes}
    sizes = Counter(modules.values())
    whole = {name for name, size in sizes.items() if name and size > 1}
    exact = [each for each, module in modules.items() if module not in whole]
    return [*sorted(whole), *exact]


def _covers(allowed: str, change: ResourceChange) -> bool:
    return (
        allowed.startswith("module.")
        and change.address.startswith((f"{allowed}.", f"{allowed}["))
        and not change.unknown
        and not protected_kind(change.type)
    )


def _module(change: ResourceChange) -> str:
    """The outermost module whose address allows the change; empty without one."""
    if change.unknown or protected_kind(change.type):
        return ""
    found = _MODULE.match(change.address)
    return found[0] if found else ""
