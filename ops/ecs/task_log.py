"""The log of one container of a task, as its task definition names it, printed as it grows."""

from __future__ import annotations

from collections.abc import Callable

from ops.aws.cloudwatch import logs
from ops.aws.facts import TaskDefinition, TaskState
from ops.aws.session import AwsSession
from ops.core import ui
from ops.core.errors import OpsError
from ops.core.redaction.redact import redact_lines
from ops.ecs.rules.task_definition_refs import log_driver, log_options

_PAGES = 50  # per poll: a page has up to 10,000 lines


class TaskLog:
    """Follows a container's log stream in CloudWatch Logs; prints to stdout, redacted.

    A log that cannot be followed is reported once, on stderr, and changes nothing else.
    """

    def __init__(self, cloud: AwsSession, definition: TaskDefinition, container: str) -> None:
        described = definition.container(container)
        driver, options = log_driver(described), log_options(described)
        self.container = container
        self.group = options.get("awslogs-group")
        self.prefix = options.get("awslogs-stream-prefix")
        self.cloud = cloud.in_region(options.get("awslogs-region") or cloud.region)
        self.token: str | None = None
        self.problem = ""
        if driver != "awslogs" or not self.group:
            where = f"goes to {driver}" if driver else "has no logConfiguration"
            self._give_up(f"its output {where}, not to CloudWatch Logs")

    def follow(self, task: TaskState) -> int:
        """Print the lines that are new, and return how many."""
        stream = self._stream(task)
        if self.problem or not stream or not self.group:
            return 0
        printed = 0
        try:
            for _ in range(_PAGES):
                lines, token = logs.since(self.cloud, self.group, stream, self.token)
                for line in redact_lines(lines):
                    print(ui.plain(line), flush=True)
                printed += len(lines)
                if token == self.token:
                    break
                self.token = token
        except OpsError as error:
            if error.permanent:
                self._give_up(error.why)
        return printed

    def drain(self, task: TaskState, pause: Callable[[], None]) -> None:
        """Print the rest of a stopped task's log; the last lines may arrive late."""
        self.follow(task)
        if not self.problem and self._stream(task):
            pause()
            self.follow(task)

    def _stream(self, task: TaskState) -> str:
        """The stream as the awslogs driver names it; without a prefix it is the container's id."""
        if self.prefix:
            return f"{self.prefix}/{self.container}/{task.id}"
        ours = task.container(self.container)
        return ours.runtime_id if ours else ""

    def _give_up(self, why: str) -> None:
        self.problem = why
        ui.progress(f"the log of container {self.container} is not followed: {why}")
