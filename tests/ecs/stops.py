"""Stopped tasks and deployments for tables, with only what a row is about spelled out."""

from datetime import UTC, datetime, timedelta

from ops.aws.facts import ContainerState, Deployment, Event, ServiceState, TaskState

START = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)
IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/davidshaevel/backend:abc1234"
OURS, OLD, NEWER, BACK = "ecs-svc/2", "ecs-svc/1", "ecs-svc/3", "ecs-svc/9"


def at(seconds):
    return START + timedelta(seconds=seconds)


def box(name="backend", exit_code=None, reason="", image=IMAGE):
    return ContainerState(name, image, None, "STOPPED", exit_code, reason)


def task(id="a1", reason="", *boxes, code="", status="STOPPED", created=5, stopped=30, by=OURS):
    return TaskState(
        arn=f"arn:aws:ecs:us-east-1:123456789012:task/dev-cluster/{id}",
        status=status,
        desired_status="STOPPED",
        started_by=by,
        task_definition="arn:aws:ecs:us-east-1:123456789012:task-definition/dev-backend:2",
        health="UNKNOWN",
        stop_code=code,
        stopped_reason=reason,
        containers=boxes,
        created_at=at(created),
        stopped_at=at(stopped) if stopped is not None else None,
    )


def crashed(id="a1", exit_code=1, **more):
    return task(
        id,
        "Essential container in task exited",
        box(exit_code=exit_code),
        code="EssentialContainerExited",
        **more,
    )


def deployment(
    id=OURS,
    status="PRIMARY",
    state="IN_PROGRESS",
    *,
    running=0,
    pending=0,
    desired=2,
    failed=0,
    reason="",
    made=0,
    revision=2,
):
    arn = f"arn:aws:ecs:us-east-1:123456789012:task-definition/dev-backend:{revision}"
    return Deployment(
        id,
        status,
        arn,
        desired,
        running,
        pending,
        failed,
        state,
        reason,
        at(made) if made is not None else None,
    )


OLD_ONE = deployment(OLD, "ACTIVE", "COMPLETED", running=2, made=-3600, revision=1)


def service(*deployments, breaker=False, rollback=False, desired=2, status="ACTIVE", events=()):
    messages = tuple(
        Event(f"e{number}", at(moment), text) for number, (moment, text) in enumerate(events)
    )
    running, pending = (
        sum(each.running for each in deployments),
        sum(each.pending for each in deployments),
    )
    return ServiceState(
        "dev-backend",
        status,
        "td",
        desired,
        running,
        pending,
        deployments,
        messages,
        (),
        breaker,
        rollback,
    )
