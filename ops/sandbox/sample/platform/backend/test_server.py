"""The backend's answers, over real HTTP, with a database that a test plays."""

import contextlib
import io
import json
import threading
import unittest
from urllib.error import HTTPError
from urllib.request import urlopen

import server as backend


class Stand:
    """A database that answers, or raises."""

    def __init__(self, error=None):
        self.error = error

    def ping(self):
        if self.error:
            raise self.error

    def projects(self):
        self.ping()
        return [{"title": "One", "isActive": True}]


def ask(path, database):
    """Status and document that a server with `database` answers."""
    with contextlib.redirect_stdout(io.StringIO()):
        server = backend.Server(("127.0.0.1", 0), database, "v1")
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            with urlopen(f"http://127.0.0.1:{server.server_port}{path}", timeout=5) as answer:
                return answer.status, json.load(answer)
        except HTTPError as error:
            with error:
                return error.code, json.load(error)
        finally:
            server.shutdown()
            thread.join()
            server.server_close()


class Health(unittest.TestCase):
    def test_well(self):
        status, said = ask("/api/health", Stand())
        self.assertEqual(
            (status, said["status"], said["database"], said["version"]),
            (200, "ok", "connected", "v1"),
        )

    def test_database_gone(self):
        status, said = ask("/api/health", Stand(OSError("refused")))
        self.assertEqual((status, said["status"], said["database"]), (503, "error", "disconnected"))


class Projects(unittest.TestCase):
    def test_listed(self):
        self.assertEqual(
            ask("/api/projects", Stand()),
            (200, [{"title": "One", "isActive": True, "summary": ""}]),
        )

    def test_table_missing(self):
        self.assertEqual(ask("/api/projects", Stand(OSError("no table")))[0], 500)

    def test_unknown_path(self):
        self.assertEqual(ask("/api/nothing", Stand())[0], 404)


if __name__ == "__main__":
    unittest.main()
