"""Single checks by table: what was seen makes ok, failed or unknown, and never green where nothing
could be seen.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ops.aws.facts import (
    ContainerState,
    Deployment,
    Ingress,
    ServiceState,
    Target,
    TargetGroup,
    TaskDefinition,
    TaskState,
)
from ops.cdn.facts import CacheAnswer, Distribution, EdgeProof
from ops.cdn.rules.distribution import RunningSince
from ops.core.findings import Unknown
from ops.health.model import Check
from ops.health.rules import database, edge, services
from ops.health.rules import pages as health_pages
from ops.health.rules import targets as health_targets
from ops.http.facts import Answer
from ops.postgres.facts import connection_problem
from ops.state.model import ReleaseRecord

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
DONE = Deployment("ecs-svc/1", "PRIMARY", "arn:td/b:1", 2, 2, 0, 0, "COMPLETED", "", NOW)
STATE = ServiceState("b", "ACTIVE", "arn:td/b:1", 2, 2, 0, (DONE,), (), ())
NONE = replace(STATE, desired=0, running=0)
TASK = TaskState(
    "arn/t1",
    "RUNNING",
    "RUNNING",
    "ecs-svc/1",
    "arn:td/b:1",
    "UNKNOWN",
    "",
    "",
    (ContainerState("app", "r:abc", "sha256:aaa", "RUNNING", None, ""),),
)
OTHER = replace(TASK, arn="arn/t2", containers=(replace(TASK.containers[0], digest="sha256:bbb"),))
OF_WEB = replace(TASK, containers=(replace(TASK.containers[0], name="web"),))
LATEST = TaskDefinition("arn:td/b:1", "ACTIVE", "amd64", {})
RELEASE = ReleaseRecord(tag="abc", digest="sha256:aaa")


def ecs(**facts: Any) -> dict[str, Check]:
    given = {
        "state": STATE,
        "tasks": (TASK, replace(TASK, arn="arn/t3")),
        "latest": LATEST,
        "release": RELEASE,
        **facts,
    }
    return {
        check.name: check
        for check in services.checks(services.ServiceFacts("backend", "b", "app", **given))
    }


def test_a_steady_service_is_all_green() -> None:
    """Tasks, deployment, image and revision."""
    assert {check.status for check in ecs().values()} == {"ok"} and len(ecs()) == 4


@pytest.mark.parametrize(
    ("facts", "name", "status", "says"),
    [
        ({"state": None}, "backend tasks", "failed", "ECS has no service b"),
        ({"state": Unknown("may not")}, "backend tasks", "unknown", "may not"),
        ({"tasks": Unknown("denied")}, "backend tasks", "unknown", "denied"),
        ({"tasks": Unknown("denied")}, "backend image", "unknown", "denied"),
        (
            {"tasks": (OF_WEB,), "release": None},
            "backend image",
            "unknown",
            "the tasks have no container app, only web; correct services.backend.container",
        ),
        (
            {"tasks": (OF_WEB,)},
            "backend image",
            "failed",
            "task t1 has no container app, only web, the last release is abc",
        ),
        (
            {"state": replace(STATE, running=1, pending=1)},
            "backend tasks",
            "failed",
            "1 run, 1 pending, expected 2",
        ),
        (
            {"state": replace(STATE, status="DRAINING")},
            "backend tasks",
            "failed",
            "the service is DRAINING, expected ACTIVE",
        ),
        (
            {"tasks": (replace(TASK, health="UNHEALTHY"), TASK)},
            "backend tasks",
            "failed",
            "2/2 run, UNHEALTHY by the container's own",
        ),
        (
            {"state": replace(STATE, deployments=(DONE, DONE))},
            "backend deployment",
            "failed",
            "2 deployments, COMPLETED, expected one",
        ),
        (
            {"state": replace(STATE, deployments=())},
            "backend deployment",
            "unknown",
            "no primary deployment",
        ),
        (
            {"state": replace(STATE, deployments=(replace(DONE, rollout_state="IN_PROGRESS"),))},
            "backend deployment",
            "failed",
            "IN_PROGRESS, expected one that is COMPLETED",
        ),
        (
            {"state": NONE, "tasks": ()},
            "backend tasks",
            "failed",
            "scaled to 0 (0 run), expected at least one",
        ),
        ({"state": NONE, "tasks": ()}, "backend image", "unknown", "no task is running"),
        ({"tasks": (TASK,)}, "backend tasks", "unknown", "ECS counts 2 tasks and lists 1"),
        (
            {"tasks": (TASK, replace(TASK, status="HIBERNATED"))},
            "backend tasks",
            "unknown",
            "1 are RUNNING, others HIBERNATED",
        ),
        (
            {"tasks": (TASK, OTHER)},
            "backend image",
            "failed",
            "task t2 runs sha256:bbb, not sha256:aaa, the last release is abc",
        ),
        (
            {"tasks": (TASK, OTHER), "release": None},
            "backend image",
            "failed",
            "2 images run, expected one",
        ),
        ({"release": None}, "backend image", "ok", "no release is recorded"),
        ({"tasks": (), "release": None}, "backend image", "unknown", "no task is running"),
        ({"release": Unknown("no such bucket")}, "backend image", "unknown", "no such bucket"),
        (
            {"latest": replace(LATEST, arn="arn:td/b:2")},
            "backend revision",
            "ok",
            "b:1; the family's latest is b:2, which does not run",
        ),
        ({"latest": None}, "backend revision", "unknown", "no ACTIVE revision"),
    ],
)
def test_a_service_that_is_not(facts: dict[str, Any], name: str, status: str, says: str) -> None:
    """Each names what was seen, and what was expected."""
    check = ecs(**facts)[name]
    assert check.status == status and says in check.detail
    assert (check.finding is not None) == (status == "failed")


GROUP = TargetGroup("arn:tg/1", "tg", 3001, "/api/health", 30, 2, 3)
WRONG = replace(GROUP, health_path="/wrong")
WELL = Target("10.0.0.1", 3001, "healthy")


def target(reason: str, description: str = "", state: str = "unhealthy") -> Target:
    return Target("10.0.0.2", 3001, state, reason, description)


@pytest.mark.parametrize(
    ("targets", "more", "status", "cause"),
    [
        ((WELL,), {}, "ok", ""),
        ((WELL, target("", state="draining")), {}, "ok", ""),
        ((), {}, "failed", "no_targets"),
        ((target("Elb.InitialHealthChecking", state="initial"),), {}, "failed", "no_targets"),
        (Unknown("u may not elasticloadbalancing:DescribeTargetHealth"), {}, "unknown", ""),
        (
            (WELL, target("Target.ResponseCodeMismatch", "[404]")),
            {"group": WRONG},
            "failed",
            "target_unhealthy",
        ),
        ((), {"group": WRONG}, "failed", "target_unhealthy"),  # its tasks have been stopped already
        ((target("Target.ResponseCodeMismatch", "[503]"),), {}, "failed", "target_unhealthy"),
        ((target("Target.FailedHealthChecks"),), {}, "failed", "target_port"),
        ((target("Target.Timeout"),), {}, "failed", "target_timeout"),
        (
            (target("Target.Timeout"),),
            {"security_groups": ("sg-1",), "ingress": ()},
            "failed",
            "security_group_closed",
        ),
        (
            (),
            {"security_groups": ("sg-1",), "balancer": ("sg-alb",), "ingress": ()},
            "failed",
            "security_group_closed",
        ),
        (
            (target("", state="initial"),),
            {"security_groups": ("sg-1",), "ingress": ()},
            "failed",
            "security_group_closed",
        ),
        ((), {"security_groups": ("sg-1",), "ingress": Unknown("denied")}, "failed", "no_targets"),
        (
            (target("Target.Timeout"),),
            {
                "security_groups": ("sg-1",),
                "balancer": ("sg-alb",),
                "ingress": (Ingress("tcp", 22, 22, ("sg-alb",)),),
            },
            "failed",
            "security_group_closed",
        ),
        (
            (target("Target.Timeout"),),
            {
                "security_groups": ("sg-1",),
                "balancer": ("sg-alb",),
                "ingress": (Ingress("tcp", 3000, 3100, ("sg-alb",)),),
            },
            "failed",
            "target_timeout",
        ),
        (
            (target("Target.Timeout"),),
            {"security_groups": ("sg-1",), "ingress": Unknown("denied")},
            "failed",
            "target_timeout",
        ),
        (
            (target("Target.Timeout"),),
            {
                "security_groups": ("sg-1",),
                "balancer": (),
                "ingress": (Ingress("tcp", 3001, 3001, ("sg-alb",)),),
            },
            "failed",
            "target_timeout",
        ),
    ],
)
def test_why_targets_are_not_healthy(
    targets: Any, more: dict[str, Any], status: str, cause: str
) -> None:
    """By the load balancer's reasons, and by the security groups where it gets no answer."""
    given = {
        "service": "backend",
        "group": GROUP,
        "name": "tg",
        "targets": targets,
        "health_path": "/api/health",
        **more,
    }
    check = health_targets.check(health_targets.GroupFacts(**given))
    assert (check.status, check.finding.cause if check.finding else "") == (status, cause)
    sources = [each.source for each in check.finding.evidence] if check.finding else []
    assert ("network ACLs" in sources) is (cause == "target_timeout")


