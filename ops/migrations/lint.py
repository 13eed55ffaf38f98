"""`inv db.lint`, and what an upgrade says of its revisions before it runs them: dangers, locks,
sizes, and about how long it takes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ops.core.errors import ConfigError, Refused
from ops.core.redaction.redact import redacted
from ops.migrations.forecast import Forecast, expected
from ops.migrations.plan import BASE, MigrationPlan, MigrationTarget
from ops.migrations.rules import lint as rules
from ops.migrations.rules.data_loss import UNWRITTEN
from ops.migrations.rules.lint import LintProblem, RevisionScript, texts
from ops.postgres import access
from ops.postgres.access import Revision
from ops.tools import squawk

if TYPE_CHECKING:
    from ops.core.config.settings import Settings

PHASES = ("", "expand", "contract")


@dataclass(frozen=True)
class LintReport:
    """What is to be said of some revisions."""

    problems: tuple[LintProblem, ...]

    @property
    def blocking(self) -> tuple[LintProblem, ...]:
        return tuple(each for each in self.problems if each.blocks)

    def as_document(self) -> dict[str, Any]:
        """The shape that `db.lint --json` prints."""
        return {"problems": [each.as_document() for each in self.problems]}

    def as_text(self) -> str:
        return "\n".join(texts(self.problems)) or "nothing is wrong"


def script(revision: Revision, sql: str, problem: str | None, back: str | None) -> RevisionScript:
    """One revision with what its file says of itself. Raises ConfigError for a `phase` or a `waive`
    that is no such thing.
    """
    phase, waive = revision.about.get("phase", ""), revision.about.get("waive", {})
    if phase not in PHASES:
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
            f"revision {revision.id}: waive is {waive!r}", "it names rules, each with a reason", how
        )
    return RevisionScript(revision.id, sql, phase, waive, problem, back)


def lint_project(settings: Settings, only: str | None = None) -> LintReport:
    """Every revision of the project, or one. Nothing here needs a database. Raises ConfigError (no
    revisions, an unknown one).
    """
    door = access.offline(settings.root)
    scripts = door.scripts
    with access.translate_errors(door.target):
        known = scripts.known(only) if only else None
    forth = access.sql(door, scripts, "upgrade", "heads", None) if scripts.heads else ()
    downwards = (
        access.sql(door, scripts, "downgrade", "base", ",".join(scripts.heads)) if forth else ()
    )
    back = {each.id: problem for each, _, problem in downwards}
    wanted = [
        script(each, sql, problem, back.get(each.id))
        for each, sql, problem in forth
        if known in (None, each.id)
    ]
    return lint_revisions(wanted)


def lint_revisions(wanted: list[RevisionScript]) -> LintReport:
    found = squawk.lint({each.revision: each.sql for each in wanted}, None)
    problems: list[LintProblem] = []
    for each in wanted:
        lines = each.sql.splitlines()
        said = tuple(
            LintProblem(
                each.revision,
                row.rule,
                "warning",
                row.line,
                lines[row.line - 1] if row.line <= len(lines) else "",
                row.message,
            )
            for row in found[each.revision]
        )
        found_here = rules.problems(each, said)
        problems += [
            replace(one, sql=redacted(one.sql), advice=redacted(one.advice)) for one in found_here
        ]
    return LintReport(tuple(problems))


@dataclass(frozen=True)
class Review:
    """What is said before an upgrade or a downgrade runs."""

    found: LintReport
    expected: Forecast

    def as_document(self) -> dict[str, Any]:
        return {"lint": self.found.as_document()["problems"], **self.expected.as_document()}

    def as_text(self) -> str:
        return "\n".join(
            f"  {line}"
            for line in [*texts(self.found.problems), *self.expected.as_text().splitlines()]
        )


def review_revisions(place: MigrationTarget, planned: MigrationPlan) -> Review:
    return Review(review_plan(planned), expected(place, planned))


def review_plan(planned: MigrationPlan) -> LintReport:
    """The plan's own revisions, where they go forward."""
    if planned.direction != "upgrade":
        return LintReport(())
    back = ways_back(planned)
    return lint_revisions(
        [script(each, sql, problem, back.get(each.id)) for each, sql, problem in planned.steps]
    )


def ways_back(planned: MigrationPlan) -> dict[str, str | None]:
    """Why each way back can't be printed. Only asked where a file has the template's word for that:
    it costs as much again.
    """
    if planned.scripts is None or not any(
        UNWRITTEN.encode() in each.file.read_bytes() for each, _, _ in planned.steps
    ):
        return {}
    return {
        each.id: problem
        for each, _, problem in planned.scripts.sql("downgrade", planned.at or BASE, planned.to)
    }


def refuse_blocking(place: MigrationTarget, found: LintReport) -> None:
    """Raises Refused where a protected environment's upgrade has a blocking finding that its
    revision does not waive.
    """
    if place.settings.environment.protected and found.blocking:
        first = found.blocking[0]
        what = (
            f"blocking findings in what would be applied to {place.settings.name}: "
            f"{len(found.blocking)}"
        )
        raise Refused(
            what,
            first.as_text(),
            f'mend it, or write into the revision: waive = {{"{first.rule}": "why it is safe"}}',
        )
