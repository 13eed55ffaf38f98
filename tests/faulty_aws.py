"""A proxy on loopback before a local AWS that spoils chosen calls: denied, empty, cut, a web page,
or no answer at all.

Requests go through unchanged, Host and signature included.
"""

from __future__ import annotations

import http.client
import json
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import yaml

from tests.checkout import Checkout

HTML = b"<!DOCTYPE html><html><body>Please log in</body></html>"
DENIED = "User: arn:aws:iam::123456789012:user/me is not authorized to perform: x:{name}"
Answer = tuple[int, list[tuple[str, str]], bytes]


@dataclass
class Fault:
    """`kind`: denied, empty, html, cut, lost (carried out, and the answer is empty) or hang.
    `when`: from which moment on.
    """

    kind: str
    when: Callable[[], bool] = lambda: True


@dataclass
class FaultyAws:
    """`faults`: by operation, `DescribeTasks`; those of S3 with their folder, `PutObject locks`.
    `seen` and `struck` count calls.
    """

    upstream: str
    faults: dict[str, Fault] = field(default_factory=dict)
    seen: Counter[str] = field(default_factory=Counter)
    struck: Counter[str] = field(default_factory=Counter)
    over: threading.Event = field(default_factory=threading.Event)
    url: str = ""

    def spoil(self, operation: str, kind: str, when: Callable[[], bool] = lambda: True) -> None:
        self.faults[operation] = Fault(kind, when)

    def forward(self, method: str, path: str, headers: dict[str, str], body: bytes) -> Answer:
        to = urlsplit(self.upstream)
        connection = http.client.HTTPConnection(to.hostname or "", to.port, timeout=60)
        connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        for name, value in headers.items():
            if name.lower() != "connection":
                connection.putheader(name, value)
        connection.endheaders(body)
        answer = connection.getresponse()
        data = answer.read()
        connection.close()
        dropped = ("content-length", "connection", "transfer-encoding", "server", "date")
        kept = [(name, value) for name, value in answer.getheaders() if name.lower() not in dropped]
        return answer.status, kept, data

    def answer(self, method: str, path: str, headers: dict[str, str], body: bytes) -> Answer | None:
        """What the client gets; None: nothing, until the proxy ends."""
        name = operation(method, path, headers, body)
        self.seen[name] += 1
        fault = self.faults.get(name)
        if fault is None or not fault.when():
            return self.forward(method, path, headers, body)
        self.struck[name] += 1
        if fault.kind == "hang":
            self.over.wait()
            return None
        as_json = "x-amz-target" in {each.lower() for each in headers}
        if fault.kind == "denied":
            return denied(name.partition(" ")[0], as_json)
        if fault.kind == "html":
            return 200, [("content-type", "text/html")], HTML
        if fault.kind == "cut":
            status, kept, data = self.forward(method, path, headers, body)
            return status, kept, data[: len(data) // 2]
        if fault.kind == "lost":
            self.forward(method, path, headers, body)
        kind = "application/x-amz-json-1.1" if as_json else "text/xml"
        return (
            200,
            [("content-type", kind)],
            b"{}" if as_json else b"" if method == "PUT" else b"<a/>",
        )


def operation(method: str, path: str, headers: dict[str, str], body: bytes) -> str:
    """How the call is named: JSON by its target, query by its Action, S3 by its method and the
    folder of its key.
    """
    lower = {name.lower(): value for name, value in headers.items()}
    if target := lower.get("x-amz-target"):
        return target.rpartition(".")[2]
    if action := parse_qs(body.decode("utf-8", "replace")).get("Action"):
        return action[0]
    folder = re.search(r"(?:ops/|ops%2F)(\w+)", path)
    name = "ListObjectsV2" if "list-type=2" in path else f"{method.title()}Object"
    return f"{name} {folder[1]}" if folder else name


def denied(name: str, as_json: bool) -> Answer:
    message = DENIED.format(name=name)
    if as_json:
        body = json.dumps({"__type": "AccessDeniedException", "message": message}).encode()
        return 400, [("content-type", "application/x-amz-json-1.1")], body
    error = f"<Error><Code>AccessDenied</Code><Message>{message}</Message></Error>"
    whole = (
        error
        if name.endswith(("Object", "ObjectsV2"))
        else f"<ErrorResponse>{error}</ErrorResponse>"
    )
    return 403, [("content-type", "text/xml")], whole.encode()


@contextmanager
def proxied(upstream: str) -> Iterator[FaultyAws]:
    """The proxy, until the block ends."""
    faulty = FaultyAws(upstream)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None: ...

        def take(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            given = faulty.answer(self.command, self.path, dict(self.headers.items()), body)
            if given is None:
                self.close_connection = True
                return
            status, headers, data = given
            self.send_response(status)
            for name, value in (*headers, ("content-length", str(len(data)))):
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(data)

        do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = take

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    faulty.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield faulty
    finally:
        faulty.over.set()
        server.shutdown()
        server.server_close()


@contextmanager
def before_aws(checkout: Checkout, read_timeout: str = "3s") -> Iterator[FaultyAws]:
    """The checkout's tasks reach AWS by the proxy until the block ends, and wait `read_timeout` for
    an answer.
    """
    file = checkout.root / ".sandbox/environment.yaml"
    text = file.read_text()
    values = yaml.safe_load(text)
    with proxied(values["aws"]["endpoint"]) as faulty:
        aws = {**values["aws"], "endpoint": faulty.url, "read_timeout": read_timeout}
        file.write_text(yaml.safe_dump({**values, "aws": aws}, sort_keys=False))
        try:
            yield faulty
        finally:
            file.write_text(text)
