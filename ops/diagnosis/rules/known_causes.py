"""Causes that checks, rollouts and stop reasons find: their documentation and their place.

`@tasks` and `@pages` stand for the causes that follow when a service's tasks or pages fail.
"""

from __future__ import annotations

from ops.diagnosis.rules.causes import Layer, known_cause

_TASKS = (
    "service_unsteady",
    "target_unhealthy",
    "target_port",
    "no_targets",
    "fails_open",
    "container_exited",
    "container_unhealthy",
    "log_errors",
)
_PAGES = ("page_failing", "page_slow", "page_hangs", "wrong_body", "wrong_content_type")
_Row = tuple[Layer, str, str, tuple[str, ...]]  # layer, symptoms, cure, what it explains
_ROWS: dict[str, _Row] = {
    "denied": (
        "access",
        "A check is unknown; the answer names an action that is not allowed.",
        "Have the named action allowed, or use other credentials.",
        (),
    ),
    "cluster_not_active": (
        "access",
        "ECS does not know the cluster, or it is not ACTIVE.",
        "Correct cluster (or region) in invoke.yaml.",
        ("service_missing", "service_unsteady", "target_unhealthy", "target_port"),
    ),
    "service_missing": (
        "access",
        "ECS does not know the service.",
        "Correct ecs_service in invoke.yaml, or create the service.",
        ("no_targets", "target_unhealthy", "target_port", *_PAGES),
    ),
    "state_locked": (
        "lock",
        "terraform plan says: Error acquiring the state lock.",
        "inv tf.unlock, after the holder was found to be gone.",
        (),
    ),
    "database_stopped": (
        "database",
        'The health page says "database": "disconnected"; API pages answer 500.',
        "inv db.start",
        ("database_*", "connections_exhausted", *_TASKS, *_PAGES),
    ),
    "database_unreachable": (
        "database",
        "A connection to the database is not answered.",
        "Check the network path that the finding names.",
        (*_TASKS, *_PAGES),
    ),
    "database_password_rejected": (
        "database",
        "PostgreSQL says: password authentication failed.",
        "Write the current password into the secret, then: inv SERVICE.restart",
        (*_TASKS, *_PAGES),
    ),
    "schema_behind_release": (
        "database",
        "The database is at an older revision than the running release needs.",
        "inv db.upgrade",
        (*_TASKS, *_PAGES),
    ),
    "secret_incomplete": (
        "secret",
        "The database's secret lacks a key.",
        "Write the missing key into the secret.",
        ("database_*",),
    ),
    "secret_other_host": (
        "secret",
        "The database's secret names another host than RDS.",
        "Write the instance's address into the secret.",
        ("database_*",),
    ),
    "scaled_to_zero": (
        "capacity",
        "The service's desired count is 0; nothing runs.",
        "inv SERVICE.scale --count N",
        ("no_targets", "target_unhealthy", "target_port", *_PAGES),
    ),
    "network_interface": (
        "capacity",
        "The task's network interface could not be created or attached.",
        "See the named error; quotas of network interfaces are per Region.",
        ("service_unsteady", "no_targets"),
    ),
    "spot_interrupted": (
        "capacity",
        "ECS says: Your Spot Task was interrupted.",
        "Keep a base of FARGATE capacity beside FARGATE_SPOT.",
        ("service_unsteady",),
    ),
    "host_lost": (
        "capacity",
        "The EC2 instance under the task stopped.",
        "See the Auto Scaling group of the capacity provider.",
        ("service_unsteady",),
    ),
    "host_storage": (
        "capacity",
        "The host or the task has no storage left.",
        "Raise ephemeralStorage, or clean the host.",
        ("service_unsteady",),
    ),
    "efs_mount": (
        "network",
        "The task's EFS volume could not be mounted.",
        "Open port 2049 from the tasks' security group, and check mount targets.",
        ("service_unsteady", "no_targets"),
    ),
    "image_denied": (
        "role",
        "ECS says: CannotPullContainerError … 403 Forbidden.",
        "Allow the execution role to pull, or push the missing tag.",
        ("service_unsteady",),
    ),
    "image_network": (
        "network",
        "ECS says: CannotPullContainerError … i/o timeout.",
        "Give the tasks' subnets a route to ECR: a NAT gateway, or endpoints.",
        ("service_unsteady",),
    ),
    "image_pull_failed": (
        "image",
        "ECS says: CannotPullContainerError.",
        "See the evidence; the text is not in our table.",
        ("service_unsteady",),
    ),
    "image_pull_interrupted": (
        "image",
        "The pull of the image was interrupted.",
        "Nothing, if a later task started; else see the registry.",
        ("service_unsteady",),
    ),
    "image_rate_limited": (
        "image",
        "ECS says: toomanyrequests.",
        "Pull through ECR, or authenticate to the registry.",
        ("service_unsteady",),
    ),
    "image_reference": (
        "image",
        "ECS says: invalid reference format.",
        "Correct the image in the task definition.",
        ("service_unsteady",),
    ),
    "image_too_large": (
        "image",
        "ECS says: no space left on device.",
        "Raise ephemeralStorage, or make the image smaller.",
        ("service_unsteady",),
    ),
    "secret_denied": (
        "role",
        "ECS says: ResourceInitializationError … AccessDeniedException.",
        "Allow the execution role to read the secret.",
        ("service_unsteady",),
    ),
    "secret_network": (
        "network",
        "ECS says: ResourceInitializationError … i/o timeout.",
        "Give the tasks' subnets a route to Secrets Manager.",
        ("service_unsteady",),
    ),
    "environment_file": (
        "secret",
        "The task's environment file could not be read from S3.",
        "Correct environmentFiles, or the execution role's s3:GetObject.",
        ("service_unsteady",),
    ),
    "log_denied": (
        "role",
        "ECS says: failed to create log stream … not authorized.",
        "Allow the execution role logs:CreateLogStream and logs:PutLogEvents.",
        ("service_unsteady",),
    ),
    "log_network": (
        "network",
        "ECS says: failed to validate logger args … timeout.",
        "Give the tasks' subnets a route to CloudWatch Logs.",
        ("service_unsteady",),
    ),
    "log_driver": (
        "log",
        "ECS says: failed to initialize logging driver; the reason is not in our table.",
        "See the evidence, and logConfiguration in the task definition.",
        ("service_unsteady",),
    ),
    "throttled": (
        "capacity",
        "ECS says: ThrottlingException: Rate exceeded.",
        "Nothing, if a later task started; else start fewer tasks at once.",
        ("service_unsteady",),
    ),
    "log_options": (
        "log",
        "ECS refuses the log driver's options.",
        "Correct logConfiguration in the task definition.",
        ("service_unsteady",),
    ),
    "agent": (
        "container",
        "The ECS agent could not run the task.",
        "See the evidence; a new task may start elsewhere.",
        ("service_unsteady",),
    ),
    "container_exited": (
        "container",
        "A container exited by itself; its log says why.",
        "Correct what the log says, or: inv SERVICE.rollback",
        ("service_unsteady", "target_unhealthy", "target_port", *_PAGES, "log_errors"),
    ),
    "container_not_started": (
        "container",
        "ECS says: CannotStartContainerError, CannotCreateContainerError.",
        "Correct what the error names in the task definition.",
        ("service_unsteady",),
    ),
    "container_unhealthy": (
        "container",
        "ECS says: Task failed container health checks.",
        "Correct the health check's command, or the application.",
        ("service_unsteady",),
    ),
    "exec_failed": (
        "container",
        "The container's command does not exist or is not executable.",
        "Correct command or entryPoint in the task definition.",
        ("service_unsteady", "container_exited"),
    ),
    "out_of_memory": (
        "container",
        "ECS says: OutOfMemoryError; exit code 137.",
        "Raise memory in the task definition, or find the leak.",
        ("service_unsteady", "container_exited"),
    ),
    "port_taken": (
        "container",
        "The port is taken on the host.",
        "Use awsvpc or a dynamic host port.",
        ("service_unsteady",),
    ),
    "runtime_timeout": (
        "container",
        "The container runtime did not answer in time.",
        "Wait for a new task; see the host.",
        ("service_unsteady",),
    ),
    "tag_policy": (
        "container",
        "An organization's tag policy refuses the task's tags.",
        "Correct the tags, or the policy.",
        ("service_unsteady",),
    ),
    "task_definition_incompatible": (
        "container",
        "The task definition does not fit the launch type.",
        "Correct what the error names in the task definition.",
        ("service_unsteady",),
    ),
    "task_not_initialised": (
        "container",
        "ECS says: ResourceInitializationError.",
        "See the evidence; the text is not in our table.",
        ("service_unsteady",),
    ),
    "task_not_started": (
        "container",
        "ECS says: TaskFailedToStart.",
        "See the evidence; the text is not in our table.",
        ("service_unsteady",),
    ),
    "task_stopped": (
        "container",
        "A task stopped for a reason that is not in our table.",
        "See the evidence, as ECS wrote it.",
        ("service_unsteady",),
    ),
    "service_unsteady": (
        "container",
        "Fewer tasks run than desired, or a deployment is not completed.",
        "inv SERVICE.watch, inv SERVICE.logs",
        ("no_targets",),
    ),
    "not_the_release": (
        "release",
        "The tasks run another image than the last recorded release.",
        "inv SERVICE.releases, then deploy the one that should run.",
        ("wrong_body", "schema_behind_release"),
    ),
    "several_images": (
        "release",
        "Tasks of one service run different images.",
        "inv SERVICE.watch",
        ("wrong_body",),
    ),
    "target_unhealthy": (
        "target",
        "The load balancer's health check fails on the tasks.",
        "See the code that the target answers, and the check's path.",
        ("service_unsteady", *_PAGES),
    ),
    "security_group_closed": (
        "network",
        "Targets time out; the tasks' security group does not allow the load balancer.",
        "Allow the load balancer's security group on the container's port.",
        ("service_unsteady", "target_unhealthy", *_PAGES),
    ),
    "no_targets": (
        "target",
        "No task is registered in the target group.",
        "See why no task runs.",
        (*_PAGES,),
    ),
    "origin_protocol": (
        "cdn",
        "CloudFront asks the origin by another protocol than configured.",
        "Correct OriginProtocolPolicy of the distribution.",
        ("redirect_loop",),
    ),
    "stale_cache": (
        "cdn",
        "The CDN serves a page of an earlier release.",
        "inv cdn.invalidate",
        ("wrong_body",),
    ),
    "cache_not_invalidated": (
        "cdn",
        "An invalidation failed or did not complete.",
        "inv cdn.invalidate",
        ("stale_cache",),
    ),
    "redirect_loop": (
        "balancer",
        "A page redirects to itself.",
        "See the listener's redirect rule and the origin's protocol.",
        (*_PAGES, "stale_cache"),
    ),
    "certificate_expired": (
        "certificate",
        "The certificate is past its date.",
        "Renew it in ACM, and see why it was not renewed.",
        (*_PAGES,),
    ),
    "certificate_not_yet_valid": (
        "certificate",
        "The certificate's first day is in the future.",
        "Use the certificate that is valid today.",
        (*_PAGES,),
    ),
    "certificate_wrong_host": (
        "certificate",
        "The certificate is for another host.",
        "Attach the certificate of this host.",
        (*_PAGES,),
    ),
    "certificate_untrusted": (
        "certificate",
        "No trusted authority signed the certificate.",
        "Attach a certificate of a public authority, or set site_ca.",
        (*_PAGES,),
    ),
    "page_failing": (
        "page",
        "A page answers another status than expected.",
        "See the service's log at the time of the request.",
        (),
    ),
    "page_slow": (
        "page",
        "A page takes longer than health.slow.",
        "See the service's log and the database's activity.",
        (),
    ),
    "page_hangs": (
        "page",
        "A page is not answered within the timeout.",
        "See the service's log and the database's activity.",
        (),
    ),
    "wrong_body": (
        "page",
        "A page answers, but with other content than expected.",
        "inv SERVICE.releases, inv cdn.check",
        (),
    ),
    "wrong_content_type": (
        "page",
        "A page has another content type than expected.",
        "Correct what sets Content-Type: application, or the CDN's response headers policy.",
        (),
    ),
    "log_errors": (
        "log",
        "The service's log has errors since the last release.",
        "inv SERVICE.logs --grep ERROR --since 15m",
        (),
    ),
}


for _name, (_layer, _symptoms, _cure, _explains) in _ROWS.items():
    known_cause(_name, layer=_layer, symptoms=_symptoms, cure=_cure, explains=_explains)
