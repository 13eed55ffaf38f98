"""The reads of this machine and of the bastion: checkout, Terraform's directory, files, SSH."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ops.core.config.layers import PATH_KEYS, PATH_WORDS
from ops.core.errors import ConfigError
from ops.core.findings import Unknown
from ops.environment.model import KeyComparison, WorldRead, absent, compare, not_read, same

if TYPE_CHECKING:
    from ops.core.config.settings import Service, Settings


def reads(settings: Settings) -> Iterator[WorldRead]:
    """One read for each part of the environment that is on this machine, and the bastion."""
    environment = settings.environment
    yield WorldRead(
        {"source": environment.source, "remote": environment.remote, "branch": environment.branch},
        partial(_checkout, settings),
    )
    for name, service in sorted(environment.services.items()):
        if service.repository:  # any other is never built
            yield WorldRead(
                {f"services.{name}.context": service.context},
                partial(_context, settings, name, service),
            )
    if environment.terraform:
        keys: dict[str, Any] = {"terraform.directory": environment.terraform.directory}
        for name, service in environment.services.items():
            if service.image_variable:
                keys[f"services.{name}.image_variable"] = service.image_variable
        yield WorldRead(keys, partial(_terraform, settings))
    values = environment.model_dump()
    for path in PATH_KEYS:
        file = _at(values, path)
        if path != ("source",) and file is not None and file not in PATH_WORDS:
            key = ".".join(path)
            yield WorldRead({key: file}, partial(_file, key, file, settings.root))
    if environment.bastion:
        yield WorldRead({"bastion.host": environment.bastion.host}, partial(_bastion, settings))


def _at(values: Mapping[str, Any], path: tuple[str, ...]) -> Any:
    found: Any = values
    for key in path:
        found = found.get(key) if isinstance(found, Mapping) else None
    return found


def _file(key: str, name: str, root: Path) -> Iterator[KeyComparison]:
    if (root / name).exists():
        yield same(key, name, "this machine")
    else:
        yield absent(key, name, "there is no such file or folder on this machine")


def _checkout(settings: Settings) -> Iterator[KeyComparison]:
    """The checkout, its remote, and the remote's branch as last fetched."""
    from ops.tools import git, git_program

    environment, source = settings.environment, settings.source
    if not source.is_dir():
        yield absent("source", environment.source, f"there is no folder {source}")
        unread = Unknown(f"there is no folder {source}")
        yield not_read("remote", environment.remote, unread)
        yield not_read("branch", environment.branch, unread)
        return
    top = git.toplevel(source)
    yield same("source", environment.source, str(top))
    remotes = git_program.git(top, "remote").stdout.split()
    yield compare("remote", environment.remote, remotes, f"the checkout {top}")
    if environment.remote not in remotes:
        unread = Unknown(f"the checkout has no remote {environment.remote}")
        yield not_read("branch", environment.branch, unread)
        return
    prefix = f"refs/remotes/{environment.remote}/"
    listed = git_program.git(top, "for-each-ref", "--format=%(refname)", prefix).stdout.splitlines()
    branches = [each.removeprefix(prefix) for each in listed if not each.endswith("/HEAD")]
    if not branches:
        unread = Unknown(f"the remote {environment.remote} was never fetched: git fetch")
        yield not_read("branch", environment.branch, unread)
        return
    source_name = f"the remote {environment.remote} (as last fetched)"
    yield compare("branch", environment.branch, branches, source_name)


def _context(settings: Settings, name: str, service: Service) -> Iterator[KeyComparison]:
    """A service's build context, its Dockerfile, and the program of its tests."""
    key, context = f"services.{name}", settings.source / service.context
    if not settings.source.is_dir():
        unread = Unknown(f"there is no folder {settings.source}")
        yield not_read(f"{key}.context", service.context, unread)
        return
    if not context.is_dir():
        yield absent(f"{key}.context", service.context, f"there is no folder {context}")
        return
    yield same(f"{key}.context", service.context, str(settings.source))
    if (context / service.dockerfile).is_file():
        yield same(f"{key}.dockerfile", service.dockerfile, str(context))
    else:
        found = sorted(path.name for path in context.glob("*ockerfile*"))
        why = f"there is no such file in {context}"
        yield absent(f"{key}.dockerfile", service.dockerfile, why, found)
    program = (service.tests or [""])[0]
    if "/" in program:
        if (context / program).is_file():
            yield same(f"{key}.tests", program, str(context))
        else:
            yield absent(f"{key}.tests", program, f"there is no such file in {context}")


def _terraform(settings: Settings) -> Iterator[KeyComparison]:
    """Terraform's directory, its files, the image variables, and the bucket of its state."""
    from ops.terraform import files

    environment = settings.environment
    terraform = environment.terraform
    if terraform is None:
        return
    directory = settings.source / terraform.directory
    variables = {
        f"services.{name}.image_variable": service.image_variable
        for name, service in sorted(environment.services.items())
        if service.image_variable
    }
    if not directory.is_dir():
        why = f"there is no folder {directory}"
        yield absent("terraform.directory", terraform.directory, why)
        for key, variable in variables.items():
            yield not_read(key, variable, Unknown(why))
        return
    yield same("terraform.directory", terraform.directory, str(settings.source))
    backend_config = terraform.backend_config
    named = [("terraform.backend_config", backend_config)] if backend_config else []
    named += [("terraform.var_files", name) for name in terraform.var_files]
    for key, name in named:
        if (directory / name).is_file():
            yield same(key, name, str(directory))
        else:
            yield absent(key, name, f"there is no such file in {directory}")
            backend_config = None if name == backend_config else backend_config
    declared = files.declared_variables(directory)
    for key, variable in variables.items():
        yield compare(key, variable, declared, f"Terraform's {directory}")
    yield from _backend(settings, directory, backend_config)


def _backend(
    settings: Settings, directory: Path, backend_config: str | None
) -> Iterator[KeyComparison]:
    from ops.terraform import files

    state = settings.environment.state
    if state is None:
        return
    backend = files.read_backend(directory, backend_config)
    bucket = backend.config.get("bucket") if backend and backend.type == "s3" else None
    if bucket:
        yield compare("state.bucket", state.bucket, bucket, "Terraform's backend")


def _bastion(settings: Settings) -> Iterator[KeyComparison]:
    """An SSH connection to the bastion; a host that does not let us in is unknown."""
    from ops.ssh import connection

    bastion = settings.environment.bastion
    if bastion is None:
        return
    try:
        connection.connect(settings).close()
    except ConfigError as error:
        yield absent("bastion.host", bastion.host, f"{error.what}: {error.why}")
        return
    yield same("bastion.host", bastion.host, "SSH")
