"""The generated namespace of a configured service, such as `inv backend.deploy`."""

from __future__ import annotations

from typing import Any

from invoke.collection import Collection

from ops.tasks.shared import Session, ops_task

TAG = "Deploy this tag, which must be in ECR, without a build (default: the commit's)."
ALLOW_DESTROY = (
    "Allow Terraform to destroy or replace ADDRESS, which --yes does not (repeat for more)."
)
COMMAND = "Command line, split as a shell would; for a shell's own syntax: \"sh -c '…'\"."
CONTAINER = "Container of the task definition (default: the service's own)."
TASK = "Id of the running task, or its beginning (default: the newest)."
KEEP = "With --no-rollback: leave a failed rollout in place instead of rolling back."

LOGS = {
    "since": "Start: how long ago (5m), or a time. Default: 10m; with --follow 1m.",
    "until": "End: how long ago, or a time (2026-11-30T05:43Z). Default: now.",
    "grep": "Only events that contain this text, or match /this regex/ (/regex/i: any case).",
    "task": "Only this task: its id, or the beginning of it.",
    "container": "Only this container. Default: all that log to CloudWatch Logs.",
}


def namespace(name: str) -> Collection:
    """The tasks of the service `name`."""
    collection = Collection(name)
    for make in (build, push, deploy, releases, status, logs, run, execute):
        collection.add_task(make(name))
    return collection


def build(name: str) -> Any:
    @ops_task(options=("json",), name="build")
    def body(session: Session) -> None:
        """Build this service's image from the commit."""
        make_image(session, name, push=False)

    return body


def push(name: str) -> Any:
    @ops_task(options=("json",), name="push")
    def body(session: Session) -> None:
        """Build this service's image from the commit and push it to ECR."""
        make_image(session, name, push=True)

    return body


def make_image(session: Session, name: str, *, push: bool) -> None:
    from ops.deploy import deploy as flow
    from ops.platform import Platform

    session.settings.service(name)
    work = flow.build_image(Platform.of(session.settings), name, push=push)
    document = {
        "service": name,
        "environment": session.settings.name,
        "tag": work.facts.tag,
        "image": work.image,
        "digest": work.digest,
    }
    session.report(document, work.image + (f" {work.digest}" if work.digest else ""))


def deploy(name: str) -> Any:
    @ops_task(
        options=("plan", "yes", "json", "timeout", "lock_wait", "follow", "skip"),
        help={"tag": TAG, "rollback": KEEP, "allow_destroy": ALLOW_DESTROY},
        repeated=("allow_destroy",),
        name="deploy",
    )
    def body(
        session: Session, tag: str | None = None, rollback: bool = True, allow_destroy: Any = None
    ) -> None:
        """Deploy this service from a commit, verify it, and roll back if it is not healthy."""
        from dataclasses import replace

        from ops.deploy import deploy as flow
        from ops.deploy.result import DeployRequest
        from ops.ecs import display
        from ops.platform import Platform

        session.if_stopped = lambda error: flow.document_of_error(name, error, tag)
        session.settings.service(name)
        session.if_stopped = lambda error: flow.document_of_error(
            name, error, tag, session.settings.name
        )
        request = DeployRequest(
            tag,
            session.skip,
            not rollback,
            session.follow,
            session.yes,
            session.timeout_s(),
            session.lock_wait_s(),
        )
        request = replace(request, allow_destroy=frozenset(allow_destroy or ()))
        platform = Platform.of(session.settings)
        if session.plan:
            plan = flow.plan_deploy(platform, name, request)[2]
            session.report(plan)
            return
        done = flow.release(platform, name, request, display.create_display)
        session.report(done.as_document(), done.as_text())
        session.leave(done.verdict.exit_code)

    return body


