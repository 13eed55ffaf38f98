"""A stand-in of the session-manager-plugin: the real one needs Session Manager's data channel.

It takes the plugin's arguments, prints its lines, and really forwards TCP: from a free port of
127.0.0.1 to STAND_IN_DATABASE (host:port), whatever host the session names. STAND_IN_FAULT makes it
fail: `refused` (ends before the port), `silent` (opens none), `destination` (the far end cannot
connect), `dies` (ends at the second connection), `stubborn` (ignores SIGTERM). STAND_IN_RECORD is
a file for its arguments, environment and pid.
"""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

import pytest

PROGRAM = r"""
import json, os, signal, socket, sys, threading, time
if sys.argv[1:] == ["--version"]:
    print("1.2.707.0")
    sys.exit()
fault = os.environ.get("STAND_IN_FAULT", "")
session = json.loads(os.environ[sys.argv[1]])
request = json.loads(sys.argv[5])
record = os.environ.get("STAND_IN_RECORD")
if record:
    known = {"argv": sys.argv[1:], "session": session, "request": request, "pid": os.getpid()}
    known["listen"] = os.environ.get("SSM_PLUGIN_LOCAL_HOST")
    with open(record, "a") as file:
        file.write(json.dumps(known) + "\n")
if fault == "stubborn":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("\nStarting session with SessionId: " + session["SessionId"], flush=True)
if fault == "refused":
    print("Cannot perform start session: websocket: bad handshake", flush=True)
    sys.exit()
if fault == "silent":
    time.sleep(60)
host, _, port = os.environ["STAND_IN_DATABASE"].rpartition(":")
listener = socket.create_server((os.environ.get("SSM_PLUGIN_LOCAL_HOST", "localhost"), 0))
opened = listener.getsockname()[1]
print(f"Port {opened} opened for sessionId {session['SessionId']}.", end="", flush=True)
print("\nWaiting for connections...", flush=True)


def copy(source, sink):
    try:
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        pass


count = 0
while True:
    near, _ = listener.accept()
    count += 1
    if count == 1:
        print(f"\nConnection accepted for session [{session['SessionId']}]", flush=True)
    if fault == "destination":
        near.close()
        time.sleep(0.2)
        print("\nConnection to destination port failed, check SSM Agent logs.\n", flush=True)
        continue
    if fault == "dies" and count == 2:
        print("SessionId: " + session["SessionId"] + " : the session has timed out", flush=True)
        os._exit(0)
    far = socket.create_connection((host, int(port)))
    for one, other in ((near, far), (far, near)):
        threading.Thread(target=copy, args=(one, other), daemon=True).start()
"""


def install(folder: Path, monkeypatch: pytest.MonkeyPatch | None = None) -> Path:
    """Write the program into `folder`, and put that on PATH."""
    folder.mkdir(exist_ok=True)
    program = folder / "session-manager-plugin"
    program.write_text(f"#!{sys.executable} -S\n{PROGRAM}")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    if monkeypatch is not None:
        monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return program
