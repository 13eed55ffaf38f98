"""Completion: what can follow a line, and the script of bash."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from invoke.parser import Parser

from ops.health.model import GROUPS
from ops.preflight.rules.checks import SKIPPABLE
from ops.sandbox.faults.catalog import FAULTS
from ops.state.rules import records
from ops.tasks.command_line import completion
from ops.tasks.command_line.completion_values import Values
from ops.tasks.program import OpsProgram

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))
import tasks  # noqa: E402  # needs the path above

CONFIG = {
    "environments": {
        "dev": {"services": {"backend": {}}, "source": "."},
        "prod": {"services": {"backend": {}, "worker": {}}, "source": "nowhere"},
    }
}


def complete(line: str, root: Path = ROOT, environment: str = "dev") -> list[str]:
    """The candidates for the last word of a line; a space at its end begins another one."""
    contexts = Parser(tasks.ns.to_contexts()).contexts
    found = completion.candidates(
        line.split(" "),
        contexts,
        OpsProgram().initial_context,
        Values(root, CONFIG, environment),
        dict.fromkeys(contexts, "a task"),
    )
    return [each.partition("\t")[0] for each in found]


@pytest.mark.parametrize(
    ("line", "some"),
    [
        ("", ["preflight", "backend.deploy", "db.upgrade"]),
        ("db.u", ["db.upgrade"]),
        ("backend.deploy --t", ["--tag", "--timeout"]),
        ("backend.deploy --tag x --no", ["--no-rollback", "--no-wait"]),
        ("backend.deploy fron", ["frontend.deploy"]),
        ("--env ", ["dev", "prod"]),
        ("status --env p", ["prod"]),
        ("--env=p", ["--env=prod"]),
        ("--env = p", ["--env=prod"]),
        ("preflight --service ", ["backend"]),
        ("--env prod preflight --service w", ["worker"]),
        ("preflight --env=prod --service w", ["worker"]),
        ("lock.release --name ", ["backend"]),
        ("sandbox.break page-5", ["page-500"]),
        ("sandbox.mend page-5", ["page-500"]),
        ("sandbox.up --engine ", ["process", "docker"]),
        ("sandbox.mend page-500 db.u", ["db.upgrade"]),
        ("preflight --skip sec", ["secrets"]),
        ("health.all --skip cd", ["cdn"]),
        ("health.all --only ", list(GROUPS[1:])),
        ("db.upgrade --to ", ["head", "base", "0001", "0002", "0003"]),
        ("db.lint --revision 0003", ["0003"]),
        ("backend.releases --verdict rol", ["rolled_back"]),
        ("--list d", ["db", "dev"]),
        ("--help db.u", ["db.upgrade"]),
        ("-F j", ["json"]),
        ("--print-completion-script ", ["bash", "fish", "zsh"]),
    ],
)
def test_what_can_follow(line: str, some: list[str]) -> None:
    found = complete(line)
    assert set(some) <= set(found), found
    partial = line.rpartition(" ")[2] if " = " not in line else "--env=p"
    assert all(each.startswith(partial) for each in found)


@pytest.mark.parametrize(
    "line",
    ["db.revision ", "status --nosuch=", "-f ", "backend.logs --since ", "backend.logs --grep x"],
)
def test_where_nothing_is_known_the_shell_offers_files(line: str) -> None:
    assert complete(line) == []


def test_options_without_effect_are_not_offered() -> None:
    assert not {"--dry", "--echo", "--pty", "--complete"} & set(complete("--"))


def test_values_read_from_files_are_those_of_the_code() -> None:
    """They are read without importing it, which would take longer than `inv --list`."""
    values = Values(ROOT, CONFIG, "dev")
    assert sorted(values("preflight", "skip", "")) == sorted(SKIPPABLE)
    assert list(values("sandbox.break", "fault", "")) == sorted(fault.name for fault in FAULTS)
    assert set(values("backend.releases", "verdict", "")) <= set(records._FILTERS)


def test_tags_are_those_listed_last_and_the_newest_commits(tmp_path: Path) -> None:
    cache = tmp_path / ".ops/tags/dev/backend.json"
    cache.parent.mkdir(parents=True)
    cache.write_text(json.dumps(["v2", "v1"]))
    for words in (["init", "-q"], ["add", "."], ["commit", "-qm", "Serve it"]):
        identity = ["-c", "user.name=x", "-c", "user.email=x@localhost"]
        subprocess.run(["git", *identity, *words], cwd=tmp_path, check=True)
    head = subprocess.check_output(["git", "log", "--format=%h"], cwd=tmp_path, text=True).strip()
    assert complete("backend.deploy --tag ", tmp_path) == ["v2", "v1", head]
    assert complete("backend.rollback --to v", tmp_path) == ["v2", "v1"]
    assert complete("--env prod backend.deploy --tag ", tmp_path) == []  # no checkout there
    cache.write_text(json.dumps([head]))
    assert complete("backend.deploy --tag ", tmp_path) == [head]  # once
    cache.write_text("{torn")
    assert complete("backend.deploy --tag ", tmp_path) == [head]


def test_revisions_are_those_of_the_configured_folder(tmp_path: Path) -> None:
    """An environment names its own folder, or that it has none."""
    for folder, revision in (("alembic", "0001"), ("db/scripts", "a1b2")):
        versions = tmp_path / folder / "versions"
        versions.mkdir(parents=True)
        (versions / "one.py").write_text(f'revision = "{revision}"\n')
    databases = {"dev": {"migrations": "db/scripts"}, "prod": {"migrations": "none"}, "qa": "none"}
    config = {"environments": {name: {"database": each} for name, each in databases.items()}}
    values = Values(tmp_path, config, "dev")
    assert list(values("db.lint", "revision", "")) == ["a1b2"]
    assert list(values("db.lint", "revision", "prod")) == []
    assert list(values("db.upgrade", "to", "qa")) == ["head", "base", "0001"]


def test_checks_of_the_last_sweep_are_offered(tmp_path: Path) -> None:
    sweep = tmp_path / ".ops/health/dev/1.json"
    sweep.parent.mkdir(parents=True)
    sweep.write_text(json.dumps({"checks": [{"name": "backend image"}]}))
    assert complete("health.all --skip backend", tmp_path) == ["backend image"]


def bash(tmp_path: Path, line: str) -> list[str]:
    """What bash's own completion function answers for a line, in a folder with an `inv`."""
    program = tmp_path / "inv"
    arguments = f'-P -X utf8 {ROOT}/ops/tasks/program.py --search-root {ROOT} "$@"'
    program.write_text(f"#!/bin/sh\nexec {sys.executable} {arguments}\n")
    program.chmod(0o755)
    words = line.split(" ")
    script = (
        'eval "$(./inv --print-completion-script bash)"; complete -p inv >/dev/null || exit 9\n'
        f"COMP_WORDS=({' '.join(repr(word) for word in words)}) COMP_CWORD={len(words) - 1}\n"
        f'_inv_complete {words[0]!r} {words[-1]!r}; printf "%s\\n" "${{COMPREPLY[@]}}"'
    )
    environment = {**os.environ, "INVOKE_ENV": "sandbox", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    return [each for each in done.stdout.split("\n") if each]


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("./inv db.up", ["db.upgrade"]),
        ("./inv --env ", ["dev", "sandbox"]),
        ("./inv sandbox.break page-5", ["page-500"]),
        ("./inv --env = d", ["dev"]),
        ("./inv db.revision ", []),
        ("./inv nosuch.task --", None),
    ],
)
def test_the_function_of_bash(tmp_path: Path, line: str, found: list[str] | None) -> None:
    """bash splits `--env=d` into three words, and replaces the last."""
    answer = bash(tmp_path, line)
    assert answer == found if found is not None else "--env" in answer


def test_an_error_of_the_configuration_is_silent(tmp_path: Path) -> None:
    """A mistake in a file must not be printed into the line being typed."""
    os.environ["INVOKE_RUNTIME_CONFIG"] = "/nonexistent.yaml"
    try:
        assert bash(tmp_path, "./inv db.up") == []
    finally:
        del os.environ["INVOKE_RUNTIME_CONFIG"]
