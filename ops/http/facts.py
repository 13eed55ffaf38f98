"""The answer of an endpoint."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Answer:
    """The answer of a page or API path.

    `status` is 0 if there was no response; then `problem` is the reason, and `cause` the reason as
    a single word. `unexpected_status`: `problem` begins with the status and the expected one.
    """

    path: str
    status: int
    content_type: str
    took_s: float
    problem: str = ""
    cause: str = ""
    unexpected_status: bool = False

    @property
    def healthy(self) -> bool:
        return not self.problem
