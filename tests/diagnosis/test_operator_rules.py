"""Rules of access and locks: found although nothing of AWS can be read, and silent otherwise."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest

from ops.diagnosis import render
from ops.diagnosis.diagnose import diagnose
from ops.diagnosis.model import Diagnosis
from ops.diagnosis.rules import topics
from tests.diagnosis.database_incidents import check, clocks, healthy
from tests.diagnosis.incidents import SUBJECT, causes, find, snapshot

MISMATCH = "The request signature we calculated does not match the signature you provided."
EXPIRED = (
    "Signature expired: 20261128T023000Z is now earlier than 20261128T024500Z "
    "(20261128T030000Z - 15 min.)"
)


def refused(code: str, message: str = "", machine: str = "2026-11-28T03:00:00+00:00") -> Diagnosis:
    """A diagnosis in which AWS answers every call with this error."""
    identity = {"refused": {"code": code, "message": message}, **clocks(machine)}
    unread = {key: f"{key}: {code}" for key in healthy() if key not in ("aws/identity", "sweep")}
    sweep = {"healthy": False, "checks": [check("ecs", "cluster", status="unknown")]}
    return find({"aws/identity": identity, "sweep": sweep}, unread)


@pytest.mark.parametrize(
    ("code", "message", "machine", "cause"),
    [
        ("ExpiredToken", "The security token is expired", "", "credentials_expired"),
        ("UnauthorizedSSOTokenError", "The SSO session has expired", "", "sso_session_ended"),
        ("SSOTokenLoadError", "Error loading SSO Token", "", "sso_session_ended"),
        ("NoCredentialsError", "Unable to locate credentials", "", "credentials_missing"),
        ("InvalidClientTokenId", "The security token is invalid.", "", "credentials_invalid"),
        ("SignatureDoesNotMatch", MISMATCH, "", "credentials_invalid"),
        ("SignatureDoesNotMatch", EXPIRED, "", "clock_wrong"),
        ("SignatureDoesNotMatch", EXPIRED.replace("expired", "not yet current"), "", "clock_wrong"),
        ("SignatureDoesNotMatch", MISMATCH, "2026-11-28T03:20:00+00:00", "clock_wrong"),
        ("RequestTimeTooSkewed", "The difference is too large.", "", "clock_wrong"),
        ("RequestExpired", "Request has expired.", "2026-11-28T02:30:00+00:00", "clock_wrong"),
    ],
)  # fmt: skip
def test_a_refusal_of_aws_is_the_only_root(
    code: str, message: str, machine: str, cause: str
) -> None:
    found = refused(code, message, machine or "2026-11-28T03:00:00+00:00")
    assert causes(found) == [cause]
    finding = found.roots[0].candidate.finding
    assert f"{code}: {message}" in finding.evidence[0].text
    assert (SUBJECT["login"] in finding.fix) is (cause != "clock_wrong")


@pytest.mark.parametrize(
    "code",
    ["RefreshWithMFAUnsupportedError", "FileNotFoundError", "CredentialsNotLoaded", "AccessDenied"],
)
def test_credentials_that_cannot_be_loaded_are_the_only_root(code: str) -> None:
    """The advice is the error's own, since it names the setting that fails."""
    refusal = {"code": code, "message": "no code", "login": "run it on a terminal"}
    unread = {key: f"{key}: {code}" for key in healthy() if key not in ("aws/identity", "sweep")}
    answered = clocks("2026-11-28T03:00:00+00:00") if code == "AccessDenied" else {}
    identity = {"refused": refusal, **answered}
    found = find({"aws/identity": identity, "sweep": healthy()["sweep"]}, unread)
    assert causes(found) == ["credentials_missing"]
    assert found.roots[0].candidate.finding.fix == ("run it on a terminal",)


def test_credentials_of_another_account_are_the_only_root() -> None:
    documents = healthy()
    documents["aws/identity"]["account"] = "210987654321"
    documents["sweep"]["checks"].append(check("ecs", "cluster"))
    found = find(documents)
    assert causes(found) == ["wrong_account"]
    assert "210987654321" in found.roots[0].candidate.finding.evidence[0].text


