"""Faults in capacity: a full subnet, no capacity in Fargate, a quota that is reached.

Differs from AWS: no API takes Fargate's capacity or fills a quota, so the sandbox's Fargate is told
to place nothing, and says so in ECS's words.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ops.sandbox.faults.base import FaultState, SandboxHandles
from ops.sandbox.faults.tasks.starts import FailingStarts

_SMALL = "10.0.250.0/28"  # the smallest subnet: eleven addresses


@dataclass(frozen=True)
class NothingPlaced(FailingStarts):
    """Fargate places no task; the sign is its reason."""

    def change(self, handles: SandboxHandles, state: FaultState) -> FaultState:
        handles.aws.cloud.placement_refusal = self.sign
        return {}

    def remove(self, handles: SandboxHandles, state: FaultState) -> None:
        handles.aws.cloud.placement_refusal = ""


class FullSubnet(FailingStarts):
    """The service is placed in a small subnet, whose addresses other interfaces use."""

    def prepare(self, handles: SandboxHandles) -> FaultState:
        return {"place": self.place(handles)}

    def change(self, handles: SandboxHandles, state: FaultState) -> FaultState:
        ec2, place = handles.clients.ec2, state["place"]
        [former] = ec2.describe_subnets(SubnetIds=place["subnets"][:1])["Subnets"]
        subnet = ec2.create_subnet(
            VpcId=former["VpcId"],
            CidrBlock=_SMALL,
            AvailabilityZone=former["AvailabilityZone"],
        )["Subnet"]
        interfaces = [
            ec2.create_network_interface(SubnetId=subnet["SubnetId"])["NetworkInterface"][
                "NetworkInterfaceId"
            ]
            for _ in range(subnet["AvailableIpAddressCount"])
        ]
        made = {**place, "subnets": [subnet["SubnetId"]]}
        super().start_tasks(handles, networkConfiguration={"awsvpcConfiguration": made})
        return {"subnet": subnet["SubnetId"], "interfaces": interfaces}

    def start_tasks(self, handles: SandboxHandles, **fields: Any) -> None:
        """Nothing more: `change` starts them in the new subnet."""

    def is_present(self, handles: SandboxHandles, state: FaultState) -> bool:
        return bool(self.place(handles)["subnets"] == [state.get("subnet")])

    def remove(self, handles: SandboxHandles, state: FaultState) -> None:
        ec2 = handles.clients.ec2
        if self.is_present(handles, state):
            super().start_tasks(
                handles, networkConfiguration={"awsvpcConfiguration": state["place"]}
            )
        for each in state.get("interfaces", ()):
            ec2.delete_network_interface(NetworkInterfaceId=each)
        if "subnet" in state:
            ec2.delete_subnet(SubnetId=state["subnet"])
