"""`inv db.*` as it is typed, on the sandbox."""

from __future__ import annotations

import json

from tests.conftest import Checkout


def test_forward_back_and_forward_on_one_line(platform: Checkout) -> None:
    """Four tasks are four runs; each document is the contract's; the password is in none of what is printed or kept."""
    done = platform.inv("db.upgrade", "--json", "db.downgrade", "--yes", "--json", "db.current", "--json", "db.upgrade", "--json")
    assert done.returncode == 0, done.stderr
    first, back, current, again = (json.loads(line) for line in done.stdout.splitlines())
    assert first["applied"] == [] and first["mode"] == back["mode"] == "local"
    assert (back["from"], back["to"], [each["revision"] for each in back["applied"]]) == ("0002", "0001", ["0002"])
    assert current == {"revision": "0001", "head": "0002", "pending": ["0002"], "drift": [], "drift_unknown": None}
    assert (again["from"], again["to"]) == ("0001", "0002") and again["run"] not in (first["run"], back["run"])
    runs = platform.document("db.history")["runs"]
    assert [(run["verb"], run["result"]) for run in runs[:2]] == [("db.upgrade", "done"), ("db.downgrade", "done")]
    assert runs[0]["began_at"].endswith("+00:00")
    kept = json.loads((platform.root / ".sandbox" / "postgres" / "credentials.json").read_text())
    assert kept["application"] not in done.stdout + done.stderr + json.dumps(runs)


def test_a_row_that_would_be_lost_is_asked_about(platform: Checkout) -> None:
    """Without a terminal and without --yes: exit 3, what would be lost, and nothing is done."""
    done = platform.inv("db.downgrade")
    assert done.returncode == 3 and "--yes" in done.stderr and ": 1 row\n" in done.stderr
    assert platform.document("db.current")["revision"] == "0002"


def test_the_projects_own_revisions_go_there_and_back(platform: Checkout) -> None:
    """db.verify passes for each of them, on a database of its own."""
    found = platform.document("db.verify")
    assert found["verified"] and [each["revision"] for each in found["revisions"]] == ["0001", "0002"]
    assert platform.document("db.ping")["reachable"] is True


def test_where_nothing_can_be_done_three_lines_say_so(platform: Checkout) -> None:
    """An unknown revision, a database that is not reached from here, a revision without a message: exit 2."""
    for words, environment, says in (
        (("db.upgrade", "--to", "nope"), {}, "revision nope"),
        (("db.current",), {"INVOKE_ENV": "dev"}, "environments.dev.database.run is remote"),
        (("db.revision",), {}, "says what it does"),
    ):
        done = platform.inv(*words, **environment)
        assert done.returncode == 2 and says in done.stderr and " next: " in done.stderr and "Traceback" not in done.stderr
