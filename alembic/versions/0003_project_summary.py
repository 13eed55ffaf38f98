"""A short summary of a project, for lists: expand.

Revision: 0003
Revises: 0002
Created: 2025-12-01 00:00:00+00:00
"""

from __future__ import annotations

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

phase = "expand"  # old code does not know the column, new code does without it: either may run on either schema


def upgrade() -> None:
    """Add the column, without a default: no row is written, and the table's lock lasts a moment."""
    op.execute("ALTER TABLE public.projects ADD COLUMN summary character varying(280)")


def downgrade() -> None:
    """Drop the column, and the summaries that were written."""
    op.execute("ALTER TABLE public.projects DROP COLUMN summary")
