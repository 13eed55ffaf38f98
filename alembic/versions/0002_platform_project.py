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

INSERT = f"""
INSERT INTO public.projects (title, description, "projectUrl", technologies, "sortOrder")
SELECT '{TITLE}',
       'The site you are reading: two small services behind a load balancer and a CDN, deployed by a runbook that runs itself.',
       'https://davidshaevel.com',
       ARRAY['AWS ECS', 'CloudFront', 'PostgreSQL', 'Python', 'Terraform'],
       1
WHERE NOT EXISTS (SELECT 1 FROM public.projects WHERE title = '{TITLE}')
"""  # noqa: S608 - TITLE is the constant above


def upgrade() -> None:
    """Insert the row where no project has its title; a row that somebody wrote before stays as it is."""
    op.execute(INSERT)


def downgrade() -> None:
    """Delete the row of that title."""
    op.execute(f"DELETE FROM public.projects WHERE title = '{TITLE}'")  # noqa: S608 - TITLE is the constant above
