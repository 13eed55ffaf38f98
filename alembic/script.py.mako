"""${message}.

Revision: ${up_revision}
Revises: ${down_revision | comma,n}
Created: ${create_date}
"""

from __future__ import annotations

import sqlalchemy as sa

from alembic import op
${imports if imports else ""}
revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = ${repr(branch_labels)}
depends_on = ${repr(depends_on)}


def upgrade() -> None:
    """Say what this changes, and which locks it takes."""
    ${upgrades if upgrades else "raise NotImplementedError"}


def downgrade() -> None:
    """Say what this takes back, and which data is lost."""
    ${downgrades if downgrades else "raise NotImplementedError"}
