"""What an operator reads when tasks fail: stop codes, reasons, exit codes, target health and
events, in ECS's words.
"""

import json
import os
import signal

import pytest

from ops.sandbox.agent import Agent
from ops.sandbox.aws import serve
from tests.sandbox.aws_platform import (
    CRASH,
    QUICK,
    SLEEP,
    Platform,
    ProcessRuntime,
    agent_at_work,
    ports,
)
from tests.sandbox.visitor import visiting
from tests.waiting import until


@pytest.fixture
def platform():
    with agent_at_work() as made:
        yield made


def first_stopped(platform, arn=None):
    """The first task that has stopped; of one that is named, when it has."""
    return until(
        lambda: next(
            (
                task
                for task in platform.tasks("STOPPED")
                if task["lastStatus"] == "STOPPED" and arn in (None, task["taskArn"])
            ),
            None,
        )
    )


def test_missing_image(platform):
    """A tag that does not exist: TaskFailedToStart with the pull error, and no exit code because
    nothing ran.
    """
    platform.create(platform.revision("web:missing"), count=1)
    task = first_stopped(platform)
    assert task["stopCode"] == "TaskFailedToStart"
    assert (
        task["stoppedReason"].startswith("CannotPullContainerError: ")
        and "web:missing: not found" in task["stoppedReason"]
    )
    assert "exitCode" not in task["containers"][0] and "startedAt" not in task
    assert platform.runtime.pulled[0] == ("web:missing", "linux/amd64")


def test_container_that_cannot_be_started(platform):
    """A command that does not exist: the container's reason says CannotStartContainerError."""
    platform.create(platform.revision(platform.image("odd", None)), count=1)
    task = first_stopped(platform)
    assert (task["stopCode"], task["stoppedReason"]) == (
        "TaskFailedToStart",
        "Task failed to start",
    )
    assert task["containers"][0]["reason"].startswith("CannotStartContainerError: ")


def test_missing_log_group(platform):
    """A deleted log group: ResourceInitializationError that names the logger, before any pull."""
    platform.logs.delete_log_group(logGroupName="/ecs/demo/web")
    platform.create(platform.revision(platform.image("v1")), count=1)
    task = first_stopped(platform)
    assert task["stopCode"] == "TaskFailedToStart"
    assert task["stoppedReason"] == (
        "ResourceInitializationError: failed to validate logger args: create stream has "
        "been retried 1 times: "
        "failed to create Cloudwatch log stream: ResourceNotFoundException: The specified "
        "log group does not exist. : exit status 1"
    )
    assert platform.runtime.pulled == []


def test_secrets_reach_the_container_and_missing_ones_are_named(platform):
    """Secret, JSON key and SSM parameter arrive as environment; a missing secret and a missing key
    say which.
    """
    secrets, ssm = platform.client("secretsmanager"), platform.client("ssm")
    arn = secrets.create_secret(
        Name="db", SecretString=json.dumps({"password": "s3cret", "port": 5432})
    )["ARN"]
    ssm.put_parameter(Name="/demo/flag", Value="on", Type="SecureString")
    script = (
        "import os, time; print(*(os.environ[k] for k in ('PASSWORD', 'PORT', 'WHOLE', "
        "'FLAG')), flush=True); time.sleep(60)"
    )
    wanted = [
        {"name": "PASSWORD", "valueFrom": f"{arn}:password::"},
        {"name": "PORT", "valueFrom": f"{arn}:port::"},
        {"name": "WHOLE", "valueFrom": arn},
        {"name": "FLAG", "valueFrom": "/demo/flag"},
    ]
    platform.create(
        platform.revision(platform.image("env", script), secrets=wanted), count=1, balanced=False
    )
    until(lambda: 's3cret 5432 {"password": "s3cret", "port": 5432} on' in platform.lines())

    def reason(value_from):
        revision = platform.revision(
            platform.image("v1"), secrets=[{"name": "X", "valueFrom": value_from}]
        )
        task = platform.ecs.run_task(
            cluster="demo", taskDefinition=revision, networkConfiguration=platform.network
        )["tasks"][0]["taskArn"]
        described = lambda: platform.ecs.describe_tasks(cluster="demo", tasks=[task])["tasks"][0]  # noqa: E731
        return until(
            lambda: described()["lastStatus"] == "STOPPED" and described()["stoppedReason"]
        )

    assert reason(f"{arn}:missing::").endswith(
        "retrieved secret from Secrets Manager did not contain json key missing"
    )
    missing = "arn:aws:secretsmanager:us-east-1:123456789012:secret:nothing-AbCdEf"
    assert f"can't retrieve the secret with ARN '{missing}' from Secrets Manager" in reason(missing)
    assert reason("/demo/none").endswith("invalid ssm parameters: /demo/none")


def test_health_path_that_answers_404(platform):
    """After the grace period the task is stopped for its failed health checks and replaced; the old
    version serves on.
    """
    platform.create(platform.revision(platform.image("v1")))
    platform.completed()
    with visiting(platform) as visitor:
        deployment = platform.update(
            taskDefinition=platform.revision(platform.image("v2", STATUS="404"))
        )["deployments"][0]["id"]
        bad = until(
            lambda: next(
                (each for each in platform.health().values() if each["State"] == "unhealthy"), None
            )
        )
        stopped = until(lambda: platform.tasks("STOPPED", startedBy=deployment))[0]
        until(lambda: platform.deployment(deployment)["failedTasks"] >= 1)
        replaced = until(lambda: platform.tasks(startedBy=deployment))
    assert (
        bad["Reason"] == "Target.ResponseCodeMismatch"
        and bad["Description"] == "Health checks failed with these codes: [404]"
    )
    assert stopped["stopCode"] == "ServiceSchedulerInitiated"
    assert (
        stopped["stoppedReason"]
        == f"Task failed ELB health checks in (target-group {platform.target_group})"
    )
    assert stopped["taskArn"] not in {task["taskArn"] for task in replaced}
    assert (
        f"(service web) (port 8080) is unhealthy in (target-group {platform.target_group}) due to "
        "(reason Health checks failed with these codes: [404])." in platform.events()
    )
    assert visitor.failures == [] and set(visitor.seen) == {"v1"}


