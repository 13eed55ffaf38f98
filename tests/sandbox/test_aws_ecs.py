"""The ECS API as boto3 sees it, without an agent: what is kept, what is refused, what is a
deployment, what is listed.
"""

import re
import time

import pytest
from botocore.exceptions import ClientError

from tests.sandbox.aws_platform import Platform, ProcessRuntime


@pytest.fixture(scope="module")
def platform(aws):
    made = Platform(aws, ProcessRuntime())
    made.create(
        made.revision("web:v1"),
        tags=[{"key": "team", "value": "a"}],
        enableExecuteCommand=True,
        availabilityZoneRebalancing="DISABLED",
        deploymentConfiguration={
            "minimumHealthyPercent": 50,
            "maximumPercent": 150,
            "deploymentCircuitBreaker": {"enable": True, "rollback": True},
        },
    )
    return made


def refusal(call, **arguments):
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    return caught.value.response["Error"]["Code"], caught.value.response["Error"]["Message"]


def test_what_was_created_is_what_is_described(platform):
    """Deployment configuration, grace period, exec flag, rebalancing, tags and load balancers come
    back as given.
    """
    service = platform.ecs.describe_services(cluster="demo", services=["web"], include=["TAGS"])[
        "services"
    ][0]
    configuration = service["deploymentConfiguration"]
    assert (configuration["minimumHealthyPercent"], configuration["maximumPercent"]) == (50, 150)
    assert configuration["deploymentCircuitBreaker"] == {"enable": True, "rollback": True}
    assert (
        service["healthCheckGracePeriodSeconds"] == 60 and service["enableExecuteCommand"] is True
    )
    assert service["availabilityZoneRebalancing"] == "DISABLED" and service["tags"] == [
        {"key": "team", "value": "a"}
    ]
    assert service["loadBalancers"][0]["targetGroupArn"] == platform.target_group
    assert re.fullmatch(r"ecs-svc/\d{19}", service["deployments"][0]["id"])
    assert service["networkConfiguration"]["awsvpcConfiguration"]["subnets"] == platform.subnets


def test_unknown_service_is_a_failure_not_an_error(platform):
    """DescribeServices answers 200 with failures MISSING; UpdateService and ListTasks refuse."""
    answer = platform.ecs.describe_services(cluster="demo", services=["backend"])
    assert answer["services"] == [] and answer["failures"][0]["reason"] == "MISSING"
    assert answer["failures"][0]["arn"].endswith(":service/demo/backend")
    assert refusal(
        platform.ecs.update_service, cluster="demo", service="backend", desiredCount=1
    ) == ("ServiceNotFoundException", "Service not found.")
    assert (
        refusal(platform.ecs.list_tasks, cluster="demo", serviceName="backend")[0]
        == "ServiceNotFoundException"
    )
    assert (
        refusal(platform.ecs.describe_services, cluster="nowhere", services=["web"])[0]
        == "ClusterNotFoundException"
    )


def test_only_a_real_change_is_a_new_deployment(platform):
    """The same revision or a new count change nothing; another revision makes a PRIMARY and leaves
    the former ACTIVE.
    """
    before = platform.primary()["id"]
    same = platform.update(taskDefinition=platform.service()["taskDefinition"], desiredCount=3)
    assert [each["id"] for each in same["deployments"]] == [before] and same["desiredCount"] == 3
    merged = platform.update(deploymentConfiguration={"maximumPercent": 200})[
        "deploymentConfiguration"
    ]
    assert (merged["minimumHealthyPercent"], merged["maximumPercent"]) == (50, 200)
    changed = platform.update(taskDefinition=platform.revision("web:v2"))
    assert [each["status"] for each in changed["deployments"]] == ["PRIMARY", "ACTIVE"]
    assert (
        changed["deployments"][0]["id"] != before
        and changed["deployments"][0]["rolloutState"] == "IN_PROGRESS"
    )
    listed = platform.ecs.list_service_deployments(cluster="demo", service="web")[
        "serviceDeployments"
    ]
    assert [each["status"] for each in listed] == ["IN_PROGRESS", "STOPPED"]
    full = platform.ecs.describe_service_deployments(
        serviceDeploymentArns=[listed[0]["serviceDeploymentArn"]]
    )["serviceDeployments"]
    assert full[0]["targetServiceRevision"]["requestedTaskCount"] == 3


