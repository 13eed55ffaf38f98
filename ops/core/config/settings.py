"""What an environment is: the schema of `environments:` in `invoke.yaml`, frozen and validated.

Imported only where a task reads its settings (pydantic is heavy). What is configured wins; what is
`None` here is discovered from AWS. No key holds a secret: `aws.secret_key` is accepted from an
overlay alone, which only a local platform writes."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from ops.core.config.database import Bastion, Database
from ops.core.config.types import (
    Account,
    Model,
    PathPattern,
    Port,
    Seconds,
    Text,
    Variable,
    WebPath,
)


class Endpoint(Model):
    """One page or API path of the runbook's section 5, and what a right answer is."""

    path: WebPath
    status: int = Field(200, ge=100, le=599)
    content_type: Text | None = Field(
        None, description="Media type of the answer, without parameters: `application/json`."
    )
    expect: dict[str, Any] = Field(
        default_factory=dict, description="JMESPath expression → the value that it must have."
    )
    text: Text | None = Field(
        None,
        description="Text that the body must contain; `{tag}` is the released tag, any where "
        "none is "
        "known.",
    )
    empty: bool = Field(False, description="Whether a body without anything in it is right.")

    def about(self, tag: str) -> Endpoint:
        """What it must answer once `tag` is released."""
        return (
            self.model_copy(update={"text": self.text.replace("{tag}", tag)}) if self.text else self
        )


class Service(Model):
    """One ECS service and all that a deploy of it needs to know."""

    ecs_service: Text = Field(description="Name of the ECS service in the cluster.")
    container: Text = Field(
        description="The container of the task definition whose image is ours; sidecars are left "
        "alone."
    )
    repository: Text = Field(description="Name of the ECR repository.")
    context: Text = Field(".", description="Build context, relative to `source`.")
    dockerfile: Text = Field("Dockerfile", description="Relative to the context.")
    build_args: dict[str, str] = Field(
        default_factory=dict, description="Build arguments; `{tag}` and `{commit}` are filled in."
    )
    tests: list[str] | None = Field(
        None, description="Command (list of words) that must pass first, run in the context."
    )
    container_port: Port | None = Field(
        None, description="Port of the application, for preflight to compare."
    )
    health_path: WebPath | None = Field(
        None, description="Path that the target group should check."
    )
    log_group: Text | None = Field(None, description="Log group, for preflight to compare.")
    endpoints: list[Endpoint] = Field(
        default_factory=list, description="What must answer before and after."
    )
    invalidate: list[PathPattern] = Field(
        default_factory=list, description="Paths that a deploy takes out of the CDN's cache."
    )
    image_variable: Variable | None = Field(
        None, description="Terraform variable that says which image runs."
    )
    image_variable_kind: Literal["tag", "uri"] = Field(
        "tag", description="Whether it takes a tag, or a full image URI."
    )

    def filled_build_args(self, tag: str, commit: str) -> dict[str, str]:
        """The build arguments of one image; braces other than `{tag}` and `{commit}` are kept
        (JSON).
        """
        values = self.build_args.items()
        return {key: text.replace("{tag}", tag).replace("{commit}", commit) for key, text in values}


class Aws(Model):
    """How AWS is reached: a profile of the machine, or an overlay's endpoint and keys."""

    profile: Text | None = Field(
        None, description="Profile in ~/.aws/config; without it, the credential chain."
    )
    endpoint: Text | None = Field(None, description="Endpoint of a local AWS.")
    access_key: Text | None = None
    secret_key: Text | None = None
    read_timeout: Seconds = Field(
        10.0,
        description="Longest silence of one call (S3: half, logs, RDS, CloudFront: twice of it).",
    )


class State(Model):
    """The Terraform state's bucket: release records and locks are kept beside the state, so that no
    new infrastructure is needed.
    """

    bucket: Text
    prefix: Text = Field(
        "ops", description="Below this prefix; the state's own key is never touched."
    )


class Cdn(Model):
    """Which CloudFront distribution stands before the site, and how an invalidation is waited for.
    Its id is found each time.
    """

    distribution: Text | None = Field(None, description="Its id, where it may not be looked up.")
    alias: Text | None = Field(
        None,
        description="An alternate domain name of it; steadier than id and comment. Default: the "
        "site's "
        "host.",
    )
    comment: Text | None = Field(
        None, description="Its comment, where no distribution has the alias."
    )
    origin: Literal["http-only", "https-only", "match-viewer"] | None = Field(
        None, description="How it must ask its origins."
    )
    timeout: Seconds = Field(
        900.0, description="Longest wait for an invalidation (they take minutes)."
    )
    poll: Seconds = Field(5.0, description="Between two GetInvalidation.")


