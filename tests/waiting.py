"""Waiting for what a machine under load does in its own time: by looking, never by a sleep of a
guessed length.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any


def until(look: Callable[[], Any], seconds: float = 60.0) -> Any:
    """The first true answer of `look`; what does not answer yet (an OSError) is asked again. Fails
    the test after `seconds`.
    """
    ends = time.monotonic() + seconds
    found: Any = None
    while time.monotonic() < ends:
        try:
            if found := look():
                return found
        except OSError as silent:
            found = silent
        time.sleep(0.05)
    raise AssertionError(f"not within {seconds} s; the last answer was {found!r}")
