"""`troubleshoot.*`: find the cause of what is wrong now (runbook 7).

Every task collects the same evidence and applies the same rules; the topic only says what was asked
about.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ops.tasks.shared import ALL_TASKS, ROOT, Session, ops_task

HELP = {
    "fix": "Offer each fix that is a task of this tool, with its plan, and look again.",
    "save": "Write the evidence to this new folder, without secrets.",
    "from": "Diagnose the evidence in this folder (written by --save) instead of the platform.",
    "timeline": "Also print what happened, by time: releases, stops, events, migrations.",
    "since": "How far back the timeline goes (1h).",
}


def _troubleshoot(session: Session, topic_name: str, **given: Any) -> None:
    from datetime import timedelta
    from pathlib import Path

    from ops.core import ui
    from ops.core.errors import ConfigError
    from ops.core.terminal.step import step
    from ops.diagnosis import archive
    from ops.diagnosis.collect import collect
    from ops.diagnosis.diagnose import diagnose
    from ops.diagnosis.fixes import FixRunner
    from ops.diagnosis.result import DiagnosisResult
    from ops.diagnosis.rules import topics
    from ops.platform import Platform

    save, source = given["save"], given["from_"]
    since_s = ui.parse_seconds("since", given["since"]) or 3600.0
    if given["fix"] and source:
        why = "a folder is evidence of the past; nothing there can be fixed"
        raise ConfigError("--fix with --from", why, "inv troubleshoot.all --fix")
    if save:
        archive.check_target(Path(save))
    platform = None if source else Platform.of(session.settings)
    with step("collecting evidence"):
        snapshot = archive.load(Path(source)) if platform is None else collect(platform)
    if save:
        archive.save(snapshot, Path(save))
    try:
        diagnosis = diagnose(snapshot)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        if platform is not None:
            raise
        why = f"a document does not have the form in which --save writes it ({error})"
        raise ConfigError(f"--from {source}", why, "use the folder as --save wrote it") from None
    result = DiagnosisResult(
        diagnosis,
        getattr(topics, topic_name),
        timedelta(seconds=since_s) if given["timeline"] else None,
    )
    if given["fix"] and platform is not None:
        runner = FixRunner(
            _options(), lambda words: _run_task(session, words), lambda: diagnose(collect(platform))
        )
        result = result.fixed(runner, yes=session.yes)
    session.report(result)


def _options() -> dict[str, frozenset[str]]:
    """Task → the names of its options."""
    return {
        name: frozenset(each.attr_name or each.name for each in task.get_arguments())
        for name, task in ALL_TASKS.items()
    }


def _run_task(session: Session, words: Sequence[str]) -> int:
    """Run another task in a process of its own, on this terminal; its stdout goes to stderr."""
    import os
    import subprocess
    import sys

    environment = {**os.environ, "INVOKE_ENV": session.settings.name}
    if file := session.context.config._runtime_path:
        environment["INVOKE_RUNTIME_CONFIG"] = str(file)
    command = [sys.executable, "-m", "invoke", "--search-root", str(ROOT), *words]
    return subprocess.run(command, env=environment, stdout=sys.stderr, check=False).returncode


def _topic(name: str, topic: str, doc: str) -> Any:
    def body(
        session: Session,
        fix: bool = False,
        save: str | None = None,
        from_: str | None = None,
        timeline: bool = False,
        since: str | None = None,
    ) -> None:
        _troubleshoot(
            session, topic, fix=fix, save=save, from_=from_, timeline=timeline, since=since
        )

    body.__doc__ = doc
    return ops_task(options=("yes", "json"), help=HELP, name=name)(body)


everything = _topic("all", "ALL", "Find the causes of whatever is wrong now, root causes first.")
tasks = _topic("tasks", "TASKS", "Find out why tasks fail to start or to stay healthy.")
gateway = _topic("gateway", "GATEWAY", "Find out why pages answer 502, 503 or 504.")
stale = _topic("stale", "STALE", "Find out why the CDN serves old content.")
database = _topic("database", "DATABASE", "Find out why the database is not available or slow.")
lock = _topic("lock", "LOCK", "Find out who holds a lock, and whether the holder still runs.")
