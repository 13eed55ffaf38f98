"""What an endpoint answered."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Answer:
    """One page or API path as it answered: `status` 0 when nothing answered, and then `problem`
    says why, `cause` in one word.
    """

    path: str
    status: int
    content_type: str
    took_s: float
    problem: str = ""
    cause: str = ""

    @property
    def healthy(self) -> bool:
        return not self.problem
