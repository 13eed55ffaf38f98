"""Values of the image variables of a plan.

Every plan sets the variable of every service: the deployed service's to the new image, the others'
to the image that they are running. A plan with only the deployed service's variable would set the
other services back to the default image. A service whose image cannot be read stops the plan.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING

from ops.aws import ecs
from ops.core import ui
from ops.core.config.problems import suggestion
from ops.core.errors import ConfigError, OpsError, Refused
from ops.core.findings import Unknown
from ops.core.parallel import gather
from ops.platform import Platform
from ops.terraform import program
from ops.terraform.program import TerraformProgram
from ops.terraform.rules.plan_diff import existing_services
from ops.terraform.rules.plan_json import PlanDocument
from ops.terraform.rules.scope import undeclared_variables, variable_value

if TYPE_CHECKING:
    from ops.core.config.settings import Service


def names(platform: Platform) -> dict[str, str]:
    """Return service → image variable, for the services that have one."""
    services = platform.settings.environment.services
    return {
        name: service.image_variable for name, service in services.items() if service.image_variable
    }


def values(platform: Platform, *, target: str | None = None, image: str = "") -> dict[str, str]:
    """Return variable → value for every service: `image` for `target`, else the running one.

    Raises Refused for an image that cannot be read or expressed, ConfigError if the target has no
    variable.
    """
    variables = names(platform)
    if target is not None and target not in variables:
        where = f"environments.{platform.settings.name}.services.{target}"
        raise ConfigError(
            f"service {target} has no image_variable",
            "with rollout: terraform the image is changed by it",
            f"add {where}.image_variable to invoke.yaml",
        )
    images = _running_images(platform, [name for name in variables if name != target])
    if target:
        images[target] = image
    services = platform.settings.environment.services
    return {
        variables[name]: _variable_value(services[name], name, each)
        for name, each in images.items()
    }


def _running_images(platform: Platform, services: Iterable[str]) -> dict[str, str]:
    """Return service → the image of its own revision.

    A service that does not exist yet is reported, and left to the variable's default.
    """
    read = gather(**{name: partial(_running_image, platform, name) for name in services})
    images = {}
    for name, each in read.items():
        if isinstance(each, Unknown):
            why = (
                f"{each.why}; without it Terraform would use the variable's default, and change "
                f"{name}"
            )
            raise Refused(f"the image of {name} could not be read", why, "inv preflight")
        if each is None:
            ui.progress(f"{name} does not exist yet: Terraform uses its own value or default")
        else:
            images[name] = str(each)
    return images


def _running_image(platform: Platform, name: str) -> str | None:
    """Return the image of the service's own revision; None if there is no such service.

    So it is without the cluster, as before a first apply. The family's latest revision may be
    another one.
    """
    environment, service = platform.settings.environment, platform.settings.service(name)
    try:
        state = ecs.service(platform.cloud, environment.cluster, service.ecs_service)
    except ecs.ClusterMissing:
        state = None
    if state is None:
        return None
    revision = ecs.task_definition(platform.cloud, state.task_definition)
    container = revision.container(service.container) if revision else None
    if container is None:
        raise OpsError(
            f"container {service.container} in {state.task_definition}",
            "the service's task definition has no such container",
            "correct `container` in invoke.yaml",
        )
    return str(container["image"])


def _variable_value(service: Service, name: str, image: str) -> str:
    """Return the image as its variable takes it."""
    found = variable_value(service.image_variable_kind, image)
    if found is None:
        raise Refused(
            f"variable {service.image_variable} takes a tag",
            f"{name} runs {image}, which has no tag",
            "deploy it by a tag, or set image_variable_kind: uri",
        )
    return found


def check_default_images(
    platform: Platform, images: Mapping[str, str], contents: PlanDocument
) -> None:
    """Raise Refused if a service that was not found, and so has no image here, is in the state.

    Then ECS was asked in the wrong place, and the plan sets the service to the default image.
    """
    services = platform.settings.environment.services
    for name, variable in names(platform).items():
        ecs_service = services[name].ecs_service
        known = existing_services(contents, ecs_service) if variable not in images else ()
        if known:
            cluster = platform.settings.environment.cluster
            raise Refused(
                f"the image of {name} is not known",
                f"cluster {cluster} has no service {ecs_service}, but Terraform's state has it "
                f"({known[0]}): the plan would set it to the variable's default image",
                f"correct `cluster`, `region` or services.{name}.ecs_service in invoke.yaml",
            )


def check_declared(platform: Platform, tf: TerraformProgram) -> None:
    """Raise ConfigError for an image variable that no file declares, naming the nearest one."""
    declared = program.declared_variables(tf)
    for service, variable in undeclared_variables(names(platform), declared):
        where = f"environments.{platform.settings.name}.services.{service}.image_variable"
        why = (
            f"no file in {tf.directory} declares it; Terraform would ignore its value, and the "
            f"deploy would change nothing"
        )
        hint = suggestion(
            variable, declared, f"declared are: {', '.join(sorted(declared)) or 'none'}"
        )
        raise ConfigError(f"Terraform variable {variable} ({where})", why, hint)