def test_inactive_and_unknown_definitions_are_refused(platform):
    """A deregistered revision cannot be deployed; a family means its newest ACTIVE revision."""
    kept, gone = platform.revision("web:v3"), platform.revision("web:v4")
    platform.ecs.deregister_task_definition(taskDefinition=gone)
    assert refusal(platform.update, taskDefinition=gone) == (
        "ClientException",
        "TaskDefinition is inactive",
    )
    assert refusal(platform.update, taskDefinition="nothing:9") == (
        "ClientException",
        "TaskDefinition not found.",
    )
    assert refusal(
        platform.ecs.run_task,
        cluster="demo",
        taskDefinition=gone,
        networkConfiguration=platform.network,
    )[1] == ("TaskDefinition is inactive")
    described = platform.ecs.describe_task_definition(taskDefinition="demo-web")["taskDefinition"]
    assert described["taskDefinitionArn"] == kept and described["registeredAt"]
    assert (
        platform.ecs.describe_task_definition(taskDefinition=gone)["taskDefinition"]["status"]
        == "INACTIVE"
    )
    newest = platform.ecs.list_task_definitions(familyPrefix="demo-web", sort="DESC", maxResults=1)
    assert newest["taskDefinitionArns"] == [kept] and newest["nextToken"]


def test_second_service_of_a_name_and_idle_target_group_are_refused(platform):
    """CreateService refuses a name in use and a target group that no listener forwards to."""
    revision = platform.revision("web:v5")
    assert refusal(platform.create, revision=revision) == (
        "InvalidParameterException",
        "Creation of service was not idempotent.",
    )
    made = platform.elb.create_target_group(
        Name="idle", Protocol="HTTP", Port=80, TargetType="ip", VpcId=platform.vpc
    )
    idle = made["TargetGroups"][0]["TargetGroupArn"]
    balancers = [{"targetGroupArn": idle, "containerName": "web", "containerPort": 8080}]
    code, message = refusal(
        platform.ecs.create_service,
        cluster="demo",
        serviceName="idle",
        taskDefinition=revision,
        desiredCount=1,
        networkConfiguration=platform.network,
        loadBalancers=balancers,
    )
    assert (
        code == "InvalidParameterException"
        and "does not have an associated load balancer" in message
    )


def test_tasks_are_listed_by_what_was_asked_and_do_not_move(platform):
    """ListTasks filters; DescribeTasks any number of times leaves a task where it is; StopTask
    needs a known task.
    """
    network = platform.network
    revision = platform.revision("web:v6")
    task = platform.ecs.run_task(
        cluster="demo", taskDefinition=revision, networkConfiguration=network, startedBy="me"
    )["tasks"][0]
    listed = lambda **filters: platform.ecs.list_tasks(cluster="demo", **filters)["taskArns"]  # noqa: E731
    assert listed(startedBy="me") == [task["taskArn"]] == listed(family="demo-web")
    assert (
        listed(serviceName="web") == [] == listed(family="other")
        and listed(desiredStatus="STOPPED") == []
    )
    for _ in range(8):
        seen = platform.ecs.describe_tasks(cluster="demo", tasks=[task["taskArn"]])["tasks"][0]
    assert (seen["lastStatus"], seen["desiredStatus"]) == ("PROVISIONING", "RUNNING")
    assert refusal(platform.ecs.stop_task, cluster="demo", task="0" * 32) == (
        "InvalidParameterException",
        "The referenced task was not found.",
    )
    platform.ecs.stop_task(cluster="demo", task=task["taskArn"])
    stopped = platform.ecs.describe_tasks(cluster="demo", tasks=listed(desiredStatus="STOPPED"))[
        "tasks"
    ][0]
    assert (stopped["stopCode"], stopped["stoppedReason"]) == (
        "UserInitiated",
        "Task stopped by user",
    )
    unknown = platform.ecs.describe_tasks(cluster="demo", tasks=["0" * 32])
    assert unknown["tasks"] == [] and unknown["failures"][0]["reason"] == "MISSING"


