"""boto3 clients of the sandbox's AWS endpoint, with its own keys and no configuration."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import boto3
from botocore.config import Config

from ops.sandbox.contracts import REGION
from ops.sandbox.keys import Key


class Clients:
    """One client per service, created at first use."""

    def __init__(self, endpoint: str, key: Key) -> None:
        self._endpoint = endpoint
        self._session: Any = boto3.session.Session(
            key.access_key, key.secret_key, region_name=REGION
        )

    def _client(self, name: str) -> Any:
        settings = Config(
            retries={"max_attempts": 0}, connect_timeout=5, read_timeout=30, proxies={}
        )
        return self._session.client(name, endpoint_url=self._endpoint, config=settings)

    @cached_property
    def ec2(self) -> Any:
        return self._client("ec2")

    @cached_property
    def elb(self) -> Any:
        return self._client("elbv2")

    @cached_property
    def ecr(self) -> Any:
        return self._client("ecr")

    @cached_property
    def ecs(self) -> Any:
        return self._client("ecs")

    @cached_property
    def sts(self) -> Any:
        return self._client("sts")

    @cached_property
    def iam(self) -> Any:
        return self._client("iam")

    @cached_property
    def logs(self) -> Any:
        return self._client("logs")

    @cached_property
    def kms(self) -> Any:
        return self._client("kms")

    @cached_property
    def secrets(self) -> Any:
        return self._client("secretsmanager")

    @cached_property
    def s3(self) -> Any:
        return self._client("s3")

    @cached_property
    def dynamodb(self) -> Any:
        return self._client("dynamodb")

    @cached_property
    def rds(self) -> Any:
        return self._client("rds")

    @cached_property
    def acm(self) -> Any:
        return self._client("acm")

    @cached_property
    def cloudwatch(self) -> Any:
        return self._client("cloudwatch")

    @cached_property
    def autoscaling(self) -> Any:
        return self._client("application-autoscaling")

    @cached_property
    def cloudfront(self) -> Any:
        return self._client("cloudfront")
