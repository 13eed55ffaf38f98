"""The revisions of a folder: which exist, which are pending, and their SQL. Without a database."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from alembic.config import Config
from alembic.runtime.migration import HeadMaintainer, RevisionStep
from alembic.script import ScriptDirectory
from alembic.script.revision import RevisionError
from alembic.util import CommandError

from ops.migrator.model import Direction, MigrateError, Revision, split_heads
from ops.migrator.revisions import confined, rendering
from ops.migrator.revisions.checksums import METADATA
from ops.migrator.revisions.output import Hide
from ops.migrator.revisions.user_code import (
    contained,
    describe,
    exception_text,
    location,
)

BASE, HEADS = "base", "heads"
_RELATIVE = re.compile(r"@|[+-]\d+$")  # Alembic's goals relative to the database or to a branch


class _Heads(HeadMaintainer):
    """Alembic's rules for the version table, without a database."""

    def __init__(self, heads: Iterable[str]) -> None:
        self.heads = set(heads)

    def _insert_version(self, version: str) -> None:
        self.heads.add(version)

    def _delete_version(self, version: str) -> None:
        self.heads.remove(version)

    def _update_version(self, from_: str, to_: str) -> None:
        self.heads.remove(from_)
        self.heads.add(to_)


class Scripts:
    """The folder with env.py and versions/.

    Raises MigrateError (config) for a revision file that cannot be loaded.
    """

    def __init__(self, folder: str, hide: Hide | None = None) -> None:
        self.folder, self.hide = folder, hide
        self.config = Config()
        self.config.set_main_option("script_location", folder.replace("%", "%%"))
        with self.translated(f"revisions in {folder}"):
            self.directory = ScriptDirectory(
                folder,
                file_template="%(rev)s_%(slug)s",
                truncate_slug_length=60,
                timezone="UTC",
                messaging_opts={"quiet": True},
            )
            self.heads = tuple(self.directory.get_heads())
            self.files = self._file_states()

    def _file_states(self) -> dict[str, tuple[int, int]]:
        """Modification time (ns) and size of each file of the revisions, SQL files included."""
        folders = {Path(script.path).parent for script in self.directory.walk_revisions()}
        files = [each for folder in folders for each in os.scandir(folder) if each.is_file()]
        return {each.path: ((found := each.stat()).st_mtime_ns, found.st_size) for each in files}

    def refuse_changed(self) -> None:
        """Raise MigrateError (refused) if a file has changed since it was loaded.

        The loaded code would run, but the checksum of the changed file would be stored.
        """
        changed = sorted(
            Path(path).name for path, _ in self.files.items() ^ self._file_states().items()
        )
        if changed:
            why = "it was changed after these revisions were read"
            raise MigrateError(
                "refused",
                f"revision file {changed[0]}",
                why,
                "run it again",
            )

    @property
    def head(self) -> str | None:
        """The single head; None without revisions. Raises MigrateError (refused) for several."""
        if len(self.heads) > 1:
            raise MigrateError(
                "refused",
                f"{len(self.heads)} heads: {', '.join(self.heads)}",
                "two branches of revisions are not merged",
                f'join them: inv db.revision "Merge {" and ".join(self.heads)}" --merge, or run '
                "all of them: --to heads",
            )
        return self.heads[0] if self.heads else None

    @property
    def newest(self) -> str | None:
        """All heads, joined by commas; None without revisions."""
        return ",".join(self.heads) or None

    def known(self, revision: str) -> str:
        """The id of `head`, `base`, or a revision by its prefix or branch label.

        `heads`, and goals relative to the database (`+1`, `billing@base`, `a2@-1`), are returned
        unchanged. Raises MigrateError (config).
        """
        if revision == BASE:
            return BASE
        if revision == "head":
            return self.head or BASE
        if revision == HEADS:
            return HEADS if len(self.heads) > 1 else self.head or BASE
        with self.translated(f"revision {revision}"):
            try:
                return str(self.directory.get_revision(revision).revision)
            except (CommandError, RevisionError, AttributeError):
                if _RELATIVE.search(revision):
                    return revision
                why = (
                    f"this checkout has no such revision, or more than one; its newest is "
                    f"{', '.join(self.heads) or 'none'}"
                )
                raise MigrateError(
                    "config", f"revision {revision}", why, "see: inv db.pending, inv db.history"
                ) from None

    def default_goal(self, direction: Direction, heads: tuple[str, ...]) -> str:
        """Head for an upgrade, one revision back for a downgrade. Raises MigrateError (refused)."""
        if direction == "upgrade":
            return self.head or BASE
        if not heads:
            raise MigrateError(
                "refused", "a step back", "no revision is applied", "see: inv db.history"
            )
        if len(heads) > 1:
            raise MigrateError(
                "refused",
                f"one step back from {' and '.join(heads)}",
                f"the database is at {len(heads)} heads",
                f"say which one: {', or '.join(f'--to {each}@-1' for each in heads)}",
            )
        return self.before(heads[0])

    def check_database(self, current: str | None) -> None:
        """Raise MigrateError (refused) if the database's revision is not in this checkout."""
        if current is None:
            return
        try:
            self.directory.get_revisions(split_heads(current))
        except (CommandError, RevisionError):
            why = (
                f"the newest revision here is {', '.join(self.heads) or 'none'}: the database "
                f"was migrated from a newer checkout"
            )
            what = f"the database is at {current}, which is not in {self.folder}"
            raise MigrateError("refused", what, why, "git pull, then run it again") from None

    def steps(self, direction: Direction, to: str, heads: tuple[str, ...]) -> list[RevisionStep]:
        """Alembic's steps from `heads` to `to`, in the order in which they run.

        `to` may be several revisions of an upgrade, joined by commas.
        """
        what = f"from {', '.join(heads) or BASE} to {to}"
        with self.translated(what), _unreachable_refused(what):
            if direction == "upgrade":
                if to == BASE:
                    return []
                goal: Any = self._not_below(to.split(",")) if "," in to else to
                return self.directory._upgrade_revs(goal, heads)  # type: ignore[arg-type]  # as alembic.command does
            return self.directory._downgrade_revs(to, heads) if heads else []  # type: ignore[arg-type]

    def _not_below(self, goals: list[str]) -> tuple[str, ...]:
        """These goals without those that another one follows or depends on, which Alembic refuses.

        Two heads can be such a pair: a dependency does not make a revision less of a head.
        """
        below = {
            each: set(self.applied((each,))) - {each}
            for each in goals
            if not _RELATIVE.search(each)
        }
        return tuple(each for each in goals if not any(each in found for found in below.values()))

    def pending_steps(
        self, direction: Direction, to: str, heads: tuple[str, ...]
    ) -> list[RevisionStep]:
        """The same; none if an upgrade's goal is applied, or a downgrade's is the current one."""
        done = self.reached(to, heads) if direction == "upgrade" else (to,) == (heads or (BASE,))
        return [] if done else self.steps(direction, to, heads)

    def between(self, direction: Direction, to: str, current: str | None) -> tuple[Revision, ...]:
        """The revisions from `current` to `to`, in the order in which they run."""
        self.check_database(current)
        steps = self.pending_steps(direction, to, split_heads(current))
        return tuple(to_revision(step.revision) for step in steps)

    def reached(self, to: str, heads: tuple[str, ...]) -> bool:
        """Whether `to` is applied: all of its revisions are heads, or below one."""
        if to == BASE:
            return True
        if _RELATIVE.search(to):
            return False  # its steps say so
        goals = self.heads if to == HEADS else to.split(",")
        return set(goals) <= set(self.applied(heads))

    def applied(self, heads: tuple[str, ...]) -> dict[str, Path]:
        """Every revision at or below `heads`, and what they depend on, with its file."""
        if not heads:
            return {}
        with self.translated(f"revisions below {', '.join(heads)}"):
            return {
                str(found.revision): Path(found.path)
                for found in self.directory.iterate_revisions(heads, BASE)
            }

    def before(self, current: str) -> str:
        """The revision before `current`, where a downgrade of one step leads."""
        found = self.directory.get_revision(current)
        down = found.down_revision
        if isinstance(down, tuple | list):
            why = f"{current} joins {' and '.join(down)}"
            raise MigrateError(
                "refused", f"one step back from {current}", why, f"say where to: --to {down[0]}"
            )
        return str(down) if down else BASE

    def undo_goal(self, revision: str) -> str:
        """The goal of a downgrade that takes back this head alone, also of several branches."""
        down = self.directory.get_revision(revision).down_revision
        first = down[0] if isinstance(down, tuple | list) else down
        return f"{revision}@{first or BASE}"

    def heads_among(self, revisions: Iterable[str]) -> list[str]:
        """Those of these revisions that no other of them follows or depends on."""
        found = [self.directory.get_revision(each) for each in revisions]
        below = {parent for each in found for parent in each._all_down_revisions}
        return [each.revision for each in found if each.revision not in below]

    def heads_after(self, steps: Iterable[RevisionStep], heads: tuple[str, ...]) -> tuple[str, ...]:
        """The heads of a database at `heads` after these steps."""
        moved = _Heads(heads)
        for step in steps:
            moved.update_to_step(step)
        return tuple(sorted(moved.heads))

    def sql(
        self, direction: Direction, to: str, current: str | None
    ) -> Iterator[tuple[Revision, str, str | None]]:
        """Yield (revision, SQL, problem) for each revision from `current` to `to`.

        `problem`: why the SQL is incomplete, as for a revision that reads the database.
        """
        self.check_database(current)
        heads = split_heads(current)
        steps = self.pending_steps(direction, to, heads)
        while steps:
            texts, problem = self.rendered(steps, heads)
            for step, text in zip(steps, texts, strict=False):
                yield to_revision(step.revision), text, problem if text is texts[-1] else None
            heads = self.heads_after(steps[: len(texts)], heads)
            steps = steps[len(texts) :]

    def sql_of(self, revision: str) -> tuple[str, str | None]:
        """The SQL of one revision's upgrade, and the reason if it is incomplete."""
        found = self.directory.get_revision(revision)
        parents = tuple(dict.fromkeys(found._all_down_revisions))
        step = next(
            each
            for each in self.steps("upgrade", revision, parents)
            if each.revision.revision == revision
        )
        texts, problem = self.rendered([step], parents)
        return texts[-1], problem

    def rendered(
        self, steps: list[RevisionStep], heads: tuple[str, ...]
    ) -> tuple[list[str], str | None]:
        """The SQL of each step up to the first that can't be printed, and the reason.

        The first step starts from `heads`. Revisions run in a process without network.
        """
        self._require_env()
        texts: list[str] = []
        problem: str | None = None

        def render(send: rendering.Send) -> None:
            rendering.render(self.directory, self.config, steps, heads, send)

        try:
            with contained(self.hide), closing(confined.results(render)) as results:
                for kind, value in results:
                    if kind == "error":
                        raise MigrateError(*value)
                    if kind == "text":
                        texts.append(value)
                    else:
                        problem = value
        except confined.ProcessEnded as error:
            texts, problem = [*texts[: len(steps) - 1], ""], str(error)
        return texts, problem

    def _require_env(self) -> None:
        """Raise MigrateError (config) without env.py, through which Alembic runs all revisions."""
        if not (Path(self.folder) / "env.py").is_file():
            raise MigrateError(
                "config",
                f"revisions in {self.folder}",
                "there is no env.py, through which Alembic runs them",
                f"copy the project's env.py to {self.folder}, or write a revision: inv db.revision "
                "adds a missing one",
            )

    @contextmanager
    def translated(self, what: str) -> Iterator[None]:
        """Convert errors of Alembic and of revision files to MigrateError."""
        try:
            with contained(self.hide):
                yield
        except MigrateError:
            raise
        except (CommandError, RevisionError) as error:
            known = ", ".join(getattr(self, "heads", ())) or "none"
            text = " ".join(exception_text(error).split())
            text = text.replace("identified by", "named")  # the redaction hides IDENTIFIED BY '…'
            why = f"{text} (newest: {known})"
            raise MigrateError("config", what, why, "see: inv db.history, inv db.pending") from None
        except Exception as error:
            why = describe(error) + location(error, Path(self.folder))
            raise MigrateError("config", what, why, "correct the file that it names") from None


@contextmanager
def _unreachable_refused(what: str) -> Iterator[None]:
    """Convert Alembic's assertion for a relative goal that these heads can't reach."""
    try:
        yield
    except AssertionError:
        why = (
            "it is not reached from there: its branch, or so many revisions of it, are not applied"
        )
        raise MigrateError("config", what, why, "see: inv db.current, inv db.pending") from None


def to_revision(script: Any) -> Revision:
    doc = (script.doc or "").strip()
    about = {
        name: getattr(script.module, name) for name in METADATA if hasattr(script.module, name)
    }
    says = doc.splitlines()[0].encode("utf-8", "backslashreplace").decode() if doc else ""
    return Revision(str(script.revision), says, Path(script.path), about)
