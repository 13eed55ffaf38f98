"""The schema of `environments:` in `invoke.yaml`, frozen and validated.

Imported only when a task reads its settings (pydantic is heavy). A configured value wins; `None`
here is discovered from AWS. No key holds a secret: `aws.secret_key` is accepted only from an
overlay, which only a local platform writes.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ModelWrapValidatorHandler, PrivateAttr, model_validator

from ops.core.config.database import Bastion, Database
from ops.core.config.problems import suggestion
from ops.core.config.types import (
    Account,
    Model,
    PathPattern,
    Port,
    PositiveSeconds,
    Seconds,
    Text,
    Variable,
    WebPath,
)
from ops.core.errors import ConfigError

NONE = "none"  # the value of a key of `MAY_BE_NONE`
MAY_BE_NONE = ("cdn", "database", "site", "site_tls", "state", "terraform")


class Endpoint(Model):
    """A page or API path of the runbook's section 5, and its expected answer."""

    path: WebPath = Field(description="Path of the page on the site, from `/` on.")
    method: Literal["GET", "HEAD", "OPTIONS"] = Field(
        "GET", description="Method of the request. An answer to HEAD has no body to check."
    )
    host: Text | None = Field(
        None, description="Host name to request at the site's address; default: the site's."
    )
    headers: dict[str, str] = Field(
        default_factory=dict, description="More headers of the request. They are no secrets."
    )
    status: int = Field(200, ge=100, le=599, description="Status of the answer.")
    content_type: Text | None = Field(
        None, description="Media type of the answer, without parameters: `application/json`."
    )
    expect: dict[str, Any] = Field(
        default_factory=dict, description="JMESPath expression → its expected value."
    )
    text: Text | None = Field(
        None,
        description="Text that the body must contain; `{tag}` is the released tag, or any word "
        "if no release is known.",
    )
    empty: bool = Field(False, description="Whether an empty body is accepted.")

    @property
    def label(self) -> str:
        """The path, with the method unless it is GET, and with the endpoint's own host."""
        method = "" if self.method == "GET" else f"{self.method} "
        return f"{method}{self.host or ''}{self.path}"

    @property
    def is_page(self) -> bool:
        """Whether it is requested as a browser opens a page of the site: the CDN may cache it."""
        return self.method == "GET" and self.host is None and not self.headers

    def about(self, tag: str) -> Endpoint:
        """The expectation once `tag` is released."""
        return (
            self.model_copy(update={"text": self.text.replace("{tag}", tag)}) if self.text else self
        )


class BuildSecretSource(Model):
    """Where the value of a build's secret comes from: one of the two."""

    environment: Text | None = Field(None, description="Environment variable with the value.")
    file: Text | None = Field(None, description="File with the value, relative to the project.")

    @model_validator(mode="after")
    def _one_source(self) -> BuildSecretSource:
        if bool(self.environment) == bool(self.file):
            raise ValueError("allowed: one of environment and file")
        return self