def test_a_service_without_security_groups(platform):
    """They are optional, and shown as an empty list; subnets and a name are not optional, and
    refused in ECS's way.
    """
    place = {"awsvpcConfiguration": {"subnets": platform.subnets}}
    words = {
        "cluster": "demo",
        "taskDefinition": platform.revision("web:none"),
        "desiredCount": 0,
        "networkConfiguration": place,
    }
    made = platform.ecs.create_service(serviceName="open", **words)["service"]
    assert made["networkConfiguration"]["awsvpcConfiguration"] == {
        "subnets": platform.subnets,
        "securityGroups": [],
    }
    for name, network in (("", place), ("closed", {"awsvpcConfiguration": {"subnets": []}})):
        with pytest.raises(ClientError) as refused:
            platform.ecs.create_service(
                serviceName=name, **{**words, "networkConfiguration": network}
            )
        assert refused.value.response["Error"]["Code"] == "InvalidParameterException"
    platform.ecs.delete_service(cluster="demo", service="open", force=True)


def test_throttled_and_slow_calls(aws, platform):
    """The gate refuses as AWS does when told to, adds latency when told to, and counts calls by
    action.
    """
    counted = aws.gate.calls["DescribeServices"]
    aws.gate.throttle(1)
    assert (
        refusal(platform.ecs.describe_services, cluster="demo", services=["web"])[0]
        == "ThrottlingException"
    )
    assert platform.service()["serviceName"] == "web"
    assert aws.gate.calls["DescribeServices"] == counted + 2
    aws.gate.throttle(1)
    assert refusal(platform.elb.describe_load_balancers)[0] == "ThrottlingException"
    aws.gate.latency = 0.2
    began = time.monotonic()
    platform.service()
    aws.gate.latency = 0.0
    assert time.monotonic() - began >= 0.2


def test_what_is_not_emulated_is_refused_by_name(platform):
    """A call that the sandbox has no answer for names itself, in JSON and in XML APIs."""
    revision = "arn:aws:ecs:us-east-1:123456789012:service-revision/a/b/c"
    code, message = refusal(platform.ecs.describe_service_revisions, serviceRevisionArns=[revision])
    assert code == "NotImplemented" and "describe_service_revisions" in message
    code, message = refusal(platform.elb.describe_trust_stores)
    assert code == "NotImplemented" and "describe_trust_stores" in message


def test_a_client_token_starts_one_task(platform):
    """The same call again answers with the same task; with other parameters it is a conflict."""
    definition = platform.revision("web:v1")
    asked = {
        "cluster": "demo",
        "taskDefinition": definition,
        "networkConfiguration": platform.network,
        "clientToken": "one",
    }
    first = platform.ecs.run_task(**asked)["tasks"]
    assert [task["taskArn"] for task in platform.ecs.run_task(**asked)["tasks"]] == [
        first[0]["taskArn"]
    ]
    assert refusal(platform.ecs.run_task, **asked, startedBy="other")[0] == "ConflictException"
    del asked["clientToken"]
    assert platform.ecs.run_task(**asked)["tasks"][0]["taskArn"] != first[0]["taskArn"]
    assert refusal(platform.ecs.run_task, **asked, count=11)[0] == "InvalidParameterException"


def test_execute_command_is_refused_where_the_task_does_not_allow_it(platform):
    """Not enabled, unknown, and not interactive; a task's agent is shown with its container."""
    definition = platform.revision("web:v1")
    task = platform.ecs.run_task(
        cluster="demo", taskDefinition=definition, networkConfiguration=platform.network
    )["tasks"][0]
    assert "managedAgents" not in task["containers"][0]
    call = {"cluster": "demo", "task": task["taskArn"], "command": "ls", "interactive": True}
    code, message = refusal(platform.ecs.execute_command, **call)
    assert code == "InvalidParameterException" and "execute command was not enabled" in message
    assert refusal(platform.ecs.execute_command, **{**call, "interactive": False})[1] == (
        "Interactive must be true."
    )
    assert "not found" in refusal(platform.ecs.execute_command, **{**call, "task": "abc"})[1]
    enabled = platform.ecs.run_task(
        cluster="demo",
        taskDefinition=definition,
        networkConfiguration=platform.network,
        enableExecuteCommand=True,
    )["tasks"][0]
    (agent,) = enabled["containers"][0]["managedAgents"]
    assert (agent["name"], agent["lastStatus"]) == ("ExecuteCommandAgent", "PENDING")
