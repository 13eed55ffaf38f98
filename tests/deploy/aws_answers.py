"""A door before the sandbox's AWS that changes its answers to some actions, as an account in
another state would answer.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import yaml

from tests.checkout import Checkout

Answer = tuple[int, dict[str, Any]]  # status and document
Change = Callable[[Answer], Answer]  # what AWS really answered, to what is answered instead


@contextmanager
def before_aws(checkout: Checkout, changes: Mapping[str, Change]) -> Iterator[threading.Event]:
    """The checkout's tasks reach AWS by a door that applies `changes` (action to change), once the
    event is set.
    """
    file = checkout.root / ".sandbox/environment.yaml"
    text = file.read_text()
    values = yaml.safe_load(text)
    real, open_ = values["aws"]["endpoint"], threading.Event()

    class Door(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            with httpx.Client(trust_env=False) as client:
                said = client.request(
                    self.command,
                    real + self.path,
                    headers=dict(self.headers),
                    content=body,
                    timeout=30,
                )
            kept = {
                key: value
                for key, value in said.headers.items()
                if key not in ("content-length", "date", "server", "connection")
            }
            status, content = said.status_code, said.content
            change = changes.get(self.headers.get("X-Amz-Target", "").rpartition(".")[2])
            if change and open_.is_set():
                status, document = change((status, json.loads(content)))
                content = json.dumps(document).encode()
            self.answer(status, kept, content)

        do_GET = do_PUT = do_HEAD = do_POST

        def answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
            self.send_response(status)
            for key, value in headers.items():
                self.send_header(key, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def log_message(self, *words: Any) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Door)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    endpoint = f"http://127.0.0.1:{server.server_address[1]}"
    file.write_text(yaml.safe_dump({**values, "aws": {**values["aws"], "endpoint": endpoint}}))
    try:
        yield open_
    finally:
        file.write_text(text)
        server.shutdown()
        server.server_close()
