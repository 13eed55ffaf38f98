"""`inv env.show`: the effective configuration, each value with its origin."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ops.core.config.layers import OPTION
from ops.core.config.problems import Place, suggestion
from ops.core.config.schema import CREDENTIALS
from ops.core.errors import ConfigError
from ops.core.redaction.redact import redact
from ops.core.text import format_option

if TYPE_CHECKING:
    from ops.core.config.load import Configuration

_NAMED_BY_USER = {"build_args", "headers"}  # sections whose names can say that a value is secret
_HIDDEN = "(hidden)"
_COLUMN = 48  # where comments begin, unless a value is longer
_DEFAULT = "default"
_RUN = ("database", "run")


@dataclass(frozen=True)
class Setting:
    """An effective value, by its path below the environment; `places` are strongest first."""

    path: tuple[str, ...]
    value: Any
    places: tuple[Place, ...]
    is_duration: bool = False

    @property
    def key(self) -> str:
        return ".".join(self.path)

    @property
    def origin(self) -> str:
        """Where the value comes from, and what it overrides."""
        if not self.places:
            return _DEFAULT
        first, *others = map(str, self.places)
        return f"{first}, over {', '.join(others)}" if others else first

    @property
    def value_text(self) -> str:
        if self.is_duration:
            return format_option(self.value)
        return _scalar(self.value)

    def as_document(self) -> dict[str, Any]:
        first = self.places[0] if self.places else None
        in_file = first if first and first.is_file else None
        return {
            "key": self.key,
            "value": self.value,
            "origin": _origin(first),
            "file": in_file.label if in_file else None,
            "line": in_file.line or None if in_file else None,
            "column": in_file.column or None if in_file else None,
            "variable": first.label if first and _origin(first) == "variable" else None,
            "overrides": [str(each) for each in self.places[1:]],
        }


def _origin(place: Place | None) -> str:
    """The kind of a value's origin."""
    if place is None:
        return _DEFAULT
    if place.is_file:
        return "file"
    return "option" if place.label == OPTION else "variable"


@dataclass(frozen=True)
class EffectiveConfiguration:
    """The result of `inv env.show`: all settings, or those of one section, or one value."""

    environment: str
    settings: tuple[Setting, ...]
    key: str = ""
    exit_code: int = 0

    @property
    def document(self) -> Mapping[str, Any]:
        return {
            "environment": self.environment,
            "values": [each.as_document() for each in self.settings],
        }

    @property
    def text(self) -> str:
        first = self.settings[0]
        if first.key == self.key:
            return _with_comment(first.value_text if first.value is not None else "none", first)
        return "\n".join(_lines(self.settings))


def show(configuration: Configuration, key: str | None = None) -> EffectiveConfiguration:
    """Return the effective settings, or those of `key`. Raises ConfigError for an unknown key."""
    name = configuration.settings.name
    found = tuple(_settings(configuration))
    wanted = (key or "").strip().removeprefix(f"environments.{name}.").rstrip(".")
    if not wanted:
        return EffectiveConfiguration(name, found)
    chosen = tuple(
        each for each in found if each.key == wanted or each.key.startswith(f"{wanted}.")
    )
    if not chosen:
        known = {each.key[: position or None] for each in found for position in _ends(each.key)}
        raise ConfigError(
            f"--key {wanted}",
            f"environment {name} has no such key",
            suggestion(wanted, known, "inv env.show prints all of them"),
        )
    return EffectiveConfiguration(name, chosen, wanted)


def _ends(key: str) -> list[int]:
    """Where the sections of a key end; 0 for the key itself."""
    return [0, *(position for position, letter in enumerate(key) if letter == ".")]


def _settings(configuration: Configuration) -> Iterator[Setting]:
    layers = configuration.layers
    places = tuple(each.place(("env",)) for each in layers.origins(("env",)))
    yield Setting(("env",), configuration.settings.name, places)
    environment = configuration.settings.environment
    for path, value, is_duration in _leaves(environment, ()):
        if path == _RUN and value is None:
            value = environment.database_run  # the default depends on other keys
        keys = ("environments", configuration.settings.name, *path)
        origins = tuple(each.place(keys) for each in layers.origins(keys))
        yield Setting(path, _public(path, value), origins, is_duration)


def _leaves(model: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any, bool]]:
    """Every key of a model that holds no section, with its value."""
    from pydantic import BaseModel

    from ops.core.config.settings import NONE
    from ops.core.config.types import is_duration

    for name, field in type(model).model_fields.items():
        value, here = getattr(model, name), (*path, name)
        if name in getattr(model, "absent", ()):
            yield here, NONE, False
        elif isinstance(value, BaseModel):
            yield from _leaves(value, here)
        elif isinstance(value, dict) and value:
            for key, item in value.items():
                if isinstance(item, BaseModel):
                    yield from _leaves(item, (*here, key))
                else:
                    yield (*here, key), item, False
        else:
            yield here, _plain(value), isinstance(value, float) and is_duration(field)


def _plain(value: Any) -> Any:
    """Models in lists as what was written: without the defaults of their keys."""
    from pydantic import BaseModel

    if isinstance(value, BaseModel):
        return value.model_dump(exclude_unset=True)
    return [_plain(each) for each in value] if isinstance(value, list) else value


def _public(path: Sequence[str], value: Any) -> Any:
    """The value, hidden if it is or looks like a secret."""
    if value is None:
        return None
    if path[-1] in CREDENTIALS:
        return _HIDDEN
    if isinstance(value, list):
        found = [_public(path, each) for each in value]
        words = " ".join(each for each in found if isinstance(each, str))
        return found if redact(words) == words else _HIDDEN  # `--password`, then its value
    if isinstance(value, dict):
        return {key: _public((*path, key), item) for key, item in value.items()}
    if not isinstance(value, str):
        return value
    name = path[-1]
    forms = [f"{name}={value}", f"{name}: {value}"] if _NAMED_BY_USER.intersection(path) else []
    return value if all(redact(each) == each for each in (value, *forms)) else _HIDDEN


def _scalar(value: Any) -> str:
    """A value as YAML can read it again."""
    import yaml

    if isinstance(value, str) and value == _HIDDEN:
        return value
    if isinstance(value, list | dict):
        return json.dumps(value, ensure_ascii=False)
    text: str = yaml.safe_dump(value, allow_unicode=True, width=10_000, default_style=None)
    return text.removesuffix("...\n").strip()


def _with_comment(line: str, setting: Setting) -> str:
    return (
        f"{line:{_COLUMN}}  # {setting.origin}"
        if len(line) < _COLUMN
        else (f"{line}  # {setting.origin}")
    )


def _lines(settings: Sequence[Setting]) -> Iterator[str]:
    """The settings as YAML, without those that have no value."""
    open_sections: tuple[str, ...] = ()
    for each in settings:
        if each.value is None:
            continue
        sections = each.path[:-1]
        common = 0
        while sections[: common + 1] == open_sections[: common + 1] and common < len(sections):
            common += 1
        for depth in range(common, len(sections)):
            yield f"{'  ' * depth}{_scalar(sections[depth])}:"
        open_sections = sections
        line = f"{'  ' * len(sections)}{_scalar(each.path[-1])}: {each.value_text}"
        yield _with_comment(line, each)
