"""The fixtures that all tests share, and the order in which files begin."""

from __future__ import annotations

import pytest

pytest_plugins = ("tests.checkout", "tests.aws_fixtures", "tests.platform_fixtures")

LONG = (
    "real",
    "terraform",
    "deploy",
    "diagnosis",
    "migrations",
    "health",
    "wrapper",
    "sandbox",
)  # folders whose files take minutes, the longest first


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes longest begins first: a file is one worker's, and the last one must not be a long
    one.
    """
    items.sort(
        key=lambda item: LONG.index(name) if (name := item.path.parent.name) in LONG else len(LONG)
    )
