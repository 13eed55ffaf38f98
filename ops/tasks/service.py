"""The generated namespace of a configured service, such as `inv backend.deploy`.

Each task is a plain function of the session and the service's name, and is bound to every service:

    @service_task(options=("json",))
    def status(session: Session, service: str) -> None: ...
"""

from __future__ import annotations

import functools
import inspect
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from invoke.collection import Collection

from ops.tasks.shared import Session, ops_task

if TYPE_CHECKING:
    from ops.deploy.context import DeployRequest

TAG = "Deploy this tag, which must be in ECR, without a build (default: the commit's)."
ALLOW_DESTROY = (
    "Allow Terraform to destroy or replace ADDRESS, which --yes does not (repeat for more)."
)
ROLLBACK_TO = (
    "Release to go to: a tag, a revision (7, family:7), or the beginning of a digest or commit."
)
IMAGE_ONLY = "Keep the task definition that runs, with only the image of the earlier release."
RELEASES = {
    "verdict": "Only releases with this verdict: succeeded, failed, rolled_back, …, unrecorded.",
    "limit": "At most this many, the newest.",
    "since": "Only those since: how long ago (2d), or a time (2026-11-30T05:43Z).",
    "diff": "Compare two releases, --diff A B: commits, image, task definition, schema.",
    "other": "The second release of --diff.",
}
NO_ROLLBACK = "Leave a failed rollout in place instead of rolling back."
COUNT = "The number of tasks: the service's new desired count."
NO_WAIT = "Return once ECS has accepted the rollout; nothing watches, verifies or undoes it."
COMMAND = "Command line, split as a shell would; for a shell's own syntax: \"sh -c '…'\"."
CONTAINER = "Container of the task definition (default: the service's own)."
TASK = "Id of the running task, or its beginning (default: the newest)."
WATCH = "Redraw until q or Ctrl-C; without a terminal, print the lines that change."
LOGS = {
    "since": "Start: how long ago (5m), or a time. Default: 10m; with --follow 1m.",
    "until": "End: how long ago, or a time (2026-11-30T05:43Z). Default: now.",
    "grep": "Only events that contain this text, or match /this regex/ (/regex/i: any case).",
    "task": "Only this task: its id, or the beginning of it.",
    "container": "Only this container. Default: all that log to CloudWatch Logs.",
    "json": "Print one JSON document per event, each on a line of stdout; all else on stderr.",
}


@dataclass(frozen=True)
class ServiceTask:
    """A task that every service has: its function, and the arguments of `ops_task`."""

    body: Callable[..., None]
    arguments: dict[str, Any]

    def of(self, service: str) -> Any:
        """The task of one service."""

        @functools.wraps(self.body)
        def bound(session: Session, **own: Any) -> None:
            self.body(session, service, **own)

        signature = inspect.signature(self.body)
        own = [each for each in signature.parameters.values() if each.name != "service"]
        bound.__signature__ = signature.replace(parameters=own)  # type: ignore[attr-defined]
        return ops_task(**{"name": self.body.__name__, **self.arguments})(bound)


SERVICE_TASKS: list[ServiceTask] = []


def service_task(**arguments: Any) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Add the decorated function to each service's tasks; see `ops_task` for the arguments."""

    def decorate(body: Callable[..., None]) -> Callable[..., None]:
        SERVICE_TASKS.append(ServiceTask(body, arguments))
        return body

    return decorate


def namespace(service: str) -> Collection:
    """The tasks of one service."""
    collection = Collection(service)
    collection.__doc__ = f"Deploy, roll back, operate and inspect the service {service}."
    for task in SERVICE_TASKS:
        collection.add_task(task.of(service))
    return collection


@service_task(options=("plan", "json", "verbose"))
def build(session: Session, service: str) -> None:
    """Build this service's image from the commit."""
    make_image(session, service, push=False)


@service_task(options=("plan", "json", "verbose"))
def push(session: Session, service: str) -> None:
    """Build this service's image from the commit and push it to ECR."""
    make_image(session, service, push=True)


def make_image(session: Session, service: str, *, push: bool) -> None:
    from ops.deploy import image as flow
    from ops.platform import Platform

    session.settings.deployed_service(service)
    session.carry_out(flow.PlannedImage(Platform.of(session.settings), service, push))


def deploy_request(
    session: Session, service: str, *, no_wait: bool = False, **own: Any
) -> DeployRequest:
    """The request of a deploy or restart, from the shared options and the task's own."""
    from ops.core.errors import ConfigError
    from ops.deploy.context import DeployRequest

    if no_wait and session.follow:
        how = f"use --no-wait alone, then inv {service}.watch --follow"
        raise ConfigError("--follow with --no-wait", "nothing is watched", how)
    return DeployRequest(
        skip=session.skip,
        no_wait=no_wait,
        follow=session.follow,
        yes=session.yes,
        timeout_s=session.timeout_s(),
        lock_wait_s=session.lock_wait_s(),
        **own,
    )


