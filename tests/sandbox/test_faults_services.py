"""The faults of services, network, state, logs and keys, done to a real sandbox's world and taken
back.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from ops.core.errors import Refused
from ops.sandbox import faults
from tests.sandbox.faults_support import Page, active, broken, clients, states, until_ill
from tests.waiting import until

CLUSTER = "dev-davidshaevel-cluster"
WELL = [("healthy", None)] * 2


@pytest.fixture
def root(unharmed: Path) -> Path:
    return unharmed


def service(root: Path, name: str) -> dict[str, Any]:
    found: dict[str, Any] = clients(root).ecs.describe_services(
        cluster=CLUSTER, services=[f"dev-davidshaevel-{name}"]
    )["services"][0]
    return found


def stopped(root: Path, name: str) -> list[dict[str, Any]]:
    """Containers of stopped tasks of the service's revision of now, with their task's stopCode."""
    ecs = clients(root).ecs
    arns = ecs.list_tasks(
        cluster=CLUSTER, serviceName=f"dev-davidshaevel-{name}", desiredStatus="STOPPED"
    )["taskArns"]
    tasks = ecs.describe_tasks(cluster=CLUSTER, tasks=arns)["tasks"]
    mine = [
        task for task in tasks if task["taskDefinitionArn"] == service(root, name)["taskDefinition"]
    ]
    return [
        {**container, "stopCode": task.get("stopCode")}
        for task in mine
        for container in task["containers"]
    ]


def log(root: Path, name: str) -> list[str]:
    events = clients(root).logs.filter_log_events(logGroupName=f"/ecs/dev-davidshaevel/{name}")[
        "events"
    ]
    return [event["message"] for event in events]


def newest(root: Path, name: str) -> str:
    """The family's newest ACTIVE revision."""
    found = clients(root).ecs.describe_task_definition(taskDefinition=f"dev-davidshaevel-{name}")[
        "taskDefinition"
    ]
    return str(found["taskDefinitionArn"])


def test_tasks_that_crash_and_tasks_of_another_cpu(root: Path) -> None:
    """Two services fail at once with their own exit codes and last words, the old tasks go on
    serving; mended, the old revision is back.
    """
    before = {name: service(root, name)["taskDefinition"] for name in ("backend", "frontend")}
    for name in ("tasks-crash", "wrong-architecture"):
        faults.send_request(root, "break", name)
    try:
        crashed, foreign = stopped(root, "backend"), stopped(root, "frontend")
        assert {(each["stopCode"], each["exitCode"]) for each in crashed} == {
            ("EssentialContainerExited", 1)
        }
        assert 255 in {each["exitCode"] for each in foreign}
        assert any("SESSION_STORE is not set" in line for line in log(root, "backend"))
        assert any("exec format error" in line for line in log(root, "frontend"))
        assert service(root, "backend")["taskDefinition"] not in before.values()
        assert Page(root, "/api/health").status == 200 and Page(root, "/health").status == 200
        with pytest.raises(
            Refused, match="tasks-crash is active and also changes the backend's task definition"
        ):
            faults.send_request(root, "break", "target-port")
    finally:
        mended = faults.send_request(root, "mend-all")
    assert [each["name"] for each in mended] == ["wrong-architecture", "tasks-crash"] and active(
        root
    ) == set()
    for name, revision in before.items():
        found = service(root, name)
        assert found["taskDefinition"] == revision == newest(root, name), (
            "the bad revision is not ACTIVE any more"
        )
        assert [each["rolloutState"] for each in found["deployments"]] == ["COMPLETED"] and found[
            "runningCount"
        ] == 2


