"""The collection that `inv` sees: the fixed namespaces, and one generated for each service of any environment.

Invoke imports `tasks.py` before it has loaded any configuration, so the service names are read here, by Invoke's own loader.
A namespace is offered for the union of all environments; a task refuses where its service is absent from the chosen one.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from invoke.collection import Collection
from invoke.config import Config

from ops import config
from ops.tasks import cdn, db, dev, health, lock, root, sandbox, service, tf
from ops.tasks.shared import ROOT


def assemble() -> Collection:
    """Every namespace, by name. Raises ConfigError for a `-f FILE` that is not there and for a service name that is taken."""
    ns = Collection()
    for task in (root.preflight, root.status):
        ns.add_task(task)
    for name, module in (("cdn", cdn), ("db", db), ("health", health), ("lock", lock), ("tf", tf), ("sandbox", sandbox), ("dev", dev)):
        ns.add_collection(Collection.from_module(module), name=name)
    for name in service_names():
        ns.add_collection(service.namespace(name))
    for path in ns.task_names:
        ns[path].path = path
    ns.configure({"env": "sandbox", "environments": {}})   # INVOKE_* overrides only keys that exist already
    return ns


class QuickConfig(Config):
    """Invoke's configuration files, read by libyaml: Invoke's own reader takes five times as long, and it reads them once more."""

    def _load_yaml(self, path: Any) -> Any:
        import yaml

        with Path(path).open(encoding="utf-8") as file:
            return yaml.load(file, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506  # both are the safe loader

    _load_yml = _load_yaml


def service_names() -> tuple[str, ...]:
    """Names of the services in all environments, from Invoke's configuration files and `-f FILE`."""
    runtime = runtime_file(sys.argv[1:])
    config.check_runtime_file(runtime)
    loaded: Any = QuickConfig(project_location=ROOT, runtime_path=Path(runtime) if runtime else None, lazy=True)
    for level in (loaded.load_system, loaded.load_user, loaded.load_project, loaded.load_runtime):
        level(merge=False)   # merging copies everything: once is enough
    loaded.merge()
    environments = loaded.get("environments") or {}
    return config.check_service_names({name for values in environments.values() for name in values.get("services") or ()})


def runtime_file(arguments: list[str]) -> str | None:
    """The `-f FILE` of a command line, else INVOKE_RUNTIME_CONFIG: Invoke's own order."""
    for position, word in enumerate(arguments):
        if word in ("-f", "--config"):
            return arguments[position + 1] if position + 1 < len(arguments) else None
        for prefix in ("--config=", "-f="):
            if word.startswith(prefix):
                return word.removeprefix(prefix)
        if word.startswith("-f") and len(word) > 2 and not word.startswith("--"):
            return word[2:]
    return os.environ.get("INVOKE_RUNTIME_CONFIG")
