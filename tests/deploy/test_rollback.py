"""Rollbacks on the sandbox: after deploys, after a failed one, stopped, killed, refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.checkout import Checkout
from tests.deploy import deploying as world
from tests.deploy.deploying import REGISTERED

pytestmark = [pytest.mark.xdist_group("platform"), pytest.mark.timeout(240)]
REPOSITORY = "davidshaevel/backend"
SLOW = "import time\n\ntime.sleep(25)\n"
CONTRACT = '''"""Drop what old code reads: contract."""

revision = "{new}"
down_revision = "{old}"
phase = "contract"


def upgrade() -> None:
    pass


def downgrade() -> None:
    pass
'''


def deployed(platform: Checkout, note: str) -> str:
    """Commit and deploy the backend; the tag."""
    tag = world.commit(platform, {"backend/NOTE": note}, f"Rollback: {note}")
    done = platform.document("backend.deploy")
    assert done["verdict"] == "succeeded", done
    return tag


def rolled_back(platform: Checkout, *words: str) -> dict[str, Any]:
    done = platform.document("backend.rollback", *words)
    assert done["verdict"] == "succeeded", done
    return done


def verbs(document: dict[str, Any]) -> list[str]:
    return [step["name"] for step in document["steps"]]


def revision(platform: Checkout) -> str:
    return str(world.service(platform)["taskDefinition"]).rsplit("/", 1)[1]


def newest(platform: Checkout) -> dict[str, Any]:
    return dict(platform.document("backend.releases")["releases"][0])


def test_after_two_deploys_to_the_first_one_s_own_revision(platform: Checkout) -> None:
    """--plan shows the differences and changes nothing; nothing is registered; no request fails."""
    first, runs = deployed(platform, "first"), revision(platform)
    second, latest = deployed(platform, "second"), world.newest_revision(platform)
    plan = platform.document("backend.rollback", "--plan")
    assert [step["verb"] for step in plan["plan"]] == ["update", "watch", "prove"]
    (change,) = plan["task_definition"]["changes"]
    assert change["what"] == "backend image"
    assert change["before"].endswith(second) and change["after"].endswith(first)
    assert world.version(platform) == second
    with world.client(world.overlay(platform)["site"]) as client:
        done = rolled_back(platform)
    assert client.failed == []
    assert (world.version(platform), revision(platform), done["tag"]) == (first, runs, first)
    assert world.newest_revision(platform) == latest and verbs(done) == ["update", "watch", "prove"]
    assert done["task_definition_changes"] == [change]
    row = newest(platform)
    assert (row["tag"], row["verdict"], row["current"]) == (first, "succeeded", True)
    assert row["commit"].startswith(first)
    assert platform.document("lock.status")["locks"] == []


def test_a_second_rollback_goes_one_release_further_back(platform: Checkout) -> None:
    """Not to the one that the first left; `releases` names the target of the next, each time."""
    oldest, middle, latest = (deployed(platform, note) for note in ("oldest", "middle", "latest"))
    assert platform.document("backend.releases")["rollback"]["to"] == middle
    assert rolled_back(platform)["tag"] == middle
    listed = platform.inv("backend.releases").stdout
    assert listed.splitlines()[-1] == f"inv backend.rollback goes to {oldest}"
    assert rolled_back(platform)["tag"] == oldest
    assert platform.document("backend.releases")["rollback"]["to"] not in (middle, latest)
    assert rolled_back(platform, "--to", latest)["tag"] == latest
    assert platform.document("backend.releases")["rollback"]["to"] == oldest


def test_a_failed_rollback_is_undone(platform: Checkout) -> None:
    """To a release that never started: exit 4, back on what ran, no failed request, recorded."""
    runs = deployed(platform, "stays")
    crashes = world.commit(platform, {"backend/server.py": world.CRASH}, "Rollback: never starts")
    failed = platform.inv("backend.deploy", "--skip", "tests")
    world.revert(platform)
    assert failed.returncode == 4, failed.stderr
    with world.client(world.overlay(platform)["site"]) as client:
        done = platform.inv("backend.rollback", "--to", crashes)
    assert done.returncode == 4, done.stderr
    assert client.failed == [] and world.version(platform) == runs
    row = newest(platform)
    assert (row["kind"], row["tag"], row["verdict"]) == ("rollback", crashes, "rolled_back")
    assert platform.document("lock.status")["locks"] == []


def test_secrets_of_the_old_revision_are_checked_before_anything_moves(platform: Checkout) -> None:
    """One of them was deleted since: refused with its name, though the running revision is fine."""
    deployed(platform, "before the secret")
    old, other = revision(platform), with_other_secret(platform)
    latest = deployed(platform, "after the secret")
    world.aws(platform, "secretsmanager").delete_secret(
        SecretId=other, ForceDeleteWithoutRecovery=True
    )
    refused = platform.inv("backend.rollback", "--to", str(int(old.rpartition(":")[2]) + 1))
    assert refused.returncode == 3, refused.stderr
    assert "✗ refuse   secrets" in refused.stderr and "sandbox-other" in refused.stderr
    assert world.version(platform) == latest
    done = rolled_back(platform, "--to", old)
    assert done["verdict"] == "succeeded"


def with_other_secret(platform: Checkout) -> str:
    """Register a revision that reads a secret of its own, which is not rolled out; its ARN."""
    ecs = world.aws(platform, "ecs")
    made = world.aws(platform, "secretsmanager").create_secret(
        Name="sandbox-other", SecretString='{"key": "value"}'
    )
    base = world.service(platform)["taskDefinition"]
    found = ecs.describe_task_definition(taskDefinition=base)["taskDefinition"]
    request = {name: found[name] for name in REGISTERED if name in found}
    (container,) = request["containerDefinitions"]
    container["secrets"] = [{"name": "OTHER", "valueFrom": f"{made['ARN']}:key::"}]
    ecs.register_task_definition(**request)
    return str(made["ARN"])


def test_after_a_failed_deploy_that_was_left_in_place(platform: Checkout) -> None:
    good = deployed(platform, "before the crash")
    world.commit(platform, {"backend/server.py": world.CRASH}, "Rollback: crashes")
    failed = platform.inv("backend.deploy", "--no-rollback", "--skip", "tests")
    assert failed.returncode in (1, 4), failed.stderr
    rolled_back(platform)
    assert world.version(platform) == good
    world.revert(platform)


def test_a_deployment_in_flight_is_stopped_by_ecs(platform: Checkout) -> None:
    """A deploy was killed while its tasks start slowly."""
    good, runs = deployed(platform, "before the slow one"), revision(platform)
    server = (world.source(platform) / "backend/server.py").read_text()
    world.commit(platform, {"backend/server.py": SLOW + server}, "Rollback: starts slowly")
    process = world.start(platform, "backend.deploy", "--skip", "tests")
    world.read_until(process, "deployment ecs-svc/")
    process.kill()
    process.communicate()
    done = rolled_back(platform)
    assert verbs(done) == ["stop", "watch", "prove"]
    assert (world.version(platform), revision(platform)) == (good, runs)
    world.revert(platform)


def test_killed_in_the_middle_it_goes_to_the_same_release_again(platform: Checkout) -> None:
    first, second = deployed(platform, "to be kept"), deployed(platform, "to be left")
    assert first != second
    process = world.start(platform, "backend.rollback")
    world.read_until(process, "deployment ecs-svc/")
    process.kill()
    process.communicate()
    done = rolled_back(platform)
    assert (done["tag"], world.version(platform)) == (first, first)
    assert "update" in verbs(done) or verbs(done) == ["prove"]
    assert newest(platform)["tag"] == first


def test_of_two_rollbacks_at_once_one_runs(platform: Checkout) -> None:
    first, second = deployed(platform, "one"), deployed(platform, "two")
    both = [world.start(platform, "backend.rollback", "--json") for _ in range(2)]
    ended = [(each.communicate(timeout=200)[0], each.returncode) for each in both]
    assert sorted(code for _, code in ended) == [0, 3], ended
    refused = next(json.loads(out) for out, code in ended if code == 3)
    assert refused["verdict"] == "refused" and f"rollback {first}" in refused["error"]["why"]
    assert world.version(platform) == first != second


def test_an_image_that_is_gone_is_passed_over_and_refused_by_name(platform: Checkout) -> None:
    older, gone, runs = (deployed(platform, note) for note in ("older", "gone", "runs"))
    ecr = world.aws(platform, "ecr")
    answer = ecr.batch_delete_image(repositoryName=REPOSITORY, imageIds=[{"imageTag": gone}])
    assert answer["failures"] == []
    named = platform.inv("backend.rollback", "--to", gone)
    assert named.returncode == 3 and f"the image of {gone}" in named.stderr, named.stderr
    assert "no longer in ECR" in named.stderr and "next: " in named.stderr
    assert world.version(platform) == runs
    done = rolled_back(platform, "--image-only")
    assert (done["tag"], world.version(platform)) == (older, older)
    assert verbs(done) == ["register", "update", "watch", "prove"]


@pytest.mark.parametrize("to", ["nosuchtag", "999999", "-x y", ""])
def test_an_unknown_release_is_an_error_of_three_lines(platform: Checkout, to: str) -> None:
    before = world.service(platform)["deployments"]
    done = platform.inv("backend.rollback", f"--to={to}")
    assert done.returncode == 2, done.stderr
    lines = done.stderr.splitlines()[-3:]
    assert [line.split(":")[0].strip() for line in lines] == ["error", "why", "next"], lines
    assert world.service(platform)["deployments"] == before


@contextmanager
def contract_revision(platform: Checkout) -> Iterator[None]:
    """A contract revision is applied after the last release."""
    folder = platform.root / "alembic" / "versions"
    at = platform.document("db.current")
    path = Path(folder / "9001_contract.py")
    path.write_text(CONTRACT.format(new="9001", old=at["head"]))
    try:
        assert platform.inv("db.upgrade", "--yes").returncode == 0
        yield
        down = platform.inv("db.downgrade", "--to", str(at["revision"]), "--yes")
        assert down.returncode == 0, down.stderr
    finally:
        path.unlink()


def test_a_contract_revision_stops_it_unless_schema_is_skipped(platform: Checkout) -> None:
    first, second = deployed(platform, "old schema"), deployed(platform, "old schema too")
    with contract_revision(platform):
        stopped = platform.inv("backend.rollback", "--yes")
        assert stopped.returncode == 3, stopped.stderr
        assert "db.downgrade --to" in stopped.stderr.splitlines()[-1]
        assert world.version(platform) == second
        done = rolled_back(platform, "--skip", "schema")
        assert (done["skipped"], world.version(platform)) == (["schema"], first)


def test_the_differences_of_two_releases(platform: Checkout) -> None:
    one, other = deployed(platform, "compared"), deployed(platform, "compared with")
    found = platform.document("backend.releases", "--diff", one, other)
    assert found["commits"] == {"added": [f"{other} Rollback: compared with"], "removed": []}
    assert found["image_changed"] is True and found["schema_changed"] is False
    assert [each["what"] for each in found["task_definition"]] == ["backend image"]
    (newest_one,) = platform.document("backend.releases", "--limit", "1")["releases"]
    assert newest_one["tag"] == other
    for words in (("--diff", one, "nosuchtag"), ("--verdict", "good")):
        done = platform.inv("backend.releases", *words)
        assert done.returncode == 2 and "next: " in done.stderr, done.stderr