def test_a_container_that_needs_more_memory_than_it_may_use(root: Path) -> None:
    """It ends with 137 and ECS's own words for it; a revision based on it has the fault too, and is
    mended by one without.
    """
    with broken(root, "out-of-memory"):
        killed = [each for each in stopped(root, "backend") if each.get("exitCode") == 137]
        assert killed[0]["reason"] == "OutOfMemoryError: Container killed due to memory usage"
        ecs = clients(root).ecs
        bad = ecs.describe_task_definition(taskDefinition=newest(root, "backend"))["taskDefinition"]
        kept = (
            "family",
            "networkMode",
            "cpu",
            "memory",
            "executionRoleArn",
            "requiresCompatibilities",
            "runtimePlatform",
        )
        containers = [
            {**each, "environment": [{"name": "NEW", "value": "1"}]}
            for each in bad["containerDefinitions"]
        ]
        based = ecs.register_task_definition(
            **{name: bad[name] for name in kept}, containerDefinitions=containers
        )
        revision = based["taskDefinition"]["taskDefinitionArn"]
        ecs.update_service(
            cluster=CLUSTER, service="dev-davidshaevel-backend", taskDefinition=revision
        )
        assert active(root) == {"out-of-memory"}
    [container] = ecs.describe_task_definition(taskDefinition=newest(root, "backend"))[
        "taskDefinition"
    ]["containerDefinitions"]
    assert "memory" not in container and container["environment"] == [{"name": "NEW", "value": "1"}]
    assert (
        service(root, "backend")["taskDefinition"] == newest(root, "backend")
        and states(root, "dev-backend-tg") == WELL
    )


def test_tasks_that_cannot_start(root: Path) -> None:
    """An image that nobody pushed, a secret that is not there: ECS says which, and the old tasks
    serve on.
    """
    for name, says in (
        ("image-missing", "CannotPullContainerError"),
        ("secret-missing", "can't find the specified secret"),
    ):
        with broken(root, name):
            ecs = clients(root).ecs
            arns = ecs.list_tasks(
                cluster=CLUSTER, serviceName="dev-davidshaevel-backend", desiredStatus="STOPPED"
            )["taskArns"]
            newest_stop = max(
                ecs.describe_tasks(cluster=CLUSTER, tasks=arns)["tasks"],
                key=lambda task: task["createdAt"],
            )
            assert (
                newest_stop["stopCode"] == "TaskFailedToStart"
                and says in newest_stop["stoppedReason"]
            )
            assert Page(root, "/api/health").status == 200
    assert states(root, "dev-backend-tg") == WELL


def test_an_application_that_listens_elsewhere(root: Path) -> None:
    """The new tasks' targets refuse connections on the registered port, and stay unhealthy."""
    with broken(root, "target-port"):
        until_ill(root, "dev-backend-tg", "Target.FailedHealthChecks")
        assert any('"port": 3999' in line for line in log(root, "backend"))
    assert states(root, "dev-backend-tg") == WELL


def test_a_wrong_health_path_and_a_closed_security_group(root: Path) -> None:
    """The group's path answers 404; then packets are dropped: the targets say which, and the site
    which of both it is.
    """
    elb = clients(root).elb
    with broken(root, "tasks-unhealthy"):
        assert (
            elb.describe_target_groups(Names=["dev-backend-tg"])["TargetGroups"][0][
                "HealthCheckPath"
            ]
            == "/healthz"
        )
        until_ill(root, "dev-backend-tg", "Target.ResponseCodeMismatch")
        assert states(root, "dev-frontend-tg") == WELL
    assert (
        elb.describe_target_groups(Names=["dev-backend-tg"])["TargetGroups"][0]["HealthCheckPath"]
        == "/api/health"
    )
    rules = ingress(root)
    with broken(root, "security-group"):
        until_ill(root, "dev-backend-tg", "Target.Timeout")
        assert Page(root, "/api/health").status == 504 and ingress(root) == []
    assert (
        ingress(root) == rules != []
        and states(root, "dev-backend-tg") == WELL
        and Page(root, "/api/health").status == 200
    )


def ingress(root: Path) -> list[Any]:
    groups = clients(root).ec2.describe_security_groups(
        Filters=[{"Name": "group-name", "Values": ["dev-davidshaevel-backend-sg"]}]
    )
    found: list[Any] = groups["SecurityGroups"][0]["IpPermissions"]
    return found


