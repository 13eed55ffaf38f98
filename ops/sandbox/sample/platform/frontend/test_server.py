"""The frontend's pages, over real HTTP."""

import contextlib
import io
import json
import threading
import unittest
from urllib.error import HTTPError
from urllib.request import urlopen

import server as frontend


def ask(path):
    """Status, content type, cache rule and body."""
    with contextlib.redirect_stdout(io.StringIO()):
        server = frontend.Server(("127.0.0.1", 0), "v1")
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            with urlopen(f"http://127.0.0.1:{server.server_port}{path}", timeout=5) as answer:
                return (
                    answer.status,
                    answer.headers["Content-Type"],
                    answer.headers["Cache-Control"],
                    answer.read().decode(),
                )
        except HTTPError as error:
            with error:
                return (
                    error.code,
                    error.headers["Content-Type"],
                    error.headers["Cache-Control"],
                    error.read().decode(),
                )
        finally:
            server.shutdown()
            thread.join()
            server.server_close()


class Pages(unittest.TestCase):
    def test_each_carries_its_version(self):
        for path in frontend.PAGES:
            status, kind, keep, body = ask(path)
            self.assertEqual((status, kind), (200, "text/html; charset=utf-8"))
            self.assertIn("version v1", body)
            self.assertIn("s-maxage", keep)

    def test_health(self):
        status, kind, keep, body = ask("/health")
        self.assertEqual((status, kind, keep), (200, "application/json; charset=utf-8", "no-store"))
        self.assertEqual(json.loads(body)["status"], "ok")

    def test_unknown_page(self):
        self.assertEqual(ask("/nothing")[0], 404)


if __name__ == "__main__":
    unittest.main()
