"""A settings factory, and moto's server as the AWS that the adapters talk to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ops.aws import session
from ops.core.config.settings import Settings
from tests import plain_aws

SECRET_KEY = "rehearsal-secret-key-123"


def make_settings(**environment: Any) -> Settings:
    values = {
        "account": "123456789012",
        "region": "us-east-1",
        "cluster": "main",
        "services": {},
        **environment,
    }
    return Settings(name="rehearsal", root=Path("/nowhere"), environment=values)


@pytest.fixture
def settings() -> Callable[..., Settings]:
    """Settings of one environment, with keys of `environments.NAME` to add."""
    return make_settings


@pytest.fixture
def cloud_at() -> Callable[[str], session.AwsSession]:
    """The AWS at an address, as an overlay would name it."""

    def connect(endpoint: str) -> session.AwsSession:
        return session.connect(
            make_settings(
                aws={"endpoint": endpoint, "access_key": "AKIAREHEARSAL", "secret_key": SECRET_KEY}
            )
        )

    return connect


@pytest.fixture(scope="session")
def moto_address() -> Iterator[str]:
    yield from plain_aws.served()


@pytest.fixture
def cloud(moto_address: str, cloud_at: Callable[[str], session.AwsSession]) -> session.AwsSession:
    """moto, empty at the start of each test."""
    import httpx

    httpx.post(f"{moto_address}/moto-api/reset").raise_for_status()
    return cloud_at(moto_address)
