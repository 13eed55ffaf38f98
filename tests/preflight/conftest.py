"""The HTTP server that is site and engine at once, for reads that run at the same time."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pytest_httpserver import HTTPServer


@pytest.fixture(scope="session")
def make_httpserver() -> Iterator[HTTPServer]:
    """A threaded server: a single thread serves one kept connection and lets the others wait."""
    with HTTPServer(host="127.0.0.1", port=0, threaded=True) as server:
        yield server
        server.clear()