@pytest.mark.parametrize(
    ("subject", "fix"),
    [
        ({"profile": "ours"}, r"correct environments.dev.aws.profile \(ours\)"),
        ({"overlay": "local.yaml"}, "correct aws.access_key and aws.secret_key in local.yaml"),
        ({}, "set environments.dev.aws.profile"),
    ],
)
def test_other_credentials_are_chosen_where_these_came_from(
    subject: dict[str, str], fix: str
) -> None:
    """Logging in again to the same profile does not change the account."""
    documents = healthy()
    documents["aws/identity"]["account"] = "210987654321"
    found = diagnose(replace(snapshot(documents), subject={**SUBJECT, **subject}))
    assert re.match(fix, found.roots[0].candidate.finding.fix[0])


def test_the_direction_of_a_wrong_clock_is_named() -> None:
    found = refused("SignatureDoesNotMatch", EXPIRED, "2026-11-28T02:40:00+00:00")
    assert "clock is 20 minutes behind" in found.roots[0].candidate.finding.summary


def test_documents_of_aws_that_could_not_be_read_are_one_line() -> None:
    text = render.as_text(refused("ExpiredToken", "expired"), topics.ALL)
    lines = [line for line in text.splitlines() if line.startswith("unknown")]
    assert len(lines) == 1 and "credentials_expired" in lines[0]


def test_an_unreachable_aws_is_none_of_these() -> None:
    found = refused("EndpointConnectionError", "Could not connect to the endpoint URL")
    assert causes(found) == []
    text = render.as_text(found, topics.ALL)
    assert sum(line.startswith("unknown") for line in text.splitlines()) > 5


def state_lock(**fields: Any) -> dict[str, Any]:
    return {
        "name": "bucket/key",
        "owner": "sam@build-7",
        "id": "abc",
        "store": "s3",
        "text": "sam@build-7 holds it for 25 minutes",
        "on_this_host": False,
        "may_live": "",
        **fields,
    }


YOUNG = "the lock was taken 1 m ago, less than 1 h"
TERRAFORM = {"pid": 7, "started": "", "command": "terraform apply", "in_directory": True}
DEPLOY = {
    "name": "backend",
    "owner": "sam",
    "host": "build-7",
    "reason": "deploy",
    "text": "sam holds it",
    "expired": False,
}


@pytest.mark.parametrize(
    ("lock", "processes", "deploys", "expected"),
    [
        ({}, [], [], ("state_lock_stale", "likely")),
        ({"may_live": YOUNG}, [], [], ("state_lock_alive", "likely")),
        ({"on_this_host": True}, [], [], ("state_lock_dead_process", "certain")),
        ({"on_this_host": True, "may_live": YOUNG}, [], [], ("state_lock_dead_process", "likely")),
        (
            {"on_this_host": True, "may_live": "pid 7"},
            [TERRAFORM],
            [],
            ("state_lock_alive", "certain"),
        ),
        ({"may_live": YOUNG}, [], [DEPLOY], None),  # a rollout by Terraform
    ],
)
def test_a_state_lock_is_stale_alive_or_of_a_dead_process(
    lock: Any, processes: list[Any], deploys: list[Any], expected: tuple[str, str] | None
) -> None:
    documents = healthy()
    documents["terraform/locks"].update(locks=[state_lock(**lock)], processes=processes)
    documents["locks"] = deploys
    finding = {"cause": "state_locked", "summary": "locked", "confidence": "certain"}
    documents["sweep"]["checks"].append(check("terraform", "state lock", finding=finding))
    found = find(documents)
    assert [(each.cause, each.candidate.finding.confidence) for each in found.roots] == (
        [expected] if expected else []
    )


def test_a_lock_that_a_killed_deploy_left_is_found() -> None:
    documents = healthy()
    documents["locks"] = [DEPLOY]
    assert causes(find(documents)) == []
    documents["locks"] = [{**DEPLOY, "expired": True}]
    found = find(documents)
    assert causes(found) == ["deploy_lock_left"]
    assert found.roots[0].candidate.finding.fix == ("inv lock.release --name backend",)