def test_a_lock_that_terraform_left(root: Path) -> None:
    """Terraform's own lock file lies beside the state, with an owner and an age; another lock is
    never overwritten.
    """
    s3, where = (
        clients(root).s3,
        {
            "Bucket": "dev-davidshaevel-terraform-state",
            "Key": "environments/dev/terraform.tfstate.tflock",
        },
    )
    with broken(root, "state-lock"):
        lock = json.loads(s3.get_object(**where)["Body"].read())
        assert (
            set(lock) == {"ID", "Operation", "Info", "Who", "Version", "Created", "Path"}
            and lock["Operation"] == "OperationTypeApply"
        )
    faults.send_request(root, "break", "state-lock")
    s3.delete_object(**where)
    assert active(root) == set(), "somebody unlocked it"
    s3.put_object(**where, Body=b'{"ID": "somebody"}')
    with pytest.raises(Refused, match="already"):
        faults.send_request(root, "break", "state-lock")
    assert active(root) == set()
    s3.delete_object(**where)


def test_errors_in_the_logs(root: Path) -> None:
    """Errors of one kind with other ids, and a warning; more come as long as it stands, and none is
    left afterwards.
    """

    def lines() -> list[str]:
        return [
            line
            for line in log(root, "backend")
            if "payments.example" in line or "connection pool" in line
        ]

    with broken(root, "log-errors"):
        first = lines()
        levels = [json.loads(line)["level"] for line in first]
        assert (
            levels.count("error") >= 5
            and levels.count("warn") == 1
            and len(set(first)) == len(first)
        )
        assert until(lambda: len(lines()) > len(first))
    assert lines() == []


def test_a_key_of_another_account(root: Path) -> None:
    """GetCallerIdentity names another account, in which nothing is found; the sandbox's own key
    sees what it saw.
    """
    with broken(root, "wrong-account"):
        theirs = clients(root)
        assert theirs.sts.get_caller_identity()["Account"] == "210987654321"
        with pytest.raises(ClientError, match="Cluster not found"):
            theirs.ecs.describe_services(cluster=CLUSTER, services=["dev-davidshaevel-backend"])
        assert [row["name"] for row in faults.faults(root) if row["active"]] == ["wrong-account"]
        assert Page(root, "/api/health").status == 200
    assert clients(root).sts.get_caller_identity()["Account"] == "123456789012"


def test_one_action_denied(root: Path) -> None:
    """DescribeTargetHealth is denied to the operator in IAM's words, and nothing else is."""
    arn = clients(root).elb.describe_target_groups(Names=["dev-backend-tg"])["TargetGroups"][0][
        "TargetGroupArn"
    ]
    with broken(root, "permission-denied"):
        with pytest.raises(ClientError) as denied:
            clients(root).elb.describe_target_health(TargetGroupArn=arn)
        assert denied.value.response["Error"]["Code"] == "AccessDenied"
        assert "is not authorized to perform: elasticloadbalancing:DescribeTargetHealth" in str(
            denied.value
        )
        assert (
            clients(root).elb.describe_load_balancers()["LoadBalancers"]
            and service(root, "backend")["status"] == "ACTIVE"
        )
    assert states(root, "dev-backend-tg") == WELL


def exec_enabled(root: Path) -> set[bool]:
    """Of the backend's service and of its tasks."""
    ecs, found = clients(root).ecs, service(root, "backend")
    arns = ecs.list_tasks(cluster=CLUSTER, serviceName="dev-davidshaevel-backend")["taskArns"]
    tasks = ecs.describe_tasks(cluster=CLUSTER, tasks=arns)["tasks"]
    return {each["enableExecuteCommand"] for each in (found, *tasks)}


def test_a_service_without_ecs_exec(root: Path) -> None:
    """Neither the service nor any task accepts ECS Exec, and all work; mended, all accept it."""
    with broken(root, "exec-disabled"):
        assert exec_enabled(root) == {False}
        assert states(root, "dev-backend-tg") == WELL
    assert exec_enabled(root) == {True}
    assert not active(root)
