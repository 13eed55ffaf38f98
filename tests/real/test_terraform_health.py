"""`inv tf.apply` with a real terraform looks at the platform before and after, and tells what the
apply did to it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from tests import plain_aws
from tests.checkout import Checkout
from tests.real.terraform_ground import KEYS, Ground

MAIN = """
terraform {
  backend "s3" {}
}
resource "terraform_data" "page" {
  provisioner "local-exec" {
    command = "touch '%s'"
  }
}
"""


@pytest.fixture
def endpoint() -> Iterator[str]:
    yield from plain_aws.served()


def test_an_apply_tells_what_it_broke(
    require: Any,
    endpoint: str,
    httpserver: HTTPServer,
    new_checkout: Callable[[str], Checkout],
    tmp_path: Path,
) -> None:
    """A page that answers 500 once the plan is applied is a change; what was unknown before is as
    before.
    """
    require("terraform")
    broken, ground = tmp_path / "broken", Ground(tmp_path / "source", endpoint)
    ground.root.mkdir()
    ground.write(main=MAIN % broken)
    ground.client("s3").create_bucket(Bucket="states")

    def about(request: Request) -> Response:
        return Response("about us", 500 if broken.exists() else 200, content_type="text/html")

    httpserver.expect_request("/about").respond_with_handler(about)
    checkout = new_checkout("apply")
    service = {
        "ecs_service": "b",
        "container": "app",
        "repository": "r",
        "endpoints": [{"path": "/about"}],
    }
    environment = {
        "account": "123456789012",
        "region": "us-east-1",
        "cluster": "c",
        "overlay": "overlay.yaml",
        "source": str(ground.root),
        "services": {"backend": service},
        "terraform": {"directory": "terraform/dev", "backend_config": "backend-config.tfvars"},
    }
    site = httpserver.url_for("/").rstrip("/")
    (checkout.root / "overlay.yaml").write_text(
        yaml.safe_dump({"aws": {"endpoint": endpoint, **KEYS}, "site": site})
    )
    (checkout.root / "invoke.yaml").write_text(
        yaml.safe_dump(
            {"tasks": {"dedupe": False}, "env": "dev", "environments": {"dev": environment}}
        )
    )
    done = checkout.inv("tf.plan", "--json", "tf.apply", "--yes", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    applied = json.loads(done.stdout.splitlines()[1])
    assert applied["applied"] and broken.exists()
    health = applied["health"]
    assert health["changes"] == [{"name": "/about", "before": "200", "after": "500 page_failing"}]
    assert (health["before"]["about"], health["after"]["about"]) == (
        "before tf.apply",
        "after tf.apply",
    )
    assert "ecs" in {
        check["group"] for check in health["before"]["checks"] if check["status"] != "ok"
    }
