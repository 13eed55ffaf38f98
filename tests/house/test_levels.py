"""The structure of `ops/`: imports, the purity of rules, the size of folders, names."""

from __future__ import annotations

import ast
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
OPS = ROOT / "ops"
LEVELS = (
    {"core", "migrator"},
    {"aws", "http", "ssh"},
    {"tools"},
    {"postgres", "platform", "dev"},
    {"cdn", "ecs", "state", "migrations"},
    {"terraform", "database_task"},
    {"environment", "preflight", "health"},
    {"deploy"},
    {"diagnosis"},
    {"tasks"},
)
LEVEL = {package: number for number, packages in enumerate(LEVELS) for package in packages}
SANDBOX_MAY_IMPORT = {"core", "postgres", "sandbox"}
HEAVY = {
    "alembic",
    "boto3",
    "botocore",
    "docker",
    "fabric",
    "flask",
    "httpx",
    "moto",
    "paramiko",
    "psycopg",
    "pydantic",
    "rich",
    "sqlalchemy",
    "stamina",
    "werkzeug",
}
# Imported by flows inside functions only: the engine, which is shipped as it is, and the settings.
LOADED_LAZILY = (
    "ops.migrator",
    "ops.core.config.settings",
    "ops.core.config.types",
    "ops.core.config.database",
)
MAX_MODULES_IN_A_FOLDER = 15
BANNED_FUNCTION_NAMES = {"told", "said", "shown", "look", "looked", "seen", "kept", "made"}
# what a pure function does not call: modules that read the world, and built-in functions that do
IMPURE_MODULES = {
    "asyncio",
    "http",
    "os",
    "random",
    "select",
    "selectors",
    "shutil",
    "signal",
    "socket",
    "subprocess",
    "tempfile",
    "threading",
    "time",
    "urllib",
}
IMPURE_CALLS = {"open", "input", "print", "exec", "eval"}
IMPURE_METHODS = {
    ("datetime", "now"),
    ("datetime", "today"),
    ("datetime", "utcnow"),
    ("date", "today"),
    ("Path", "cwd"),
    ("Path", "home"),
}
READS_OF_PATHS = {
    "read_text",
    "read_bytes",
    "write_text",
    "write_bytes",
    "iterdir",
    "glob",
    "rglob",
    "stat",
    "unlink",
}


def modules() -> dict[str, Path]:
    """Every module of `ops`, by its dotted name; the sample platform is a program of its own."""
    found = {}
    for path in sorted(OPS.rglob("*.py")):
        if "sample/platform" in path.as_posix():
            continue
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules()
TREES = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in MODULES.items()}


def imports(name: str) -> Iterator[str]:
    """The modules of ours that a module imports, at any depth, lazily and for types too."""
    for node in ast.walk(TREES[name]):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] == "ops")
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "ops":
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                yield full if full in MODULES else str(node.module)


def package(module: str) -> str:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else ""


def is_rule(module: str) -> bool:
    return ".rules." in f"{module}."


@pytest.mark.parametrize("name", [name for name in MODULES if package(name) not in ("", "sandbox")])
def test_a_package_imports_only_from_lower_levels(name: str) -> None:
    """`core` imports nothing of ours, `tasks` anything; packages of one level stay apart."""
    own = package(name)
    assert own in LEVEL, f"{name}: give the package {own} a level"
    wrong = [
        other
        for other in imports(name)
        if package(other) not in ("", own)
        and not (package(other) == "sandbox" and name == "ops.tasks.sandbox")
        and LEVEL.get(package(other), len(LEVELS)) >= LEVEL[own]
    ]
    assert not wrong, f"{name} (level {LEVEL[own]}) imports {wrong}"


@pytest.mark.parametrize("name", [name for name in MODULES if package(name) == "sandbox"])
def test_the_sandbox_imports_core_and_postgres_only(name: str) -> None:
    """The sandbox is reached by endpoints: it shares no code with what is rehearsed on it."""
    wrong = [other for other in imports(name) if package(other) not in SANDBOX_MAY_IMPORT | {""}]
    assert not wrong, f"{name} imports {wrong}"


