"""The meaning of a container's exit code."""

from __future__ import annotations

EXIT_CODES = {
    0: "it exited successfully, but a service must keep running",
    1: "the application's own error, see its log",
    125: "the container runtime failed",
    126: "its command could not be executed",
    127: "its command was not found in the image",
    134: "SIGABRT: it aborted",
    137: "SIGKILL: out of memory, or killed after the stop timeout",
    139: "SIGSEGV: it crashed",
    143: "SIGTERM: it was stopped from outside",
    255: "the command failed at once (also typical of a wrong CPU architecture)",
}
