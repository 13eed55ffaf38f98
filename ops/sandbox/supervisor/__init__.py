"""The supervisor: one detached process that holds the whole sandbox (`python -m
ops.sandbox.supervisor ROOT`).

As threads: AWS endpoint, registry front, engine endpoint, edge and agent. As children: PostgreSQL
and the tasks' processes. It says that it is ready on a control port of its own, starts a dead
PostgreSQL again, names threads that died, and ends when it is told to (SIGTERM) or when its folder
is taken away."""
