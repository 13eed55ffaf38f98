"""The backend: projects from PostgreSQL as JSON, and a health check that asks the database."""

import json
import os
import signal
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer

PATIENCE = 10  # seconds for requests in flight after SIGTERM


def log(level, message, **fields):
    """One line of JSON on stdout."""
    line = {"time": now(), "level": level, "message": message, **fields}
    sys.stdout.write(json.dumps(line, default=str) + "\n")
    sys.stdout.flush()


def now():
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def summary(project):
    """Its own summary; without the column, or when empty, the description's first sentence."""
    return project.get("summary") or (project.get("description") or "").split(". ")[0].rstrip(".")


class Database:
    """PostgreSQL as the environment names it.

    A few connections stay open; a closed one is replaced, so a restarted server is found again.
    """

    KEPT = 2

    def __init__(self, environment):
        self.idle = []
        self.settings = {
            "host": environment.get("DB_HOST", "127.0.0.1"),
            "port": environment.get("DB_PORT", "5432"),
            "dbname": environment.get("DB_NAME", "davidshaevel"),
            "user": environment.get("DB_USERNAME", "davidshaevel"),
            "password": environment.get("DB_PASSWORD", ""),
            "connect_timeout": 2,
            "application_name": "backend",
        }

    def ask(self, query):
        import psycopg

        while (connection := self.take_connection()) is not None:
            try:
                return self.answer(connection, query)
            except psycopg.OperationalError:
                continue  # it ended while nobody asked
        return self.answer(self.connected(), query)

    def take_connection(self):
        try:
            return self.idle.pop()
        except IndexError:
            return None

    def connected(self):
        """A new one. Nothing is prepared: a migration may change what a statement gives."""
        import psycopg
        from psycopg.rows import dict_row

        return psycopg.connect(
            **self.settings, row_factory=dict_row, autocommit=True, prepare_threshold=None
        )

    def answer(self, connection, query):
        try:
            rows = connection.execute(query).fetchall()
        except BaseException:
            connection.close()
            raise
        if len(self.idle) < self.KEPT:
            self.idle.append(connection)
        else:
            connection.close()
        return rows

    def ping(self):
        self.ask("SELECT 1")

    def projects(self):
        return self.ask(
            'SELECT * FROM public.projects WHERE "isActive" ORDER BY "sortOrder", title'
        )


class Handler(BaseHTTPRequestHandler):
    """GET and HEAD; one request a connection."""

    timeout = 15

    def do_GET(self):
        started = time.monotonic()
        path = self.path.split("?", 1)[0]
        with self.server.in_flight:
            status, body = self.answer(path)
            self.send(status, body)
        if path != "/api/health" or status != 200:  # a probe a second that is well is no news
            took = round((time.monotonic() - started) * 1000, 1)
            log(
                "info" if status < 500 else "error",
                "request",
                method=self.command,
                path=self.path,
                status=status,
                ms=took,
            )

    do_HEAD = do_GET  # noqa: N815

    def answer(self, path):
        if path == "/api/health":
            return self.health()
        if path == "/api/projects":
            return self.projects()
        return 404, {"error": "not found", "path": path}

    def health(self):
        said = {
            "status": "ok",
            "timestamp": now(),
            "database": "connected",
            "version": self.server.version,
        }
        try:
            self.server.database.ping()
        except Exception as exc:
            log("error", "database does not answer", error=str(exc).strip())
            return 503, {**said, "status": "error", "database": "disconnected"}
        return 200, said

    def projects(self):
        try:
            return 200, [
                {**project, "summary": summary(project)}
                for project in self.server.database.projects()
            ]
        except Exception as exc:
            log("error", "projects can't be read", error=str(exc).strip())
            return 500, {"error": "projects can't be read"}

    def send(self, status, body):
        data = json.dumps(body, default=str).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json; charset=utf-8")
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Cache-Control", "no-store")
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

    def __init__(self, address, database, version):
        self.database, self.version, self.in_flight = database, version, InFlight()
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
    address = (os.environ.get("HOST", "0.0.0.0"), int(os.environ.get("PORT", "3001")))
    server = Server(address, Database(os.environ), version)
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
