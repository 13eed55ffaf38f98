<%!
    import json


    def quoted(value):
        """As the house writes it: in double quotes."""
        if isinstance(value, (tuple, list)):
            return "(" + ", ".join(map(quoted, value)) + ("," if len(value) == 1 else "") + ")"
        return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)


    def text(value):
        """As it stands between triple quotes."""
        return value.replace("\\", "\\\\").replace('"""', '\\"\\"\\"')
%>\
"""${text(message)}.

Revision: ${up_revision}
Revises: ${down_revision or "-" | comma,n}
Created: ${create_date}

Expand first (add what the new code needs; the old code still works), contract in a later release
(drop what no code uses).
"""

from __future__ import annotations
${"\n" + imports if imports else ""}
${"" if upgrades or downgrades else "# "}from alembic import op

revision = ${quoted(up_revision)}
down_revision = ${quoted(down_revision)}
branch_labels = ${quoted(branch_labels)}
depends_on = ${quoted(depends_on)}

phase = ${quoted(phase)}     # expand, contract, or "" where neither fits; `inv db.lint` goes by it
${constants if constants else ""}

def upgrade() -> None:
    """Say what this changes, and which locks it takes."""
    ${upgrades if upgrades else 'raise NotImplementedError  # op.execute("ALTER TABLE … ADD COLUMN …"), and its import above'}


def downgrade() -> None:
    """Say what this takes back, and which data is lost."""
    ${downgrades if downgrades else 'raise NotImplementedError  # op.execute("ALTER TABLE … DROP COLUMN …")'}