def test_no_two_packages_import_each_other() -> None:
    """No import cycle among packages, and none among the modules of the tool."""
    edges: dict[str, set[str]] = defaultdict(set)
    for name in MODULES:
        if package(name) != "sandbox":
            edges[name] |= {other for other in imports(name) if other != name}
    done: set[str] = set()
    path: list[str] = []

    def visit(name: str) -> None:
        assert name not in path, f"import cycle: {' → '.join([*path[path.index(name) :], name])}"
        if name in done:
            return
        path.append(name)
        for other in sorted(edges[name]):
            visit(other)
        path.pop()
        done.add(name)

    for name in sorted(edges):
        visit(name)


def test_the_migrator_imports_nothing_of_ours() -> None:
    """It is shipped to the bastion, where nothing else of ours exists."""
    wrong = {
        name: other
        for name in MODULES
        if package(name) == "migrator"
        for other in imports(name)
        if package(other) not in ("migrator", "")
    }
    assert not wrong


@pytest.mark.parametrize(
    "name", [name for name in MODULES if is_rule(name) and package(name) != "sandbox"]
)
def test_rules_are_pure(name: str) -> None:
    """A rule imports core, rules, facts and models; it reads no file, clock or socket."""
    for other in imports(name):
        subject = other.split(".")[-1]
        allowed = package(other) in ("", "core") or is_rule(other) or subject in ("facts", "model")
        assert allowed, f"{name} imports {other}"
    for node in ast.walk(TREES[name]):
        if isinstance(node, ast.Import):
            assert not {alias.name.split(".")[0] for alias in node.names} & IMPURE_MODULES, (
                f"{name}:{node.lineno}"
            )
        elif isinstance(node, ast.ImportFrom):
            pure = node.module == "urllib.parse"
            assert pure or (node.module or "").split(".")[0] not in IMPURE_MODULES, (
                f"{name}:{node.lineno}"
            )
        elif isinstance(node, ast.Call):
            if isinstance(node.func, ast.Name):
                assert node.func.id not in IMPURE_CALLS, (
                    f"{name}:{node.lineno} calls {node.func.id}"
                )
            elif isinstance(node.func, ast.Attribute):
                assert node.func.attr not in READS_OF_PATHS, (
                    f"{name}:{node.lineno} calls .{node.func.attr}"
                )
                if isinstance(node.func.value, ast.Name):
                    assert (node.func.value.id, node.func.attr) not in IMPURE_METHODS, (
                        f"{name}:{node.lineno}"
                    )


@pytest.mark.parametrize(
    "folder",
    sorted({path.parent for path in MODULES.values()}),
    ids=lambda path: path.relative_to(ROOT).as_posix(),
)
def test_a_folder_holds_at_most_fifteen_modules(folder: Path) -> None:
    """What grows beyond that is several subjects."""
    assert (
        len([path for path in folder.glob("*.py") if path.name != "__init__.py"])
        <= MAX_MODULES_IN_A_FOLDER
    )


@pytest.mark.parametrize(
    "name",
    [name for name in MODULES if package(name) != "sandbox" and not name.startswith(LOADED_LAZILY)],
)
def test_heavy_libraries_are_imported_inside_functions(name: str) -> None:
    """`inv --list` loads none of them; LOADED_LAZILY names the exceptions."""
    for node in TREES[name].body:
        names = (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
        assert not {each.split(".")[0] for each in names} & HEAVY, (
            f"{name}:{node.lineno} imports {names}"
        )


def test_a_class_name_means_one_thing() -> None:
    """No class name twice outside the sandbox."""
    where: dict[str, list[str]] = defaultdict(list)
    for name, tree in TREES.items():
        if package(name) != "sandbox":
            for node in tree.body:
                if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                    where[node.name].append(name)
    assert {each: places for each, places in where.items() if len(places) > 1} == {}


@pytest.mark.parametrize("name", sorted(MODULES))
def test_function_names_say_what_is_done(name: str) -> None:
    """Past participles and `look` are the house's old private language."""
    found = [
        node.name
        for node in ast.walk(TREES[name])
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    assert not set(found) & BANNED_FUNCTION_NAMES, Counter(found)
