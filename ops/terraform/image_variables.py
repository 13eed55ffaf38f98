"""What every plan is given for images: the target's new one, and for every other service the one
that it runs.

Measured: a plan with only the target's variable moved the other service back to its default image
(anchors.md). So all of them go along, read from each service's own revision, and a service that
can't be read stops the plan."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING

from ops.aws import ecs
from ops.core import ui
from ops.core.config.load import suggestion
from ops.core.errors import ConfigError, OpsError, Refused
from ops.core.findings import Unknown
from ops.core.parallel import gather
from ops.platform import Platform
from ops.terraform import program
from ops.terraform.program import TerraformProgram
from ops.terraform.rules.scope import undeclared, value_for

if TYPE_CHECKING:
    from ops.core.config.settings import Service


def names(platform: Platform) -> dict[str, str]:
    """Service → its image variable, of those that have one."""
    services = platform.settings.environment.services
    return {
        name: service.image_variable for name, service in services.items() if service.image_variable
    }


def values(platform: Platform, *, target: str | None = None, image: str = "") -> dict[str, str]:
    """Variable → value for every service; `image` for `target`, the running one for the others.

    Raises Refused where an image can't be read or said, ConfigError where the target has no
    variable."""
    wanted = names(platform)
    if target is not None and target not in wanted:
        why = "rollout: terraform changes the image by it"
        where = f"environments.{platform.settings.name}.services.{target}"
        raise ConfigError(
            f"service {target} has no image_variable",
            why,
            f"add {where}.image_variable to invoke.yaml",
        )
    running = images(platform, [name for name in wanted if name != target])
    found = {**running, **({target: image} if target else {})}
    return {
        wanted[name]: value(platform.settings.environment.services[name], name, each)
        for name, each in found.items()
    }


def images(platform: Platform, services: Iterable[str]) -> dict[str, str]:
    """Service → the image that its own revision names. One that does not exist yet is said, and
    left to the configuration's default.
    """
    read = gather(**{name: partial(image, platform, name) for name in services})
    for name, each in read.items():
        if isinstance(each, Unknown):
            why = (
                f"{each.why}; without it Terraform would fall back to the variable's default, "
                f"and move {name}"
            )
            raise Refused(f"the image of {name} could not be read", why, "inv preflight")
        if each is None:
            ui.progress(f"{name} does not exist yet: its image is left to Terraform's default")
    return {name: str(each) for name, each in read.items() if each is not None}


def image(platform: Platform, name: str) -> str | None:
    """What `name` runs, by its service's own revision (never the family's latest); None where there
    is no such service.
    """
    environment, service = platform.settings.environment, platform.settings.service(name)
    state = ecs.service(platform.cloud, environment.cluster, service.ecs_service)
    if state is None:
        return None
    revision = ecs.task_definition(platform.cloud, state.task_definition)
    container = revision.container(service.container) if revision else None
    if container is None:
        what = f"container {service.container} in {state.task_definition}"
        raise OpsError(
            what,
            "the service's task definition has no such container",
            "correct `container` in invoke.yaml",
        )
    return str(container["image"])


def value(service: Service, name: str, image: str) -> str:
    """The image as its variable takes it."""
    found = value_for(service.image_variable_kind, image)
    if found is None:
        why = f"{name} runs {image}, which has no tag to give"
        raise Refused(
            f"variable {service.image_variable} takes a tag",
            why,
            "deploy it by a tag, or set image_variable_kind: uri",
        )
    return found


def refuse_undeclared(platform: Platform, tf: TerraformProgram) -> None:
    """Before anything: every image variable of the configuration is declared. Raises ConfigError
    naming the nearest one.
    """
    declared = program.variables(tf)
    for service, variable in undeclared(names(platform), declared):
        where = f"environments.{platform.settings.name}.services.{service}.image_variable"
        why = (
            f"no file in {tf.directory} declares it; Terraform would ignore its value, and the "
            f"deploy would change nothing"
        )
        hint = suggestion(
            variable, declared, f"declared are: {', '.join(sorted(declared)) or 'none'}"
        )
        raise ConfigError(f"Terraform variable {variable} ({where})", why, hint)
