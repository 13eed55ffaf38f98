"""Diagnose why one task stopped (pure): its cause, and a finding with evidence.

The task's reason is read first and its containers' reasons next, because a task may say "Essential
container in task exited" where its container says "OutOfMemoryError". Exit code and log decide only
where nothing but a symptom is found.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Literal

from ops.aws.facts import ContainerState, Target, TaskDefinitionArn, TaskState
from ops.core.findings import Evidence, Finding
from ops.core.redaction.redact import redact, redact_lines
from ops.ecs.rules.exit_codes import EXIT_CODES
from ops.ecs.rules.stop_reasons import (
    UNSPECIFIC,
    Kind,
    StopReason,
    classify,
    reason_of_stop_code,
)
from ops.ecs.rules.stop_reasons.hints import suggestion

_KILLED = (137, 143)  # exit codes of containers stopped because another one exited
_ALIKE = 3  # log lines in a row that differ in numbers only; of more, two are printed
_VARYING = re.compile(r"[0-9a-f]{8,}|\d+")
_WRONG_ARCHITECTURE = re.compile(r"exec format error", re.IGNORECASE)
_FROM_OUTSIDE = (
    "ServiceSchedulerInitiated",
    "UserInitiated",
    "SpotInterruption",
    "TerminationNotice",
)
_HEALTH_CHECKS = re.compile(r"failed (?:ELB|container) health checks", re.IGNORECASE)
GONE = ("STOPPED", "DEPROVISIONING")


@dataclass(frozen=True)
class StopCause:
    """Why a task stopped.

    `text` is what ECS wrote; `container` and `exit_code` say how the container ended.
    """

    reason: StopReason
    text: str
    container: str = ""
    exit_code: int | None = None

    @property
    def code(self) -> str:
        """The reason's stable code, empty if it is unknown."""
        return self.reason.code

    @property
    def kind(self) -> Kind:
        """Whether a retry can help; a network failure counts as transient once.

        The second task with the same network failure makes it final
        (`ops.ecs.rules.verdict.failure`).
        """
        return "transient" if self.reason.network else self.reason.kind

    @property
    def failure(self) -> bool:
        return self.kind != "benign"

    @property
    def key(self) -> tuple[str, str, int | None]:
        """Equal for two stops with the same cause.

        Same code, plus exit code where a container exited by itself; same text where the
        code is unknown.
        """
        if self.reason.by_itself:
            return self.code, self.container, self.exit_code
        return self.code, "" if self.code else _VARYING.sub("#", self.text), None


def find_cause(task: TaskState, container: str | None = None) -> StopCause:
    """The cause of a stop.

    `container`: ours, preferred if several containers ended.
    """
    texts = [task.stopped_reason, *(each.reason for each in task.containers if each.reason)]
    known = [(reason, text) for text in texts if (reason := classify(text))]
    found = next((pair for pair in known if pair[0].kind != "symptom"), known[0] if known else None)
    ended = responsible_container(task, container)
    name, exit_code = (ended.name, ended.exit_code) if ended else ("", None)
    if found:
        return StopCause(*found, name, exit_code)
    text = next((text for text in texts if text), "")
    return StopCause(reason_of_stop_code(task.stop_code), text, name, exit_code)


def responsible_container(task: TaskState, container: str | None = None) -> ContainerState | None:
    """The container whose exit stopped the task.

    Ours, if ECS stopped the task: then all exit codes are consequences. Else of the essential
    containers, in order: one with a reason, one that failed by itself, ours, any.
    """
    every = sorted(task.containers, key=lambda each: each.name != container)
    if _stopped_from_outside(task) and every and every[0].name == container:
        return every[0]
    ours = [each for each in every if each.essential is not False] or every
    by_itself = [each for each in ours if each.exit_code not in (None, 0, *_KILLED)]
    with_reason = [each for each in ours if each.reason]
    not_taken_down = [each for each in ours if each.exit_code in (0, _KILLED[0])]
    return next(iter((*with_reason, *by_itself, *not_taken_down, *ours)), None)


def _stopped_from_outside(task: TaskState) -> bool:
    """Whether ECS or a person stopped the task, so that no container ended it."""
    return task.stop_code in _FROM_OUTSIDE or _HEALTH_CHECKS.search(task.stopped_reason) is not None


def stop_finding(
    task: TaskState,
    why: StopCause,
    log_lines: Sequence[str] = (),
    *,
    targets: Iterable[Target] = (),
    events: Iterable[str] = (),
    service: str = "",
    ecs_service: str = "",
    target_group: str = "",
    log_problem: str = "",
    aws: str = "aws",
    earlier: str = "",
) -> Finding:
    """The finding for a stopped task.

    `log_lines`: the end of its log; `log_problem`: why that could not be read; `aws`: the
    program with the options of the environment; `earlier`: the revision to roll back to, "" to
    offer no rollback.

    `targets` and `events` matter where health checks failed; an event remains after the target
    was deregistered.
    """
    names = {
        "service": service,
        "ecs_service": ecs_service,
        "target_group": target_group,
        "earlier": earlier,
        **_template_names(task, why),
    }
    fix = tuple(
        command
        for template in why.reason.fix
        if (command := _render_command(template.replace("{aws}", aws), names))
    )
    name, meant = _meaning(why, log_lines)
    code = f" ({why.code})" if why.code else ""
    return Finding(
        name,
        f"task {task.id}: {meant}{code}{_exit_note(task, why)}",
        _confidence(why, log_lines),
        tuple(
            _evidence(
                task,
                why,
                log_lines,
                tuple(_health_check_evidence(why, targets, events)),
                log_problem,
            )
        ),
        fix,
    )


