"""The part of the configuration that a diagnosis needs: names and addresses, never secrets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ops.aws.ecr import repository_name
from ops.aws.errors import login_advice

if TYPE_CHECKING:
    from ops.core.config.settings import Settings


def subject(settings: Settings) -> dict[str, Any]:
    """Names for the rules, as JSON."""
    environment = settings.environment
    database, terraform, cdn = environment.database, environment.terraform, environment.cdn
    return {
        "account": environment.account,
        "region": environment.region,
        "cluster": environment.cluster,
        "rollout": environment.rollout,
        "deploy_timeout": environment.deploy_timeout,
        "site": environment.site or "",
        "alb": environment.alb or "",
        "profile": environment.aws.profile or "",
        "overlay": environment.overlay or "",
        "login": login_advice(environment.aws.profile, environment.aws.endpoint),
        "instance": (database.instance if database else None) or "",
        "secret": (database.secret if database else None) or "",
        "terraform": terraform.directory if terraform else "",
        "origin_protocol": cdn.origin or "",
        "services": {
            name: {
                "ecs_service": service.ecs_service,
                "container": service.container,
                "repository": repository_name(service.repository or ""),
                "health_path": service.health_path or "",
                "container_port": service.container_port,
                "log_group": service.log_group or "",
                "pages": [each.path for each in service.endpoints],
                "invalidate": list(service.invalidate or ()),
            }
            for name, service in environment.services.items()
        },
    }
