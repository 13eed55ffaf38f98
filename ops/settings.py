"""What an environment is: the schema of `environments:` in `invoke.yaml`, frozen and validated.

Imported only where a task reads its settings (pydantic is heavy). What is configured wins; what is `None` here is discovered from AWS.
No key holds a secret: `aws.secret_key` is accepted from an overlay alone, which only a local platform writes.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

from ops.cdn import path_pattern

DURATION = re.compile(r"(?P<number>\d+(?:\.\d+)?)(?P<unit>[smh]?)")
UNIT_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600}


def seconds(value: Any) -> float:
    """`300`, `"300"`, `"5m"`, `"1h"` or `"30s"` as seconds. Raises ValueError naming the forms."""
    found = DURATION.fullmatch(str(value).strip()) if not isinstance(value, bool) else None
    if not found:
        raise ValueError("allowed: a number of seconds, or a number with s, m or h (300, 30s, 5m, 1h)")
    return float(found["number"]) * UNIT_SECONDS[found["unit"]]


def relative_web_path(value: str) -> str:
    """A path on the site, not a URL: the same path is asked of the CDN and of the load balancer."""
    if not value.startswith("/"):
        raise ValueError("allowed: a path that starts with / (the site's address is `site`)")
    return value


Seconds = Annotated[float, BeforeValidator(seconds)]
WebPath = Annotated[str, AfterValidator(relative_web_path)]
PathPattern = Annotated[str, AfterValidator(path_pattern)]
Account = Annotated[str, StringConstraints(strict=True, pattern=r"^\d{12}$")]
Text = Annotated[str, StringConstraints(strict=True, min_length=1)]
Variable = Annotated[str, StringConstraints(strict=True, pattern=r"^[A-Za-z_][A-Za-z0-9_-]*$")]


class Model(BaseModel):
    """Frozen; an unknown key is an error (the reader suggests the nearest known one)."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Endpoint(Model):
    """One page or API path of the runbook's section 5, and what a right answer is."""

    path: WebPath
    status: int = 200
    content_type: Text | None = Field(None, description="Media type of the answer, without parameters: `application/json`.")
    expect: dict[str, Any] = Field(default_factory=dict, description="JMESPath expression → the value that it must have.")
    text: Text | None = Field(None, description="Text that the body must contain; one with `{tag}` is asked for after a deploy only.")

    def about(self, tag: str) -> Endpoint:
        """What it must answer once `tag` is released."""
        return self.model_copy(update={"text": self.text.replace("{tag}", tag)}) if self.text else self


class Service(Model):
    """One ECS service and all that a deploy of it needs to know."""

    ecs_service: Text = Field(description="Name of the ECS service in the cluster.")
    container: Text = Field(description="The container of the task definition whose image is ours; sidecars are left alone.")
    repository: Text = Field(description="Name of the ECR repository.")
    context: Text = Field(".", description="Build context, relative to `source`.")
    dockerfile: Text = Field("Dockerfile", description="Relative to the context.")
    build_args: dict[str, str] = Field(default_factory=dict, description="Build arguments; `{tag}` and `{commit}` are filled in.")
    tests: list[str] | None = Field(None, description="Command (list of words) that must pass first, run in the context.")
    container_port: int | None = Field(None, description="Port of the application, for preflight to compare.")
    health_path: WebPath | None = Field(None, description="Path that the target group should check.")
    log_group: Text | None = Field(None, description="Log group, for preflight to compare.")
    endpoints: list[Endpoint] = Field(default_factory=list, description="What must answer before and after.")
    invalidate: list[PathPattern] = Field(default_factory=list, description="Paths that a deploy takes out of the CDN's cache.")
    image_variable: Variable | None = Field(None, description="Terraform variable that says which image runs.")
    image_variable_kind: Literal["tag", "uri"] = Field("tag", description="Whether it takes a tag, or a full image URI.")


class Aws(Model):
    """How AWS is reached: a profile of the machine, or an overlay's endpoint and keys."""

    profile: Text | None = Field(None, description="Profile in ~/.aws/config; without it, the credential chain.")
    endpoint: Text | None = Field(None, description="Endpoint of a local AWS.")
    access_key: Text | None = None
    secret_key: Text | None = None