class Service(Model):
    """An ECS service and all that a deploy of it needs to know."""

    ecs_service: Text = Field(description="Name of the ECS service in the cluster.")
    container: Text = Field(
        description="The container of the task definition whose image is deployed; sidecars are "
        "not changed."
    )
    repository: Text | None = Field(
        None,
        description="Name of the ECR repository, or its URI if it is in another account or Region. "
        "Without it the service is watched, and never built or deployed.",
    )
    context: Text = Field(".", description="Build context, relative to `source`.")
    dockerfile: Text = Field("Dockerfile", description="Relative to the context.")
    build_args: dict[str, str] = Field(
        default_factory=dict, description="Build arguments; `{tag}` and `{commit}` are replaced."
    )
    target: Text | None = Field(None, description="Stage of the Dockerfile that is built.")
    build_secrets: dict[str, BuildSecretSource] = Field(
        default_factory=dict,
        description="Secrets for `RUN --mount=type=secret,id=NAME` (BuildKit).",
    )
    cache_from: list[Text] = Field(
        default_factory=list,
        description="Build caches to read: an image, or buildx's `type=…,ref=…` (BuildKit).",
    )
    cache_to: list[Text] = Field(
        default_factory=list, description="Build caches to write, in buildx's form (BuildKit)."
    )
    provenance: bool = Field(
        False, description="Attach a provenance attestation to the image (BuildKit)."
    )
    tests: list[str] | None = Field(
        None,
        description="Command (list of words) that must pass first, run in the context. `[]`: there "
        "are none, on purpose.",
    )
    container_port: Port | None = Field(
        None, description="Port of the application, for preflight to compare."
    )
    health_path: WebPath | None = Field(
        None, description="Path that the target group should check."
    )
    log_group: Text | None = Field(None, description="Log group, for preflight to compare.")
    expect: Literal["running", "stopped"] = Field(
        "running",
        description="Whether its tasks should run. `stopped`: it is healthy while scaled to 0.",
    )
    endpoints: list[Endpoint] = Field(
        default_factory=list,
        description="Pages that must answer before and after. `[]`: there are none, on purpose.",
    )
    invalidate: list[PathPattern] = Field(
        default_factory=list, description="Paths that a deploy invalidates in the CDN."
    )
    settle: Seconds | None = Field(
        None,
        description="How long the same tasks must run after a completed rollout before it "
        "succeeds. Default: 30s if no target group checks them, else 0.",
    )
    image_variable: Variable | None = Field(
        None, description="Terraform variable that selects the image."
    )
    image_variable_kind: Literal["tag", "uri"] = Field(
        "tag", description="Whether it takes a tag, or a full image URI."
    )

    def filled_build_args(self, tag: str, commit: str) -> dict[str, str]:
        """Build arguments of an image, with `{tag}` and `{commit}` replaced; other braces stay."""
        values = self.build_args.items()
        return {key: text.replace("{tag}", tag).replace("{commit}", commit) for key, text in values}


class Aws(Model):
    """How AWS is reached: a profile of the machine, or an overlay's endpoint and keys."""

    profile: Text | None = Field(
        None, description="Profile in ~/.aws/config; default: the credential chain."
    )
    endpoint: Text | None = Field(
        None,
        description="Endpoint of a local AWS. It needs an overlay with keys: this machine's "
        "credentials are never sent to it.",
    )
    access_key: Text | None = Field(
        None, description="Access key of a local AWS; only in an overlay."
    )
    secret_key: Text | None = Field(None, description="Its secret key; only in an overlay.")
    read_timeout: PositiveSeconds = Field(
        10.0,
        description="Longest silence of one call (S3: half of it; logs, RDS, CloudFront: twice).",
    )


class State(Model):
    """The bucket for release records and locks: that of the Terraform state.

    They are stored beside the state, so that no new infrastructure is needed.
    """

    bucket: Text = Field(description="Name of the bucket.")
    prefix: Text = Field(
        "ops", description="Prefix of the keys; the state's own key is never touched."
    )


class Cdn(Model):
    """The CloudFront distribution in front of the site, and how to wait for invalidations.

    Its id is looked up each time.
    """

    distribution: Text | None = Field(None, description="Its id; then there is no lookup.")
    alias: Text | None = Field(
        None,
        description="An alternate domain name of it. Default: the host of `site`.",
    )
    comment: Text | None = Field(None, description="Its comment, if no distribution has the alias.")
    origin: Literal["http-only", "https-only", "match-viewer"] | None = Field(
        None, description="Protocol that it must use for its origins."
    )
    timeout: PositiveSeconds = Field(
        900.0, description="Longest wait for an invalidation (they take minutes)."
    )
    poll: PositiveSeconds = Field(5.0, description="Interval between two GetInvalidation.")


