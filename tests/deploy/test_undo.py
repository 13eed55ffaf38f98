"""What must never happen: a healthy service taken back, somebody else's deployment overwritten, an
undo lost with its reader.
"""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import time

import pytest

from tests.checkout import Checkout
from tests.deploy import aws_answers
from tests.deploy import deploying as world
from tests.factories import inv_command

pytestmark = [pytest.mark.xdist_group("platform"), pytest.mark.timeout(240)]
NAMES = {"cluster": "dev-davidshaevel-cluster", "service": "dev-davidshaevel-backend"}


def test_a_reader_that_goes_away_changes_nothing(platform: Checkout) -> None:
    """`inv backend.deploy 2>&1 | head -1`: the deploy goes on, and its exit code is its verdict."""
    tag = world.commit(platform, {"backend/NOTE": "unread"}, "Nobody reads along")
    command = f"{sys.executable} -m invoke --search-root '{platform.root}' backend.deploy"
    environment = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/")}
    script = f"set -o pipefail; {command} 2>&1 | head -1"
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=platform.root,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert world.version(platform) == tag


def test_a_terminal_that_is_gone_is_as_ctrl_c(platform: Checkout) -> None:
    """The terminal hangs up in the middle: the service goes back, watched, and the record says
    "interrupted".
    """
    world.commit(platform, {"backend/NOTE": "hung up"}, "The terminal hangs up")
    old = world.service(platform)["taskDefinition"]
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(platform.root)
        os.execv(
            sys.executable,
            inv_command(platform.root, "backend.deploy"),
        )
    said = b""
    while b"deployment ecs-svc/" not in said:
        said += os.read(terminal, 65536)
    os.close(terminal)  # the kernel sends SIGHUP, and every later write fails
    end = time.monotonic() + 120
    while os.waitpid(pid, os.WNOHANG) == (0, 0):
        assert time.monotonic() < end
        time.sleep(0.2)
    assert world.service(platform)["taskDefinition"] == old
    assert platform.document("backend.releases")["releases"][0]["verdict"] == "interrupted"
    assert platform.document("lock.status") == {"locks": []}


def test_somebody_elses_newer_deployment_is_not_taken_back(platform: Checkout) -> None:
    """Ours is interrupted after another one took over: theirs stays, and that is said."""
    theirs = world.service(platform)["taskDefinition"]
    ecs = world.aws(platform, "ecs")
    document = ecs.describe_task_definition(taskDefinition=theirs)["taskDefinition"]
    kept = (
        "family",
        "networkMode",
        "containerDefinitions",
        "requiresCompatibilities",
        "cpu",
        "memory",
        "executionRoleArn",
        "taskRoleArn",
    )
    newer = ecs.register_task_definition(**{key: document[key] for key in kept if key in document})[
        "taskDefinition"
    ]["taskDefinitionArn"]
    world.commit(platform, {"backend/NOTE": "overtaken"}, "To be overtaken")
    process = world.start(platform, "backend.deploy", "--json", "--yes")
    world.read_until(process, "deployment ecs-svc/")
    ecs.update_service(**NAMES, taskDefinition=newer)
    process.send_signal(signal.SIGINT)
    out, said = process.communicate(timeout=120)
    assert process.returncode in (5, 130), out + said
    assert world.service(platform)["taskDefinition"] == newer
    if process.returncode == 130:
        assert "and not ours" in out


def denied(real: aws_answers.Answer) -> aws_answers.Answer:
    why = "User: arn:aws:iam::1:user/x is not authorized to perform: ecs:ListTasks"
    return 400, {"__type": "AccessDeniedException", "message": why}


def test_what_cannot_be_looked_at_is_no_reason_to_go_back(platform: Checkout) -> None:
    """ecs:ListTasks is denied at the end: the healthy rollout stays, "unproven", exit 1."""
    tag = world.commit(platform, {"backend/NOTE": "unproven"}, "Cannot be proved")
    with aws_answers.before_aws(platform, {"ListTasks": denied}) as closed:
        process = world.start(platform, "backend.deploy", "--json")
        world.read_until(process, "deployment ecs-svc/")
        closed.set()
        out, said = process.communicate(timeout=150)
    assert process.returncode == 1, out + said
    assert '"unproven"' in out and "ecs:ListTasks" in out
    assert world.version(platform) == tag


def test_a_rollout_that_recovered_is_not_judged_by_its_old_stops(platform: Checkout) -> None:
    """Kept with --no-rollback, recovered since: the next run watches it to its end and proves
    it.
    """
    flag = platform.root / "healthy-now"
    server = (world.source(platform) / "backend/server.py").read_text()
    guard = (
        f"import os as _os\nif not _os.path.exists({str(flag)!r}):\n    raise SystemExit('not "
        f"yet')\n"
    )
    tag = world.commit(platform, {"backend/server.py": guard + server}, "Healthy only later")
    assert platform.inv("backend.deploy", "--no-rollback", "--skip", "tests").returncode == 1
    flag.write_text("")
    end = time.monotonic() + 90
    while world.service(platform)["deployments"][0]["runningCount"] < 2:
        assert time.monotonic() < end
        time.sleep(0.3)
    done = platform.document("backend.deploy", "--skip", "tests")
    world.revert(platform)
    assert done["verdict"] == "succeeded" and done["tag"] == tag, done


def test_follow_shows_the_new_tasks_logs(platform: Checkout) -> None:
    """`--follow` adds what the new tasks log."""
    world.commit(platform, {"backend/NOTE": "followed"}, "To be followed")
    done = platform.inv("backend.deploy", "--follow")
    assert done.returncode == 0, done.stderr
    assert '"message"' in done.stderr.split("deployment ecs-svc/", 1)[1]


def test_a_refusal_is_a_verdict_too(platform: Checkout) -> None:
    """`--json` of a refused deploy carries the verdict and the three parts of the error."""
    done = platform.document("backend.deploy", "--tag", "never-pushed")
    assert done["verdict"] == "refused" and done["error"]["what"] and done["service"] == "backend"


def test_an_undo_to_a_deregistered_revision_registers_its_content_again(
    platform: Checkout,
) -> None:
    """Deregistered while the deploy is under way: ECS refuses it, and the service must not go on
    crashing.
    """
    ecs, old = world.aws(platform, "ecs"), str(world.service(platform)["taskDefinition"])
    image = image_of(platform, old)
    world.commit(platform, {"backend/server.py": world.CRASH, "backend/NOTE": "inactive"}, "Crash")
    process = world.start(platform, "backend.deploy", "--json", "--yes", "--skip", "tests")
    world.read_until(process, "deployment ecs-svc/")
    ecs.deregister_task_definition(taskDefinition=old)
    out, said = process.communicate(timeout=150)
    world.revert(platform)
    now = str(world.service(platform)["taskDefinition"])
    assert process.returncode == 4, out + said
    assert now != old and image_of(platform, now) == image
    assert f"{old.rsplit('/', 1)[-1]} is INACTIVE; {now.rsplit('/', 1)[-1]} is a copy" in said


def image_of(platform: Checkout, revision: str) -> str:
    """The image of a revision's container `backend`."""
    described = world.aws(platform, "ecs").describe_task_definition(taskDefinition=revision)
    containers = described["taskDefinition"]["containerDefinitions"]
    return str(next(each["image"] for each in containers if each["name"] == "backend"))
