"""Terraform's own lock with a real terraform, on moto: held, waited for, left behind by a kill,
taken away.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from ops.core.errors import Refused
from ops.terraform import state_locks
from ops.terraform.errors import LockHeld
from ops.terraform.plan import plan_as_running
from ops.terraform.workspace import ensure_initialised
from tests.real.terraform_ground import MAIN, Ground, apply_saved
from tests.terminal import typed
from tests.waiting import until

KEY = "dev/terraform.tfstate.tflock"
SLOW = (
    MAIN
    + """
resource "terraform_data" "slow" {
  input = var.image
  provisioner "local-exec" {
    command = "echo begun > .terraform/begun; sleep 8"
  }
}
"""
)
DYNAMO = (
    'bucket = "states"\nkey = "dev/terraform.tfstate"\nregion = "us-east-1"\ndynamodb_table = '
    '"locks"\n'
)
APPLY = """
import sys
from pathlib import Path
from ops.tasks.shared import signals_raised
from tests.real.terraform_ground import Ground, apply_saved
with signals_raised():
    apply_saved(Ground(Path(sys.argv[1]), sys.argv[2]).place(), yes=True)
"""

UNLOCK = """
import sys
from pathlib import Path
from ops.core.errors import Refused
from ops.terraform import state_locks
from tests.real.terraform_ground import Ground
try:
    state_locks.unlock(Ground(Path(sys.argv[1]), sys.argv[2]).place(), None)
except Refused as refused:
    sys.exit(str(refused))
"""


@pytest.fixture
def ground(
    require: Any, moto_address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Ground:
    require("terraform")
    monkeypatch.delenv("TF_CLI_CONFIG_FILE", raising=False)
    return Ground.fresh(tmp_path, moto_address, MAIN)


def lock(ground: Ground, who: str = "ana@laptop", created: str = "2020-01-02T11:00:00.5Z") -> str:
    """Somebody else's lock, as the S3 backend writes it; its id."""
    info = {
        "ID": "8f3c2a7e-0000-1111-2222-333344445555",
        "Operation": "OperationTypeApply",
        "Info": "",
        "Who": who,
        "Version": "1.11.4",
        "Created": created,
        "Path": "states/dev/terraform.tfstate",
    }
    ground.client("s3").put_object(Bucket="states", Key=KEY, Body=json.dumps(info))
    return info["ID"]