class Terraform(Model):
    """The Terraform directory that owns this environment, and its time limits."""

    directory: Text = Field(description="Root module of the environment, relative to `source`.")
    program: Text = Field(
        "terraform", description="Program that is run: `terraform`, `tofu` (OpenTofu), or a path."
    )
    backend_config: Text | None = Field(
        None, description="File for init's -backend-config, relative to the directory."
    )
    var_files: list[Text] = Field(
        default_factory=list, description="Files for -var-file, relative to the directory."
    )
    workspace: Text | None = Field(None, description="Workspace; default: `default`.")
    timeout: PositiveSeconds = Field(
        1800.0,
        description="Longest run of one Terraform command; then it is interrupted.",
    )
    plan_limit: Seconds = Field(1800.0, description="A saved plan older than this is not applied.")
    lock_limit: Seconds = Field(
        3600.0, description="A state lock younger than this is assumed to be in use."
    )


class Health(Model):
    """Deadlines, thresholds, history and extra pages of `inv health.all`."""

    deadline: PositiveSeconds = Field(
        30.0, description="Longest run of one sweep; a check without an answer by then is unknown."
    )
    timeout: PositiveSeconds = Field(10.0, description="Longest wait for one page or call.")
    keep: int = Field(
        20,
        ge=1,
        description="How many earlier runs are stored on this machine, for comparison.",
    )
    slow: PositiveSeconds = Field(2.0, description="A page that takes longer is a failure.")
    recent: Seconds = Field(
        300.0,
        description="Errors logged within this time are a failure; older ones are only reported.",
    )
    since: Seconds = Field(
        3600.0, description="How far back to read logs if no release is recorded."
    )
    certificate_days: int = Field(
        21, ge=0, description="A certificate that expires within this many days is a failure."
    )
    slower: float = Field(
        3.0,
        gt=1,
        allow_inf_nan=False,
        description="A page that takes this many times as long as before is a change.",
    )
    endpoints: list[Endpoint] = Field(
        default_factory=list, description="Pages that belong to no service."
    )