@pytest.mark.parametrize(
    ("balancer", "confidence", "fix"),
    [
        (
            ("sg-alb",),
            "certain",
            (
                "aws ec2 authorize-security-group-ingress --group-id sg-1 --protocol tcp "
                "--port 3001 --source-group sg-alb",
                "inv tf.drift",
            ),
        ),
        ((), "likely", ("inv tf.drift",)),
    ],
)
def test_a_command_that_opens_a_group_names_the_load_balancers(
    balancer: tuple[str, ...], confidence: str, fix: tuple[str, ...]
) -> None:
    """A target group that no load balancer uses has no group to let in: no command with a gap."""
    found = health_targets.check(
        health_targets.GroupFacts(
            "backend",
            GROUP,
            "tg",
            (target("Target.Timeout"),),
            "/api/health",
            ingress=(),
            balancer=balancer,
            security_groups=("sg-1",),
        )
    ).finding
    assert found and (found.cause, found.confidence) == ("security_group_closed", confidence)
    assert found.fix == fix


UP, DRAINING = (Target("10.0.0.1", 3001, "healthy"),), (Target("10.0.0.2", 3001, "draining"),)


@pytest.mark.parametrize(
    ("blue", "green", "serving"),
    [
        (UP, (), "blue"),
        ((), UP, "green"),
        (DRAINING, UP, "green"),
        ((), (), "blue"),
        ((), Unknown("denied"), "green"),
        (Unknown("denied"), UP, "green"),
        (Unknown("denied"), Unknown("denied"), "blue"),
    ],
)
def test_production_alternates_between_a_pair_of_target_groups(
    blue: Any, green: Any, serving: str
) -> None:
    """The idle group of a blue/green service is not checked; what cannot be read is not taken for
    idle.
    """
    assert health_targets.serving_group({"blue": blue, "green": green}) == serving


