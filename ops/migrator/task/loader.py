"""The program that a task fetches first: it answers, installs the engine, and hands over to it.

Its text is sent as it is, with a call of `main` appended, so it uses the standard library only, and
nothing newer than Python 3.6: an old Python is named, and not a syntax error.

Requests and replies are two objects in S3, read and written by presigned URLs. Each is signed by
the key of this run, which only RunTask's caller knows, so that write access to the bucket is not
enough to run anything in the database.
"""

import hashlib
import hmac
import importlib
import io
import json
import os
import platform
import signal
import sys
import sysconfig
import tarfile
import tempfile
import time
import urllib.error
import urllib.request
from typing import Any, Dict, List, NoReturn, Optional, Tuple

MARK = "ops-task "  # the beginning of our own lines in the task's log
FAILED = 70  # exit code of a task that could not begin (EX_SOFTWARE)
_POLL_S = 0.3
_TIMEOUT_S = 60
_EXPIRED = (b"expired", b"ExpiredToken", b"InvalidAccessKeyId")


class TaskChannel:
    """The requests of the operator's machine, and the replies to them, numbered from 0."""

    def __init__(self, key: str, request: str, reply: str) -> None:
        self._key, self._request, self._reply = key.encode(), request, reply
        self.problem = ""  # why S3 did not take the last reply

    def wait(self, number: int, limit_s: float) -> Optional[Dict[str, Any]]:
        """The request `number`; None if it does not come in time, or can't come any more."""
        end = time.time() + limit_s
        while time.time() < end:
            body = self._read()
            if body is None:
                return None
            found = verified(self._key, "request", body)
            if found is not None and found["number"] == number:
                return found
            time.sleep(_POLL_S)
        return None

    def _read(self) -> Optional[bytes]:
        """The last request; empty before the first one, None once the URL has expired."""
        try:
            return fetch(self._request)
        except urllib.error.HTTPError as error:
            return None if any(each in error.read() for each in _EXPIRED) else b""
        except OSError:
            return b""

    def reply(self, number: int, document: Dict[str, Any]) -> bool:
        """Send a reply; whether S3 has it."""
        body = signed(self._key, "reply", dict(document, number=number))
        for pause in (0.5, 2, 5, 0):
            try:
                request = urllib.request.Request(self._reply, data=body, method="PUT")
                request.add_header("Content-Type", "application/octet-stream")
                urllib.request.urlopen(request, timeout=_TIMEOUT_S).close()
                return True
            except OSError as error:
                self.problem = str(error)
                time.sleep(pause)
        return False


def signed(key: bytes, kind: str, document: Dict[str, Any]) -> bytes:
    """A message: its signature, and its JSON."""
    text = json.dumps(document).encode()
    return _signature(key, kind, text).encode() + b"\n" + text


def verified(key: bytes, kind: str, body: bytes) -> Optional[Dict[str, Any]]:
    """The document of a message; None if it is not signed by the key."""
    signature, _, text = body.partition(b"\n")
    if not hmac.compare_digest(signature, _signature(key, kind, text).encode()):
        return None
    found = json.loads(text.decode())
    return found if isinstance(found, dict) else None


def _signature(key: bytes, kind: str, text: bytes) -> str:
    return hmac.new(key, kind.encode() + b":" + text, hashlib.sha256).hexdigest()


def fetch(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=_TIMEOUT_S) as answer:
        content: bytes = answer.read()
        return content


def about() -> Dict[str, Any]:
    """This Python, and where files can be written."""
    libc, version = platform.libc_ver()
    musl = "musl" in (sysconfig.get_config_var("HOST_GNU_TYPE") or "")
    number = [int(each or 0) for each in [*version.split("."), "0", "0"][:2]]
    folder, problem = writable_folder()
    return {
        "version": list(sys.version_info[:2]),
        "machine": platform.machine(),
        "libc": "musl" if musl else libc or "other",
        "libc_version": [1, 2] if musl else number,
        "folder": folder,
        "problem": problem,
    }


def writable_folder() -> Tuple[str, str]:
    """A new folder from which modules can be loaded, or why no folder is usable."""
    problems = []  # type: List[str]
    usual = [os.environ.get("TMPDIR"), "/tmp", "/var/tmp", "/usr/tmp", "/dev/shm", os.getcwd()]
    for parent in filter(None, usual):
        try:
            flags = os.statvfs(parent).f_flag
            if flags & getattr(os, "ST_NOEXEC", 0):
                problems.append("%s: noexec" % parent)
                continue
            return tempfile.mkdtemp(prefix="ops-task-", dir=parent), ""
        except OSError as error:
            problems.append("%s: %s" % (parent, error.strerror))
    return "", "; ".join(dict.fromkeys(problems))


def install(folder: str, parts: List[Dict[str, str]]) -> List[str]:
    """Fetch and unpack archives, and return their folders. Raises ValueError for a wrong digest."""
    found = []
    for part in parts:
        content = fetch(part["url"])
        digest = hashlib.sha256(content).hexdigest()
        if digest != part["sha256"]:
            text = "the archive %s has the digest %s, and %s was expected"
            raise ValueError(text % (part["name"], digest[:16], part["sha256"][:16]))
        into = os.path.join(folder, part["name"])
        with tarfile.open(fileobj=io.BytesIO(content)) as archive:
            filters = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
            archive.extractall(into, **filters)  # type: ignore[arg-type]
        found.append(into)
    return found


def _stop(number: int, _frame: object) -> NoReturn:
    """The first process of a container ignores SIGTERM unless it handles it."""
    raise SystemExit(128 + number)


def main(settings: Dict[str, str], idle_s: float) -> NoReturn:
    """Answer with `about`, install what the first request names, and serve."""
    signal.signal(signal.SIGTERM, _stop)
    channel = TaskChannel(os.environ.pop("OPS_TASK_KEY"), settings["request"], settings["reply"])
    here = about()
    if not channel.reply(0, here):
        fail("the reply could not be written to S3 by its presigned URL: " + channel.problem)
    request = channel.wait(1, idle_s)
    if request is None:
        fail("no request came from the operator's machine")
    try:
        sys.path[0:0] = install(here["folder"], request["parts"])
        engine = importlib.import_module("ops.migrator.task.serve")  # of the code archive
    except Exception as error:
        reason = "%s: %s" % (type(error).__name__, error)
        channel.reply(1, {"error": reason})
        fail(reason)
    sys.exit(engine.serve(channel, here["folder"], idle_s))


def fail(reason: str) -> NoReturn:
    print(MARK + json.dumps({"error": reason}), flush=True)
    sys.exit(FAILED)
