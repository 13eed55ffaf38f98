"""The deployment runbook as a program: front doors (`tasks`), undertakings (`flows`), decisions (`rules`), doors to the outside (`adapters`)."""
