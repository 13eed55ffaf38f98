"""A Terraform directory in a real git checkout, its state in moto's S3: what the program itself
does needs no provider.
"""

from __future__ import annotations

import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from ops.aws import session
from ops.core.config.settings import Settings
from ops.health.before_after import before_and_after
from ops.platform import Platform
from ops.terraform.apply import SavedPlanChange
from ops.terraform.plan import TerraformPlan
from ops.terraform.workspace import TerraformWorkspace

KEYS = {"access_key": "AKIAREHEARSAL00000", "secret_key": "rehearsal"}
MAIN = """
terraform {
  required_version = ">= 1.10"
  backend "s3" {}
}
variable "image" {
  type    = string
  default = "one"
}
variable "secret" {
  type      = string
  default   = "hunter2"
  sensitive = true
}
resource "terraform_data" "revision" {
  input            = var.image
  triggers_replace = [var.image]
}
output "image" {
  value = terraform_data.revision.output
}
output "secret" {
  value     = var.secret
  sensitive = true
}
"""
BACKEND = (
    'bucket = "states"\nkey = "dev/terraform.tfstate"\nregion = "us-east-1"\nuse_lockfile = true\n'
)


@dataclass
class Ground:
    """One checkout and the environment that names it."""

    root: Path
    endpoint: str
    configured: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def fresh(cls, root: Path, endpoint: str, main: str = MAIN) -> Ground:
        """A checkout with nothing applied yet, in an empty account that has the state's bucket."""
        httpx.post(f"{endpoint}/moto-api/reset").raise_for_status()
        root.mkdir(exist_ok=True)
        found = cls(root, endpoint)
        found.write(main=main)
        found.client("s3").create_bucket(Bucket="states")
        return found

    @property
    def directory(self) -> Path:
        return self.root / "terraform" / "dev"

    def write(self, **files: str) -> None:
        """Files of the directory by name without `.tf`, committed."""
        self.directory.mkdir(parents=True, exist_ok=True)
        (self.root / ".gitignore").write_text(".terraform/\n.terraform.lock.hcl\n")
        (self.directory / "backend-config.tfvars").write_text(BACKEND) if not (
            self.directory / "backend-config.tfvars"
        ).exists() else None
        for name, text in files.items():
            (self.directory / f"{name}.tf").write_text(text)
        self.commit()

    def commit(self) -> None:
        if not (self.root / ".git").exists():
            self.git("init", "--quiet", "--initial-branch=main")
        self.git("add", "--all")
        self.git(
            "-c",
            "user.name=A",
            "-c",
            "user.email=a@b",
            "commit",
            "--quiet",
            "--allow-empty",
            "--message=Change",
        )

    def git(self, *words: str) -> None:
        subprocess.run(["git", *words], cwd=self.root, check=True, capture_output=True)

    def settings(self, **environment: Any) -> Settings:
        terraform = {
            "directory": "terraform/dev",
            "backend_config": "backend-config.tfvars",
            **self.configured,
        }
        values = {
            "account": "123456789012",
            "region": "us-east-1",
            "cluster": "main",
            "services": {},
            "source": str(self.root),
            "aws": {"endpoint": self.endpoint, **KEYS},
            "terraform": terraform,
            **environment,
        }
        return Settings(name="rehearsal", root=self.root, environment=values)

    def place(self, **environment: Any) -> TerraformWorkspace:
        return TerraformWorkspace.of(Platform.of(self.settings(**environment)))

    def client(self, name: str) -> Any:
        return session.connect(self.settings()).client(name)


def apply_saved(
    workspace: TerraformWorkspace, *, yes: bool, allowed: tuple[str, ...] = ()
) -> TerraformPlan:
    """`tf.apply` without health sweeps; the plan that was applied."""
    settings = workspace.platform.settings
    change = SavedPlanChange.load(
        workspace, lambda: before_and_after(settings, "tf.apply", enabled=False), allowed=allowed
    )
    change.confirm(yes=yes)
    assert change.apply().document["applied"] is True
    return change.planned
