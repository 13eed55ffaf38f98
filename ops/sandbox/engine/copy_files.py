"""COPY by the legacy builder's rules: files, contents of folders, globs and destinations."""

from __future__ import annotations

import json
import posixpath

from ops.sandbox.engine import expansion
from ops.sandbox.engine.base import USERS
from ops.sandbox.engine.context import Context
from ops.sandbox.engine.dockerfile import Instruction
from ops.sandbox.engine.layers import Entry, Tree
from ops.sandbox.engine.state import BuildError, State

_MANY = (
    "When using COPY with more than one source file, the destination must be a directory and "
    "end with a /"
)
_NO_USER = "unable to convert uid/gid chown string to host mapping: can't find uid for user"


def copy_into(state: State, each: Instruction, context: Context) -> Tree:
    """Return the layer that a COPY adds. Raises BuildError and ContextError."""
    _refuse_flags(each)
    owner = _owner(state, each)
    *sources, destination = _words(state, each)
    named = [context.find(source) for source in sources]
    paths = [path for found in named for path in found]
    if not paths:
        raise BuildError("COPY failed: no source files were specified")
    if len(paths) > 1 and not _is_folder(destination):
        raise BuildError(_MANY)
    tree, target = Tree(), _absolute(state, destination)
    for path in paths:
        if context.is_dir(path):
            _copy_folder(state, context, path, target, owner, tree)
        else:
            inside = _is_folder(destination) or target in state.folders or not target
            place = posixpath.join(target, posixpath.basename(path)) if inside else target
            tree.add(context.entry(path, place, owner), state.folders)
    return tree


def _words(state: State, each: Instruction) -> list[str]:
    """Return sources and destination, from the plain or the JSON form."""
    listed = None
    if each.rest.startswith("["):
        try:
            listed = json.loads(each.rest)
        except ValueError:
            listed = None
    if isinstance(listed, list) and len(listed) > 1:
        return [expansion.expand(str(word), state.variables, state.escape) for word in listed]
    found = [
        expansion.expand(word, state.variables, state.escape)
        for word in expansion.split(each.rest, state.escape)
    ]
    if len(found) < 2 or not all(found):
        raise BuildError("COPY failed: no source files were specified")
    return found


def _refuse_flags(each: Instruction) -> None:
    if each.flag("chmod") is not None:
        raise BuildError(
            "the --chmod option requires BuildKit, which neither the sandbox's own engine "
            "nor the API's builder has"
        )
    if each.flag("from") is not None:
        raise BuildError(
            f"COPY --from (Dockerfile line {each.line}) cannot be done by the sandbox's own engine:"
            " `inv sandbox.up --engine docker` builds with a real one"
        )


def _owner(state: State, each: Instruction) -> tuple[int, int]:
    """Return uid and gid of --chown: numbers, or users of the base."""
    asked = expansion.expand(each.flag("chown") or "", state.variables, state.escape)
    if not asked:
        return 0, 0
    user, _, group = asked.partition(":")
    uid, gid = (_identity(user, 0), _identity(group or user, 1))
    if state.based_on == "scratch" and not (user.isdigit() and (group or user).isdigit()):
        raise BuildError(f"{_NO_USER} {user}: no such file or directory")
    return uid, gid


def _identity(name: str, part: int) -> int:
    if name.isdigit():
        return int(name)
    if name in USERS:
        return USERS[name][part]
    raise BuildError(f"{_NO_USER} {name}: no such user: {name}")


def _is_folder(destination: str) -> bool:
    return destination.endswith(("/", "/.")) or destination == "."


def _absolute(state: State, destination: str) -> str:
    """Return the destination without its leading slash; a relative one is below WORKDIR."""
    return posixpath.normpath(
        posixpath.join("/", state.settings["WorkingDir"] or "/", destination)
    ).lstrip("/")


def _copy_folder(
    state: State, context: Context, source: str, target: str, owner: tuple[int, int], tree: Tree
) -> None:
    """Copy a folder's contents, not the folder itself."""
    if target and target not in state.folders:
        tree.add(Entry(target, owner=owner), state.folders)
    start = len(source) + 1 if source else 0
    for path in context.below(source):
        tree.add(context.entry(path, posixpath.join(target, path[start:]), owner), state.folders)
