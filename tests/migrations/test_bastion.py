"""What goes to a bastion: whole, however slowly it is taken, and told in sizes that a person
reads.
"""

from __future__ import annotations

import socket
import threading
import time
from types import SimpleNamespace

from ops.core.text import format_size
from ops.ssh import connection


def test_what_is_taken_slowly_arrives_whole() -> None:
    """The window is full for longer than the channel's timeout, as on a slow line or a busy host:
    the rest of an upload still follows.
    """
    near, far = socket.socketpair()
    near.settimeout(0.1)
    channel = SimpleNamespace(send=near.send, shutdown_write=lambda: near.shutdown(socket.SHUT_WR))
    giving = threading.Thread(
        target=connection.send_stdin, args=(channel, b"x" * 3_000_000), daemon=True
    )
    giving.start()
    time.sleep(0.5)
    with near, far, far.makefile("rb") as file:
        assert giving.is_alive() and len(file.read()) == 3_000_000


def test_sizes_are_told_as_a_person_reads_them() -> None:
    """A bundle of revisions is no `0.0 MB`."""
    assert [format_size(count) for count in (120, 66_200, 9_040_000)] == [
        "1 kB",
        "65 kB",
        "9 MB",
    ]