@service_task(
    options=("plan", "yes", "json", "verbose", "timeout", "lock_wait", "follow", "skip"),
    help={
        "tag": TAG,
        "no_rollback": NO_ROLLBACK,
        "no_wait": NO_WAIT,
        "allow_destroy": ALLOW_DESTROY,
    },
    repeated=("allow_destroy",),
)
def deploy(
    session: Session,
    service: str,
    tag: str | None = None,
    no_rollback: bool = False,
    no_wait: bool = False,
    allow_destroy: Any = None,
) -> None:
    """Deploy this service from a commit, verify it, and roll back if it is not healthy."""
    from ops.deploy import deploy as flow
    from ops.deploy.run import document_of_error
    from ops.ecs import live_display
    from ops.platform import Platform

    session.if_stopped = lambda error: document_of_error(
        service, error, tag, session.environment_name
    )
    settings = session.settings
    settings.deployed_service(service)
    request = deploy_request(
        session,
        service,
        tag=tag,
        no_rollback=no_rollback,
        no_wait=no_wait,
        allow_destroy=frozenset(allow_destroy or ()),
    )
    platform = Platform.of(settings)
    session.carry_out(flow.PlannedDeploy(platform, service, request, live_display.create_display))


@service_task(
    options=("plan", "yes", "json", "verbose", "timeout", "lock_wait", "follow", "skip"),
    help={"no_wait": NO_WAIT},
)
def restart(session: Session, service: str, no_wait: bool = False) -> None:
    """Replace this service's tasks by new ones of the same revision, and verify them.

    A failure is not undone, since the revision stays; the old tasks run until new ones are healthy.
    """
    from ops.deploy.operations import restart as flow
    from ops.deploy.run import document_of_error
    from ops.ecs import live_display
    from ops.platform import Platform

    session.if_stopped = lambda error: document_of_error(
        service, error, None, session.environment_name
    )
    settings = session.settings
    settings.deployed_service(service)
    request = deploy_request(session, service, no_wait=no_wait)
    platform = Platform.of(settings)
    session.carry_out(flow.plan(platform, service, request, live_display.create_display))


@service_task(
    options=("plan", "yes", "json", "timeout", "lock_wait", "follow"), help={"count": COUNT}
)
def scale(session: Session, service: str, count: str | None = None) -> None:
    """Set how many tasks of this service run, and watch until they run and are healthy.

    Says what else sets the count: Application Auto Scaling, Terraform. On failure the previous
    count is set again.
    """
    from ops.deploy.operations import scale as flow
    from ops.deploy.rules.scale import parse_count
    from ops.deploy.run import document_verdict
    from ops.ecs import live_display
    from ops.platform import Platform

    session.if_stopped = lambda error: {
        "verdict": document_verdict(error),
        "service": service,
        "count": count,
    }
    wanted = parse_count(count)
    settings = session.settings
    settings.service(service)
    request = deploy_request(session, service)
    platform = Platform.of(settings)
    session.carry_out(
        flow.PlannedScale(platform, service, wanted, request, live_display.create_display)
    )


@service_task(options=("timeout", "follow", "json"))
def watch(session: Session, service: str) -> None:
    """Watch this service's deployment in flight to its verdict, also one of another run.

    Changes nothing: Ctrl-C ends the watch, and the deployment continues. The exit code is that of a
    deploy with this verdict; 0 if no deployment is in flight.
    """
    from ops.deploy.operations import attach
    from ops.ecs import live_display
    from ops.platform import Platform

    settings = session.settings
    settings.service(service)
    timeout_s = session.timeout_s()
    result = attach.attach(
        Platform.of(settings),
        service,
        live_display.create_display(),
        timeout_s=timeout_s,
        follow=session.follow,
    )
    session.report(result)


@service_task(
    options=("plan", "yes", "json", "verbose", "timeout", "lock_wait", "follow", "skip"),
    help={"to": ROLLBACK_TO, "image_only": IMAGE_ONLY, "allow_destroy": ALLOW_DESTROY},
    repeated=("allow_destroy",),
)
def rollback(
    session: Session,
    service: str,
    to: str | None = None,
    image_only: bool = False,
    allow_destroy: Any = None,
) -> None:
    """Roll this service back to an earlier release, verified and undone as a deploy is.

    Without --to: the newest healthy release before the one that runs, its image still in ECR,
    that no rollback left. Refused (3) if a contract migration ran since: --skip schema, not
    --yes, accepts that.
    """
    from ops.deploy.rollback.planned import PlannedRollback
    from ops.deploy.run import document_of_error
    from ops.ecs import live_display
    from ops.platform import Platform

    session.if_stopped = lambda error: document_of_error(
        service, error, None, session.environment_name
    )
    settings = session.settings
    settings.deployed_service(service)
    request = deploy_request(session, service, allow_destroy=frozenset(allow_destroy or ()))
    session.carry_out(
        PlannedRollback(
            Platform.of(settings),
            service,
            request,
            live_display.create_display,
            to=to,
            image_only=image_only,
        )
    )


