"""The calls List-, Describe- and StopServiceDeployment(s), newest first.

Differs from ECS: a rollback by the circuit breaker is a service deployment of its own (ECS shows it
inside the failed one), its id is the deployment's digits, and revision ARNs use the task
definition's revision (ECS: a number of its own). A stopped deployment rolls back at once, by a new
deployment to the revision that last completed; ABORT is not supported.
"""

from __future__ import annotations

from typing import Any

from moto.ecs.responses import EC2ContainerServiceResponse

from ops.sandbox.aws.ecs import errors
from ops.sandbox.aws.ecs.model import Deployment, Service, deployment_id
from ops.sandbox.aws.ecs.store import EcsStore
from ops.sandbox.aws.ecs.task_definitions import paged
from ops.sandbox.aws.overrides import answer

_STATUS = {"IN_PROGRESS": "IN_PROGRESS", "COMPLETED": "SUCCESSFUL", "FAILED": "STOPPED"}


class History:
    """The service-deployment calls of the ECS API over one store."""

    def __init__(self, store: EcsStore) -> None:
        self.store = store

    def install(self) -> None:
        for action in (
            "list_service_deployments",
            "describe_service_deployments",
            "stop_service_deployment",
        ):
            answer(EC2ContainerServiceResponse, action, getattr(self, action))

    def list_service_deployments(self, response: Any) -> dict[str, Any]:
        cluster = response.ecs_backend._get_cluster(response._get_param("cluster") or "default")
        wanted = response._get_param("status")
        with self.store.lock:
            service = self.store.service(cluster.name, response._get_param("service"))
            if service is None:
                raise errors.service_not_found()
            briefs = [self._brief(service, each) for each in service.deployments]
        kept = [each for each in briefs if not wanted or each["status"] in wanted]
        page, token = paged(
            kept, response._get_param("maxResults"), response._get_param("nextToken")
        )
        return {"serviceDeployments": page, "nextToken": token}

    def describe_service_deployments(self, response: Any) -> dict[str, Any]:
        arns = response._get_param("serviceDeploymentArns") or []
        with self.store.lock:
            known = {
                self._arn(service, each): self._full(service, each)
                for service in self.store.services.values()
                for each in service.deployments
            }
        missing = [{"arn": arn, "reason": "MISSING"} for arn in arns if arn not in known]
        return {
            "serviceDeployments": [known[arn] for arn in arns if arn in known],
            "failures": missing,
        }

    def stop_service_deployment(self, response: Any) -> dict[str, Any]:
        arn = response._get_param("serviceDeploymentArn") or ""
        if response._get_param("stopType") not in (None, "ROLLBACK"):
            raise errors.invalid("The stop type is not supported.")
        with self.store.lock:
            service = next(
                (
                    service
                    for service in self.store.services.values()
                    for each in service.deployments
                    if self._arn(service, each) == arn
                ),
                None,
            )
            if service is None:
                raise errors.deployment_not_found()
            stopped, good = service.primary, service.last_completed
            going = stopped.rollout_state == "IN_PROGRESS" and self._arn(service, stopped) == arn
            if not going or good is None:
                raise errors.deployment_not_stoppable()
            stopped.conclude("FAILED", "Service deployment stopped.")
            back = Deployment(
                deployment_id(),
                good.task_definition,
                good.network_configuration,
                good.load_balancers,
            )
            back.rollback_of = stopped.id
            service.begin(back)
        return {"serviceDeploymentArn": arn}

    @staticmethod
    def _arn(service: Service, deployment: Deployment) -> str:
        parent = service.arn.replace(":service/", ":service-deployment/")

        return f"{parent}/{deployment.id.removeprefix('ecs-svc/')}"

    @staticmethod
    def _revision(service: Service, task_definition: str) -> str:
        parent = service.arn.replace(":service/", ":service-revision/")

        return f"{parent}/{task_definition.rpartition(':')[2]}"

    def _brief(self, service: Service, deployment: Deployment) -> dict[str, Any]:
        superseded = deployment.rollout_state == "IN_PROGRESS" and deployment.status != "PRIMARY"
        return {
            "serviceDeploymentArn": self._arn(service, deployment),
            "serviceArn": service.arn,
            "clusterArn": service.cluster_arn,
            "createdAt": deployment.created_at,
            "startedAt": deployment.created_at,
            "finishedAt": deployment.finished_at,
            "targetServiceRevisionArn": self._revision(service, deployment.task_definition),
            "status": "STOPPED" if superseded else _STATUS[deployment.rollout_state],
            "statusReason": deployment.rollout_reason,
        }

    def _full(self, service: Service, deployment: Deployment) -> dict[str, Any]:
        brief = self._brief(service, deployment)
        running, pending = self.store.counts(self.store.of_deployment(service, deployment))
        revision = {
            "arn": brief.pop("targetServiceRevisionArn"),
            "requestedTaskCount": service.desired_count,
            "runningTaskCount": running,
            "pendingTaskCount": pending,
        }
        return {
            **brief,
            "updatedAt": deployment.updated_at,
            "targetServiceRevision": revision,
            "deploymentConfiguration": service.settings["deploymentConfiguration"],
        }
