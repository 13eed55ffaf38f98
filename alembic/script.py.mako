"""${message}.

Revision: ${up_revision}
Revises: ${down_revision or "-" | comma,n}
Created: ${create_date}

Expand first (add what the new code needs; the old code still works), contract in a later release (drop what no code uses).
"""

from __future__ import annotations
${"\n" + imports if imports else ""}
${"" if upgrades or downgrades else "# "}from alembic import op

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = ${repr(branch_labels)}
depends_on = ${repr(depends_on)}

phase = "expand"     # or "contract", or "" where neither fits; `inv db.lint` goes by it
${constants if constants else ""}

def upgrade() -> None:
    """Say what this changes, and which locks it takes."""
    ${upgrades if upgrades else 'raise NotImplementedError  # op.execute("ALTER TABLE … ADD COLUMN …"), and its import above'}


def downgrade() -> None:
    """Say what this takes back, and which data is lost."""
    ${downgrades if downgrades else 'raise NotImplementedError  # op.execute("ALTER TABLE … DROP COLUMN …")'}