def _meaning(why: StopCause, log_lines: Iterable[str]) -> tuple[str, str]:
    if why.reason.by_itself and any(_WRONG_ARCHITECTURE.search(line) for line in log_lines):
        return (
            "image_platform",
            "the image is built for another CPU architecture than the task runs on",
        )
    if not why.code:
        return why.reason.finding, f"{redact(why.text) or why.reason.says}{_hint(why)}"
    verbatim = f": {redact(why.text)}" if why.code == "TaskFailedToStart" and why.text else ""
    return why.reason.finding, f"{why.reason.says}{verbatim}{_hint(why)}"


def _hint(why: StopCause) -> str:
    """What the words of a text suggest whose cause is not known, as an addition to a sentence."""
    if why.code and why.code not in UNSPECIFIC:
        return ""
    found = suggestion(why.text)
    return f" (its words suggest {found}: possible)" if found else ""


def _exit_note(task: TaskState, why: StopCause) -> str:
    if not why.container:
        return ""
    if why.exit_code is None:
        return (
            f"; container {why.container} never ran"
            if task.status in GONE
            else f"; container {why.container} is still stopping"
        )
    if why.reason.explains_exit:
        return f"; exit code {why.exit_code}"
    meant = EXIT_CODES.get(why.exit_code, "")
    return f"; container {why.container}: exit code {why.exit_code}" + (
        f", {meant}" if meant else ""
    )


def _confidence(
    why: StopCause, log_lines: Sequence[str]
) -> Literal["certain", "likely", "possible"]:
    if why.kind == "unknown" or (
        why.kind == "symptom" and why.exit_code == _KILLED[0] and why.reason.by_itself
    ):
        return "possible"  # SIGKILL without an out-of-memory text may be the stop timeout
    if why.reason.ambiguous:
        return "likely"
    return "certain" if why.kind != "symptom" or log_lines else "likely"


def _health_check_evidence(
    why: StopCause, targets: Iterable[Target], events: Iterable[str]
) -> Iterable[Evidence]:
    """The results of the load balancer's health checks, as ELB and ECS word them."""
    if why.reason.target_health:
        for target in targets:
            words = " ".join(
                part for part in (target.state, target.reason, target.description) if part
            )
            yield Evidence(f"DescribeTargetHealth {target.id}:{target.port}", redact(words))
        for message in events:
            yield Evidence("DescribeServices events", redact(message))


def _evidence(
    task: TaskState,
    why: StopCause,
    log_lines: Sequence[str],
    checks: Iterable[Evidence],
    log_problem: str,
) -> Iterable[Evidence]:
    """The task's own fields, redacted; then health check results, and the log."""
    yield Evidence("DescribeTasks stopCode", task.stop_code or "null")
    yield Evidence("DescribeTasks stoppedReason", redact(task.stopped_reason) or "null")
    for each in task.containers:
        if each.exit_code is None:
            code = "null: it never ran" if task.status in GONE else "null: it is still stopping"
        else:
            code = str(each.exit_code)
        yield Evidence(f"DescribeTasks containers[{each.name}].exitCode", code)
        if each.reason:
            yield Evidence(f"DescribeTasks containers[{each.name}].reason", redact(each.reason))
    yield from checks
    for line in _without_repeats(redact_lines(log_lines)):
        yield Evidence(f"log of {why.container or task.id}", line)
    if log_problem:
        yield Evidence(f"log of {why.container or task.id}", f"unknown: {redact(log_problem)}")


def _without_repeats(lines: Iterable[str]) -> Iterator[str]:
    """The lines, with the middle of a run of lines that differ in numbers only as one count."""
    for _, alike in groupby(lines, key=lambda line: _VARYING.sub("", line)):
        run = list(alike)
        if len(run) <= _ALIKE:
            yield from run
        else:
            yield from (run[0], f"({len(run) - 2} more lines like it)", run[-1])


def _template_names(task: TaskState, why: StopCause) -> dict[str, str]:
    """The AWS names that command templates need, taken from the task."""
    named = task.container(why.container)
    image = named.image if named else ""
    path = image.partition("@")[0]
    repository, _, tag = path.rpartition(":") if ":" in path.rpartition("/")[2] else (path, "", "")
    parts = task.arn.split("/")
    return {
        "task": task.id,
        "cluster": parts[1] if len(parts) > 2 else "",
        "family": TaskDefinitionArn(task.task_definition).label,
        "repository": repository.partition("/")[2],
        "tag": tag,
    }


def _render_command(template: str, names: Mapping[str, str]) -> str | None:
    """Fill in a command template, quoted for a shell; None if a name is not known."""
    wanted = re.findall(r"\{(\w+)\}", template)
    if not all(names.get(name) for name in wanted):
        return None
    for name in wanted:
        template = template.replace(f"{{{name}}}", shlex.quote(names[name]))
    return template


def same_failure(one: Finding, other: Finding) -> bool:
    """Whether two tasks stopped alike: the same cause, ECS's same words, the same end of the log.

    Numbers in the log (times, ports, process ids) do not count.
    """
    return one.cause == other.cause and _failure(one) == _failure(other)


def _failure(finding: Finding) -> tuple[frozenset[str], str]:
    words = {each.text for each in finding.evidence if each.source.startswith("DescribeTasks")}
    log = [each.text for each in finding.evidence if each.source.startswith("log of")]
    return frozenset(words), re.sub(r"\d+", "", log[-1]) if log else ""