@pytest.mark.parametrize(
    ("weights", "serving"),
    [
        ({"blue": 100, "green": 0}, "blue"),
        ({"blue": 5, "green": 95}, "green"),
        ({}, "green"),
        ({"other": 100}, "green"),
    ],
)
def test_the_group_that_gets_productions_traffic_is_checked(
    weights: dict[str, int], serving: str
) -> None:
    """A new version under test is healthy while production, which is down, has the traffic."""
    down = (Target("10.0.0.1", 3001, "unhealthy"),)
    assert health_targets.serving_group({"blue": down, "green": UP}, weights) == serving


def test_what_is_not_the_release_is_proved_and_recorded_by_its_own_tag() -> None:
    """The advice never deploys another version than the one that runs: whether to go back is a
    person's decision.
    """
    newer = replace(TASK.containers[0], image="r:443/app:def@sha256:bbb", digest="sha256:bbb")
    found = ecs(
        tasks=tuple(replace(TASK, arn=f"arn/{name}", containers=(newer,)) for name in "ab")
    )["backend image"].finding
    assert found and found.fix == ("inv backend.releases", "inv backend.deploy --tag def")
    mixed = ecs(tasks=(replace(TASK, containers=(newer,)), OTHER))["backend image"].finding
    assert mixed and mixed.fix == ("inv backend.releases",)


