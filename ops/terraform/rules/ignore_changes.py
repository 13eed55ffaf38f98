"""Which attributes a resource's `lifecycle` block ignores, from the resource's text (pure)."""

from __future__ import annotations

import re

ALL = "all"
_LIST = re.compile(
    r"(?:^|\{)\s*ignore_changes\s*=\s*"
    r"(?:(?P<all>all)\b|\[(?P<list>(?:[^\[\]]|\[[^\]]*\])*)\])",
    re.MULTILINE,
)


def ignored_changes(body: str) -> tuple[str, ...]:
    """What `ignore_changes` lists, as written: `desired_count`, `tags["Name"]`.

    `("all",)` for the keyword. `body` is without comments, as `files.Block` has it.
    """
    found = _LIST.search(body)
    if found is None:
        return ()
    if found["all"]:
        return (ALL,)
    return tuple(name for each in found["list"].split(",") if (name := each.strip().strip('"')))
