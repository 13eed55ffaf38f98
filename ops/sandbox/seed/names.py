"""The names in the sandbox: the live platform's, which differ from the runbook's."""

from __future__ import annotations

from dataclasses import dataclass

PREFIX = "dev-davidshaevel"
CLUSTER = f"{PREFIX}-cluster"
LOAD_BALANCER = f"{PREFIX}-alb"
SECRET = f"{PREFIX}-db-credentials"
DATABASE_INSTANCE = "davidshaevel-dev-db"
STATE_BUCKET = f"{PREFIX}-terraform-state"
LOCK_TABLE = "terraform-state-lock-davidshaevel"
CDN_COMMENT = "dev davidshaevel CDN"
DOMAIN = "davidshaevel.com"


@dataclass(frozen=True)
class ServiceSpec:
    """One service of the platform."""

    name: str
    port: int
    health_path: str

    @property
    def service(self) -> str:
        return f"{PREFIX}-{self.name}"

    @property
    def repository(self) -> str:
        return f"davidshaevel/{self.name}"

    @property
    def target_group(self) -> str:
        return f"dev-{self.name}-tg"

    @property
    def log_group(self) -> str:
        return f"/ecs/{PREFIX}/{self.name}"


BACKEND = ServiceSpec("backend", 3001, "/api/health")
FRONTEND = ServiceSpec("frontend", 3000, "/health")
SERVICES = (BACKEND, FRONTEND)