def applying(ground: Ground) -> tuple[subprocess.Popen[str], int]:
    """`tf.apply` in a process of its own, in the middle of a slow step; it and its terraform's
    pid.
    """
    ground.write(main=SLOW)
    plan_as_running(ground.place())
    command = [sys.executable, "-c", APPLY, str(ground.root), ground.endpoint]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    running = subprocess.Popen(
        command, env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    until((ground.directory / ".terraform" / "begun").exists)
    listed = subprocess.run(
        ["ps", "-A", "-ww", "-o", "pid=,ppid=,args="], capture_output=True, text=True, check=True
    ).stdout
    found = [line.split(None, 2) for line in listed.splitlines()]
    return running, next(
        int(pid)
        for pid, parent, words in found
        if parent == str(running.pid) and words.startswith("terraform apply")
    )


def test_a_held_lock_names_its_owner(ground: Ground) -> None:
    """Exit code 3, who holds it, for how long, and what to type; `tf.locks` says the same as
    JSON.
    """
    place = ground.place()
    identifier = lock(ground)
    with pytest.raises(LockHeld) as found:
        plan_as_running(place)
    assert (
        found.value.exit_code == 3
        and "ana@laptop holds it for" in found.value.why
        and "inv tf.unlock" in found.value.next
    )
    (held,) = state_locks.workspace_locks(place)
    document = held.as_document(datetime.now(UTC))
    assert (document["id"], document["owner"], document["reason"], document["store"]) == (
        identifier,
        "ana@laptop",
        "apply",
        "s3",
    )


def test_a_held_lock_is_seen_before_terraform_was_ever_initialised(ground: Ground) -> None:
    """`tf.locks` needs no init, and so no provider: who looks for a lock often has neither."""
    lock(ground)
    (held,) = state_locks.workspace_locks(ground.place())
    assert held.who == "ana@laptop" and not (ground.directory / ".terraform").exists()


def test_wait_outlasts_a_held_lock(ground: Ground, capsys: pytest.CaptureFixture[str]) -> None:
    """`--lock-wait`: the owner is named, and the plan is made as soon as the lock is gone."""
    lock(ground)
    place = ground.place()
    threading.Timer(
        3.0, lambda: ground.client("s3").delete_object(Bucket="states", Key=KEY)
    ).start()
    assert plan_as_running(place, wait_s=40).changes
    assert "waiting up to 40.0 s for the state's lock: ana@laptop" in capsys.readouterr().err


def test_an_old_lock_of_nobody_here_still_wants_somebody_who_looked(ground: Ground) -> None:
    """Without a terminal only its typed id takes it away; another id does not."""
    identifier = lock(ground)
    place = ground.place()
    for named, says in (
        (None, "removing the lock of ana@laptop"),
        ("another-id", "there is no lock another-id"),
    ):
        with pytest.raises(Refused, match=says) as found:
            state_locks.unlock(place, named)
        assert f"inv tf.unlock --id {identifier}" in found.value.next
    assert state_locks.unlock(place, identifier).document["unlocked"]["id"] == identifier
    assert state_locks.workspace_locks(place) == ()
    assert plan_as_running(place).changes
    with pytest.raises(Refused, match="the state is not locked"):
        state_locks.unlock(place, identifier)


@pytest.mark.parametrize(
    ("created", "question", "no", "yes"),
    [
        ("2020-01-02T11:00:00.5Z", "continue? [y/N]", "", "y"),
        (
            datetime.now(UTC).isoformat(),
            "type 8f3c2a7e-0000-1111-2222-333344445555 to continue",
            "y",
            "8f3c2a7e-0000-1111-2222-333344445555",
        ),
    ],
    ids=["old", "young"],
)
def test_at_a_terminal_it_is_asked(
    ground: Ground, created: str, question: str, no: str, yes: str
) -> None:
    """An old lock of nobody here by a yes, which is not the default; a young one by its whole id,
    and a yes is not that.
    """
    lock(ground, created=created)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-c", UNLOCK, str(ground.root), ground.endpoint]
    code, screen = typed(command, ground.root, environment, no)
    assert code == 1 and question in screen and "error: removing the lock of ana@laptop" in screen
    assert len(state_locks.workspace_locks(ground.place())) == 1
    code, screen = typed(command, ground.root, environment, yes)
    assert code == 0 and state_locks.workspace_locks(ground.place()) == (), screen


def test_a_lock_in_dynamodb_is_taken_away_the_same_way(ground: Ground) -> None:
    """The runbook's kind of lock."""
    client = ground.client("dynamodb")
    client.create_table(
        TableName="locks",
        BillingMode="PAY_PER_REQUEST",
        KeySchema=[{"AttributeName": "LockID", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "LockID", "AttributeType": "S"}],
    )
    (ground.directory / "backend-config.tfvars").write_text(DYNAMO)
    ground.commit()
    place = ground.place()
    ensure_initialised(place)
    info = {
        "ID": "11112222-0000",
        "Operation": "OperationTypePlan",
        "Who": "ben@desk",
        "Version": "1.9.0",
        "Created": "2020-01-02T11:00:00Z",
        "Path": "states/dev/terraform.tfstate",
    }
    client.put_item(
        TableName="locks",
        Item={"LockID": {"S": "states/dev/terraform.tfstate"}, "Info": {"S": json.dumps(info)}},
    )
    with pytest.raises(LockHeld, match="ben@desk"):
        plan_as_running(place)
    assert state_locks.unlock(place, "11112222-0000").document["unlocked"]["store"] == "dynamodb"
    assert plan_as_running(place).changes


def test_a_kill_in_the_middle_leaves_a_lock_and_the_next_run_says_whose(ground: Ground) -> None:
    """kill -9 of an apply: the next plan names user and host; the lock is young, so its id must be
    typed; then the apply goes on.
    """
    running, pid = applying(ground)
    os.killpg(pid, signal.SIGKILL)
    running.communicate(timeout=30)
    place = ground.place()
    with pytest.raises(LockHeld, match=f"@{socket.gethostname()}"):
        plan_as_running(place)
    (held,) = state_locks.workspace_locks(place)
    with pytest.raises(Refused, match="removing") as found:
        state_locks.unlock(place, None)
    assert "ago" in found.value.why
    state_locks.unlock(place, held.id)
    plan_as_running(place)
    apply_saved(place, yes=True)
    assert plan_as_running(place).changes == ()


def test_a_living_owner_on_this_host_is_seen(ground: Ground) -> None:
    """While the apply runs, unlocking is refused with its process id."""
    running, pid = applying(ground)
    try:
        with pytest.raises(Refused) as found:
            state_locks.unlock(ground.place(), None)
        assert f"pid {pid}" in found.value.why
    finally:
        running.send_signal(signal.SIGINT)
        running.communicate(timeout=60)


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_an_interrupt_in_the_middle_leaves_no_lock(ground: Ground, name: str) -> None:
    """Ctrl-C, SIGTERM or a lost terminal: Terraform ends its step, writes the state and frees the
    lock before we end.
    """
    running, pid = applying(ground)
    running.send_signal(getattr(signal, name))
    errors = running.communicate(timeout=60)[1]
    assert "waiting for Terraform" in errors
    assert not Path(f"/proc/{pid}").exists()
    place = ground.place()
    assert state_locks.workspace_locks(place) == ()
    assert {row.action for row in plan_as_running(place).changes} <= {"create", "replace"}
