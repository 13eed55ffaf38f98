"""The service calls of the ECS API: create, update, delete, describe and list.

Emulates what moto drops or fakes: deployment configuration, grace period, execute-command flag and
zone rebalancing are stored; UpdateService creates a new deployment when the task definition, the
network, the load balancers or the platform version change or when it is forced (which keeps the
revision), and none when only `desiredCount` or the deployment configuration changes; INACTIVE
definitions, missing and draining services are rejected. Differs from ECS: only the ECS deployment
controller with the REPLICA strategy on Fargate is scheduled; capacity providers, Service Connect,
placement and service registries are stored and otherwise ignored.
"""

from __future__ import annotations

from typing import Any

from moto.ecs.models import Cluster
from moto.ecs.responses import EC2ContainerServiceResponse
from moto.elbv2.models import elbv2_backends

from ops.sandbox.aws.cloudtrail import Trail
from ops.sandbox.aws.ecs import errors
from ops.sandbox.aws.ecs.model import Deployment, Service, deployment_id, utc_now
from ops.sandbox.aws.ecs.render import service_view
from ops.sandbox.aws.ecs.store import EcsStore, service_arn
from ops.sandbox.aws.ecs.task_definitions import paged, to_run
from ops.sandbox.aws.overrides import answer, computed
from ops.sandbox.contracts import ACCOUNT, REGION

_KEPT = (
    "loadBalancers",
    "serviceRegistries",
    "launchType",
    "capacityProviderStrategy",
    "platformVersion",
    "deploymentConfiguration",
    "placementConstraints",
    "placementStrategy",
    "networkConfiguration",
    "healthCheckGracePeriodSeconds",
    "schedulingStrategy",
    "deploymentController",
    "enableECSManagedTags",
    "propagateTags",
    "enableExecuteCommand",
    "availabilityZoneRebalancing",
)
_ROLLS = (
    "networkConfiguration",
    "loadBalancers",
    "platformVersion",
    "serviceRegistries",
)  # a change of these is a new deployment
_DEFAULTS: dict[str, Any] = {
    "loadBalancers": [],
    "serviceRegistries": [],
    "launchType": "FARGATE",
    "platformVersion": "LATEST",
    "platformFamily": "Linux",
    "placementConstraints": [],
    "placementStrategy": [],
    "healthCheckGracePeriodSeconds": 0,
    "schedulingStrategy": "REPLICA",
    "deploymentController": {"type": "ECS"},
    "enableECSManagedTags": False,
    "propagateTags": "NONE",
    "enableExecuteCommand": False,
    "availabilityZoneRebalancing": "ENABLED",
}
_DEPLOYMENT_DEFAULTS: dict[str, Any] = {
    "deploymentCircuitBreaker": {"enable": False, "rollback": False},
    "maximumPercent": 200,
    "minimumHealthyPercent": 100,
    "strategy": "ROLLING",
    "bakeTimeInMinutes": 0,
}