class Environment(Model):
    """An environment: an account, a region, a cluster and its services."""

    account: Account = Field(description="AWS account number, in quotes.")
    region: Text = Field(description="AWS Region, such as `us-east-1`.")
    cluster: Text = Field(description="Name of the ECS cluster.")
    services: dict[str, Service] = Field(
        description="The services by name; `inv NAME.deploy` deploys one."
    )
    expect: Literal["running", "stopped"] = Field(
        "running", description="Whether it should be up. `stopped`: so is each of its services."
    )
    protected: bool = Field(False, description="Ask for the environment's name before any change.")
    overlay: Text | None = Field(
        None,
        description="File merged over this environment when a task reads it, relative to the file "
        "that names it.",
    )
    overlay_hint: Text | None = Field(
        None, description="Command to run when the overlay is missing."
    )
    aws: Aws = Field(Aws(), description="How AWS is reached.")
    rollout: Literal["ecs", "terraform"] = Field(
        "ecs", description="How a rollout is made: UpdateService, or a saved Terraform plan."
    )
    terraform: Terraform | None = Field(
        None,
        description="The Terraform directory that owns this environment. "
        "`none`: there is none, on purpose.",
    )
    source: Text = Field(
        ".",
        description="Checkout of the application's repository, relative to the file that names it.",
    )
    branch: Text = Field("main", description="Branch that is deployed.")
    remote: Text = Field("origin", description="Git remote that the branch is pushed to.")
    tag_length: int = Field(
        7,
        ge=7,
        le=40,
        description="Digits of the commit id in an image tag, the same on every machine.",
    )
    site: Text | None = Field(
        None, description="Address of the site, through the CDN. `none`: there is none, on purpose."
    )
    site_tls: Text | None = Field(
        None,
        description="Its https address if `site` is plain http, to check its certificate. `none`: "
        "there is none, on purpose.",
    )
    site_ca: Text | None = Field(
        None,
        description="CA bundle (PEM) to check its certificate with, relative to the file that "
        "names it; default: the system's.",
    )
    alb: Text | None = Field(None, description="Address of the load balancer itself.")
    cdn: Cdn = Field(
        Cdn(),
        description="The CloudFront distribution in front of the site. "
        "`none`: there is none, on purpose.",
    )
    engine: Text | None = Field(
        None,
        description="Docker engine; default: the one that the docker program uses (DOCKER_HOST, "
        "its context, the default socket).",
    )
    database: Database | None = Field(
        None,
        description="The application's PostgreSQL and how to reach it. "
        "`none`: there is none, on purpose.",
    )
    bastion: Bastion | None = Field(None, description="The SSH host that reaches the database.")
    health: Health = Field(Health(), description="Limits and extra pages of `inv health.all`.")
    state: State | None = Field(
        None,
        description="The bucket for release records and locks; `none`: there are none, on purpose.",
    )
    deploy_timeout: PositiveSeconds = Field(900.0, description="Longest wait for a rollout.")
    poll: PositiveSeconds = Field(
        4.0, description="Interval between two DescribeServices while watching."
    )
    contacts: list[str] = Field(default_factory=list, description="Printed when a deploy fails.")
    _absent: frozenset[str] = PrivateAttr(default=frozenset())

    @model_validator(mode="wrap")
    @classmethod
    def _accept_none(
        cls, values: Any, handler: ModelWrapValidatorHandler[Environment]
    ) -> Environment:
        """Leave out the keys whose value is `none`, and remember them in `absent`."""
        if not isinstance(values, Mapping):
            return handler(values)
        absent = frozenset(key for key in MAY_BE_NONE if values.get(key) == NONE)
        made = handler({key: value for key, value in values.items() if key not in absent})
        made._absent = absent
        return made

    @property
    def absent(self) -> frozenset[str]:
        """The keys that are `none`: the environment has no such thing, on purpose."""
        return self._absent

    def pages(self) -> list[tuple[str, Endpoint]]:
        """Every page and API path with its service ("" for pages without one)."""
        own = [
            (name, endpoint)
            for name in sorted(self.services)
            for endpoint in self.services[name].endpoints
        ]
        return [*own, *(("", endpoint) for endpoint in self.health.endpoints)]

    def is_stopped(self, service: str) -> bool:
        """Whether a service is meant to be down, by its own or the environment's `expect`."""
        return "stopped" in (self.expect, self.services[service].expect)

    @property
    def migrations(self) -> str | None:
        """The configured folder of the revisions, or `none`; None for the default."""
        return self.database.migrations if self.database else None

    @property
    def database_run(self) -> Literal["local", "remote", "tunnel", "task"]:
        """How the database is reached: as configured, else by the bastion or tunnel, if any."""
        if self.database and self.database.run:
            return self.database.run
        tunnel = self.database.tunnel if self.database else None
        return "remote" if self.bastion else "tunnel" if tunnel else "local"


class Settings(Model):
    """An environment's name and values, and the root for relative paths."""

    name: str
    root: Path
    environment: Environment

    def refuse_none(self, key: str, thing: str) -> None:
        """Raise ConfigError if `key` is `none`: the environment has no such `thing`, on purpose."""
        if key in self.environment.absent:
            raise ConfigError(
                f"environment {self.name} has no {thing}",
                f"{key}: none, by configuration",
                f"if it has one, configure environments.{self.name}.{key} in invoke.yaml",
            )

    def deployed_service(self, name: str) -> Service:
        """The service with this name, if it has a repository.

        Raises ConfigError for an unknown service, and for one that is only watched.
        """
        found = self.service(name)
        if found.repository is None:
            key = f"environments.{self.name}.services.{name}.repository"
            raise ConfigError(
                f"{name} is watched here, not built or deployed",
                f"{key} is not set",
                f"inv {name}.status, or set {key} to the ECR repository of its image",
            )
        return found

    def service(self, name: str) -> Service:
        """The named service of this environment. Raises ConfigError listing those that it has."""
        services = self.environment.services
        if name not in services:
            raise ConfigError(
                f"environment {self.name} has no service {name}",
                f"its services are: {', '.join(sorted(services)) or 'none'}",
                suggestion(
                    name,
                    services,
                    f"name it under environments.{self.name}.services in invoke.yaml, or pick "
                    f"another environment: INVOKE_ENV=NAME inv …",
                ),
            )
        return services[name]

    @property
    def source(self) -> Path:
        return self.root / self.environment.source