@pytest.mark.parametrize(
    ("answer", "status", "cause"),
    [
        (Answer("/", 200, "text/html", 0.1), "ok", ""),
        (Answer("/", 200, "text/html", 2.5), "failed", "page_slow"),
        (
            Answer("/", 502, "text/html", 0.1, "status: 502, expected 200", "page_failing", True),
            "failed",
            "page_failing",
        ),
        (
            Answer("/", 0, "", 10.0, "no answer in time (10 s)", "page_hangs"),
            "failed",
            "page_hangs",
        ),
        (
            Answer("/", 0, "", 0.0, "not asked: 32 others had no answer yet", "not_asked"),
            "unknown",
            "",
        ),
    ],
)
def test_a_page(answer: Answer, status: str, cause: str) -> None:
    """Right, slow, wrong or silent."""
    check = health_pages.page_check(health_pages.PageResult("frontend", "cdn", answer), 2.0)
    assert (check.status, check.finding.cause if check.finding else "") == (status, cause)
    assert check.name == "GET / via cdn"


def test_one_way_alone_makes_the_time() -> None:
    """A CDN that is silent leaves no time: the load balancer's is another measure."""

    def pages(status: int) -> list[health_pages.PageResult]:
        answers = {
            "cdn": Answer("/", status, "text/html", 0.1),
            "alb": Answer("/", 200, "text/html", 0.7),
        }
        return [
            health_pages.PageResult("frontend", layer, answer) for layer, answer in answers.items()
        ]

    assert [
        dict(check.numbers)
        for check in health_pages.checks(pages(200), 2.0)
        if check.name == "time"
    ] == [{"p50": 0.1, "late": 0.0}]
    assert not [check for check in health_pages.checks(pages(0), 2.0) if check.name == "time"]
    assert health_pages.checks(pages(200)[1:], 2.0)[-1].numbers["p50"] == 0.7


def test_a_status_is_said_once() -> None:
    """`503, expected 200`, and what the body said."""
    answer = Answer(
        "/", 503, "text/html", 0.1, "status: 503, expected 200; body: empty", "page_failing", True
    )
    assert (
        health_pages.page_check(health_pages.PageResult("frontend", "cdn", answer), 2.0).detail
        == "status: 503, expected 200; body: empty"
    )


@pytest.mark.parametrize(
    ("at", "released", "status", "says"),
    [
        ("0002", {}, "ok", "at 0002; pending: 0003 c"),
        ("0002", {"backend": "0002"}, "ok", "at 0002"),
        ("0002", {"backend": "0001"}, "ok", "at 0002"),
        ("0002", {"backend": "0003"}, "failed", "backend was released at 0003"),
        (None, {"backend": "0001"}, "failed", "at no revision"),
        ("0009", {"backend": "0001"}, "unknown", "does not know revision 0009"),
        ("0002", {"backend": "0009"}, "unknown", "does not know revision 0009"),
    ],
)
def test_the_schema_beside_the_releases(
    at: str | None, released: dict[str, str], status: str, says: str
) -> None:
    """Behind what a running release was made for is a failure; what is pending is only named."""
    check = database.schema(at, ("0001", "0002", "0003"), ("0003 c",), released)
    assert check.status == status and says in check.detail


