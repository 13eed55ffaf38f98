"""The deployment runbook as a program: `tasks` are its front doors, `flows` its undertakings,
`rules` decide, `adapters` reach out.
"""