def logs(name: str) -> Any:
    @ops_task(options=("follow", "json"), help=LOGS, name="logs")
    def body(
        session: Session,
        since: str | None = None,
        until: str | None = None,
        grep: str | None = None,
        task: str | None = None,
        container: str | None = None,
    ) -> None:
        """Print this service's log: the events of all its tasks, merged by time."""
        read_logs(session, name, since, until, grep, task, container)

    return body


def read_logs(
    session: Session,
    service: str,
    since: str | None,
    until: str | None,
    grep: str | None,
    task: str | None,
    container: str | None,
) -> None:
    from ops.core.keys import quit_key
    from ops.ecs.log_output import LogPrinter
    from ops.ecs.service_logs import LogsRequest, ServiceLogs
    from ops.platform import Platform

    session.settings.service(service)
    request = LogsRequest.parse(
        since, until, follow=session.follow, grep=grep, task=task, container=container
    )
    printer = LogPrinter.create(session.stream, service, json=session.json)
    platform = Platform.of(session.settings)
    with quit_key() as key:
        session.leave(ServiceLogs(platform, service, request, printer, key).run())


def releases(name: str) -> Any:
    @ops_task(options=("json",), name="releases")
    def body(session: Session) -> None:
        """List this service's releases, newest first: who, what, result, running, in ECR."""
        from ops.platform import Platform
        from ops.state import records as flow

        session.settings.service(name)
        rows = flow.releases(Platform.of(session.settings), name)
        session.report(flow.as_document(rows), flow.as_text(rows))

    return body


def status(name: str) -> Any:
    @ops_task(options=("json",), name="status")
    def body(session: Session) -> None:
        """Show this service: its image, tasks and deployments."""
        from ops.ecs import status as flow

        session.settings.service(name)
        seen = flow.status(session.settings, (name,))
        session.report(flow.as_document(seen, session.settings), flow.as_text(seen))
        session.leave(max(one.exit_code for one in seen))

    return body


def run(name: str) -> Any:
    @ops_task(
        options=("plan", "yes", "json", "timeout"),
        help={"command": COMMAND, "container": CONTAINER},
        name="run",
    )
    def body(session: Session, command: str | None = None, container: str | None = None) -> None:
        """Run a command in a one-off task of this service's revision, network and roles.

        Its log goes to stdout (with --json, stderr). The exit code is the task's own, printed as
        such; 125 if the task could not start, 6 if --timeout and 130 if an interrupt stopped it.
        Before anything is started: 2 for a bad argument, 3 for a refusal, 1 if AWS cannot be read.
        """
        from ops.ecs import one_off, one_off_plan
        from ops.platform import Platform

        session.if_stopped = lambda error: {"service": name, "task": None, "exit_code": None}
        words, limit = one_off_plan.parse_command(command), session.timeout_s()
        platform = Platform.of(session.settings)
        planned = one_off_plan.plan_run(platform, name, words, container)
        session.carry_out(one_off.OneOffChange(platform, planned, limit))

    return body


def execute(name: str) -> Any:
    @ops_task(
        options=("yes",),
        help={"command": COMMAND, "task": TASK, "container": CONTAINER},
        name="exec",
    )
    def body(
        session: Session,
        command: str | None = None,
        task: str | None = None,
        container: str | None = None,
    ) -> None:
        """Run a command in a running container (ECS Exec), on this terminal.

        Needs the Session Manager plugin; checks what ECS Exec needs, and names what is missing
        (exit code 3). Otherwise the exit code is the plugin's: ECS Exec does not report the
        command's own, which `run` does.
        """
        from ops.core import ui
        from ops.ecs import execute as flow
        from ops.platform import Platform

        settings = session.settings
        platform = Platform.of(settings)
        target = flow.find_target(platform, name, command, task, container)
        if settings.environment.protected:
            what = f"run {command!r} in task {target.task.id} of {name} in {settings.name}"
            ui.confirm(what, yes=session.yes, typed=settings.name)
        session.report(flow.execute(platform, target))

    return body
