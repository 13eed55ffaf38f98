"""Each fault, done to a real sandbox's world and taken back: seen through AWS's API, HTTP, TLS and
SQL, as any tool would.
"""

from __future__ import annotations

import re
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import ProxyHandler, Request, build_opener

import psycopg
import pytest

from ops.core.errors import Refused
from ops.sandbox import faults
from ops.sandbox.contracts import Paths
from ops.sandbox.faults import catalog
from ops.sandbox.status import read
from tests.checkout import Checkout
from tests.sandbox.faults_support import (
    Page,
    active,
    broken,
    certificate_problem,
    clients,
    connect,
    states,
    until_ill,
)
from tests.waiting import until


@pytest.fixture
def root(unharmed: Path) -> Path:
    return unharmed


def test_pages_go_wrong_each_in_its_own_way(root: Path) -> None:
    """Five pages at once: 500, late, silent, of another type, and old; the load balancer tells
    which are the CDN's own; all come back.
    """
    assert Page(root, "/about").status == 200, (
        "cached, so that the fault must take it out of the cache"
    )
    with broken(root, "page-500", "page-slow", "page-hangs", "json-as-html", "stale-cdn"):
        assert (Page(root, "/about").status, Page(root, "/about", "alb").status) == (500, 500)
        for _ in range(2):
            late = Page(root, "/projects")
            assert late.status == 200 and 2 < late.took < 5
        with pytest.raises(TimeoutError):
            Page(root, "/contact", timeout=1)
        assert Page(root, "/api/projects").header("Content-Type") == "text/html; charset=utf-8"
        assert (Page(root, "/api/projects", "alb").header("Content-Type") or "").startswith(
            "application/json"
        )
        old, new = Page(root, "/"), Page(root, "/", "alb")
        assert old.header("X-Cache") == "Hit from cloudfront" and int(old.header("Age") or 0) > 3600
        assert version(old) != version(new) and len(old.body) == len(new.body)
        assert Page(root, "/health").status == 200
    well = {
        path: Page(root, path) for path in ("/", "/about", "/projects", "/contact", "/api/projects")
    }
    assert {page.status for page in well.values()} == {200} and max(
        page.took for page in well.values()
    ) < 1
    assert version(well["/"]) == version(new) and (
        well["/api/projects"].header("Content-Type") or ""
    ).startswith("application/json")


def test_an_invalidation_mends_the_stale_page_too(root: Path) -> None:
    """The old page goes with an invalidation, and the fault is no longer listed; an earlier
    invalidation does not count.
    """
    cloudfront = clients(root).cloudfront
    [distribution] = cloudfront.list_distributions()["DistributionList"]["Items"]

    def invalidate(name: str) -> None:
        batch = {"Paths": {"Quantity": 1, "Items": ["/*"]}, "CallerReference": name}
        made = cloudfront.create_invalidation(
            DistributionId=distribution["Id"], InvalidationBatch=batch
        )["Invalidation"]
        while (
            cloudfront.get_invalidation(DistributionId=distribution["Id"], Id=made["Id"])[
                "Invalidation"
            ]["Status"]
            != "Completed"
        ):
            time.sleep(0.2)

    invalidate("before")
    faults.send_request(root, "break", "stale-cdn")
    assert active(root) == {"stale-cdn"}
    invalidate("after")
    assert version(Page(root, "/")) == version(Page(root, "/", "alb"))
    assert active(root) == set()


def test_redirects_go_in_a_circle(root: Path) -> None:
    """Every page is a 301 to its own address, by a rule of the listener; then none is."""
    assert Page(root, "/").status == 200
    with broken(root, "redirect-loop"):
        for path in ("/", "/about", "/api/health?a=b"):
            answer = Page(root, path)
            assert answer.status == 301 and (answer.header("Location") or "").endswith(path), path
        elb = clients(root).elb
        [balancer] = elb.describe_load_balancers()["LoadBalancers"]
        [listener] = elb.describe_listeners(LoadBalancerArn=balancer["LoadBalancerArn"])[
            "Listeners"
        ]
        kinds = [
            rule["Actions"][0]["Type"]
            for rule in elb.describe_rules(ListenerArn=listener["ListenerArn"])["Rules"]
        ]
        assert kinds.count("redirect") == 1
    assert Page(root, "/").status == 200


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("certificate-expired", "certificate has expired"),
        ("certificate-early", "certificate is not yet valid"),
        ("certificate-other-host", "Hostname mismatch"),
        ("certificate-self-signed", "self-signed certificate"),
    ],
)
def test_certificates_that_a_client_refuses(root: Path, name: str, says: str) -> None:
    """Each is refused for its own reason, for the site's own name and authority; afterwards the
    site is trusted again.
    """
    with broken(root, name):
        assert says in certificate_problem(root)
        with pytest.raises(Refused, match=f"{name} is active and also changes certificate"):
            faults.send_request(
                root,
                "break",
                "certificate-early" if name != "certificate-early" else "certificate-expired",
            )
    assert certificate_problem(root) == ""


def test_a_stopped_database(root: Path) -> None:
    """RDS says stopped, nothing listens, and the backend's targets fail; started again the rows are
    there.
    """
    rds = clients(root).rds

    def status() -> str:
        return str(
            rds.describe_db_instances(DBInstanceIdentifier="davidshaevel-dev-db")["DBInstances"][0][
                "DBInstanceStatus"
            ]
        )

    with broken(root, "database-stopped"):
        assert status() == "stopped"
        with pytest.raises(psycopg.OperationalError, match="refused"):
            connect(root)
        until_ill(root, "dev-backend-tg", "Target.ResponseCodeMismatch")
        assert Page(root, "/api/health").status == 503 and Page(root, "/about").status == 200
        with pytest.raises(Refused, match="also changes the database"):
            faults.send_request(root, "break", "database-password")
    assert status() == "available" and states(root, "dev-backend-tg") == [("healthy", None)] * 2
    with connect(root) as connection:
        assert connection.execute("SELECT count(*) FROM public.projects").fetchone() == (1,)


