"""The platform's own entry among the projects.

Revision: 0002
Revises: 0001
Created: 2025-11-01 00:00:00+00:00
"""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

keeps_data = """
INSERT INTO public.projects (title, description, "sortOrder") VALUES ('A project', 'Somebody else wrote it.', 2)
"""

TITLE = "DavidShaevel.com Platform"
LIVE_TITLE = "DavidShaevel.com Platform Engineering Portfolio"
URL = "https://davidshaevel.com"
DESCRIPTION = "The site you are reading: two small services behind a load balancer and a CDN, deployed by a runbook that runs itself."

INSERT = f"""
INSERT INTO public.projects (title, description, "projectUrl", technologies, "sortOrder")
SELECT '{TITLE}',
       '{DESCRIPTION}',
       '{URL}',
       ARRAY['AWS ECS', 'CloudFront', 'PostgreSQL', 'Python', 'Terraform'],
       1
WHERE NOT EXISTS (
    SELECT 1 FROM public.projects
    WHERE title IN ('{TITLE}', '{LIVE_TITLE}') OR rtrim("projectUrl", '/') = '{URL}'
)
"""  # noqa: S608 - the constants above


def upgrade() -> None:
    """Insert the row, unless a project has the site's address or either of its titles."""
    op.execute(INSERT)


def downgrade() -> None:
    """Delete the row that the upgrade inserted; one that was there before, or was edited since, stays."""
    op.execute(
        f"DELETE FROM public.projects WHERE title = '{TITLE}' AND description = '{DESCRIPTION}'"  # noqa: S608 - the constants above
    )
