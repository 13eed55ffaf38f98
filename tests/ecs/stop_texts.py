"""Stop texts from public reports, verbatim except for account ids, and the code that each must get.

An empty code: the text is not known, and nothing may be concluded from it but what its words
suggest.
"""

_PULL_SECRETS = (
    "ResourceInitializationError: unable to pull secrets or registry auth: execution resource "
    "retrieval failed: "
)
_EFS = "ResourceInitializationError: failed to invoke EFS utils commands to set up EFS volumes: "

TEXTS = (
    # aws/amazon-ecs-agent#337
    (
        "ECS-PULL-NOTFOUND",
        "CannotPullContainerError: Error: image app:9ce7d67bf402b337a75c8acf49c11881be2f16bd not "
        "found",
    ),
    # aws/amazon-ecs-agent#1185: the cause was memory, which the text does not tell
    ("ECS-PULL", "CannotPullContainerError: API error (404)"),
    # aws/amazon-ecs-agent#719
    ("ECS-PULL-NET", "CannotPullContainerError: Could not reach any registry endpoint"),
    # aws/amazon-ecs-agent#498
    ("ECS-PULL-RATE", "CannotPullECRContainerError: ThrottlingException: Rate exceeded"),
    # aws-samples/aws-modern-application-workshop#71
    (
        "ECS-PULL-NET",
        "CannotPullContainerError: API error (500): Get "
        "https://111122223333.dkr.ecr.eu-west-1.amazonaws.com/v2/: net/http: request canceled "
        "while waiting for connection (Client.Timeout exceeded while awaiting headers)",
    ),
    # docker-archive/compose-cli#853
    (
        "ECS-PULL-403",
        'CannotPullContainerError: failed to resolve ref "docker.io/library/chatalicious_braid:'
        'latest": pull access denied, repository does not exist or may require authorization: '
        "server message: insufficient_scope: authorization failed",
    ),
    # aws/aws-for-fluent-bit#234
    (
        "ECS-PULL-NET",
        "CannotPullContainerError: inspect image has been retried 5 time(s): httpReaderSeeker: "
        "failed open: unexpected status code https://registry-1.docker.io/v2/amazon/"
        "aws-for-fluent-bit/manifests/sha256:330a24bcd4e0058d70e70a0bb1ff805065161ffe3aa9629...",
    ),
    # apptension/saas-boilerplate#204
    (
        "ECS-PULL-RATE",
        "CannotPullContainerError: failed to copy: httpReadSeeker: failed open: unexpected status "
        "code https://registry-1.docker.io/v2/cypress/included/manifests/sha256:86e3: 429 Too Many "
        "Requests - Server message: toomanyrequests: You have reached your pull rate limit.",
    ),
    # aws/containers-roadmap#1133: cut off before the reason
    (
        "ECS-PULL",
        'CannotPullContainerError: containerd: pull command failed: time="2020-XX-XXTXX:XX:XXZ" '
        'level=info msg="apply failure, attempting cleanup" error="failed to extract layer '
        "sha256:XXXXXXXX: context ca...",
    ),
    # aws/containers-roadmap#1133, comment of 2021-08-20
    (
        "ECS-PULL",
        'CannotPullContainerError: containerd: pull command failed: time="2021-08-20T13:58:49Z" '
        'level=info msg="apply failure, attempting cleanup" error="failed to extract layer '
        "sha256:e246d4b4c5f1: write /var...",
    ),
    # globaldothealth/list#2662
    (
        "ECS-PULL-NET",
        "CannotPullContainerError: Error response from daemon: Get https://registry/v2/: net/http: "
        "request canceled while waiting for connection (Client.Timeout exceeded while awaiting "
        "headers)",
    ),
    # globaldothealth/list#2662: cut off before the reason
    (
        "ECS-RESINIT",
        f"{_PULL_SECRETS}unable to retrieve ecr registry auth: service call has been retried 3 "
        "time(s)",
    ),
    # aws/aws-app-mesh-examples#413
    (
        "ECS-REGAUTH-NET",
        f"{_PULL_SECRETS}unable to retrieve ecr registry auth: service call has been retried 5 "
        "time(s): RequestError: send request failed caused by: Post https://api.ecr....",
    ),
    # doctorray117/minecraft-ondemand#74
    (
        "ECS-REGAUTH-NET",
        f"{_PULL_SECRETS}unable to retrieve ecr registry auth: service call has been retried 3 "
        'time(s): RequestError: send request failed caused by: Post "https://api.ecr.us-east-2.'
        'amazonaws.com/": dial tcp 1.2.3.4:443: i/o timeout. Please check your task network '
        "configuration.",
    ),
    # aws-samples/keycloak-on-aws#222: cut off before the reason
    (
        "ECS-RESINIT",
        f"{_PULL_SECRETS}unable to get registry auth from asm: service call has been retried 5 "
        "time(s): asm fetching secret from the service for ...",
    ),
    # docker-archive/compose-cli#1510: cut off before the reason
    (
        "ECS-RESINIT",
        f"{_PULL_SECRETS}unable to retrieve secret from asm: service call has been retried 1 "
        "time(s): failed to fetch secret arn:aws:secretsmanager:eu-west-1:123456789...",
    ),
    # umotif-public/terraform-aws-ecs-fargate#50
    (
        "ECS-SEC-NET",
        f"{_PULL_SECRETS}unable to retrieve secrets from ssm: service call has been retried 5 "
        "time(s): RequestCanceled: request context canceled caused by: context deadli...",
    ),
    # hashicorp/terraform-provider-aws#33044
    (
        "ECS-SEC-NET",
        f"{_PULL_SECRETS}unable to retrieve secrets from ssm: service call has been retried 5 "
        "time(s): RequestCanceled: request context canceled caused by: context deadline exceeded. "
        "Please check your task network configuration.",
    ),
    # Releem/releem-agent#195: the cause was the security group's outbound rules
    (
        "ECS-SEC-NET",
        f"{_PULL_SECRETS}unable to retrieve secret from asm: service call has been retried 5 "
        "time(s): failed to fetch secret arn:aws:secretsmanager:us-west-2:1:secret:DBPassword from "
        "secrets manager: RequestCanceled: request context canceled caused by: context deadline "
        "exceeded. Please check your task network configuration.",
    ),
    # GovWifi/govwifi-terraform#450: cut off before the reason
    (
        "ECS-RESINIT",
        f"{_PULL_SECRETS}unable to retrieve secret from asm: service call has been retried 5 "
        "time(s): failed to fetch secret arn:aws:secretsmanager:eu-west-2:111122223333...",
    ),
    # GiamPy5/terraform-aws-directus#10
    (
        "ECS-SEC-DENIED",
        f"{_PULL_SECRETS}unable to retrieve secret from asm: service call has been retried 1 "
        "time(s): failed to fetch secret arn:aws:secretsmanager:eu-central-1:1:secret:x from "
        "secrets manager: AccessDeniedException: Access to KMS is not allowed status code: 400, "
        "request id: a87a66d9-f839-4353-b8c2-9984b1465695",
    ),
    # aws-samples/dify-self-hosted-on-aws#35
    (
        "ECS-SEC-DENIED",
        f"{_PULL_SECRETS}unable to retrieve secret from asm: service call has been retried 1 "
        "time(s): failed to fetch secret arn:aws:secretsmanager:ap-southeast-1:1:secret:test-secret"
        " from secrets manager: AccessDeniedException: User: arn:aws:sts::1:assumed-role/Dify/1 is "
        "not authorized to perform: secretsmanager:GetSecretValue on resource: arn:aws:"
        "secretsmanager:ap-southeast-1:1:secret:test-secret because no identity-based policy "
        "allows the secretsmanager:GetSecretValue action status code: 400, ",
    ),
    # aws/copilot-cli#3104
    (
        "ECS-SEC-DENIED",
        f"{_PULL_SECRETS}unable to retrieve secrets from ssm: service call has been retried 1 "
        "time(s): AccessDeniedException: User: ....",
    ),
    # aws/copilot-cli#4504
    (
        "ECS-SEC-DENIED",
        "Resourceinitializationerror: unable to pull secrets or registry auth: execution resource "
        "retrieval failed: unable to retrieve secrets from ssm: service call has been retried 1 "
        "time(s): AccessDeniedException: User: arn:aws:sts::1:assumed-role/r/f83b is not "
        "authorized to perform: ssm:GetParameters on resource: arn:aws:ssm:eu-west-2:1:parameter/"
        "ID because no identity-based policy allows the ssm:GetParameters action status code: 400",
    ),
    # developer guide, "ResourceInitializationError"
    (
        "ECS-REGAUTH-DENIED",
        f"{_PULL_SECRETS}unable to retrieve ecr registry auth: service call has been retried 1 "
        "time(s): AccessDeniedException: User: arn:aws:sts::1:assumed-role/r/1 is not authorized "
        "to perform: ecr:GetAuthorizationToken on resource: * because no identity-based policy "
        "allows the ecr:GetAuthorizationToken action",
    ),
    # Secrets Manager API reference, InvalidRequestException
    (
        "ECS-SEC-DELETED",
        f"{_PULL_SECRETS}unable to retrieve secret from asm: service call has been retried 1 "
        "time(s): failed to fetch secret arn:aws:secretsmanager:eu-west-2:1:secret:x from secrets "
        "manager: InvalidRequestException: You can't perform this operation on the secret because "
        "it was marked for deletion.",
    ),
    # Secrets Manager API reference, ThrottlingException
    (
        "ECS-RES-RATE",
        f"{_PULL_SECRETS}unable to retrieve secrets from ssm: service call has been retried 5 "
        "time(s): ThrottlingException: Rate exceeded status code: 400",
    ),
    # cn-terraform/terraform-aws-jenkins#23
    ("ECS-EFS", f'{_EFS}stderr: Failed to resolve "fs-0867a83d8ed398433.efs.'),
    # docker-archive/compose-cli#1490
    (
        "ECS-EFS",
        f"{_EFS}stderr: mount.nfs4: Connection reset by peer : unsuccessful EFS utils command "
        "execution; code: 32",
    ),
    # acp-io/terraform-grafana#4
    (
        "ECS-EFS",
        f"{_EFS}stderr: b'mount.nfs4: mounting fs-1.efs.eu-west-1.amazonaws.com:/grafana failed, "
        "reason given by server: No such file or directory' : unsuccessful EFS utils command "
        "execution; code: 32",
    ),
    # aws-samples/aws-cdk-examples#920
    (
        "ECS-EFS",
        f"{_EFS}stderr: b'mount.nfs4: access denied by server while mounting fs-065b374f6a1a6b4c8."
        "efs.us-east-1.amazonaws.com:/' : unsuccessful EFS utils command execution; code: 32",
    ),
    # rileydakota/valheim-ecs-fargate-cdk#28
    (
        "ECS-EFS",
        "Resourceinitializationerror: failed to invoke EFS utils commands to set up EFS volumes: "
        'stderr: Failed to resolve "fs-1.efs.us-east-1.amazonaws.com" - check that your file '
        "system ID is correct, and ensure that the VPC has an EFS mount target for this file "
        "system ID.",
    ),
    # aws-samples/net-modernization#13
    (
        "ECS-RUNTIME",
        "CannotStartContainerError: ResourceInitializationError: unable to create new container: "
        "mount callback failed on /tmp/containerd-mount916692511: open /tmp/containerd-mount"
        "916692511/etc/passwd: no such file or directory",
    ),
    # aws/amazon-ecs-agent#2954
    (
        "ECS-EXEC",
        "CannotStartContainerError: ResourceInitializationError: failed to create new container "
        "runtime task: OCI runtime create failed: container_linux.go:370: starting container "
        'process caused: exec: "/opt/sonarqube/bin/run.sh": stat /opt/sonarqube/bin/run.sh: no '
        "such file or directory: unknown",
    ),
    # aws/amazon-ecs-agent#3526
    (
        "ECS-RUNTIME",
        "Cannotstartcontainererror: ResourceInitializationError: failed to create new container "
        "runtime task: failed to create shim task: OCI runtime create failed: runc create failed: "
        "unable to start container process: error during container init: error creating device "
        "nodes: mknod /run/containerd/rootfs/dev/null: errno 524: unknown",
    ),
    # aws/amazon-ecs-agent#2442
    (
        "ECS-RUNTIME",
        "CannotStartContainerError: ResourceInitializationError: failed to create new container "
        "runtime task: OCI runtime create failed: container_linux.go:349: starting container "
        'process caused "process_linux.go:449: container init caused \\"rootfs_linux.go:58',
    ),
    # aws/amazon-ecs-agent#712
    (
        "ECS-RUNTIME",
        'CannotStartContainerError: API error (500): invalid header field value "oci runtime '
        'error: container_linux.go:247: starting container process caused \\"process_linux.go:359: '
        'container init caused \\\\\\"rootfs_linux.go:53: mounting',
    ),
    # aws/amazon-ecs-agent#717: the command was one string; cut off before the reason
    (
        "ECS-RUNTIME",
        'CannotStartContainerError: API error (404): invalid header field value "oci runtime '
        'error: container_linux.go:247: starting container process caused \\"exec: '
        '\\\\\\"apt-get update',
    ),
    # aws/amazon-ecs-agent#3021
    (
        "ECS-OOM",
        "CannotStartContainerError: Error response from daemon: OCI runtime create failed: "
        "container_linux.go:380: starting container process caused: container init was OOM-killed "
        "(memory limit too low?): unknown",
    ),
    # aws/amazon-ecs-agent#1187
    ("ECS-OOM", "OutOfMemoryError: Container killed due to memory usage"),
    # aws/amazon-ecs-agent#1440
    (
        "ECS-RTTIMEOUT",
        "CannotInspectContainerError: Could not transition to inspecting; timed out after waiting "
        "30s",
    ),
    # aws/amazon-ecs-agent#1440, rstudio/r-builds#140
    (
        "ECS-RTTIMEOUT",
        "DockerTimeoutError: Could not transition to created; timed out after waiting 4m0s",
    ),
    # aws/amazon-ecs-cli#141
    ("ECS-RUNTIME", "CannotCreateContainerError: API error (500): expected integer"),
    # aws/amazon-ecs-cli#194
    ("ECS-RUNTIME", "CannotCreateContainerError: API error (500): Untar"),
    # aws/amazon-ecs-cni-plugins#93
    (
        "ECS-ENI-BLIP",
        "container resource provisioning: failed to setup network namespace: cni setup: invoke eni "
        "plugin failed: getInterfaceDeviceName engine: unable to get device with hardware address "
        "'02:62:5b:0f:db:fa': engine: device with mac address not found",
    ),
    # aws/amazon-ecs-agent agent/engine/errors.go
    ("ECS-AGENT-DOCKER", "ContainerVanishedError: No container matching saved ID found"),
    # aws-samples/aws-modern-application-workshop#149
    (
        "ECS-ROLE",
        "(service s) failed to launch a task with (error ECS was unable to assume the role "
        "'arn:aws:iam::1:role/r' that was provided for this task. Please verify that the role "
        "being passed has the proper trust relationship and permissions and that your IAM user has "
        "permissions to pass this role.).",
    ),
    # aws/amazon-ecs-agent agent/engine/errors.go: says nothing of why
    ("", "ImpossibleStateTransitionError: Cannot transition to RUNNING"),
    # aws/amazon-ecs-agent agent/engine/errors.go: a consequence of another stop
    (
        "",
        "TaskStoppedBeforePullBeginError: Task stopped before image pull could begin for task: "
        "arn:aws:ecs:us-east-1:1:task/c/1",
    ),
)