def test_the_database_by_its_words() -> None:
    """Stopped, refused by password, refused by TLS: told apart; a secret that names another host is
    one failure too.
    """
    assert database.instance("db", "available").status == "ok"
    stopped, rebooting = database.instance("db", "stopped"), database.instance("db", "rebooting")
    assert (
        stopped.finding
        and stopped.finding.cause == "database_stopped"
        and stopped.finding.fix == ("inv db.start",)
    )
    assert rebooting.finding and rebooting.finding.cause == "database_unavailable"
    for why, cause in (
        ('password authentication failed for user "app"', "database_password_rejected"),
        ("no pg_hba.conf entry for host, no encryption", "database_tls"),
        ("connection refused", "database_unreachable"),
    ):
        problem = connection_problem(why)
        found = database.unreachable("database x", why, "do this", problem).finding
        assert found and found.cause == cause and found.fix[0] == "do this"
    assert database.secret("s", {"username": "u", "password": "p"}, {"h"}).status == "ok"
    assert (
        database.secret("s", {"username": "u", "password": "p", "host": "old"}, {"new", ""}).status
        == "failed"
    )
    assert "p" not in database.secret("s", {"username": "u"}, set()).detail.replace(
        "password", ""
    ).replace("expected", "")
    full = database.Connected("16", "1", 95, 100, 0.1)
    assert database.connections(full).status == "failed"
    assert database.connections(replace(full, connections=10)).status == "ok"


def test_certificates_by_their_dates() -> None:
    """Each of the chain by itself: over, not begun, about to end, well."""

    def status(begins: int, ends: int) -> str:
        check = edge.dates(
            "h", 1, "CN=x", NOW + timedelta(days=begins), NOW + timedelta(days=ends), NOW, 21
        )
        return check.finding.cause if check.finding else check.status

    assert [status(-9, -1), status(1, 90), status(-9, 20), status(-9, 22)] == [
        "certificate_expired",
        "certificate_not_yet_valid",
        "certificate_expires_soon",
        "ok",
    ]


def test_the_cdn() -> None:
    """A distribution that is not Deployed, or disabled; a page kept from before the deployment."""
    well = Distribution("E1", "d", "Deployed", True, ("a",), "", ("alb http-only",))
    assert edge.distribution(well).status == "ok" and "http-only" in edge.distribution(well).detail
    assert edge.distribution(replace(well, status="InProgress")).status == "failed"
    assert edge.distribution(replace(well, enabled=False)).status == "failed"
    assert edge.distribution(well, "http-only").status == "ok"
    wrong = edge.distribution(replace(well, origins=("alb http-only", "bucket s3")), "https-only")
    assert (
        wrong.finding
        and wrong.finding.cause == "origin_protocol"
        and "alb http-only" in wrong.finding.summary
    )
    old = CacheAnswer("/", 200, "hit", 600, "X")
    ago = [NOW - timedelta(seconds=seconds) for seconds in (900, 400, 300)]
    restarted, since = RunningSince(ago[0], ago[2]), RunningSince(ago[1], ago[2])
    for running in (since, restarted, RunningSince()):
        for state, status in (("stale", "failed"), ("fresh", "ok"), ("unknown", "unknown")):
            proof = EdgeProof(state, "content", "sha256 1, the origin's is sha256 2")
            older = edge.cache("/", "frontend", old, running, NOW, proof)
            assert older.status == status and proof.why in older.detail
            assert "before the deployment" not in older.detail or running is since
            if older.finding:
                assert older.finding.cause == "stale_cache"
                assert older.finding.evidence[1].text == proof.why
        assert edge.cache("/", "frontend", old, running, NOW).status == "unknown"
    assert edge.cache("/", "frontend", replace(old, age_s=100), restarted, NOW).status == "ok"
    for blind in (
        replace(old, cache="none"),
        replace(old, status=503, cache="error"),
        replace(old, status=404),
    ):
        check = edge.cache("/", "frontend", blind, since, NOW)
        assert check.status == "unknown" and "HEAD /" in check.detail
    undated = edge.cache("/", "frontend", replace(old, age_s=None), since, NOW)
    assert undated.status == "unknown" and "its age is not known" in undated.detail
    moved = replace(old, status=301, cache="miss", age_s=None)
    assert edge.cache("/", "frontend", moved, since, NOW).status == "ok"


