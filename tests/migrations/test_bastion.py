"""What goes to a bastion: whole, however slowly it is taken, and told in sizes that a person
reads.
"""

from __future__ import annotations

import socket
import threading
import time
from types import SimpleNamespace
from typing import Any

import pytest

from ops.core.errors import OpsError
from ops.core.text import format_size
from ops.migrations.remote.bastion import BastionEnvironment, BastionPaths
from ops.migrations.remote.run import RemoteRun
from ops.migrator.remote.messages import WatchMessage
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


def watching(stream: Any, said: list[str], **other: Any) -> RemoteRun:
    environment = BastionEnvironment(BastionPaths("python3", "cache", "dev"), "c0de")
    host: Any = SimpleNamespace(stream=stream, where="ops@bastion:22")
    nothing: Any = None
    return RemoteRun(nothing, environment, said.append, host, **other)


@pytest.mark.parametrize("code", [-1, 137])
def test_a_watcher_that_is_killed_is_replaced(code: int) -> None:
    """The run is another process: its result is still read, and printed as its own."""
    said: list[str] = []
    codes = iter([code, code, 0])

    def stream(command: str, stdin: bytes, on_line: Any) -> int:
        ended = next(codes)
        if not ended:
            on_line(b'{"run": "1f3c", "offset": 0, "end": {"state": "succeeded"}}')
        return ended

    run = watching(stream, said, id="1f3c")
    run._follow()
    assert run.end == {"state": "succeeded"}
    assert said == ["the watcher on the bastion was killed; watching again"] * 2


def test_watchers_that_are_always_killed_leave_the_result_open() -> None:
    """After some tries; it is not reported that the run failed."""
    for code, why in ((137, "was killed; the run"), (1, "ended with exit code 1; the run")):
        with pytest.raises(OpsError) as open_result:
            watching(lambda *_, code=code: code, [], id="1f3c")._follow()
        assert why in open_result.value.why and "may continue" in open_result.value.why
        assert open_result.value.next == "inv db.attach --run 1f3c"


def test_an_attached_run_is_named() -> None:
    """The newest run may be an old one, or a colleague's: which one it was, and when it began."""
    who = {"verb": "db.upgrade", "by": "ann", "host": "desk"}
    about = {"who": who, "began_at": "2026-03-04T05:06:07+00:00"}
    first: WatchMessage = {"run": "1f3c", "offset": 0}
    messages: tuple[tuple[WatchMessage, str], ...] = (
        ({**first, "about": about}, ", db.upgrade by ann@desk, began 2026-03-04T05:06:07Z"),
        (first, ""),  # of an older engine
    )
    for message, text in messages:
        said: list[str] = []
        run = watching(None, said, id="latest", named=False)
        run._handle_message(message)
        run._handle_message({"offset": 0, "run": "1f3c"})
        assert said == ["run 1f3c on ops@bastion:22" + text]