def test_nothing_listening(platform):
    """A process that never opens its port: the target is unhealthy with
    Target.FailedHealthChecks.
    """
    platform.create(platform.revision(platform.image("mute", SLEEP)), count=1)
    bad = until(
        lambda: next(
            (each for each in platform.health().values() if each["State"] == "unhealthy"), None
        )
    )
    assert (bad["Reason"], bad["Description"]) == (
        "Target.FailedHealthChecks",
        "Health checks failed",
    )


def test_killed_process_is_replaced(platform):
    """kill -9 of a task's process: exit code 137, EssentialContainerExited, a new task, and no
    failed deployment.
    """
    platform.create(platform.revision(platform.image("v1")))
    platform.completed()
    os.kill(platform.runtime.pids[0], signal.SIGKILL)
    task = first_stopped(platform)
    assert (task["stopCode"], task["containers"][0]["exitCode"]) == (
        "EssentialContainerExited",
        137,
    )
    until(lambda: platform.service()["runningCount"] == 2 and len(platform.tasks()) == 2)
    assert (
        platform.primary()["rolloutState"] == "COMPLETED" and platform.primary()["failedTasks"] == 0
    )


def test_stopped_by_a_user_is_replaced(platform):
    """StopTask: UserInitiated with the given reason, drained without a failed request, replaced."""
    platform.create(platform.revision(platform.image("v1")))
    platform.completed()
    victim = platform.tasks()[0]["taskArn"]
    with visiting(platform) as visitor:
        answered = platform.ecs.stop_task(
            cluster="demo", task=victim, reason="restart for the night"
        )["task"]
        until(lambda: len(platform.tasks()) == 2 and platform.service()["runningCount"] == 2)
        task = first_stopped(platform, victim)
    assert answered["desiredStatus"] == "STOPPED"
    assert (task["stopCode"], task["stoppedReason"]) == ("UserInitiated", "restart for the night")
    assert visitor.failures == []


def test_sidecars_live_and_die_with_the_task(platform):
    """A sidecar that is not essential may exit alone; when the essential container exits, all stop,
    each with its exit code.
    """
    sidecar = platform.image("sidecar", "import sys; sys.exit(7)")
    keeper = platform.image("keeper", SLEEP)
    others = [
        {"name": "once", "image": sidecar, "essential": False},
        {"name": "keeper", "image": keeper, "essential": False},
    ]
    platform.create(platform.revision(platform.image("v1"), others), count=1)
    platform.completed()
    codes = lambda task: {each["name"]: each.get("exitCode") for each in task["containers"]}  # noqa: E731
    until(lambda: codes(platform.tasks()[0]) == {"web": None, "once": 7, "keeper": None})
    os.kill(platform.runtime.pids[0], signal.SIGKILL)
    assert codes(first_stopped(platform)) == {"web": 137, "once": 7, "keeper": 143}


def test_run_task_with_overrides(platform):
    """A one-off task runs the overridden command's environment to its end and belongs to no
    service.
    """
    script = "import os; print('migrated ' + os.environ['TO'], flush=True)"
    task = platform.ecs.run_task(
        cluster="demo",
        taskDefinition=platform.revision(platform.image("once", script)),
        networkConfiguration=platform.network,
        startedBy="ops",
        overrides={
            "containerOverrides": [
                {"name": "web", "environment": [{"name": "TO", "value": "head"}]}
            ]
        },
    )["tasks"][0]
    assert (task["lastStatus"], task["group"]) == ("PROVISIONING", "family:demo-web")
    ended = first_stopped(platform)
    assert ended["containers"][0]["exitCode"] == 0 and ended["startedBy"] == "ops"
    assert "migrated head" in platform.lines()


def test_deleted_service_drains_to_inactive(platform):
    """DeleteService with force: DRAINING, its tasks stop, then INACTIVE; its processes are gone."""
    platform.create(platform.revision(platform.image("v1")))
    platform.completed()
    deleted = platform.ecs.delete_service(cluster="demo", service="web", force=True)["service"]
    assert deleted["status"] == "DRAINING"
    until(lambda: platform.service()["status"] == "INACTIVE")
    for pid in platform.runtime.pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_stopping_the_agent_leaves_no_process():
    """agent.stop() returns when every task process is gone, a crashing service included."""
    chosen = ports()
    aws, runtime = serve(chosen, QUICK), ProcessRuntime()
    agent = Agent(aws.cloud, runtime, QUICK, chosen.network)
    agent.start()
    platform = Platform(aws, runtime)
    platform.create(platform.revision(platform.image("v1")))
    platform.create(platform.revision(platform.image("bad", CRASH)), name="other", balanced=False)
    until(lambda: platform.service()["runningCount"] == 2)
    assert agent.alive() and len(agent.pids()) >= 2
    agent.stop()
    aws.stop()
    assert not agent.alive()
    for pid in runtime.pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