@service_task(options=("json",), help=RELEASES, paired={"other": "diff"})
def releases(
    session: Session,
    service: str,
    verdict: str | None = None,
    limit: str | None = None,
    since: str | None = None,
    diff: str | None = None,
    other: str | None = None,
) -> None:
    """List this service's releases, newest first: who, what, result, running, in ECR.

    The last line names the release that a rollback without --to goes to.
    """
    import time

    from ops.deploy.rollback import compare
    from ops.deploy.rollback import listed as flow
    from ops.ecs.rules.log_request import parse_window
    from ops.platform import Platform
    from ops.state.rules.records import ReleaseFilter

    session.settings.service(service)
    began = parse_window(since, None, time.time()).since if since is not None else None
    only = ReleaseFilter.parse(verdict, limit, began)
    platform = Platform.of(session.settings)
    if diff is not None:
        session.report(compare.compare(platform, service, diff, other or ""))
        return
    session.report(flow.releases(platform, service, only))


@service_task(options=("json",), help={"watch": WATCH})
def status(session: Session, service: str, watch: bool = False) -> None:
    """Show this service: version, deployment, tasks, targets, release, lock, schema, CDN, health.

    Exit code 0 if it is healthy: one completed deployment, as many tasks as desired, every task
    and target healthy. What could not be read is unknown, with the reason. --watch ends by q,
    with the exit code of the last screen, or by Ctrl-C, with 0.
    """
    from ops.core.result import Report
    from ops.health.status import watch as live
    from ops.health.status.read import read_screen
    from ops.health.status.render import as_text
    from ops.platform import Platform

    settings = session.settings
    settings.service(service)
    platform = Platform.of(settings)
    if not watch:
        screen = read_screen(platform, service)
        session.report(Report(screen.document, as_text(screen), screen.exit_code))
        return
    pause_s = max(settings.environment.poll, 1.0)
    code = live.watch(
        lambda: read_screen(platform, service), pause_s, json=session.json, stream=session.stream
    )
    session.leave(code)


@service_task(options=("follow", "json"), help=LOGS)
def logs(
    session: Session,
    service: str,
    since: str | None = None,
    until: str | None = None,
    grep: str | None = None,
    task: str | None = None,
    container: str | None = None,
) -> None:
    """Print this service's log: the events of all its tasks, merged by time."""
    from ops.core.keys import quit_key
    from ops.core.redaction.redact import redact
    from ops.ecs.log_output import LogPrinter
    from ops.ecs.service_logs import LogsRequest, ServiceLogs
    from ops.platform import Platform

    session.settings.service(service)
    request = LogsRequest.parse(
        since, until, follow=session.follow, grep=grep, task=task, container=container
    )
    given = {"since": since, "until": until, "grep": grep, "task": task, "container": container}
    options = [f" --{name} {shlex.quote(redact(text))}" for name, text in given.items() if text]
    session.reread = f"inv {service}.logs{''.join(options)}"
    printer = LogPrinter.create(session.stream, service, json=session.json)
    platform = Platform.of(session.settings)
    with quit_key() as key:
        session.leave(ServiceLogs(platform, service, request, printer, key).run())


@service_task(
    options=("plan", "yes", "json", "timeout"), help={"command": COMMAND, "container": CONTAINER}
)
def run(
    session: Session, service: str, command: str | None = None, container: str | None = None
) -> None:
    """Run a command in a one-off task of this service's revision, network and roles.

    Its log goes to stdout (with --json, stderr). The exit code is the task's own, printed as
    such; 125 if the task could not start, 6 if --timeout and 130 if an interrupt stopped it.
    Before anything is started: 2 for a bad argument, 3 for a refusal, 1 if AWS cannot be read.
    """
    from ops.ecs import one_off, one_off_plan
    from ops.platform import Platform

    session.if_stopped = lambda error: one_off.document_of_error(service, session.environment_name)
    settings = session.settings
    words, limit = one_off_plan.parse_command(command), session.timeout_s()
    platform = Platform.of(settings)
    if not session.json:
        session.reread = f"inv {service}.logs --task ID (its id is printed above)"
    planned = one_off_plan.plan_run(platform, service, words, container)
    session.carry_out(one_off.OneOffChange(platform, planned, limit))


@service_task(
    name="exec",
    options=("yes",),
    help={"command": COMMAND, "task": TASK, "container": CONTAINER},
)
def execute(
    session: Session,
    service: str,
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
    from ops.core.redaction.redact import redact
    from ops.ecs import execute as flow
    from ops.platform import Platform

    settings = session.settings
    platform = Platform.of(settings)
    target = flow.find_target(platform, service, command, task, container)
    if settings.environment.protected:
        what = f"run {redact(command or '')!r} in task {target.task.id} of {service}"
        ui.confirm(f"{what} in {settings.name}", yes=session.yes, typed=settings.name)
    session.report(flow.execute(platform, target))
