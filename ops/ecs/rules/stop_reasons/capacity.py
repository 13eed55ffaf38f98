"""No place for a task: addresses, network interfaces, capacity, the agent."""

from __future__ import annotations

from ops.ecs.rules.stop_reasons.model import DESCRIBE, NETWORK, ROLE, STATUS, StopReason

CAPACITY = (
    StopReason(
        "ECS-ROLE",
        "final",
        pattern=r"ECS was unable to assume the role",
        finding="role_not_assumable",
        says="ECS may not assume a role of the task definition",
        fix=(ROLE,),
    ),
    StopReason(
        "ECS-QUOTA",
        "final",
        pattern=(
            r"reached the limit on the number of (?:vCPUs|tasks)|NetworkInterfaceLimitExceeded|"
            r"maximum number of network interfaces has been reached"
        ),
        finding="quota_reached",
        says="a quota of the account is reached",
        fix=(STATUS,),
    ),
    StopReason(
        "ECS-ENI-IPS",
        "final",
        pattern=(
            r"InsufficientFreeAddressesInSubnet|Create Network Interface with public IP "
            r"assignment enabled in subnet"
        ),
        finding="subnet_full",
        says="the subnet has no free address left",
        fix=(NETWORK,),
    ),
    StopReason(
        "ECS-ENI-TAG",
        "final",
        pattern=(
            r"Unexpected EC2 error while attempting to tag the network interface: "
            r"TagPolicyViolation"
        ),
        finding="tag_policy",
        says="a tag policy of the organisation refuses the task's network interface",
        fix=(DESCRIBE,),
    ),
    StopReason(
        "ECS-ENI-AUTH",
        "transient",
        pattern=r"Unexpected EC2 error while attempting to Create Network Interface.*AuthFailure",
        finding="network_interface",
        says="EC2 refused to make the task's network interface",
        fix=(STATUS,),
    ),
    StopReason(
        "ECS-ENI-BLIP",
        "transient",
        pattern=(
            r"Timeout waiting for (?:network interface|EphemeralStorage) provisioning to complete|"
            r"Network interface provision complete error timeout|Rate limit exceeded while "
            r"preparing network interface|"
            r"Unexpected EC2 error while attempting to attach network interface|netplugin "
            r"failed with no error message|"
            r"Unable to attach network interface to unused device index|"
            r"failed to setup network namespace|ENIInformationError|NetworkNamespaceError"
        ),
        finding="network_interface",
        says="the task's network interface was not ready in time",
        fix=(STATUS,),
    ),
    StopReason(
        "ECS-CAPACITY",
        "transient",
        pattern=r"Capacity is unavailable at this time|^InternalError",
        finding="capacity",
        says="AWS had no capacity, or failed inside",
        fix=(STATUS,),
        capacity=True,
    ),
    StopReason(
        "ECS-TASKDEF",
        "final",
        pattern=r"selected task definition is not compatible with the selected compute strategy",
        finding="task_definition_incompatible",
        says="the task definition does not fit the launch type or capacity provider",
        fix=(DESCRIBE,),
    ),
    StopReason(
        "ECS-AGENT-DOCKER",
        "transient",
        pattern=(
            r"CannotGetDockerclientError|CannotListContainersError|CannotDescribeContainerError|"
            r"ContainerVanishedError"
        ),
        finding="agent",
        says="the ECS agent lost track of the container in its runtime",
        fix=(STATUS,),
    ),
    StopReason(
        "ECS-AGENT",
        "transient",
        pattern=r"^AGENT$|Timed out waiting for Amazon ECS Agent to start",
        finding="agent",
        says="the ECS agent was lost",
        fix=(STATUS,),
    ),
)