class Services:
    """The service calls of the ECS API over one store."""

    def __init__(self, store: EcsStore, trail: Trail) -> None:
        self.store, self.trail = store, trail

    def install(self) -> None:
        for action in (
            "create_service",
            "update_service",
            "delete_service",
            "describe_services",
            "list_services",
        ):
            answer(EC2ContainerServiceResponse, action, getattr(self, action))
        computed(Cluster, "running_tasks_count", lambda cluster: self._cluster_counts(cluster)[0])
        computed(Cluster, "pending_tasks_count", lambda cluster: self._cluster_counts(cluster)[1])
        computed(
            Cluster,
            "active_services_count",
            lambda cluster: sum(each.status == "ACTIVE" for each in self._in_cluster(cluster)),
        )

    def create_service(self, response: Any) -> dict[str, Any]:
        backend, asked = response.ecs_backend, _asked(response)
        cluster = backend._get_cluster(asked.get("cluster") or "default")
        definition = to_run(backend, asked.get("taskDefinition") or "")
        name = _required(asked, "serviceName")
        with self.store.lock:
            self._refuse_second(cluster.name, name)
            _refuse_idle_target_groups(asked.get("loadBalancers") or [])
            backend.create_service(  # moto checks the network and keeps the tags
                cluster.name,
                name,
                0,
                definition.arn,
                launch_type="FARGATE",
                tags=asked.get("tags"),
                network_configuration=asked.get("networkConfiguration"),
            )
            settings = {
                **_DEFAULTS,
                **{key: asked[key] for key in _KEPT if asked.get(key) is not None},
            }
            settings["deploymentConfiguration"] = {
                **_DEPLOYMENT_DEFAULTS,
                **(asked.get("deploymentConfiguration") or {}),
            }
            settings["roleArn"] = (
                f"arn:aws:iam::{ACCOUNT}:role/aws-service-role/ecs.amazonaws.com/AWSServiceRoleForECS"
            )
            service = Service(
                name,
                service_arn(cluster.name, name),
                cluster.name,
                cluster.arn,
                definition.arn,
                asked.get("desiredCount") or 0,
                settings,
            )
            self.store.services[service.arn] = service
            service.begin(_deployment(service))
            return {"service": service_view(self.store, service, asked.get("tags") or [])}

    def update_service(self, response: Any) -> dict[str, Any]:
        backend, asked = response.ecs_backend, _asked(response)
        cluster = backend._get_cluster(asked.get("cluster") or "default")
        with self.store.lock:
            service = self._active(cluster.name, _required(asked, "service"))
            former = service.task_definition
            wanted = (
                to_run(backend, asked["taskDefinition"]).arn
                if asked.get("taskDefinition")
                else former
            )
            rolls = (
                wanted != former
                or bool(asked.get("forceNewDeployment"))
                or any(_differs(service, asked, key) for key in _ROLLS)
            )
            self._keep(service, asked)
            service.task_definition = wanted
            agent = response.headers.get("User-Agent", "")
            self.trail.record("UpdateService", "ecs.amazonaws.com", asked, agent)
            if rolls:
                service.begin(_deployment(service))
            return {"service": service_view(self.store, service)}

    def delete_service(self, response: Any) -> dict[str, Any]:
        backend = response.ecs_backend
        cluster = backend._get_cluster(response._get_param("cluster") or "default")
        with self.store.lock:
            service = self._active(cluster.name, response._get_param("service"))
            if service.desired_count > 0 and not response._get_param("force"):
                raise errors.invalid("The service cannot be stopped while it is scaled above 0.")
            service.desired_count = 0
            service.status = "DRAINING"
            backend.delete_service(cluster.name, service.name, True)
            return {"service": service_view(self.store, service)}

    def describe_services(self, response: Any) -> dict[str, Any]:
        backend, names = response.ecs_backend, response._get_param("services") or []
        cluster = backend._get_cluster(response._get_param("cluster") or "default")
        if not names:
            raise errors.invalid("Services cannot be empty.")
        if len(names) > 10:
            raise errors.invalid("Too many services: at most 10 can be described at once.")
        tagged = "TAGS" in (response._get_param("include") or [])
        with self.store.lock:
            found = {name: self.store.service(cluster.name, name) for name in names}
            views = [
                service_view(self.store, each, _tags(backend, each) if tagged else None)
                for each in found.values()
                if each is not None
            ]
        missing = [name for name, each in found.items() if each is None]
        return {
            "services": views,
            "failures": [
                {"arn": _arn(cluster.name, name), "reason": "MISSING"} for name in missing
            ],
        }

    def list_services(self, response: Any) -> dict[str, Any]:
        cluster = response.ecs_backend._get_cluster(response._get_param("cluster") or "default")
        arns = [each.arn for each in self._in_cluster(cluster) if each.status != "INACTIVE"]
        page, token = paged(
            arns, response._get_param("maxResults") or 10, response._get_param("nextToken")
        )
        return {"serviceArns": page, "nextToken": token}

    def _in_cluster(self, cluster: Any) -> list[Service]:
        with self.store.lock:
            return [each for each in self.store.services.values() if each.cluster == cluster.name]

    def _cluster_counts(self, cluster: Any) -> tuple[int, int]:
        with self.store.lock:
            return self.store.counts(
                [task for task in self.store.tasks.values() if task.cluster == cluster.name]
            )

    def _active(self, cluster: str, name: str) -> Service:
        service = self.store.service(cluster, name)
        if service is None:
            raise errors.service_not_found()
        if service.status != "ACTIVE":
            raise errors.service_not_active()
        return service

    def _refuse_second(self, cluster: str, name: str) -> None:
        existing = self.store.service(cluster, name)
        if existing and existing.status == "ACTIVE":
            raise errors.invalid("Creation of service was not idempotent.")
        if existing and existing.status == "DRAINING":
            raise errors.invalid("Unable to Start a service that is still Draining.")

    @staticmethod
    def _keep(service: Service, asked: dict[str, Any]) -> None:
        if asked.get("desiredCount") is not None and asked["desiredCount"] != service.desired_count:
            service.desired_count = asked["desiredCount"]
            service.announced_steady = False
            service.primary.updated_at = utc_now()
        for key in _KEPT:
            if asked.get(key) is not None:
                service.settings[key] = (
                    {**service.settings[key], **asked[key]}
                    if key == "deploymentConfiguration"
                    else asked[key]
                )


def _asked(response: Any) -> dict[str, Any]:
    """Return the call's parameters.

    A network without security groups uses the VPC's default one; ECS shows that as an empty list.
    """
    asked = dict(response.params)
    if place := asked.get("networkConfiguration"):
        inner = {"securityGroups": [], **(place.get("awsvpcConfiguration") or {})}
        if not inner.get("subnets"):
            raise errors.invalid("subnets can not be empty.")
        asked["networkConfiguration"] = {**place, "awsvpcConfiguration": inner}
    return asked


def _required(asked: dict[str, Any], name: str) -> str:
    if not asked.get(name):
        raise errors.invalid(f"{name} is required.")
    return str(asked[name])


def _deployment(service: Service) -> Deployment:
    return Deployment(
        deployment_id(),
        service.task_definition,
        service.settings.get("networkConfiguration") or {},
        service.load_balancers,
    )


def _differs(service: Service, asked: dict[str, Any], key: str) -> bool:
    return asked.get(key) is not None and asked[key] != service.settings.get(key)


def _tags(backend: Any, service: Service) -> list[dict[str, str]]:
    kept = backend.services.get(f"{service.cluster}:{service.name}")
    return list(kept.tags) if kept else []


def _arn(cluster: str, name: str) -> str:
    return name if name.startswith("arn:") else service_arn(cluster, name)


def _refuse_idle_target_groups(load_balancers: list[dict[str, Any]]) -> None:
    """Reject target groups that no listener forwards to, as ECS does."""
    groups = elbv2_backends[ACCOUNT][REGION].target_groups
    for each in load_balancers:
        arn = each.get("targetGroupArn")
        if arn and arn not in groups:
            raise errors.invalid(
                "The specified target group does not exist. Please verify that the target "
                "group exists and try again."
            )
        if arn and not groups[arn].load_balancer_arns:
            raise errors.invalid(
                f"The target group with targetGroupArn {arn} does not have an associated "
                f"load balancer."
            )
