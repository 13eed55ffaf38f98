"""`inv db.lint`, and the review that an upgrade prints before it runs.

The review has the problems in the SQL of the plan's revisions, and the forecast of their locks and
duration.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ops.core.errors import ConfigError, OpsError, Refused
from ops.core.redaction.redact import redacted
from ops.migrations.forecast import Forecast, forecast
from ops.migrations.plan import MigrationPlan
from ops.migrations.rules import lint as rules
from ops.migrations.rules.data_loss import UNWRITTEN
from ops.migrations.rules.lint import LintProblem, RevisionScript, format_problems
from ops.migrations.rules.statements import (
    indexes_by_table,
    is_same_relation,
    partitioned,
    try_parse,
)
from ops.migrations.target import BASE, MigrationTarget
from ops.postgres import access
from ops.postgres.access import DatabaseAccess, Revision
from ops.tools import squawk

if TYPE_CHECKING:
    from ops.core.config.settings import Settings

_PHASES = ("", "expand", "contract")


@dataclass(frozen=True)
class LintReport:
    """The problems of some revisions."""

    problems: tuple[LintProblem, ...]

    @property
    def blocking(self) -> tuple[LintProblem, ...]:
        return tuple(each for each in self.problems if each.blocks)

    @property
    def exit_code(self) -> int:
        return 1 if self.blocking else 0

    @property
    def document(self) -> dict[str, Any]:
        """The document that `db.lint --json` prints."""
        return {"problems": [each.as_document() for each in self.problems]}

    @property
    def text(self) -> str:
        return "\n".join(format_problems(self.problems)) or "no problems"


def lint_project(settings: Settings, only: str | None = None) -> LintReport:
    """Lint all revisions of the project, or one; needs no database.

    Raises ConfigError (no revisions, an unknown one).
    """
    project = access.offline(settings.root, settings.environment.migrations)
    scripts = project.scripts
    with access.translate_errors(project.target):
        known = scripts.known(only) if only else None
    if not scripts.heads:
        return LintReport(())
    upgrades = access.sql(project, scripts, "upgrade", "heads", None)
    downgrades = access.sql(project, scripts, "downgrade", "base", ",".join(scripts.heads))
    problems = {revision.id: problem for revision, _, problem in downgrades}
    found = [
        _revision_script(revision, sql, problem, problems.get(revision.id))
        for revision, sql, problem in upgrades
        if known in (None, revision.id)
    ]
    return lint_revisions(found, _partitioned([sql for _, sql, _ in upgrades]))


def lint_plan(plan: MigrationPlan, database: DatabaseAccess | None = None) -> LintReport:
    """Lint the revisions of an upgrade; a downgrade has no problems.

    `database`: has the tables that earlier revisions created.
    """
    if plan.direction != "upgrade":
        return LintReport(())
    problems = _downgrade_problems(plan)
    found = [
        _revision_script(each.revision, each.sql, each.problem, problems.get(each.revision.id))
        for each in plan.revisions
    ]
    return lint_revisions(found, _partitioned([each.sql for each in plan.revisions], database))


def _partitioned(scripts: Sequence[str], database: DatabaseAccess | None = None) -> frozenset[str]:
    """The partitioned tables and indexes that these revisions create, and the database's."""
    if not any(" INDEX" in sql.upper() for sql in scripts):
        return frozenset()
    parsed = [try_parse(sql) or () for sql in scripts]
    found = frozenset(table for statements in parsed for table in partitioned(statements))
    if database is not None:
        with suppress(OpsError):  # the forecast names its reason
            found |= access.partitioned_relations(database)
    return found | {
        index
        for statements in parsed
        for index, table in indexes_by_table(statements)
        if any(is_same_relation(table, each) for each in found)
    }


def lint_revisions(
    scripts: Iterable[RevisionScript], partitioned_relations: frozenset[str] = frozenset()
) -> LintReport:
    """Lint with squawk and our own rules; secrets in the findings are redacted."""
    scripts = tuple(scripts)
    from_squawk = squawk.lint({each.revision: each.sql for each in scripts}, None)
    problems: list[LintProblem] = []
    for script in scripts:
        lines = script.sql.splitlines()
        found = tuple(
            LintProblem(
                script.revision,
                row.rule,
                "warning",
                row.line,
                lines[row.line - 1] if row.line <= len(lines) else "",
                row.message,
            )
            for row in from_squawk[script.revision]
        )
        problems += [
            replace(each, sql=redacted(each.sql), advice=redacted(each.advice))
            for each in rules.problems(script, found, partitioned_relations)
        ]
    return LintReport(tuple(problems))


def _revision_script(
    revision: Revision, sql: str, problem: str | None, downgrade_problem: str | None
) -> RevisionScript:
    """A revision with the `phase` and `waive` of its file. Raises ConfigError for invalid ones."""
    phase, waive = revision.about.get("phase", ""), revision.about.get("waive", {})
    if phase not in _PHASES:
        raise ConfigError(
            f"revision {revision.id}: phase is {phase!r}",
            "allowed: expand, contract",
            'phase = "expand"',
        )
    if not isinstance(waive, dict) or not all(
        isinstance(reason, str) and reason.strip() for reason in waive.values()
    ):
        how = 'waive = {"RULE": "why it is safe"}'
        raise ConfigError(
            f"revision {revision.id}: waive is {waive!r}", "it maps each rule to a reason", how
        )
    return RevisionScript(revision.id, sql, phase, waive, problem, downgrade_problem)


def _downgrade_problems(plan: MigrationPlan) -> dict[str, str | None]:
    """Why the plan's downgrades can't be printed, by revision.

    Printing them takes as long as printing the upgrades, so it is only done if a file contains the
    exception of the template.
    """
    if plan.scripts is None or not any(
        UNWRITTEN.encode() in each.revision.file.read_bytes() for each in plan.revisions
    ):
        return {}
    heads = access.split_heads(plan.at)
    after = plan.scripts.heads_after(plan.scripts.steps(plan.direction, plan.to, heads), heads)
    downgrades = plan.scripts.sql("downgrade", BASE, ",".join(after))
    return {revision.id: problem for revision, _, problem in downgrades}


@dataclass(frozen=True)
class Review:
    """The problems and the forecast that are printed before a migration runs."""

    lint: LintReport
    forecast: Forecast

    def as_document(self) -> dict[str, Any]:
        return {"lint": self.lint.document["problems"], **self.forecast.as_document()}

    def as_text(self) -> str:
        lines = [*format_problems(self.lint.problems), *self.forecast.as_text().splitlines()]
        return "\n".join(f"  {line}" for line in lines)


def review(target: MigrationTarget, plan: MigrationPlan) -> Review:
    return Review(lint_plan(plan, target.database), forecast(target, plan))


def refuse_blocking(target: MigrationTarget, found: LintReport) -> None:
    """Raise Refused if a protected environment's upgrade has an error that is not waived."""
    if target.settings.environment.protected and found.blocking:
        first = found.blocking[0]
        raise Refused(
            f"blocking findings in the upgrade of {target.settings.name}: {len(found.blocking)}",
            first.as_text(),
            f'fix it, or add to the revision: waive = {{"{first.rule}": "why it is safe"}}',
        )
