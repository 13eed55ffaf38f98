"""Values of options and arguments for completion: from files and caches, never from the network."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ops.core.files import read_json

_COMMITS = 20
_GIT_TIMEOUT_S = 1.0
_FIXED: Mapping[str, tuple[str, ...]] = {
    "engine": ("process", "docker"),
    "rollout": ("auto", "ecs", "terraform"),
    "list-format": ("flat", "nested", "json"),
    "print-completion-script": ("bash", "fish", "zsh"),
    "verdict": (
        "succeeded",
        "failed",
        "rolled_back",
        "superseded",
        "timed_out",
        "interrupted",
        "unrecorded",
    ),
    "run": ("latest",),
    "baseline": ("last-release",),
}


class Values:
    """The values for an option of a task, by `root`'s files and the configured environments."""

    def __init__(self, root: Path, config: Any, environment: str) -> None:
        self.root, self.default = root, environment
        environments = config.get("environments") or {}
        self.environments = {name: values or {} for name, values in environments.items()}

    def __call__(self, task: str, option: str, environment: str) -> Iterable[str]:
        space, _, name = task.rpartition(".")
        chosen = environment or self.default
        readers: dict[str, Callable[[], Iterable[str]]] = {
            "env": lambda: sorted(self.environments),
            "service": lambda: self.services(chosen),
            "tag": lambda: self.tags(chosen, space),
            "diff": lambda: self.tags(chosen, space),
            "other": lambda: self.tags(chosen, space),
            "fault": self.faults,
            "revision": lambda: self.revisions(chosen),
            "accept-edit": lambda: self.revisions(chosen),
            "only": self.groups,
        }
        if option == "to":
            return (
                self.tags(chosen, space)
                if name == "rollback"
                else ["head", "base", *self.revisions(chosen)]
            )
        if option == "name" and task == "lock.release":
            return self.services(chosen)
        if option == "skip":
            return self.health_checks(chosen) if space == "health" else self.preflight_checks()
        read = readers.get(option)
        return read() if read else _FIXED.get(option, ())

    def services(self, environment: str) -> list[str]:
        """The services of an environment."""
        return sorted(self.environments.get(environment, {}).get("services") or ())

    def revisions(self, environment: str) -> list[str]:
        """The ids of the environment's migrations."""
        from ops.postgres.facts import scripts_folder

        database: Any = self.environments.get(environment, {}).get("database")
        configured = database.get("migrations") if hasattr(database, "get") else None
        folder = scripts_folder(self.root, configured)
        files = sorted((folder / "versions").glob("*.py")) if folder else ()
        return [found[1] for file in files if (found := _REVISION.search(_text(file)))]

    def faults(self) -> list[str]:
        """The sandbox's faults."""
        files = (Path(__file__).parents[2] / "sandbox/faults").rglob("catalog.py")
        found = (re.findall(r'Fault\(\s*"([\w-]+)"', _text(file)) for file in files)
        return sorted(name for names in found for name in names)

    def preflight_checks(self) -> list[str]:
        """The names of the preflight checks that can be skipped."""
        files = sorted((Path(__file__).parents[2] / "preflight/rules").glob("*.py"))
        return [
            found[1]
            for file in files
            for found in _CHECK.finditer(_text(file))
            if "skippable=False" not in found[2]
        ]

    def groups(self) -> list[str]:
        """The groups of health checks."""
        from ops.health.model import GROUPS

        return list(GROUPS[1:])

    def health_checks(self, environment: str) -> list[str]:
        """The groups, and the checks of the last sweep that was stored here."""
        stored = sorted((self.root / ".ops/health" / environment).glob("*.json"))
        last = read_json(stored[-1]) if stored else None
        checks = last.get("checks", ()) if isinstance(last, dict) else ()
        return [*self.groups(), *(str(each.get("name")) for each in checks)]

    def tags(self, environment: str, service: str) -> list[str]:
        """The service's tags that `releases` listed last, then the newest commits."""
        from ops.state.model import TAGS

        listed = read_json(self.root / TAGS / environment / f"{service}.json")
        return [
            *(map(str, listed) if isinstance(listed, list) else ()),
            *self._commits(environment),
        ]

    def _commits(self, environment: str) -> Iterator[str]:
        source = self.root / self._source(environment)
        command = ["git", "-C", str(source), "log", f"-{_COMMITS}", "--format=%h\t%s"]
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=_GIT_TIMEOUT_S, check=False
            )
        except (OSError, subprocess.SubprocessError, UnicodeDecodeError):
            return
        yield from done.stdout.splitlines()

    def _source(self, environment: str) -> str:
        values = self.environments.get(environment, {})
        overlay = values.get("overlay")
        if overlay:
            found = re.search(
                r"^source: *['\"]?([^'\"\n]+)", _text(self.root / overlay), re.MULTILINE
            )
            if found:
                return found[1]
        return str(values.get("source") or ".")


_REVISION = re.compile(r"""^revision(?:: *str)? *= *["']([^"']+)""", re.MULTILINE)
_CHECK = re.compile(r'@preflight_check\(\n    "([\w-]+)",(.*?)\n\)', re.DOTALL)


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return ""
