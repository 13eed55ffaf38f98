"""A plan on a terminal, and where there is none: what hurts stands out."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.terminal import typed

ROOT = Path(__file__).parents[2]
RED, SHOW = (
    "\x1b[1;31m",
    """
from ops.terraform.render import print_plan
from ops.terraform.rules.plan_diff import changes
from tests.terraform.terraform_plans import definitions, parsed, resource, revision, service, uri
gone = resource("aws_lb.main", ["delete"], {"name": "alb"}, None)
odd = resource("aws_lb.\x1b[2Jodd", ["explode"], {"name": "a"}, {"name": "b"})
moved = revision(definitions(uri("abc")), definitions(uri("def")))
print_plan(changes(parsed(gone, odd, moved, service())), ())
""",
)
ENVIRONMENT = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "TERM": "xterm-256color"}


def test_on_a_terminal_what_alarms_is_red_and_nothing_else(tmp_path: Path) -> None:
    """Destroys and what is not known, bold and red; a deploy's own two rows are plain, and no name
    moves the cursor.
    """
    code, screen = typed([sys.executable, "-c", SHOW], tmp_path, ENVIRONMENT)
    assert code == 0, screen
    lines = [line for line in screen.splitlines() if " aws_" in line]
    assert [RED in line for line in lines] == [True, True, False, False], screen
    assert (
        "UNKNOWN" in lines[0] and "DESTROYS aws_lb.main" in lines[1] and "new revision" in lines[2]
    )
    assert "\x1b[2J" not in screen and "\\x1b[2Jodd" in screen


def test_without_a_terminal_the_same_rows_have_capitals(tmp_path: Path) -> None:
    """In a log there are no colours: not one escape sequence, and the same words."""
    done = subprocess.run(
        [sys.executable, "-c", SHOW],
        cwd=tmp_path,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "\x1b" not in done.stderr and done.stdout == ""
    assert (
        "DESTROYS aws_lb.main" in done.stderr
        and "UNKNOWN" in done.stderr
        and "REPLACES" not in done.stderr
    )


ASK = """
from ops.core.errors import Refused
from ops.terraform.apply import confirm_destructive
from ops.terraform.rules.plan_diff import changes
from tests.terraform.terraform_plans import parsed, resource
gone = resource("aws_iam_role.old", ["delete"], {"name": "old"}, None)
try:
    confirm_destructive(changes(parsed(gone)), ())
    print("went on")
except Refused as refused:
    print(refused.next)
"""


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ("aws_iam_role.old", "went on"),
        ("y", "type aws_iam_role.old, or add --allow-destroy aws_iam_role.old"),
        ("", "type aws_iam_role.old, or add --allow-destroy aws_iam_role.old"),
    ],
)
def test_a_destroy_wants_its_address_typed(tmp_path: Path, answer: str, says: str) -> None:
    """On a terminal the address itself is the answer; a "y" is not."""
    code, screen = typed([sys.executable, "-c", ASK], tmp_path, ENVIRONMENT, answer)
    assert code == 0 and "DESTROYS aws_iam_role.old" in screen and says in screen, screen