def test_a_password_that_the_secret_does_not_know(root: Path) -> None:
    """PostgreSQL rejects what the secret holds, and so the backend's own connections; afterwards it
    takes it again.
    """
    with broken(root, "database-password"):
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            connect(root)
        assert Page(root, "/api/health").status == 503
    connect(root).close()
    assert Page(root, "/api/health").status == 200


def test_connections_that_nobody_closes(root: Path) -> None:
    """Nine of ten are taken, most of them by name; an operator who ends them has mended it."""
    taken = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'reports'"
    with broken(root, "database-connections"), connect(root) as connection:
        assert connection.execute(taken).fetchall()[0][0] > 35
        assert (
            connection.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'"
            ).fetchall()[0][0]
            >= 45
        )
    with connect(root) as connection:
        assert connection.execute(taken).fetchone() == (0,)
    faults.send_request(root, "break", "database-connections")
    with connect(root) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name "
            "= 'reports'"
        )
    until(lambda: not active(root))


def test_a_second_break_and_a_second_mend_change_nothing(root: Path) -> None:
    """It says that it is active already, or is not; nothing is done, and it is no error."""
    with broken(root, "page-500"):
        [again] = faults.send_request(root, "break", "page-500")
        assert not again["changed"] and "already active" in again["says"]
    [again] = faults.send_request(root, "mend", "page-500")
    assert not again["changed"] and "not active" in again["says"]
    assert faults.send_request(root, "mend-all") == []


def test_only_who_has_the_token_may_break(root: Path) -> None:
    """The token's file is its owner's alone; without it, or with another, the control port refuses
    and nothing is broken.
    """
    paths, record = Paths(root), read(Paths(root))
    assert record is not None and stat.S_IMODE(paths.token.stat().st_mode) == 0o600
    for headers in ({}, {"Authorization": "Bearer x"}):
        request = Request(
            f"http://127.0.0.1:{record.control}/faults/break", b'{"fault": "page-500"}', headers
        )
        with pytest.raises(HTTPError, match="403"):
            build_opener(ProxyHandler({})).open(request, timeout=5)
    assert active(root) == set()


def test_as_a_user_types_it(root: Path, new_checkout: Callable[[str], Checkout]) -> None:
    """`inv sandbox.break`, `faults`, `mend --all`: a line each, one JSON document with --json, exit
    code 0.
    """
    checkout = new_checkout("typed")
    (checkout.root / ".sandbox").symlink_to(root)
    done = checkout.inv("sandbox.break", "page-500", "sandbox.break", "page-500")
    assert done.returncode == 0 and re.search(
        r"^broken: page-500: GET /about answers 500 \(.+ s\)$", done.stdout, re.MULTILINE
    ), done
    assert "page-500 is already active" in done.stdout
    rows = checkout.document("sandbox.faults")["faults"]
    assert len({row["name"] for row in rows}) == len(rows) > 20
    assert {"name", "runbook", "cause", "active", "emulated"} <= set(rows[0]) and all(
        row["runbook"] and row["cause"] for row in rows
    )
    assert [row["name"] for row in rows if row["active"]] == ["page-500"]
    assert {row["name"] for row in rows if row["emulated"]} == {
        "out-of-memory",
        "wrong-architecture",
        "fargate-capacity",
        "vcpu-quota",
        "terraform-revert",
    }
    assert "broken: page-500" in checkout.inv("sandbox.status").stdout
    assert "* page-500" in checkout.inv("sandbox.faults").stdout
    [mended] = checkout.document("sandbox.mend", "--all")["faults"]
    assert mended["name"] == "page-500" and mended["changed"] and not mended["active"]
    assert checkout.inv("sandbox.mend", "--all").stdout == "no fault is active\n"


def test_what_is_refused_names_what_to_type(new_checkout: Callable[[str], Checkout]) -> None:
    """An unknown fault is exit 2 with the nearest name and all others, a sandbox that is down exit
    3, no name Invoke's own 1.
    """
    checkout = new_checkout("down")
    unknown = checkout.inv("sandbox.break", "page-50")
    assert (
        unknown.returncode == 2
        and " next: did you mean page-500?" in unknown.stderr
        and "redirect-loop" in unknown.stderr
    )
    down = checkout.inv("sandbox.mend", "page-500")
    assert down.returncode == 3 and " next: inv sandbox.up" in down.stderr
    assert checkout.inv("sandbox.break").returncode == 1
    assert not any(row["active"] for row in checkout.document("sandbox.faults")["faults"])


def test_the_catalog_is_read_without_aws() -> None:
    """`sandbox.faults` and completion list it without loading boto3 or moto."""
    heavy = "{'boto3', 'botocore', 'moto', 'psycopg'} & set(sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", f"import sys, ops.sandbox.faults.catalog; print({heavy})"],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "set()\n"


def test_the_page_names_every_fault() -> None:
    """docs/sandbox.md has a line for each, with what it must be found to be."""
    page = (Path(__file__).parents[2] / "docs/sandbox.md").read_text(encoding="utf-8")
    missing = [
        fault.name
        for fault in catalog.FAULTS
        if f"| `{fault.name}` | {fault.says} | `{fault.cause}` |" not in page
    ]
    assert not missing


def version(page: Page) -> str:
    found = re.search(r"version ([\w.-]+)</footer>", page.body)
    assert found, page.body
    return found[1]
