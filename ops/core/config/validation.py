"""Validate an environment: pydantic's errors as `Problem`s, in this tool's words.

Each source is validated by itself, so that a mistake is found in the file where it stands, even if
another file hides it; what is missing is decided on all of them together.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ops.core.config.layers import Layers
from ops.core.config.problems import (
    Place,
    Problem,
    ProblemKind,
    kind_of,
    shortened,
    unknown_key,
)
from ops.core.config.schema import CREDENTIALS, model_in

_HIDDEN = (*CREDENTIALS, "build_args", "headers")  # their values appear in no message
_ALLOWED = {
    "bool": "true or false",
    "dict": "a mapping of keys",
    "finite_number": "a finite number",
    "float": "a number",
    "greater_than": "more than {gt}",
    "greater_than_equal": "at least {ge}",
    "int": "an integer",
    "less_than": "less than {lt}",
    "less_than_equal": "at most {le}",
    "list": "a list",
    "model": "a mapping of keys",
    "string": "text",
    "string_pattern_mismatch": "text that matches {pattern}",
    "string_too_short": "text with at least {min_length} character",
}
_VALUE_ERROR = "Value error, "
_ROUTES = {  # `database.run` and the sections that it needs
    "remote": "bastion",
    "tunnel": "database.tunnel or bastion",
    "task": "database.task",
}


def find_problems(name: str, values: Any, layers: Layers) -> list[Problem]:
    """All mistakes of an environment, in the source where they stand."""
    above = ("environments", name)
    found: list[Problem] = []
    for layer in layers.all:
        part = layer.part(above)
        if isinstance(part, Mapping):
            found += [
                each.at(layer.place(each.keys))
                for each in _errors(name, part)
                if each.kind is not ProblemKind.MISSING_KEY
            ]
    known = {(each.keys, each.why) for each in found}
    together = [*_errors(name, values), *_contradictions(name, values)]
    new = [each for each in together if (each.keys, each.why) not in known]
    return found + [each.at(_place(each, layers)) for each in new]


def _place(problem: Problem, layers: Layers) -> Place:
    """Where a key stands; a missing one belongs to the first file that has its section."""
    if problem.kind is ProblemKind.MISSING_KEY:
        return layers.section(problem.keys)
    return layers.place(problem.keys)


def _contradictions(name: str, values: Any) -> Iterator[Problem]:
    """Keys that contradict each other, or lack a section that they need."""
    yield from _routes_without_sections(name, values)
    services = values.get("services")
    if not isinstance(services, Mapping):
        return
    if values.get("cdn") == "none":
        yield from _paths_without_cdn(name, services)
    yield from _unknown_database_services(name, values.get("database"), services)


def _paths_without_cdn(name: str, services: Mapping[str, Any]) -> Iterator[Problem]:
    for service, given in services.items():
        if isinstance(given, Mapping) and given.get("invalidate"):
            keys = ("environments", name, "services", service, "invalidate")
            yield Problem("found paths, and `cdn` is none", "remove one of the two", keys)


def _routes_without_sections(name: str, values: Mapping[str, Any]) -> Iterator[Problem]:
    """A `database.run` whose way to the database is not configured."""
    database = values.get("database")
    if not isinstance(database, Mapping):
        return
    run = database.get("run")
    keys = ("environments", name, "database", "run")
    found = {
        "tunnel": database.get("tunnel") or values.get("bastion"),
        "remote": values.get("bastion"),
        "task": database.get("task"),
    }
    if isinstance(run, str) and run in found and not found[run]:
        missing = _ROUTES[run]
        yield Problem(f"found {run!r} without {missing}", f"add {missing}, or change run", keys)
    task = found["task"]
    if run != "task" or not isinstance(task, Mapping) or task.get("bundle"):
        return
    if values.get("state") in (None, "none"):
        missing = "database.task.bundle or state.bucket"
        yield Problem(f"found 'task' without {missing}", f"add {missing}", keys)


def _unknown_database_services(
    name: str, database: Any, services: Mapping[str, Any]
) -> Iterator[Problem]:
    """A tunnel through, or a task of, a service that the environment does not have."""
    for part in ("tunnel", "task"):
        given = database.get(part) if isinstance(database, Mapping) else None
        service = given.get("service") if isinstance(given, Mapping) else None
        if isinstance(service, str) and service not in services:
            keys = ("environments", name, "database", part, "service")
            why = f"found {shortened(repr(service))}; allowed: {', '.join(sorted(services))}"
            yield Problem(why, keys=keys)


def _errors(name: str, values: Any) -> Iterator[Problem]:
    from pydantic import ValidationError

    from ops.core.config.settings import Environment

    try:
        Environment.model_validate(values)
    except ValidationError as error:
        for detail in error.errors(include_url=False):
            yield _problem(name, detail)


def _problem(name: str, detail: Any) -> Problem:
    inside = [key for key in detail["loc"] if key != "[key]"]
    keys = ("environments", name, *inside)
    if detail["type"] == "extra_forbidden":
        return unknown_key(keys, _known_keys(inside[:-1]))
    if detail["type"] == "missing":
        why = "this required key is missing"
        return Problem(why, "add it (docs/configuration.md)", keys, kind=ProblemKind.MISSING_KEY)
    found, allowed = detail.get("input"), _allowed(detail)
    if allowed.startswith("found "):  # by a validator of several keys, which knows what it found
        return Problem(allowed, keys=keys)
    sort = kind_of(found)
    quotes = ""
    if not isinstance(found, str) and detail["type"] == "string_type" and found is not None:
        quotes = ", in quotes" if sort in ("a number", "a boolean", "an object") else ""
    quoted = shortened(repr(found)) if isinstance(found, str) else None
    if isinstance(found, bool):
        quoted = str(found).lower()
    elif isinstance(found, int | float):
        quoted = shortened(str(found))
    if quoted is None or any(key in _HIDDEN for key in inside):
        quoted = sort
    return Problem(f"found {quoted}; allowed: {allowed}{quotes}", keys=keys)


def _allowed(detail: Any) -> str:
    """What a key takes, without a sentence of pydantic's."""
    kind, context = detail["type"], detail.get("ctx") or {}
    if kind == "value_error":
        return str(detail["msg"]).removeprefix(_VALUE_ERROR).removeprefix("allowed: ")
    if kind == "literal_error":
        return str(context.get("expected", "")).replace("'", "") or "one of the documented words"
    for name in (kind, kind.partition("_")[0]):
        if name in _ALLOWED:
            return _ALLOWED[name].format_map(context)
    return "a value of another kind"


def _known_keys(path: list[str | int]) -> list[str]:
    """Keys of the model at `path` below an environment."""
    from ops.core.config.settings import Environment

    model: Any = Environment
    named = False  # whether the next key is a name or a position, not a key of the model
    for key in path:
        if named:
            named = False
            continue
        inner, named = model_in(model.model_fields[str(key)].annotation)
        model = inner or model
    return list(model.model_fields)
