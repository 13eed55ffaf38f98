"""The effect of each instruction on the image, one function each (moby's dispatchers.go)."""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Callable

from ops.sandbox.engine import expansion
from ops.sandbox.engine.context import Context
from ops.sandbox.engine.copy_files import copy_into
from ops.sandbox.engine.dockerfile import Instruction
from ops.sandbox.engine.image_store import NoImageError
from ops.sandbox.engine.layers import Entry, Tree
from ops.sandbox.engine.state import BuildError, State, start_from

_PORT = re.compile(r"(\d{1,5})(?:-(\d{1,5}))?(?:/(tcp|udp|sctp))?\Z")
_PROXIES = frozenset(
    {
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "FTP_PROXY",
        "NO_PROXY",
        "http_proxy",
        "https_proxy",
        "ftp_proxy",
        "no_proxy",
    }
)


def refuse(each: Instruction) -> BuildError:
    """Return the error for an instruction that needs a real engine."""
    return BuildError(
        f"{each.name} (Dockerfile line {each.line}) cannot be done by the sandbox's own "
        f"engine, which only copies:"
        " `inv sandbox.up --engine docker` builds with a real one"
    )


def from_(state: State, each: Instruction) -> None:
    if each.flag("platform"):
        raise BuildError(
            f"FROM --platform (Dockerfile line {each.line}) is not for the sandbox's own "
            f"engine: give the build its platform"
        )
    name = expansion.expand(each.rest.split()[0], state.global_arguments, state.escape)
    if not name:
        raise BuildError(f"base name ({each.rest.split()[0]}) should not be blank")
    if name == "scratch":
        return
    try:
        image = state.library.find(name)
    except NoImageError:
        raise BuildError(
            f"pull access denied for {name}: the sandbox's own engine has scratch, "
            f"sandbox/python:3 and what it built itself:"
            " `inv sandbox.up --engine docker` builds on any image"
        ) from None
    except ValueError as error:
        raise BuildError(f"failed to parse base {name!r}: {error}") from error
    start_from(state, image)


def arg(state: State, each: Instruction) -> None:
    for word in expansion.split(each.rest, state.escape):
        name, given, default = word.partition("=")
        value = state.buildargs.get(name)
        if value is None and given:
            value = expansion.expand(default, state.variables, state.escape)
        if value is None:
            value = state.global_arguments.get(name)
        state.consumed.add(name)
        if value is not None:
            state.arguments[name] = value
        state.note(f" ARG {word}")


def global_arg(state: State, each: Instruction) -> None:
    """ARG before FROM: visible to FROM only, until a later ARG without a value imports it."""
    for word in expansion.split(each.rest, state.escape):
        name, _, default = word.partition("=")
        value = state.buildargs.get(name)
        state.global_arguments[name] = (
            expansion.expand(default, state.global_arguments, state.escape)
            if value is None
            else value
        )
        state.consumed.add(name)


def _pairs(state: State, each: Instruction) -> dict[str, str]:
    found = expansion.split(each.rest, state.escape)
    if "=" not in found[0]:
        name, _, value = each.rest.partition(" ")
        return {
            expansion.expand(name, state.variables, state.escape): expansion.expand(
                value.strip(), state.variables, state.escape
            )
        }
    for word in found:
        if "=" not in word:
            raise BuildError(
                f'Syntax error - can\'t find = in "{word}". Must be of the form: name=value'
            )
    pairs = [word.partition("=")[::2] for word in found]
    known, escape = state.variables, state.escape
    return {
        expansion.expand(name, known, escape): expansion.expand(value, known, escape)
        for name, value in pairs
    }


def env(state: State, each: Instruction) -> None:
    added = _pairs(state, each)
    state.settings["Env"] = [
        f"{name}={value}" for name, value in {**state.environment, **added}.items()
    ]
    state.note(" ENV " + " ".join(f"{name}={value}" for name, value in added.items()))


def label(state: State, each: Instruction) -> None:
    set_labels(state, _pairs(state, each))


def set_labels(state: State, added: dict[str, str]) -> None:
    """Set the labels of LABEL and of the build request."""
    state.settings["Labels"] = {**state.settings["Labels"], **added}
    state.note(" LABEL " + " ".join(f"{name}={value}" for name, value in added.items()))


def workdir(state: State, each: Instruction) -> None:
    path = expansion.expand(each.rest, state.variables, state.escape)
    folder = posixpath.normpath(posixpath.join(state.settings["WorkingDir"] or "/", path))
    state.settings["WorkingDir"] = folder
    if folder.strip("/") and folder.strip("/") not in state.folders:
        tree = Tree()
        tree.add(Entry(folder.strip("/")), state.folders)
        state.add_layer(f"WORKDIR {folder}", tree)
    else:
        state.note(f"WORKDIR {folder}")


def expose(state: State, each: Instruction) -> None:
    ports = dict(state.settings.get("ExposedPorts") or {})
    for word in expansion.expand_split(each.rest, state.variables, state.escape):
        found = _PORT.match(word)
        if not found or int(found[1]) > 65535 or int(found[2] or found[1]) > 65535:
            raise BuildError(f"Invalid containerPort: {word}")
        for port in range(int(found[1]), int(found[2] or found[1]) + 1):
            ports[f"{port}/{found[3] or 'tcp'}"] = {}
    state.settings["ExposedPorts"] = ports
    state.note(f" EXPOSE {each.rest}")


def user(state: State, each: Instruction) -> None:
    state.settings["User"] = expansion.expand(each.rest, state.variables, state.escape)
    state.note(f" USER {state.settings['User']}")


def _command(each: Instruction) -> list[str] | None:
    """Return the exec form (a JSON list) unchanged; wrap anything else in a shell."""
    try:
        listed = json.loads(each.rest)
    except ValueError:
        listed = None
    if isinstance(listed, list) and all(isinstance(word, str) for word in listed):
        return listed or None
    return ["/bin/sh", "-c", each.rest] if each.rest else None


def cmd(state: State, each: Instruction) -> None:
    state.settings["Cmd"] = _command(each)
    state.command_set = True
    state.note(f" CMD {json.dumps(state.settings['Cmd'])}")


def entrypoint(state: State, each: Instruction) -> None:
    state.settings["Entrypoint"] = _command(each)
    if not state.command_set:
        state.settings["Cmd"] = (
            None  # a CMD that the base brought was meant for the base's own entry point
        )
    state.note(f" ENTRYPOINT {json.dumps(state.settings['Entrypoint'])}")


def copy(state: State, each: Instruction, context: Context) -> None:
    tree = copy_into(state, each, context)
    state.add_layer(f"COPY {each.rest} ", tree)


WITHOUT_CONTEXT: dict[str, Callable[[State, Instruction], None]] = {
    "FROM": from_,
    "ARG": arg,
    "ENV": env,
    "LABEL": label,
    "WORKDIR": workdir,
    "EXPOSE": expose,
    "USER": user,
    "CMD": cmd,
    "ENTRYPOINT": entrypoint,
}


def unconsumed(state: State) -> list[str]:
    """Return build arguments without an ARG, except the predefined proxies."""
    return sorted(set(state.buildargs) - state.consumed - _PROXIES)
