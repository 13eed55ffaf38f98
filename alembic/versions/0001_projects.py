"""The projects table with its indexes and its updatedAt trigger.

Revision: 0001
Revises: -
Created: 2025-11-01 00:00:00+00:00

Every statement holds on a database that already has the table, as three kinds in the wild do: made by the legacy SQL file, by an ORM's
synchronize (another default, no trigger, no indexes), or as a copy without trigger and function. What is missing is added, data stays.
"""

from __future__ import annotations

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

waive = {
    "prefer-timestamp-tz": "the columns are as the application's ORM made them on every live database",
    "prefer-bigint-over-int": "a position in a list of projects",
}

TABLE = """
CREATE TABLE IF NOT EXISTS public.projects (
    id uuid DEFAULT gen_random_uuid() CONSTRAINT projects_pkey PRIMARY KEY,
    title varchar(200) NOT NULL,
    description text NOT NULL,
    "imageUrl" varchar(500),
    "projectUrl" varchar(500),
    "githubUrl" varchar(500),
    technologies text[],
    "isActive" boolean NOT NULL DEFAULT true,
    "sortOrder" integer NOT NULL DEFAULT 0,
    "createdAt" timestamp without time zone NOT NULL DEFAULT now(),
    "updatedAt" timestamp without time zone NOT NULL DEFAULT now()
)
"""

DEFAULTS = """
ALTER TABLE public.projects
    ALTER COLUMN id SET DEFAULT gen_random_uuid(),
    ALTER COLUMN "isActive" SET DEFAULT true,
    ALTER COLUMN "sortOrder" SET DEFAULT 0,
    ALTER COLUMN "createdAt" SET DEFAULT now(),
    ALTER COLUMN "updatedAt" SET DEFAULT now()
"""

# An ORM names the primary key after a hash of its own.
PRIMARY_KEY = """
DO $$
DECLARE found name;
BEGIN
    SELECT conname INTO found FROM pg_constraint WHERE conrelid = 'public.projects'::regclass AND contype = 'p';
    IF found IS NULL THEN
        ALTER TABLE public.projects ADD CONSTRAINT projects_pkey PRIMARY KEY (id);
    ELSIF found <> 'projects_pkey' THEN
        EXECUTE format('ALTER TABLE public.projects RENAME CONSTRAINT %I TO projects_pkey', found);
    END IF;
END
$$
"""

FUNCTION = """
CREATE OR REPLACE FUNCTION public.update_updated_at_column() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW."updatedAt" = NOW();
    RETURN NEW;
END;
$$
"""

TRIGGER = """
CREATE TRIGGER update_projects_updated_at
    BEFORE UPDATE ON public.projects FOR EACH ROW EXECUTE FUNCTION public.update_updated_at_column()
"""


def upgrade() -> None:
    """Make or complete the table. Locks public.projects exclusively, for moments: nothing is rewritten."""
    op.execute(TABLE)
    op.execute(DEFAULTS)
    op.execute(PRIMARY_KEY)
    op.execute('CREATE INDEX IF NOT EXISTS idx_projects_is_active ON public.projects ("isActive")')
    op.execute(
        'CREATE INDEX IF NOT EXISTS idx_projects_sort_order ON public.projects ("sortOrder")'
    )
    op.execute(FUNCTION)
    op.execute("DROP TRIGGER IF EXISTS update_projects_updated_at ON public.projects")
    op.execute(TRIGGER)


def downgrade() -> None:
    """Drop the table with all projects in it, and the trigger's function. The data is lost: take a snapshot first."""
    op.execute("DROP TABLE public.projects")
    op.execute("DROP FUNCTION public.update_updated_at_column()")
