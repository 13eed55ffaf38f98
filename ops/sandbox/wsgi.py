"""Serve a WSGI application to this machine only, in threads, until its handle is stopped."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from werkzeug.serving import WSGIRequestHandler, make_server

from ops.sandbox.contracts import Component
from ops.sandbox.loopback import LocalOnly

_LOG = logging.getLogger("sandbox.http")
_LOOPBACK = "127.0.0.1"


class _Quiet(WSGIRequestHandler):
    """Logs requests to the sandbox's log at debug level, not to stderr."""

    timeout = 600.0  # a silent client gives its thread back after ten minutes

    def log(self, type: str, message: str, *args: Any) -> None:
        _LOG.debug(message, *args)


def serve(name: str, application: Callable[..., Any], port: int) -> Component:
    """Serve `application` on 127.0.0.1:`port` from a thread, for programs on this machine.

    Raises OSError if the port is taken.
    """
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((_LOOPBACK, port))
        return _serve(name, LocalOnly(application), listener, _LOOPBACK, port)
    finally:
        listener.close()


def serve_socket(name: str, application: Callable[..., Any], path: Path) -> Component:
    """Serve `application` on a Unix socket of mode 0600 at `path`, from a thread.

    The caller must ensure that the folder is closed to others, since the mode is set just after the
    socket is bound. An unused socket is replaced; raises OSError if one is in use.
    """
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _clear(path)
        listener.bind(str(path))
        path.chmod(0o600)
        part = _serve(name, application, listener, f"unix://{path}", 0)
    finally:
        listener.close()

    def stop() -> None:
        part.stop()
        path.unlink(missing_ok=True)

    return Component(name, stop, part.alive)


def _clear(path: Path) -> None:
    """Remove the socket that a killed process left behind."""
    if not path.is_socket():
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)


def _serve(
    name: str, application: Callable[..., Any], listener: socket.socket, host: str, port: int
) -> Component:
    # Bound before and handed over: werkzeug would end the whole process on an address that is
    # taken.
    listener.listen(128)
    server = make_server(
        host, port, application, threaded=True, request_handler=_Quiet, fd=listener.fileno()
    )
    thread = threading.Thread(
        target=server.serve_forever,
        kwargs={"poll_interval": 0.1},
        name=f"sandbox-{name}",
        daemon=True,
    )
    thread.start()

    def stop() -> None:
        server.shutdown()
        server.server_close()
        thread.join(timeout=5)

    return Component(name, stop, thread.is_alive)
