"""Real stop reasons, as AWS words them, and the code that each must get."""

SAMPLES = (
    ("ECS-SCALE", "Scaling activity initiated by (deployment ecs-svc/8646900195280463695)"),
    ("ECS-SPOT", "Your Spot Task was interrupted."),
    (
        "ECS-MAINT",
        "Service acme/app: ECS is performing maintenance on the underlying infrastructure "
        "hosting the task",
    ),
    ("ECS-HOST", "Host EC2 (instance i-03dba81187d65ce7e) terminated."),
    ("ECS-USER", "Task stopped by user"),
    (
        "ECS-ELB",
        "Task failed ELB health checks in (target-group "
        "arn:aws:elasticloadbalancing:us-west-2:123456789012:targetgroup/nginx/a6d)",
    ),
    ("ECS-CHC", "Task failed container health checks"),
    (
        "ECS-PULL-PLATFORM",
        "CannotPullContainerError: pull image manifest has been retried 7 time(s): image "
        "Manifest does not contain descriptor matching platform 'linux/amd64'",
    ),
    ("ECS-PULL-RATE", "ERROR: toomanyrequests: Too Many Requests."),
    (
        "ECS-PULL-DISK",
        "CannotPullContainerError: write /var/lib/docker/tmp/GetImageBlob111111111: no "
        "space left on device",
    ),
    ("ECS-PULL-REF", 'InternalError: failed to normalize image reference "Dockerfile"'),
    (
        "ECS-PULL-NOTFOUND",
        "CannotPullContainerError: API error (404): repository "
        "123456789012.dkr.ecr.us-east-1.amazonaws.com/<repo>/<image> not found",
    ),
    (
        "ECS-PULL-NOTFOUND",
        "CannotPullContainerError: The task can't pull the image. Check whether the image "
        "exists. x",
    ),
    (
        "ECS-PULL-403",
        "CannotPullContainerError: pull image manifest has been retried 1 time(s): failed "
        "to resolve ref 123456789012.dkr.ecr.us-east-1.amazonaws.com/cdk:nonexistent: "
        "unexpected status from HEAD request to "
        "https://123456789012.dkr.ecr.us-east-1.amazonaws.com/v2/cdk/manifests/nonexistent: "
        "403 Forbidden",
    ),
    (
        "ECS-PULL-403",
        "CannotPullContainerError: The task can't pull the image. Check that the role has "
        "the permissions to pull images from the registry. Error response from daemon: "
        "pull access denied",
    ),
    (
        "ECS-PULL-NET",
        "CannotPullContainerError: ref pull has been retried 1 time(s): failed to copy: "
        "httpReaderSeeker: failed open: unexpected status code",
    ),
    (
        "ECS-PULL-NET",
        "CannotPullContainerError: The task can't pull the image. Check your network "
        "configuration. x request canceled while waiting for connection",
    ),
    (
        "ECS-SEC-DENIED",
        "ResourceInitializationError: unable to pull secrets or registry auth: execution "
        "resource retrieval failed: unable to retrieve secret from asm: service call has "
        "been retried 1 time(s): AccessDeniedException: User: arn is not authorized to "
        "perform: secretsmanager:GetSecretValue",
    ),
    (
        "ECS-SEC-MISSING",
        "ResourceInitializationError: unable to pull secrets or registry auth: The task "
        "can't pull the secret from Secrets Manager. The task can't retrieve the secret "
        "with ARN 'arn' from Secrets Manager. Check whether the secret exists in the "
        "specified Region. ResourceNotFoundException",
    ),
    (
        "ECS-REGAUTH-NET",
        "ResourceInitializationError: unable to pull secrets or registry auth: The task "
        "cannot pull registry auth from Amazon ECR: There is a connection issue between "
        "the task and Amazon ECR. Check your task network configuration. operation error "
        "ECR: GetAuthorizationToken, exceeded maximum number of attempts, 3",
    ),
    (
        "ECS-SEC-NET",
        "ResourceInitializationError: unable to pull secrets or registry auth: unable to "
        "retrieve secrets from ssm: The task cannot pull secrets from AWS Systems Manager. "
        "There is a connection issue between the task and AWS Systems Manager Parameter "
        "Store. Check your task network configuration.",
    ),
    (
        "ECS-LOG-NET",
        "ResourceInitializationError: failed to validate logger args: The task cannot find "
        "the Amazon CloudWatch log group defined in the task definition. There is a "
        "connection issue between the task and Amazon CloudWatch. Check your network "
        "configuration. : signal: killed",
    ),
    (
        "ECS-LOG-DENIED",
        "ResourceInitializationError: failed to validate logger args: create stream has "
        "been retried 1 times: AccessDeniedException: not authorized to perform: "
        "logs:CreateLogGroup",
    ),
    (
        "ECS-LOG-MISSING",
        "ResourceInitializationError: failed to validate logger args: create stream has "
        "been retried 1 times: failed to create Cloudwatch log stream: "
        "ResourceNotFoundException: The specified log group does not exist. : exit status 1",
    ),
    (
        "ECS-LOG-ARGS",
        "ResourceInitializationError: failed to validate logger args: unable to get "
        "awslogs driver arguments: awslogs-region is required",
    ),
    (
        "ECS-ENVFILE",
        "ResourceInitializationError: failed to download env files: file download command: "
        "non-empty error stream: RequestCanceled: request context cancelled caused by: "
        "context deadline exceeded",
    ),
    (
        "ECS-EFS",
        "ResourceInitializationError: failed to invoke EFS utils commands to set up EFS "
        "volumes: stderr: b'mount.nfs4: Connection timed out' : unsuccessful EFS utils "
        "command execution; code: 32",
    ),
    (
        "ECS-ENI-IPS",
        "Unexpected EC2 error while attempting to Create Network Interface in subnet "
        "'subnet-1': InsufficientFreeAddressesInSubnet",
    ),
    (
        "ECS-ENI-TAG",
        "Unexpected EC2 error while attempting to tag the network interface: TagPolicyViolation",
    ),
    (
        "ECS-ENI-AUTH",
        "Unexpected EC2 error while attempting to Create Network Interface: AuthFailure",
    ),
    ("ECS-ENI-BLIP", "Timeout waiting for network interface provisioning to complete."),
    ("ECS-ENI-BLIP", "Timeout waiting for EphemeralStorage provisioning to complete."),
    (
        "ECS-CAPACITY",
        "Capacity is unavailable at this time. Please try again later or in a different "
        "availability zone",
    ),
    (
        "ECS-TASKDEF",
        "The selected task definition is not compatible with the selected compute strategy",
    ),
    ("ECS-AGENT", "AGENT"),
    ("ECS-OOM", "OutOfMemoryError: Container killed due to memory usage"),
    (
        "ECS-PORT",
        "CannotStartContainerError: Error response from daemon: driver failed programming "
        "external connectivity: Bind for 0.0.0.0:8080 failed: port is already allocated",
    ),
    (
        "ECS-DEVMAPPER",
        "CannotCreateContainerError: API error (500): devmapper: Thin Pool has 4350 free "
        "data blocks",
    ),
    (
        "ECS-RTTIMEOUT",
        "DockerTimeoutError: Could not transition to started; timed out after waiting 3m0s",
    ),
    ("ECS-RUNTIME", "CannotStartContainerError: failed to get container status: x"),
    ("ECS-ESSENTIAL", "Essential container in task exited"),
    ("ECS-TFTS", "Task failed to start"),
)