class Terraform(Model):
    """The Terraform directory that owns this environment, and the limits of what is kept."""

    directory: Text = Field(description="Root module of the environment, relative to `source`.")
    backend_config: Text | None = Field(
        None, description="File for init's -backend-config, relative to the directory."
    )
    var_files: list[Text] = Field(
        default_factory=list, description="Files for -var-file, relative to the directory."
    )
    workspace: Text | None = Field(None, description="Workspace; without it, the default one.")
    timeout: Seconds = Field(
        1800.0,
        description="Longest run of one Terraform command; then it is interrupted and waited for.",
    )
    plan_limit: Seconds = Field(1800.0, description="A saved plan older than this is not applied.")
    lock_limit: Seconds = Field(
        3600.0, description="A state lock younger than this is taken for a living Terraform's."
    )


class Health(Model):
    """How `inv health.all` looks: its deadline, what it keeps, and what is asked beside the
    services' own endpoints.
    """

    deadline: Seconds = Field(
        30.0, description="Longest run of one sweep; what has not answered by then is unknown."
    )
    timeout: Seconds = Field(10.0, description="Longest wait for one page or call.")
    keep: int = Field(
        20,
        ge=1,
        description="How many earlier runs are kept on this machine, for what changed since.",
    )
    slow: Seconds = Field(2.0, description="A page that takes longer is a failure.")
    recent: Seconds = Field(
        300.0,
        description="Errors in the logs within so long are a failure; older ones are only told.",
    )
    since: Seconds = Field(
        3600.0, description="How far back logs are read where no release says since when."
    )
    certificate_days: int = Field(
        21, ge=0, description="A certificate that expires within so many days is a failure."
    )
    slower: float = Field(
        3.0, gt=1, description="A page that takes so many times as long as before is a change."
    )
    endpoints: list[Endpoint] = Field(
        default_factory=list, description="Pages that belong to no service."
    )


class Environment(Model):
    """One place to act in: an account, a region, a cluster and its services."""

    account: Account = Field(description="AWS account number, in quotes.")
    region: Text
    cluster: Text
    services: dict[str, Service]
    protected: bool = Field(False, description="Ask for the environment's name before any change.")
    overlay: Text | None = Field(
        None, description="File merged over this environment when a task reads it."
    )
    overlay_hint: Text | None = Field(None, description="What to type when the overlay is missing.")
    aws: Aws = Aws()
    rollout: Literal["ecs", "terraform"] = Field(
        "ecs", description="Who changes what runs: UpdateService, or a saved Terraform plan."
    )
    terraform: Terraform | None = None
    source: Text = Field(".", description="Checkout of the application's repository.")
    branch: Text = Field("main", description="Branch that is deployed.")
    remote: Text = Field("origin", description="Git remote that the branch is pushed to.")
    site: Text | None = Field(None, description="Address of the site, through the CDN.")
    site_tls: Text | None = Field(
        None,
        description="Its https address, where `site` is plain http: whose certificate is looked "
        "at.",
    )
    site_ca: Text | None = Field(
        None,
        description="CA bundle (PEM) that its certificate is checked with; default: the system's.",
    )
    alb: Text | None = Field(None, description="Address of the load balancer itself.")
    cdn: Cdn = Cdn()
    engine: Text | None = Field(
        None, description="Docker engine; without it, DOCKER_HOST or the machine's own."
    )
    database: Database | None = None
    bastion: Bastion | None = None
    health: Health = Health()
    state: State | None = None
    deploy_timeout: Seconds = Field(900.0, description="Longest wait for a roll-out.")
    poll: Seconds = Field(4.0, description="Between two DescribeServices while watching.")
    contacts: list[str] = Field(default_factory=list, description="Shown when a deploy fails.")

    def pages(self) -> list[tuple[str, Endpoint]]:
        """Every page and API path with its service, and those that belong to none ("")."""
        own = [
            (name, endpoint)
            for name in sorted(self.services)
            for endpoint in self.services[name].endpoints
        ]
        return [*own, *(("", endpoint) for endpoint in self.health.endpoints)]

    @property
    def database_run(self) -> Literal["local", "remote", "tunnel"]:
        """How the database is reached: as configured, else on the bastion where there is one."""
        configured = self.database.run if self.database else None
        return configured or ("remote" if self.bastion else "local")


class Settings(Model):
    """One environment's name with its values, and where relative paths start."""

    name: str
    root: Path
    environment: Environment

    def service(self, name: str) -> Service:
        """The named service of this environment. Raises ConfigError naming those that it has."""
        from ops.core.errors import ConfigError

        services = self.environment.services
        if name not in services:
            raise ConfigError(
                f"environment {self.name} has no service {name}",
                f"its services are: {', '.join(sorted(services)) or 'none'}",
                f"name it under environments.{self.name}.services in invoke.yaml, or pick "
                f"another environment: INVOKE_ENV=NAME inv …",
            )
        return services[name]

    @property
    def source(self) -> Path:
        return self.root / self.environment.source
