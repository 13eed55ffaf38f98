"""Every status of every preflight check: (check, status, what differs from a release with nothing
wrong, what the line says).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ops.aws.facts import Identity, LoadBalancer, Repository, ServiceState
from ops.core.findings import Unknown
from ops.http.facts import Answer
from ops.preflight.facts import SchemaRevision, TerraformFacts, TestRun
from ops.terraform.facts import StateLock
from ops.tools.facts import AbsentContent, EngineInfo, LocalImage
from tests.preflight.preflight_facts import (
    CHECKOUT,
    DEPLOYMENT,
    DISTRIBUTION,
    FULL,
    GROUP,
    NO,
    SECRET,
    STATE,
    TAGGED,
    TARGET_GROUP,
    definition,
    image,
    log,
)


def balanced(container: str, port: int) -> ServiceState:
    return replace(STATE, load_balancers=(LoadBalancer(GROUP, container, port),))


TERRAFORM = TerraformFacts(
    "Terraform",
    "1.11.4",
    (">= 1.5, < 2.0",),
    True,
    {"backend": "backend_image_tag"},
    frozenset({"backend_image_tag", "region"}),
    {"backend_image_tag": "latest"},
    (),
)
MOVING = replace(DEPLOYMENT, running=1, rollout_state="IN_PROGRESS")
OTHER_LOG = definition(container=log())
MADE_LOG = definition(container=log(**{"awslogs-create-group": "true"}))
FLUENTD = definition(container={"logConfiguration": {"logDriver": "fluentd"}})
LOCK = StateLock(
    "0f-1", "ann@host", "OperationTypeApply", None, "1.11.4", "bucket/terraform.tfstate", "s3"
)
ILL = Answer("/api/health", 500, "", 0.1, "[STATUS] (500) == 200")

TABLE: list[tuple[str, str, dict[str, Any], str]] = [
    ("tools", "ok", {}, "Python 3.11.2, git version 2.39.2, engine 27.1 (API 1.46)"),
    (
        "tools",
        "refuse",
        {"tools": {"git": Unknown("program git is not here")}},
        "program git is not here",
    ),
    ("tools", "ok", TAGGED, "not needed"),
    ("git-clean", "ok", {}, "“Show the version”"),
    (
        "git-clean",
        "refuse",
        {"checkout": replace(CHECKOUT, changes=("M a.py", "?? b.py"))},
        "2 changes not committed: M a.py, ?? b.py",
    ),
    (
        "git-clean",
        "refuse",
        {"checkout": replace(CHECKOUT, changes=(" M a.py",))},
        "1 change not committed",
    ),
    ("git-clean", "refuse", {"checkout": NO}, "it did not answer"),
    ("git-clean", "ok", TAGGED, "not needed"),
    ("branch", "ok", {}, "on main"),
    (
        "branch",
        "ok",
        {"checkout": replace(CHECKOUT, branch="(detached)", at_remote=True)},
        "detached at origin/main",
    ),
    (
        "branch",
        "refuse",
        {"checkout": replace(CHECKOUT, branch="(detached)")},
        "on (detached); allowed: main",
    ),
    (
        "branch",
        "refuse",
        {"checkout": replace(CHECKOUT, branch="topic", at_remote=True)},
        "on topic; allowed: main",
    ),
    (
        "branch",
        "refuse",
        {"checkout": replace(CHECKOUT, branch="topic")},
        "on topic; allowed: main",
    ),
    ("branch", "unknown", {"checkout": NO}, "see git-clean"),
    ("pushed", "ok", {}, "3f2a1bc is in origin/main"),
    (
        "pushed",
        "warn",
        {"checkout": replace(CHECKOUT, pushed=False)},
        "3f2a1bc is not in origin/main",
    ),
    ("pushed", "warn", {"checkout": replace(CHECKOUT, pushed=None)}, "there is no origin/main"),
    ("pushed", "unknown", {"checkout": NO}, "it did not answer"),
    ("tests", "ok", {}, "python3 -m unittest passed"),
    (
        "tests",
        "refuse",
        {"tests": TestRun(("x",), 1, "FAILED (failures=1)")},
        "exited with 1; expected: 0\nFAILED (failures=1)",
    ),
    ("tests", "refuse", {"tests": NO}, "could not be run: it did not answer"),
    ("tests", "skipped", {"tests": None}, "not run this time"),
    ("engine", "ok", {}, "27.1 (API 1.46), x86_64"),
    ("image", "ok", {"image": image(tag=FULL[:12])}, "davidshaevel/backend:3f2a1bc4d5e6 is in ECR"),
    ("engine", "ok", {"engine": NO, "image": image()}, "not needed: 3f2a1bc is in ECR already"),
    ("engine", "refuse", {"engine": NO}, "one is needed: it did not answer"),
    ("engine", "ok", TAGGED, "not needed"),
    ("credentials", "ok", {}, "account 123456789012, us-east-1"),
    (
        "credentials",
        "refuse",
        {"identity": Identity("999999999999", "arn:x")},
        "(arn:x); environment dev is account 123456789012",
    ),
    (
        "credentials",
        "refuse",
        {"identity": Unknown("the login has expired")},
        "the login has expired",
    ),
    ("repository", "ok", {}, "IMMUTABLE"),
    (
        "repository",
        "ok",
        {"repository": Repository("r", "u", False)},
        "MUTABLE: latest is moved too",
    ),
    (
        "repository",
        "refuse",
        {"repository": None},
        "ECR has no repository davidshaevel/backend in account 123456789012, us-east-1",
    ),
    ("repository", "refuse", {"repository": NO}, "it did not answer"),
    ("image", "ok", {}, "davidshaevel/backend:3f2a1bc is free"),
    ("image", "ok", {"image": image()}, "made from this commit: sha256:1 is reused"),
    ("image", "ok", {"image": image(revision=FULL[:7])}, "made from this commit"),
    (
        "image",
        "refuse",
        {"image": image(revision="0" * 40)},
        f"made from {'0' * 40}, not from 3f2a1bc; the tag never moves there",
    ),
    ("image", "refuse", {"image": image(revision=FULL[:3])}, "made from 3f2, not from 3f2a1bc"),
    ("image", "refuse", {"image": image(revision=None)}, "does not state its commit"),
    (
        "image",
        "refuse",
        {"image": image(revision=None), "repository": Repository("r", "u", False)},
        "would be overwritten",
    ),
    (
        "image",
        "refuse",
        {"image": NO},
        "whether ECR has davidshaevel/backend:3f2a1bc could not be read",
    ),
    (
        "image",
        "refuse",
        {"checkout": NO, "image": NO},
        "the commit that names the image could not be read",
    ),
    ("image", "ok", {**TAGGED, "image": image()}, "davidshaevel/backend:v1 is sha256:1"),
    (
        "image",
        "refuse",
        TAGGED,
        "ECR has no image davidshaevel/backend:v1, and --tag never builds",
    ),
    ("image", "unknown", {"repository": None}, "see repository"),
    ("service", "ok", {}, "dev-backend is ACTIVE, 2 of 2 tasks run, on backend:7"),
    ("service", "refuse", {"state": None}, "cluster dev has no service dev-backend (MISSING)"),
    ("service", "refuse", {"state": NO}, "it did not answer"),
    (
        "service",
        "refuse",
        {"state": replace(STATE, status="DRAINING")},
        "is DRAINING; expected: ACTIVE",
    ),
    (
        "service",
        "refuse",
        {"state": replace(STATE, controller="CODE_DEPLOY", deployments=())},
        "deployed by CodeDeploy",
    ),
    (
        "service",
        "refuse",
        {"state": replace(STATE, controller="EXTERNAL", deployments=())},
        "deploymentController EXTERNAL",
    ),
    (
        "service",
        "warn",
        {"state": replace(STATE, strategy="BLUE_GREEN", bake_s=1800.0)},
        "bake for 1800 s, longer than deploy_timeout",
    ),
    ("service", "ok", {"state": replace(STATE, strategy="BLUE_GREEN", bake_s=300.0)}, "ACTIVE"),
    ("service", "warn", {"state": replace(STATE, deployments=(MOVING,))}, "ecs-svc/1, 1 of 2"),
    ("service", "warn", {"state": replace(STATE, desired=0)}, "desired count is 0"),
    (
        "service",
        "warn",
        {"revision": definition(status="INACTIVE")},
        "backend:7, which is INACTIVE",
    ),
    ("container", "ok", {}, "backend in backend:7"),
    (
        "container",
        "refuse",
        {"revision": definition(container={"name": "app"})},
        "backend:7 has no container backend; it has app",
    ),
    ("container", "refuse", {"revision": NO}, "it did not answer"),
    ("container", "unknown", {"state": None, "revision": None}, "see service"),
    ("tasks", "ok", {}, "readable: 0 tasks, 0 targets"),
    ("tasks", "refuse", {"running": NO}, "could not be read: it did not answer"),
    ("tasks", "unknown", {"targets": NO}, "targets: it did not answer"),
    ("architecture", "ok", {}, "amd64: task definition and engine agree"),
    (
        "architecture",
        "warn",
        {"engine": EngineInfo("27", "1.46", "aarch64")},
        "wants amd64, the engine is arm64",
    ),
    (
        "architecture",
        "ok",
        {"image": image(architecture="amd64")},
        "task definition and image agree",
    ),
    (
        "architecture",
        "refuse",
        {"image": image(architecture="arm64")},
        "is for arm64; the task definition wants amd64",
    ),
    (
        "architecture",
        "refuse",
        {"revision": definition(architecture="ARM64"), "image": image()},
        "wants arm64",
    ),
    ("architecture", "unknown", {"image": image(architecture=None)}, "wanted: amd64"),
    (
        "architecture",
        "refuse",
        {"local_image": LocalImage("sha256:2", FULL, "arm64")},
        "the engine holds this commit’s image for arm64",
    ),
    ("architecture", "ok", {"local_image": LocalImage("sha256:2", "0" * 40, "arm64")}, "agree"),
    ("architecture", "unknown", {"engine": NO}, "see engine"),
    ("fields", "ok", {}, "are known"),
    (
        "fields",
        "refuse",
        {"revision": replace(definition(), newer_fields=("fieldOfTomorrow",))},
        "has fieldOfTomorrow, newer than the installed AWS SDK",
    ),
    (
        "fields",
        "ok",
        {"revision": replace(definition(), newer_fields=("fieldOfTomorrow",)), "action": "restart"},
        "not needed: no copy of",
    ),
    (
        "architecture",
        "ok",
        {"image": image(architectures=("arm64", "amd64"))},
        "amd64: task definition and image agree",
    ),
    (
        "architecture",
        "refuse",
        {"image": image(architectures=("arm64", "s390x"))},
        "is for arm64, s390x; the task definition wants amd64",
    ),
    (
        "repository",
        "ok",
        {"repository": Repository("r", "u", True, ("latest", "dev-*"))},
        "IMMUTABLE except for latest, dev-*: latest is moved too",
    ),
    (
        "secrets",
        "refuse",
        {
            "revision": definition(
                container={
                    "secrets": [],
                    "logConfiguration": {
                        "logDriver": "splunk",
                        "secretOptions": [{"name": "splunk-token", "valueFrom": SECRET}],
                    },
                }
            ),
            "secrets": {SECRET: None},
        },
        "splunk-token: there is no secret",
    ),
    (
        "secrets",
        "refuse",
        {
            "revision": definition(
                container={
                    "secrets": [],
                    "repositoryCredentials": {"credentialsParameter": SECRET},
                }
            ),
            "secrets": {SECRET: None},
        },
        "repositoryCredentials: there is no secret",
    ),
    (
        "secrets",
        "refuse",
        {
            "revision": definition(
                container={
                    "secrets": [],
                    "environmentFiles": [{"value": "arn:aws:s3:::settings/web.env", "type": "s3"}],
                }
            ),
            "secrets": {"arn:aws:s3:::settings/web.env": None},
        },
        "there is no environment file arn:aws:s3:::settings/web.env",
    ),
    (
        "log-group",
        "refuse",
        {
            "revision": definition(
                container={
                    "logConfiguration": {
                        "logDriver": "awslogs",
                        "options": {"awslogs-group": "/central", "awslogs-region": "us-west-2"},
                    }
                }
            ),
            "log_groups": {"/central in us-west-2": False},
        },
        "has no group /central in us-west-2",
    ),
    ("secrets", "ok", {}, "2 resolved, with their keys"),
    ("secrets", "ok", {"revision": definition(container={"secrets": []})}, "none are used"),
    (
        "secrets",
        "refuse",
        {"secrets": {SECRET: None, "/dev/mode": frozenset()}},
        f"DB_PASSWORD: there is no secret {SECRET}",
    ),
    (
        "secrets",
        "refuse",
        {"secrets": {SECRET: frozenset({"username"})}},
        "has no key password; it has username",
    ),
    (
        "secrets",
        "refuse",
        {"secrets": {SECRET: frozenset({"password"}), "/dev/mode": None}},
        "MODE: there is no parameter /dev/mode",
    ),
    (
        "secrets",
        "refuse",
        {"revision": definition(document={"executionRoleArn": None})},
        "no executionRoleArn",
    ),
    (
        "secrets",
        "unknown",
        {"secrets": {SECRET: Unknown("may not GetSecretValue"), "/dev/mode": frozenset()}},
        "may not GetSecretValue",
    ),
    ("secrets", "unknown", {"secrets": {}}, "not read"),
    ("log-group", "ok", {}, "/ecs/backend"),
    (
        "log-group",
        "refuse",
        {"log_groups": {"/ecs/backend": False}},
        "CloudWatch Logs has no group /ecs/backend",
    ),
    (
        "log-group",
        "warn",
        {"revision": OTHER_LOG, "log_groups": {"/ecs/other": True}},
        "logs to /ecs/other; configured is /ecs/backend",
    ),
    (
        "log-group",
        "warn",
        {"revision": MADE_LOG, "log_groups": {"/ecs/other": False}},
        "configured",
    ),
    ("log-group", "warn", {"revision": FLUENTD}, "does not log to CloudWatch Logs"),
    (
        "log-group",
        "unknown",
        {"log_groups": {"/ecs/backend": NO}},
        "/ecs/backend: it did not answer",
    ),
    ("port", "ok", {}, "backend opens 3001; load balancer and target group agree"),
    ("port", "ok", {"state": replace(STATE, load_balancers=())}, "no load balancer"),
    (
        "port",
        "refuse",
        {"state": balanced("backend", 3000)},
        "sends to backend:3000; backend:7 opens 3001",
    ),
    (
        "port",
        "refuse",
        {"state": balanced("proxy", 80)},
        "sends to proxy:80; backend:7 opens no port",
    ),
    (
        "port",
        "warn",
        {"target_groups": (replace(TARGET_GROUP, port=80),)},
        "says 80; targets are registered with 3001",
    ),
    (
        "port",
        "warn",
        {
            "state": replace(
                STATE, load_balancers=(LoadBalancer(GROUP, "backend", 3001, "green"),)
            ),
            "target_groups": (TARGET_GROUP, replace(TARGET_GROUP, arn="green", name="g", port=80)),
        },
        "target group g says 80; targets are registered with 3001",
    ),
    ("port", "unknown", {"target_groups": NO}, "it did not answer"),
    ("health-path", "ok", {}, "dev-backend-tg checks /api/health"),
    ("health-path", "ok", {"state": replace(STATE, load_balancers=())}, "no load balancer"),
    (
        "health-path",
        "warn",
        {"target_groups": (replace(TARGET_GROUP, health_path="/"),)},
        "checks /; configured is /api/health",
    ),
    ("health-path", "warn", {"target_groups": (replace(TARGET_GROUP, health_path=""),)}, "no path"),
    ("health-path", "unknown", {"target_groups": NO}, "it did not answer"),
    ("cdn", "ok", {}, "E1 (example.com): /*"),
    ("cdn", "refuse", {"distribution": NO}, "it did not answer"),
    ("cdn", "warn", {"distribution": replace(DISTRIBUTION, enabled=False)}, "disabled): /*"),
    ("context", "ok", {}, "complete"),
    ("context", "ok", TAGGED, "not needed"),
    ("context", "ok", {"absent_content": NO, "image": image()}, "is in ECR already"),
    ("context", "unknown", {"absent_content": NO}, "it did not answer"),
    (
        "context",
        "refuse",
        {"absent_content": AbsentContent(("backend/vendor",), ("backend/model.bin",))},
        "not checked out at the commit's version: backend/vendor",
    ),
    (
        "context",
        "refuse",
        {"absent_content": AbsentContent((), ("backend/model.bin",))},
        "Git LFS files are not on this machine: backend/model.bin",
    ),
    ("terraform", "ok", {}, "rollout is ecs"),
    ("terraform", "ok", {"terraform": TERRAFORM}, "Terraform 1.11.4"),
    (
        "terraform",
        "ok",
        {"terraform": replace(TERRAFORM, initialised=False, untracked=("secret.tfvars",))},
        "Terraform 1.11.4, init will run, files that git does not have: secret.tfvars",
    ),
    ("terraform", "refuse", {"terraform": NO}, "it did not answer"),
    (
        "terraform",
        "refuse",
        {"terraform": replace(TERRAFORM, constraints=("~> 1.13.0",))},
        "Terraform 1.11.4 does not meet required_version ~> 1.13.0",
    ),
    ("terraform", "ok", {"terraform": replace(TERRAFORM, constraints=("what",))}, "1.11.4"),
    (
        "terraform",
        "refuse",
        {"terraform": replace(TERRAFORM, declared=frozenset({"backend_tag"}))},
        "no file declares the variable backend_image_tag",
    ),
    (
        "terraform",
        "warn",
        {"terraform": replace(TERRAFORM, defaults={"backend_image_tag": "registry/web:1"})},
        "backend_image_tag gets a tag, but its default is registry/web:1",
    ),
    (
        "terraform",
        "warn",
        {"terraform": replace(TERRAFORM, defaults={"backend_image_tag": "nginx:latest"})},
        "backend_image_tag gets a tag, but its default is nginx:latest",
    ),
    ("state-lock", "ok", {}, "rollout is ecs"),
    ("state-lock", "ok", {"state_locks": ()}, "is not locked"),
    (
        "state-lock",
        "warn",
        {"state_locks": (LOCK,)},
        "ann@host holds it for an unknown time (apply, Terraform 1.11.4, id 0f-1)",
    ),
    ("state-lock", "unknown", {"state_locks": NO}, "it did not answer"),
    ("migrations", "ok", {}, "none pending"),
    (
        "migrations",
        "ok",
        {"schema": SchemaRevision("0001", (), "through task 1a2b3c4d of api, by Session Manager")},
        "none pending, read through task 1a2b3c4d of api, by Session Manager",
    ),
    (
        "migrations",
        "warn",
        {"schema": SchemaRevision("0001", ("0002 tags", "0003 likes"))},
        "2 pending: 0002 tags, 0003 likes",
    ),
    ("migrations", "unknown", {"schema": NO}, "it did not answer"),
    ("endpoints", "ok", {}, "1 of 1 healthy"),
    ("endpoints", "warn", {"answers": (ILL,)}, "/api/health: [STATUS] (500) == 200"),
    ("endpoints", "unknown", {"answers": NO}, "it did not answer"),
]
