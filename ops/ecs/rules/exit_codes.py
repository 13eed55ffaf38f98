"""The meaning of a container's exit code."""

from __future__ import annotations

EXIT_CODES = {
    0: "it ended as if its work were done; a service must go on running",
    1: "the application's own error, see its log",
    125: "the container runtime failed",
    126: "its command could not be executed",
    127: "its command was not found in the image",
    134: "SIGABRT: it aborted",
    137: "SIGKILL: out of memory, or killed after the stop timeout",
    139: "SIGSEGV: it crashed",
    143: "SIGTERM: it was asked to stop",
    255: "the command failed at once (a wrong CPU architecture ends so too)",
}
