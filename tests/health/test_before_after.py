"""Before and after a change: what it changed is told, also where it failed half-way; a refusal and
an interrupt are not waited for.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pytest_httpserver import HTTPServer

from ops.core.config.settings import Environment, Settings
from ops.core.errors import OpsError, Refused
from ops.core.findings import Unknown
from ops.health import before_after, probe_certificates
from ops.health.inputs import SweepContext, SweepInputs
from ops.platform import Platform
from tests import plain_aws

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    yield from plain_aws.served()


@pytest.fixture
def settings(endpoint: str, httpserver: HTTPServer, tmp_path: Path) -> Settings:
    """One service with one page, which is well, in an account that is empty."""
    httpserver.expect_request("/about").respond_with_data("well", content_type="text/html")
    service = {
        "ecs_service": "b",
        "container": "app",
        "repository": "r",
        "log_group": "/ecs/b",
        "endpoints": [{"path": "/about"}],
    }
    environment: dict[str, Any] = {
        "account": "123456789012",
        "region": "us-east-1",
        "cluster": "c",
        "overlay": "x",
        "services": {"backend": service},
        "aws": {"endpoint": endpoint, "access_key": "a", "secret_key": "b"},
        "site": httpserver.url_for("/").rstrip("/"),
    }
    return Settings(name="test", root=tmp_path, environment=Environment.model_validate(environment))


@pytest.fixture
def breaks(httpserver: HTTPServer) -> Callable[[], None]:
    def page() -> None:
        httpserver.clear()
        httpserver.expect_request("/about").respond_with_data("broken", status=500)

    return page


def test_a_change_that_fails_is_looked_at_too(
    settings: Settings, breaks: Callable[[], None], capsys: pytest.CaptureFixture[str]
) -> None:
    """Half a migration: what it did to the platform is in the error's document, and told under a
    heading with the time.
    """
    with (
        pytest.raises(OpsError) as failed,
        before_after.before_and_after(settings, "db.upgrade to 0002") as found,
    ):
        breaks()
        raise OpsError("revision 0002", "it broke", "inv db.current")
    assert {
        "name": "/about",
        "before": "200",
        "after": "500 page_failing",
    } in failed.value.as_document()["health"]["changes"]
    lines = capsys.readouterr().err.splitlines()
    heading = next(
        place
        for place, line in enumerate(lines)
        if line.startswith("  health since 20") and "change" in line
    )
    assert any(line == "    /about 200 → 500 page_failing" for line in lines[heading:])
    assert any("since this change" in line and "/about" in line for line in lines)
    assert found.as_document()["after"]["about"] == "after db.upgrade to 0002"


def test_a_change_that_succeeds(settings: Settings) -> None:
    """No change is said as well; both looks are kept."""
    with before_after.before_and_after(settings, "tf.apply") as found:
        pass
    lines = list(found.lines())
    assert lines[0].endswith("Z: no changes"), lines
    assert "as before" in "".join(lines)  # an empty account is ill before and after
    assert len(list((settings.root / ".ops" / "health" / "test").iterdir())) == 2


@pytest.mark.parametrize("error", [Refused("no", "because", "ask"), KeyboardInterrupt()])
def test_a_refusal_and_an_interrupt_are_not_waited_for(
    settings: Settings, error: BaseException
) -> None:
    """Nothing was done, or somebody wants to get away: no look after it, and no word of one."""
    with pytest.raises(type(error)), before_after.before_and_after(settings, "tf.apply") as found:
        raise error
    assert isinstance(found.after, Unknown) and not list(found.lines())
    assert found.as_document()["after"]["environment"] == "test"


def test_a_look_that_could_not_begin_is_said(settings: Settings) -> None:
    """No door opens: the change goes on, and its health is unknown with the reason."""

    def nobody() -> Any:
        raise OpsError("no credentials", "none found", "log in")

    found = before_after.BeforeAfter.begin(settings, nobody, "tf.apply")
    began = time.monotonic()
    found.end()
    assert time.monotonic() - began < 30
    assert list(found.lines()) == ["  health afterwards unknown: no credentials: none found"]


def test_every_https_address_has_its_certificate_looked_at(settings: Settings) -> None:
    """The load balancer's too, where it is asked by https: under a name of its own, since the
    site's may be the same host.
    """

    def names(**addresses: str) -> list[str]:
        environment = settings.environment.model_copy(update=addresses)
        inputs = SweepInputs(
            SweepContext(Platform.of(settings.model_copy(update={"environment": environment})))
        )
        return [probe.keys[0].name for probe in probe_certificates.probes(inputs)]

    assert names() == []
    assert names(site="https://site.test", alb="http://alb.test") == ["site.test handshake"]
    assert names(site="https://site.test", alb="https://alb.test") == [
        "site.test handshake",
        "alb handshake",
    ]