@pytest.mark.parametrize(
    ("state", "tasks", "says"),
    [
        (NONE, "ok", "scaled to 0, as expected (expect: stopped)"),
        (STATE, "failed", "2/2 run, expected none (expect: stopped)"),
        (replace(NONE, running=1), "failed", "1/0 run, expected none (expect: stopped)"),
        (replace(NONE, status="DRAINING"), "failed", "the service is DRAINING, expected ACTIVE"),
        (None, "ok", "ECS has no service b, as expected (expect: stopped)"),
        (Unknown("may not"), "unknown", "may not"),
    ],
)
def test_a_service_that_is_meant_to_be_stopped(state: Any, tasks: str, says: str) -> None:
    """Zero tasks and a missing service are healthy; a running or unreadable one is not."""
    found = ecs(state=state, tasks=(), expect_stopped=True)
    assert (found["backend tasks"].status, found["backend tasks"].detail) == (tasks, says)
    if isinstance(state, ServiceState):
        assert found["backend image"].status == "skipped"
        assert found["backend deployment"].status == "ok"


def test_a_daemon_service_without_instances_is_not_scaled_up() -> None:
    """Its count is the number of container instances, so UpdateService is no advice."""
    finding = ecs(state=replace(NONE, scheduling="DAEMON"), tasks=())["backend tasks"].finding
    assert finding and "update-service" not in finding.fix[0]
    assert "container instance" in finding.fix[0] and "expect: stopped" in finding.fix[0]


def test_a_check_of_another_method_is_named_by_it() -> None:
    assert health_pages.check_key("HEAD /x", "cdn").name == "HEAD /x via cdn"
    assert health_pages.check_key("admin.test/x", "alb").name == "GET admin.test/x via alb"


@pytest.mark.parametrize(
    ("status", "public", "address", "host", "sources", "reason"),
    [
        ("available", False, "db.rds", "db.rds", None, "PubliclyAccessible false"),
        ("backing-up", False, "db.rds", "db.rds", None, "PubliclyAccessible false"),
        ("available", True, "db.rds", "db.rds", "192.0.2.0/24", "its port from 192.0.2.0/24"),
        ("stopped", False, "db.rds", "db.rds", None, None),
        ("stopped", True, "db.rds", "db.rds", "192.0.2.0/24", None),
        ("available", True, "db.rds", "db.rds", None, None),
        ("available", None, "db.rds", "db.rds", None, None),
        ("available", False, "", "", None, None),
        ("available", False, "db.rds", "127.0.0.1", None, None),
        ("available", True, "db.rds", "127.0.0.1", "nobody", None),
    ],
)
def test_a_private_database_is_not_down_because_a_laptop_cannot_reach_it(
    status: str,
    public: bool | None,
    address: str,
    host: str,
    sources: str | None,
    reason: str | None,
) -> None:
    """Only the address of a running instance that RDS calls private, or whose security groups do
    not admit everyone; a stopped one is down.
    """
    found = database.private_reason(status, public, {address}, host, sources)
    assert (found is None) if reason is None else bool(found and reason in found)


def test_what_terraform_has_taken_down_on_purpose_is_no_failure() -> None:
    """A pilot light: the service is gone, not only scaled to 0; nothing of it is unknown."""
    found = ecs(state=None, expect_stopped=True)
    assert {name: check.status for name, check in found.items()} == {
        "backend tasks": "ok",
        "backend deployment": "skipped",
        "backend image": "skipped",
        "backend revision": "skipped",
    }
    assert "as expected (expect: stopped)" in found["backend tasks"].detail
    missing = ecs(state=None)["backend tasks"]
    assert missing.status == "failed"


@pytest.mark.parametrize("status", ["INACTIVE", None])
def test_a_cluster_that_is_gone(status: str | None) -> None:
    """Expected of an environment that is meant to be down; else the ways out are named."""
    down = services.cluster("dev", status, expect_stopped=True)
    assert down.status == "ok" and "as expected" in down.detail
    failed = services.cluster("dev", status, by_terraform=True)
    assert failed.status == "failed" and failed.finding is not None
    assert failed.finding.fix == (
        "correct cluster in invoke.yaml",
        "if Terraform has to create it: inv tf.plan",
    )
    alone = services.cluster("dev", status)
    assert alone.finding is not None and alone.finding.fix == ("correct cluster in invoke.yaml",)
    assert services.cluster("dev", "ACTIVE", expect_stopped=True).status == "ok"
