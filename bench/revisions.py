"""What the benchmarks of migrations share: a copy of this project, and trivial revisions written
into it.
"""

from __future__ import annotations

import shutil
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PARTS = (
    "ops",
    "alembic",
    "tasks.py",
    "invoke.yaml",
    "alembic.ini",
    "pyproject.toml",
    "requirements.lock",
)
REVISION = '''"""Add table {number}."""

from alembic import op

revision = "{number:04}"
down_revision = {before!r}


def upgrade() -> None:
    op.execute("CREATE TABLE public.t{number} (id bigint PRIMARY KEY)")


def downgrade() -> None:
    op.execute("DROP TABLE public.t{number}")
'''


def copy(folder: Path) -> Path:
    """This project without its caches, in `folder`."""
    folder.mkdir(parents=True)
    for part in PARTS:
        source = ROOT / part
        if source.is_dir():
            shutil.copytree(source, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(source, folder / part)
    return folder


def write(versions: Path, first: int, last: int) -> None:
    """Revisions `first` to `last`, a table each; what stands before `first` is its predecessor."""
    versions.mkdir(parents=True, exist_ok=True)
    for number in range(first, last + 1):
        before = f"{number - 1:04}" if number > 1 else None
        (versions / f"{number:04}_table.py").write_text(
            REVISION.format(number=number, before=before), encoding="utf-8"
        )
