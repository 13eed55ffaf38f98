"""The frontend: four HTML pages and a health check."""

import html
import json
import os
import signal
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer

PATIENCE = 10  # seconds for requests in flight after SIGTERM
PAGES = {
    "/": ("Home", "A small platform that deploys itself."),
    "/about": ("About", "Two services behind a load balancer and a CDN."),
    "/projects": ("Projects", "What the backend knows stands under /api/projects."),
    "/contact": ("Contact", "Write to the people whom the runbook names."),
}


def log(level, message, **fields):
    """One line of JSON on stdout."""
    sys.stdout.write(
        json.dumps({"time": now(), "level": level, "message": message, **fields}) + "\n"
    )
    sys.stdout.flush()


def now():
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def page(title, text, version):
    """One page, with its version in the footer and in a meta tag."""
    links = " · ".join(f'<a href="{path}">{name}</a>' for path, (name, _) in PAGES.items())
    said = html.escape(version)
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta name="version" content="{said}">'
        f"<title>{title} · David Shaevel</title></head>\n"
        f"<body><nav>{links}</nav><h1>{title}</h1><p>{text}</p>"
        f"<footer>version {said}</footer></body></html>\n"
    )


class Handler(BaseHTTPRequestHandler):
    """GET and HEAD; one request a connection."""

    timeout = 15

    def do_GET(self):
        started = time.monotonic()
        path = self.path.split("?", 1)[0]
        with self.server.in_flight:
            status, kind, body, keep = self.answer(path)
            self.send(status, kind, body.encode(), keep)
        if path != "/health":  # a probe a second is no news
            took = round((time.monotonic() - started) * 1000, 1)
            log("info", "request", method=self.command, path=self.path, status=status, ms=took)

    do_HEAD = do_GET  # noqa: N815

    def answer(self, path):
        if path == "/health":
            said = {"status": "ok", "timestamp": now(), "version": self.server.version}
            return 200, "application/json", json.dumps(said), "no-store"
        if path in PAGES:
            return (
                200,
                "text/html",
                page(*PAGES[path], self.server.version),
                "public, max-age=0, s-maxage=86400",
            )
        return (
            404,
            "text/html",
            page("Not found", "There is no such page.", self.server.version),
            "no-store",
        )

    def send(self, status, kind, data, keep):
        self.send_response(status)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Cache-Control", keep)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def log_message(self, *arguments):
        """Said as JSON instead."""


class InFlight:
    """Counts requests, so that SIGTERM can wait for them."""

    def __init__(self):
        self.count, self.change = 0, threading.Condition()

    def __enter__(self):
        with self.change:
            self.count += 1

    def __exit__(self, *raised):
        with self.change:
            self.count -= 1
            self.change.notify_all()

    def wait(self, seconds):
        with self.change:
            return self.change.wait_for(lambda: self.count == 0, seconds)


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, address, version):
        self.version, self.in_flight = version, InFlight()
        super().__init__(address, Handler)

    def handle_error(self, request, client_address):
        """A client that left before the answer is no error; anything else is one line."""
        problem = sys.exc_info()[1]
        if not isinstance(problem, (ConnectionError, TimeoutError)):
            log("error", "request failed", error=repr(problem))

    def server_bind(self):
        TCPServer.server_bind(self)  # HTTPServer's asks DNS for our own name
        self.server_name, self.server_port = self.server_address[:2]


def main():
    version = os.environ.get("APP_VERSION", "dev")
    address = (os.environ.get("HOST", "0.0.0.0"), int(os.environ.get("PORT", "3000")))
    server = Server(address, version)
    signal.signal(
        signal.SIGTERM, lambda number, frame: threading.Thread(target=server.shutdown).start()
    )
    log("info", "listening", host=address[0], port=address[1], version=version)
    server.serve_forever(poll_interval=0.1)
    server.server_close()
    finished = server.in_flight.wait(PATIENCE)
    log("info", "stopped", finished=finished)


if __name__ == "__main__":
    main()
