"""moto's plain server in a process of its own: what moto holds, and what the sandbox's tests add to
it, belongs to a whole process.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

from ops.aws import session

SERVER = """
import sys
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
print("http://%s:%s" % server.get_host_and_port(), flush=True)
sys.stdin.read()   # until the tests are over, or have died
server.stop()
"""


def served() -> Iterator[str]:
    """The endpoint, until the generator is closed."""
    command = [sys.executable, "-c", SERVER]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert process.stdout
    yield process.stdout.readline().strip()
    process.communicate(timeout=20)


def with_bucket(name: str) -> Iterator[session.AwsSession]:
    """An environment's AWS there, with one bucket."""
    for endpoint in served():
        found = session.of_overlay(endpoint, "AKIATEST", "test", "us-east-1")
        found.client("s3").create_bucket(Bucket=name)
        yield found