class Database(Model):
    """Where the application's PostgreSQL is, and how it is reached."""

    run: Literal["local", "remote", "tunnel"] = Field("local", description="`local`: connected to from here.")
    secret: Text | None = Field(None, description="Secrets Manager secret: username, password; host, port, dbname if there.")
    instance: Text | None = Field(None, description="RDS instance identifier.")
    name: Text | None = Field(None, description="Database name, where the secret has none.")
    host: Text | None = Field(None, description="Address to connect to, where it differs from the secret's.")
    port: int | None = None
    sslmode: Literal["disable", "prefer", "require", "verify-ca", "verify-full"] = "verify-full"
    sslrootcert: Text | None = Field(None, description="File with the CA bundle; without it, the system's.")
    lock_timeout: Seconds = Field(5.0, description="Longest wait of a migration for one lock; then it steps back and tries again.")
    statement_timeout: Seconds = Field(1800.0, description="Longest run of one statement of a migration.")
    wait: Seconds = Field(10.0, description="Longest wait for another migration to end.")


class State(Model):
    """The Terraform state's bucket: release records and locks are kept beside the state, so that no new infrastructure is needed."""

    bucket: Text
    prefix: Text = Field("ops", description="Below this prefix; the state's own key is never touched.")


class Cdn(Model):
    """Which CloudFront distribution stands before the site, and how an invalidation is waited for. Its id is found each time."""

    distribution: Text | None = Field(None, description="Its id, where it may not be looked up.")
    alias: Text | None = Field(None, description="An alternate domain name of it; steadier than id and comment. Default: the site's host.")
    comment: Text | None = Field(None, description="Its comment, where no distribution has the alias.")
    timeout: Seconds = Field(900.0, description="Longest wait for an invalidation (they take minutes).")
    poll: Seconds = Field(5.0, description="Between two GetInvalidation.")


class Terraform(Model):
    """The Terraform directory that owns this environment, and the limits of what is kept."""

    directory: Text = Field(description="Root module of the environment, relative to `source`.")
    backend_config: Text | None = Field(None, description="File for init's -backend-config, relative to the directory.")
    var_files: list[Text] = Field(default_factory=list, description="Files for -var-file, relative to the directory.")
    workspace: Text | None = Field(None, description="Workspace; without it, the default one.")
    timeout: Seconds = Field(1800.0, description="Longest run of one Terraform command; then it is interrupted and waited for.")
    plan_limit: Seconds = Field(1800.0, description="A saved plan older than this is not applied.")
    lock_limit: Seconds = Field(3600.0, description="A state lock younger than this is taken for a living Terraform's.")


class Environment(Model):
    """One place to act in: an account, a region, a cluster and its services."""

    account: Account = Field(description="AWS account number, in quotes.")
    region: Text
    cluster: Text
    services: dict[str, Service]
    protected: bool = Field(False, description="Ask for the environment's name before any change.")
    overlay: Text | None = Field(None, description="File merged over this environment when a task reads it.")
    overlay_hint: Text | None = Field(None, description="What to type when the overlay is missing.")
    aws: Aws = Aws()
    rollout: Literal["ecs", "terraform"] = Field("ecs", description="Who changes what runs: UpdateService, or a saved Terraform plan.")
    terraform: Terraform | None = None
    source: Text = Field(".", description="Checkout of the application's repository.")
    branch: Text = Field("main", description="Branch that is deployed.")
    remote: Text = Field("origin", description="Git remote that the branch is pushed to.")
    site: Text | None = Field(None, description="Address of the site, through the CDN.")
    alb: Text | None = Field(None, description="Address of the load balancer itself.")
    cdn: Cdn = Cdn()
    engine: Text | None = Field(None, description="Docker engine; without it, DOCKER_HOST or the machine's own.")
    database: Database | None = None
    state: State | None = None
    deploy_timeout: Seconds = Field(900.0, description="Longest wait for a roll-out.")
    poll: Seconds = Field(4.0, description="Between two DescribeServices while watching.")
    contacts: list[str] = Field(default_factory=list, description="Shown when a deploy fails.")


class Settings(Model):
    """One environment's name with its values, and where relative paths start."""

    name: str
    root: Path
    environment: Environment

    def service(self, name: str) -> Service:
        """The named service of this environment. Raises ConfigError naming those that it has."""
        from ops.errors import ConfigError

        services = self.environment.services
        if name not in services:
            raise ConfigError(
                f"environment {self.name} has no service {name}",
                f"its services are: {', '.join(sorted(services)) or 'none'}",
                f"name it under environments.{self.name}.services in invoke.yaml, or pick another environment: INVOKE_ENV=NAME inv …",
            )
        return services[name]

    @property
    def source(self) -> Path:
        return self.root / self.environment.source
