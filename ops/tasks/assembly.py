"""Build the collection for `inv`: fixed namespaces, and one per configured service.

Invoke imports `tasks.py` before it loads the project's configuration, so the files are read here,
and what Invoke cannot load is refused. There is a namespace for each service of any environment; a
task refuses to run if its service is absent from the chosen one.
"""

from __future__ import annotations

import os
import re
import sys
from typing import Any

from invoke.collection import Collection
from invoke.config import Config

from ops.core import streams
from ops.core.config import load
from ops.core.invocation import invocation
from ops.tasks import cdn, db, dev, env, health, lock, root, sandbox, service, tf, troubleshoot
from ops.tasks.arguments import refuse_env, refuse_remainder
from ops.tasks.shared import ALL_TASKS, ROOT

DEFAULTS: dict[str, Any] = {
    "env": "sandbox",
    "environments": {},
}  # INVOKE_* overrides only keys that exist already
CLUSTER = re.compile(r"-[A-Za-z]*f")  # -f, or -df: switches, then -f


def build_collection() -> Collection:
    """The collection of all namespaces.

    Raises ConfigError for words after `--`, a `-f FILE` that does not exist, and a reserved
    service name.
    """
    streams.make_safe()
    refuse_remainder(sys.argv[1:])
    if not invocation.own:
        refuse_env(sys.argv[1:])
    ns = Collection()
    for task in (root.preflight, root.status):
        ns.add_task(task)
    for name, module in (
        ("cdn", cdn),
        ("db", db),
        ("env", env),
        ("health", health),
        ("lock", lock),
        ("tf", tf),
        ("troubleshoot", troubleshoot),
        ("sandbox", sandbox),
        ("dev", dev),
    ):
        ns.add_collection(Collection.from_module(module), name=name)
    for name in service_names():
        ns.add_collection(service.namespace(name))
    for path in ns.task_names:
        ns[path].path = path
        ALL_TASKS[path] = ns[path]
    ns.configure(DEFAULTS)
    return ns


def service_names() -> tuple[str, ...]:
    """Names of the services in all environments. Raises ConfigError for a wrong configuration."""
    defaults = {**Config.global_defaults(), **DEFAULTS}
    environments = load.load(ROOT, runtime_file(sys.argv[1:]), defaults)["environments"]
    return tuple(
        sorted({name for values in environments.values() for name in values.get("services", ())})
    )


def runtime_file(arguments: list[str]) -> str | None:
    """The `-f FILE` of a command line, else INVOKE_RUNTIME_CONFIG: Invoke's own order."""
    words = arguments[: arguments.index("--")] if "--" in arguments else arguments
    for position, word in enumerate(words):
        if word == "--config" or CLUSTER.fullmatch(word):
            return words[position + 1] if position + 1 < len(words) else None
        for prefix in ("--config=", "-f="):
            if word.startswith(prefix):
                return word.removeprefix(prefix)
        if word.startswith("-f"):
            return word[2:]
    return os.environ.get("INVOKE_RUNTIME_CONFIG")
