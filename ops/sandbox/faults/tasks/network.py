"""Faults in the network between new tasks and AWS's services."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ops.sandbox.faults.base import FaultState, SandboxHandles
from ops.sandbox.faults.services import permissions
from ops.sandbox.faults.tasks.starts import FailingStarts

_EVERYWHERE = "0.0.0.0/0"


class NoDefaultRoute(FailingStarts):
    """DeleteRoute: the private subnets lose their route to the NAT gateway."""

    def prepare(self, handles: SandboxHandles) -> FaultState:
        table = _route_table(handles, self.place(handles)["subnets"][0])
        route = next(
            each for each in table["Routes"] if each.get("DestinationCidrBlock") == _EVERYWHERE
        )
        return {"table": table["RouteTableId"], "nat": route["NatGatewayId"]}

    def change(self, handles: SandboxHandles, state: FaultState) -> FaultState:
        handles.clients.ec2.delete_route(
            RouteTableId=state["table"], DestinationCidrBlock=_EVERYWHERE
        )
        return {}

    def is_present(self, handles: SandboxHandles, state: FaultState) -> bool:
        return not self._has_route(handles, state)

    def remove(self, handles: SandboxHandles, state: FaultState) -> None:
        if not self._has_route(handles, state):
            handles.clients.ec2.create_route(
                RouteTableId=state["table"],
                DestinationCidrBlock=_EVERYWHERE,
                NatGatewayId=state["nat"],
            )

    @staticmethod
    def _has_route(handles: SandboxHandles, state: FaultState) -> bool:
        [table] = handles.clients.ec2.describe_route_tables(RouteTableIds=[state["table"]])[
            "RouteTables"
        ]
        return any(each.get("DestinationCidrBlock") == _EVERYWHERE for each in table["Routes"])


class NoPublicAddress(FailingStarts):
    """UpdateService: the tasks are placed in public subnets, without a public IP address."""

    def prepare(self, handles: SandboxHandles) -> FaultState:
        return {"place": self.place(handles)}

    def change(self, handles: SandboxHandles, state: FaultState) -> FaultState:
        return {}

    def start_tasks(self, handles: SandboxHandles, **fields: Any) -> None:
        public = handles.clients.ec2.describe_subnets(
            Filters=[{"Name": "tag:Name", "Values": ["*-public-*"]}]
        )["Subnets"]
        place = {**self.place(handles), "subnets": [each["SubnetId"] for each in public]}
        super().start_tasks(handles, networkConfiguration={"awsvpcConfiguration": place})

    def is_present(self, handles: SandboxHandles, state: FaultState) -> bool:
        now = self.place(handles)
        elsewhere = now["subnets"] != state["place"]["subnets"]
        return bool(elsewhere and now["assignPublicIp"] == "DISABLED")

    def remove(self, handles: SandboxHandles, state: FaultState) -> None:
        if self.is_present(handles, state):
            super().start_tasks(
                handles, networkConfiguration={"awsvpcConfiguration": state["place"]}
            )


@dataclass(frozen=True)
class Endpoints(NoDefaultRoute):
    """The private subnets have interface endpoints for these services, and no other way out.

    `closed`: the endpoints' security group allows no ingress.
    """

    services: tuple[str, ...]
    closed: bool = False

    def change(self, handles: SandboxHandles, state: FaultState) -> FaultState:
        from ops.sandbox.contracts import REGION

        ec2, place = handles.clients.ec2, self.place(handles)
        [subnet] = ec2.describe_subnets(SubnetIds=place["subnets"][:1])["Subnets"]
        group = ec2.create_security_group(
            GroupName="endpoints", Description="interface endpoints", VpcId=subnet["VpcId"]
        )["GroupId"]
        if not self.closed:
            ec2.authorize_security_group_ingress(
                GroupId=group,
                IpPermissions=[
                    {
                        "IpProtocol": "tcp",
                        "FromPort": 443,
                        "ToPort": 443,
                        "IpRanges": [{"CidrIp": "10.0.0.0/16"}],
                    }
                ],
            )
        made = [
            ec2.create_vpc_endpoint(
                VpcId=subnet["VpcId"],
                ServiceName=f"com.amazonaws.{REGION}.{service}",
                VpcEndpointType="Interface",
                SubnetIds=place["subnets"],
                SecurityGroupIds=[group],
                PrivateDnsEnabled=True,
            )["VpcEndpoint"]["VpcEndpointId"]
            for service in self.services
        ]
        super().change(handles, state)
        return {"endpoints": made, "group": group}

    def remove(self, handles: SandboxHandles, state: FaultState) -> None:
        super().remove(handles, state)
        if "endpoints" in state:
            handles.clients.ec2.delete_vpc_endpoints(VpcEndpointIds=state["endpoints"])
            handles.clients.ec2.delete_security_group(GroupId=state["group"])

    def is_present(self, handles: SandboxHandles, state: FaultState) -> bool:
        return True  # its endpoints stay until it is mended


class NoEgress(FailingStarts):
    """RevokeSecurityGroupEgress: the tasks' security group allows no egress."""

    def prepare(self, handles: SandboxHandles) -> FaultState:
        group = self.place(handles)["securityGroups"][0]
        return {"group": group, "rules": permissions(handles, group, "IpPermissionsEgress")}

    def change(self, handles: SandboxHandles, state: FaultState) -> FaultState:
        handles.clients.ec2.revoke_security_group_egress(
            GroupId=state["group"], IpPermissions=state["rules"]
        )
        return {}

    def is_present(self, handles: SandboxHandles, state: FaultState) -> bool:
        return not permissions(handles, state["group"], "IpPermissionsEgress")

    def remove(self, handles: SandboxHandles, state: FaultState) -> None:
        if self.is_present(handles, state):
            handles.clients.ec2.authorize_security_group_egress(
                GroupId=state["group"], IpPermissions=state["rules"]
            )


def _route_table(handles: SandboxHandles, subnet: str) -> dict[str, Any]:
    found = handles.clients.ec2.describe_route_tables(
        Filters=[{"Name": "association.subnet-id", "Values": [subnet]}]
    )["RouteTables"]
    table: dict[str, Any] = found[0]
    return table
