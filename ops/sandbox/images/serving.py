"""One way to serve a WSGI application on loopback: threaded, bound before anybody is told, quiet, and stopped by its own handle."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable
from typing import Any

from werkzeug.serving import WSGIRequestHandler, make_server

from ops.sandbox.contracts import Part

_LOG = logging.getLogger("sandbox.http")
LOOPBACK = "127.0.0.1"


class _Quiet(WSGIRequestHandler):
    """Requests go to the sandbox's log at debug level, not to stderr."""

    timeout = 600.0     # a silent client gives its thread back after ten minutes

    def log(self, type: str, message: str, *args: Any) -> None:
        _LOG.debug(message, *args)


def serve(name: str, application: Callable[..., Any], port: int) -> Part:
    """Serve `application` on 127.0.0.1:`port` from a thread. Raises OSError when the port is taken."""
    # Bound here and handed over: werkzeug would end the whole process on a port that is taken.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((LOOPBACK, port))
        listener.listen(128)
        server = make_server(LOOPBACK, port, application, threaded=True, request_handler=_Quiet, fd=listener.fileno())
    finally:
        listener.close()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, name=f"sandbox-{name}", daemon=True)
    thread.start()

    def stop() -> None:
        server.shutdown()
        server.server_close()
        thread.join(timeout=5)

    return Part(name, stop, thread.is_alive)
