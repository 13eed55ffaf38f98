"""`inv lock.status` and `lock.release` as an operator types them, with and without a terminal; moto
keeps the bucket.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import yaml

from ops.aws import session
from ops.state import lock
from ops.state.rules.lock import Holder
from tests import plain_aws
from tests.checkout import Checkout
from tests.factories import inv_command
from tests.terminal import typed

KEYS = {"access_key": "AKIATEST", "secret_key": "test"}
BUCKET = "dev-davidshaevel-terraform-state"


@dataclass
class Here:
    """A checkout whose environment is moto, and a lock in its bucket that somebody elsewhere
    holds.
    """

    checkout: Checkout
    cloud: session.AwsSession

    def locks(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.checkout.document("lock.status")["locks"]
        return found

    def typed(self, words: list[str], answer: str, *, ahead: str = "") -> tuple[int, str]:
        """`inv WORDS` at a terminal where `answer` is typed, and `ahead` before the question: exit
        code, and what stood on the screen.
        """
        command = inv_command(self.checkout.root, *words)
        keep = {key: os.environ[key] for key in ("PATH", "HOME") if key in os.environ}
        return typed(command, self.checkout.root, keep, answer, ahead=ahead)


@pytest.fixture(scope="module")
def place(new_checkout: Callable[[str], Checkout]) -> Iterator[Here]:
    for endpoint in plain_aws.served():
        checkout = new_checkout("locks")
        overlay = checkout.root / ".sandbox/environment.yaml"
        overlay.parent.mkdir()
        overlay.write_text(yaml.safe_dump({"aws": {"endpoint": endpoint, **KEYS}}))
        cloud = session.of_overlay(endpoint, KEYS["access_key"], KEYS["secret_key"], "us-east-1")
        cloud.client("s3").create_bucket(Bucket=BUCKET)
        yield Here(checkout, cloud)


@pytest.fixture
def here(place: Here) -> Here:
    """With the lock of the backend held from another machine."""
    at = lock.LockLocation(place.cloud, BUCKET, "ops/locks/sandbox/backend.json", "backend")
    them = Holder(
        "1",
        "ann",
        "laptop",
        "abc1234",
        "deploy abc1234",
        "2026-01-01T00:00:00+00:00",
        "elsewhere/1",
    )
    place.cloud.client("s3").put_object(
        Bucket=BUCKET, Key=at.key, Body=json.dumps(them.as_document())
    )
    return place


def test_a_held_lock_is_shown(here: Here) -> None:
    """Who, where, when, why, from which commit, how old the lock and its last heartbeat are, and
    when it expires.
    """
    (shown,) = here.locks()
    assert (shown["name"], shown["owner"], shown["host"], shown["commit"]) == (
        "backend",
        "ann",
        "laptop",
        "abc1234",
    )
    assert (
        shown["reason"] == "deploy abc1234"
        and shown["age_s"] > shown["heartbeat_s"]
        and shown["expires"]
        and not shown["expired"]
    )
    assert "deploy abc1234" in here.checkout.inv("lock.status").stdout


def test_without_a_terminal_it_is_refused(here: Here) -> None:
    """Nobody can type the name: exit 3, the lock stays, and `--yes` is named."""
    done = here.checkout.inv("lock.release", "--name", "backend")
    assert done.returncode == 3 and "--yes" in done.stderr, done.stderr
    assert [each["name"] for each in here.locks()] == ["backend"]
    freed = here.checkout.inv("lock.release", "--name", "backend", "--yes")
    assert freed.returncode == 0 and here.locks() == [], freed.stderr


def test_a_plan_frees_nothing(here: Here) -> None:
    """`--plan` prints the lock that would be freed, and asks nothing."""
    done = here.checkout.inv("lock.release", "--name", "backend", "--plan")
    assert done.returncode == 0 and "Free backend: " in done.stdout, done.stderr
    assert [each["name"] for each in here.locks()] == ["backend"]


@pytest.mark.parametrize(
    ("answer", "code", "left"), [("y", 3, ["backend"]), ("", 3, ["backend"]), ("backend", 0, [])]
)
def test_at_a_terminal_its_name_must_be_typed(
    here: Here, answer: str, code: int, left: list[str]
) -> None:
    """A yes, or nothing, is not its name."""
    ended, screen = here.typed(["lock.release", "--name", "backend"], answer)
    assert ended == code, screen
    assert "type backend to continue" in screen and "ann on laptop" in screen
    assert [each["name"] for each in here.locks()] == left


def test_what_was_typed_before_the_question_is_no_answer(here: Here) -> None:
    """Keys pressed while something else ran are discarded: here they would have freed the lock."""
    ended, screen = here.typed(["lock.release", "--name", "backend"], "no", ahead="backend\n")
    assert ended == 3 and "the answer was 'no'" in screen, screen
    assert [each["name"] for each in here.locks()] == ["backend"]


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [((), 2, "inv lock.release --name backend"), (("--name", "nobody"), 3, "held: backend")],
)
def test_which_lock_must_be_said(here: Here, words: tuple[str, ...], code: int, told: str) -> None:
    """No name is an argument that is missing (2); one that is not held is refused (3). Both say
    which are held.
    """
    done = here.checkout.inv("lock.release", *words, "--yes")
    assert done.returncode == code and told in done.stderr, done.stderr
    assert len(here.locks()) == 1
