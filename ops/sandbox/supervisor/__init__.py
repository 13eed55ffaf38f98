"""The supervisor: one detached process that runs the whole sandbox.

Started as `python -m ops.sandbox.supervisor ROOT`. AWS endpoint, registry front, engine endpoint,
edge and agent are threads; PostgreSQL and the tasks are child processes. It reports readiness on
its own control port, restarts a dead PostgreSQL, names dead threads, and ends on SIGTERM or when
its folder is deleted.
"""
