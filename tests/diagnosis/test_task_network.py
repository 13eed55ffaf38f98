"""Where the way from a task to AWS's services ends, by EC2's documents."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.diagnosis.incidents import causes, failing, find, world

Change = Callable[[dict[str, Any]], None]
_POST = "RequestError: send request failed caused by: Post"
LOGIN = (
    "ResourceInitializationError: unable to pull secrets or registry auth: The task cannot pull "
    "registry auth from Amazon ECR: There is a connection issue between the task and Amazon ECR. "
    f'Check your task network configuration. {_POST} "https://api.ecr.us-east-1.amazonaws.com/": '
    "dial tcp 203.0.113.10:443: i/o timeout"
)
LAYERS = (
    "CannotPullContainerError: ref pull has been retried 5 time(s): failed to copy: "
    'httpReaderSeeker: failed open: failed to do request: Get "https://prod-us-east-1-starport-'
    'layer-bucket.s3.us-east-1.amazonaws.com/x": dial tcp 203.0.113.12:443: i/o timeout'
)
LOGS = (
    "ResourceInitializationError: failed to validate logger args: The task cannot find the Amazon "
    "CloudWatch log group defined in the task definition. There is a connection issue between the "
    "task and Amazon CloudWatch. Check your network configuration. : signal: killed"
)
SECRETS = (
    "ResourceInitializationError: unable to pull secrets or registry auth: execution resource "
    "retrieval failed: unable to retrieve secret from asm: service call has been retried 5 "
    "time(s): failed to fetch secret arn:aws:secretsmanager:us-west-2:1:secret:x from secrets "
    "manager: RequestCanceled: request context canceled caused by: context deadline exceeded"
)


def broken(text: str = LOGIN, *changes: Change) -> dict[str, Any]:
    documents = failing(text)
    for change in changes:
        change(documents)
    return documents


def private(documents: dict[str, Any]) -> dict[str, Any]:
    table: dict[str, Any] = documents["ec2/route-tables"]["rtb-private"]
    return table


def no_default_route(documents: dict[str, Any]) -> None:
    private(documents)["Routes"] = private(documents)["Routes"][:1]


def no_nat(documents: dict[str, Any]) -> None:
    documents["ec2/nat-gateways"] = {}


def deleted_nat(documents: dict[str, Any]) -> None:
    documents["ec2/nat-gateways"]["nat-1"]["State"] = "deleted"


def nat_in_private_subnet(documents: dict[str, Any]) -> None:
    documents["ec2/nat-gateways"]["nat-1"]["SubnetId"] = "subnet-1"


def main_table(documents: dict[str, Any]) -> None:
    """The subnet has no association of its own, so the main table counts."""
    private(documents)["Associations"] = []


def public_address(documents: dict[str, Any]) -> None:
    service = documents["ecs/services"]["dev-backend"]
    service["networkConfiguration"]["awsvpcConfiguration"]["assignPublicIp"] = "ENABLED"


def endpoint(service: str, **fields: Any) -> Change:
    def change(documents: dict[str, Any]) -> None:
        documents["ec2/endpoints"][f"vpce-{service}"] = {
            "VpcEndpointId": f"vpce-{service}",
            "VpcId": "vpc-1",
            "ServiceName": f"com.amazonaws.us-east-1.{service}",
            "State": "available",
            "VpcEndpointType": "Interface",
            "PrivateDnsEnabled": True,
            "Groups": [{"GroupId": "sg-endpoint"}],
            **fields,
        }

    return change


def endpoint_group(*rules: dict[str, Any]) -> Change:
    def change(documents: dict[str, Any]) -> None:
        documents["ec2/security-groups"]["sg-endpoint"] = {
            "GroupId": "sg-endpoint",
            "IpPermissions": list(rules),
            "IpPermissionsEgress": [],
        }

    return change


def egress(*rules: dict[str, Any]) -> Change:
    def change(documents: dict[str, Any]) -> None:
        documents["ec2/security-groups"]["sg-tasks"]["IpPermissionsEgress"] = list(rules)

    return change


def https(**peers: Any) -> dict[str, Any]:
    return {"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443, **peers}


POSTGRES = {
    "IpProtocol": "tcp",
    "FromPort": 5432,
    "ToPort": 5432,
    "UserIdGroupPairs": [{"GroupId": "sg-db"}],
}
FROM_TASKS = https(UserIdGroupPairs=[{"GroupId": "sg-tasks"}])
FROM_VPC = https(IpRanges=[{"CidrIp": "10.0.0.0/16"}])
FROM_LIST = https(PrefixListIds=[{"PrefixListId": "pl-1"}])
TO_LIST = https(PrefixListIds=[{"PrefixListId": "pl-1"}])
TO_ENDPOINT = https(UserIdGroupPairs=[{"GroupId": "sg-endpoint"}])


@pytest.mark.parametrize(
    ("documents", "cause", "hop", "fix"),
    [
        (
            broken(LOGIN, no_default_route),
            "no_route",
            "subnet-1 has no route out of its VPC (rtb-private)",
            "ec2 create-route --route-table-id rtb-private --destination-cidr-block 0.0.0.0/0 "
            "--nat-gateway-id nat-1",
        ),
        (broken(SECRETS, no_default_route), "no_route", "do not reach Secrets Manager", ""),
        (broken(LOGS, no_default_route), "no_route", "do not reach CloudWatch Logs", ""),
        (broken(LOGIN, no_nat), "no_route", "nat-1, which is not found", ""),
        (broken(LOGIN, deleted_nat), "no_route", "nat-1, which is deleted", ""),
        (
            broken(LOGIN, nat_in_private_subnet),
            "no_route",
            "whose own subnet subnet-1 has no route to an internet gateway",
            "",
        ),
        (
            broken(LOGIN, main_table),
            "no_route",
            "subnet-1 leads to an internet gateway, and its tasks have no public IP address",
            "assignPublicIp=ENABLED",
        ),
        (
            broken(LOGIN, no_default_route, endpoint("logs")),
            "endpoint_missing",
            "no usable endpoint for com.amazonaws.us-east-1.ecr.api",
            "--service-name com.amazonaws.us-east-1.ecr.api --vpc-endpoint-type Interface",
        ),
        (
            broken(LOGIN, no_default_route, endpoint("ecr.api", PrivateDnsEnabled=False)),
            "endpoint_missing",
            "no usable endpoint for com.amazonaws.us-east-1.ecr.api",
            "",
        ),
        (
            broken(LAYERS, no_default_route, endpoint("ecr.api"), endpoint("ecr.dkr")),
            "endpoint_missing",
            "no usable endpoint for com.amazonaws.us-east-1.s3",
            "--service-name com.amazonaws.us-east-1.s3 --route-table-ids rtb-private",
        ),
        (
            broken(
                LAYERS,
                no_default_route,
                endpoint("ecr.dkr"),
                endpoint("s3", VpcEndpointType="Gateway", RouteTableIds=["rtb-main"], Groups=[]),
            ),
            "endpoint_missing",
            "no usable endpoint for com.amazonaws.us-east-1.s3",
            "--route-table-ids rtb-private",
        ),
        (
            broken(LOGIN, endpoint("ecr.api"), endpoint_group(POSTGRES)),
            "endpoint_closed",
            "sg-endpoint of the endpoint vpce-ecr.api",
            "--group-id sg-endpoint --protocol tcp --port 443 --source-group sg-tasks",
        ),
        (
            broken(LOGIN, egress(POSTGRES)),
            "egress_closed",
            "the tasks' security group sg-tasks lets no HTTPS out",
            "ec2 authorize-security-group-egress --group-id sg-tasks",
        ),
        (broken(LOGIN, egress()), "egress_closed", "lets no HTTPS out", ""),
        (broken(LOGIN, egress(TO_ENDPOINT)), "egress_closed", "lets no HTTPS out", ""),
    ],
)
def test_the_hop_is_named(documents: dict[str, Any], cause: str, hop: str, fix: str) -> None:
    found = find(documents)
    assert causes(found) == [cause]
    finding = found.roots[0].candidate.finding
    assert hop in finding.summary and finding.confidence == "certain"
    assert fix in "\n".join(finding.fix)
    assert any(
        "timeout" in each.text or "stoppedReason" in each.source for each in finding.evidence
    )
    assert {"subnet-1", "sg-tasks", "sg-endpoint"} & set(finding.summary.replace(",", "").split())


def test_the_subnet_of_the_stopped_task_counts() -> None:
    """A service has two subnets; the task was in the second, whose route is missing."""
    documents = broken(LOGIN)
    documents["ec2/subnets"]["subnet-2"] = {
        **documents["ec2/subnets"]["subnet-1"],
        "SubnetId": "subnet-2",
    }
    documents["ec2/route-tables"]["rtb-2"] = {
        "RouteTableId": "rtb-2",
        "VpcId": "vpc-1",
        "Associations": [{"SubnetId": "subnet-2"}],
        "Routes": [],
    }
    for stopped in documents["ecs/tasks"]["dev-backend"]["stopped"]:
        stopped["attachments"] = [{"details": [{"name": "subnetId", "value": "subnet-2"}]}]
    found = find(documents)
    assert causes(found) == ["no_route"] and "subnet-2" in found.roots[0].candidate.finding.summary


def transit(documents: dict[str, Any]) -> None:
    private(documents)["Routes"][1] = {
        "DestinationCidrBlock": "0.0.0.0/0",
        "TransitGatewayId": "tgw-1",
        "State": "active",
    }


@pytest.mark.parametrize(
    "changes",
    [
        (),
        (transit,),
        (main_table, public_address),
        (no_default_route, endpoint("ecr.api"), endpoint_group(FROM_TASKS)),
        (no_default_route, endpoint("ecr.api"), endpoint_group(FROM_VPC)),
        (no_default_route, endpoint("ecr.api"), endpoint_group(FROM_LIST)),
        (egress(TO_LIST),),
        (egress(https(IpRanges=[{"CidrIp": "0.0.0.0/0"}])),),
        (endpoint("ecr.api"), endpoint_group(FROM_TASKS), egress(TO_ENDPOINT)),
    ],
)
def test_an_open_way_is_not_blamed(changes: tuple[Change, ...]) -> None:
    """A time-out without a visible obstacle stays what ECS says of it."""
    assert causes(find(broken(LOGIN, *changes))) == []


@pytest.mark.parametrize(
    "key",
    [
        "ec2/subnets",
        "ec2/route-tables",
        "ec2/nat-gateways",
        "ec2/endpoints",
        "ec2/security-groups",
    ],
)
def test_unknown_documents_say_nothing(key: str) -> None:
    documents = broken(LOGIN, no_default_route)
    del documents[key]
    assert causes(find(documents, {key: "AccessDenied"})) == []


def test_a_steady_service_is_not_blamed() -> None:
    """A private subnet without a route is no incident while its tasks run."""
    documents = world()
    no_default_route(documents)
    assert causes(find(documents)) == []
