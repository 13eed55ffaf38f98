"""Suggested commands as they must be typed."""

from __future__ import annotations

import pytest

from ops.core.invocation import Invocation


def started(typed: str, config: str | None = None, environment: str | None = None) -> Invocation:
    found, environ = Invocation(), {"OPS_INV": typed}
    found.start(environ)
    found.set_options(config, environment)
    assert environ == {}
    return found


@pytest.mark.parametrize(
    ("text", "typed"),
    [
        (" next: inv db.start, then run it again", " next: ./inv db.start, then run it again"),
        ("run `inv sandbox.up`", "run `./inv sandbox.up`"),
        ("inv --list", "./inv --list"),
        ("inv status; inv preflight", "./inv status; ./inv preflight"),
        ("INVOKE_ENV=dev inv health.all", "INVOKE_ENV=dev ./inv health.all"),
        ("inv db.TASK", "./inv db.TASK"),
        ("inv TASK --json", "./inv TASK --json"),
        ("inv SERVICE.exec", "./inv SERVICE.exec"),
        ("../inv db.start", "../inv db.start"),
        ("SELECT * FROM invoices inv JOIN x ON inv.id = x.id", None),
        ("SELECT inv FROM a", None),
        ("inventory inv", None),
    ],
)
def test_inv_is_written_as_it_was_typed(text: str, typed: str | None) -> None:
    assert started("./inv").as_typed(text) == (typed or text)
    assert Invocation().as_typed(text) == text


def test_the_core_options_of_the_run_are_repeated() -> None:
    """Otherwise the suggested command would act in another environment."""
    found = started("./inv", "other one.yaml", "dev")
    text = "inv db.start; inv sandbox.up; inv --list; INVOKE_ENV=a inv status"
    assert found.as_typed(text) == (
        "./inv -f 'other one.yaml' --env dev db.start; ./inv sandbox.up; ./inv --list; "
        "INVOKE_ENV=a ./inv status"
    )


def test_a_path_is_quoted_and_a_document_changes_in_its_commands_only() -> None:
    found = started("/a b/inv")
    document = {
        "why": "inv db.start",
        "next": "inv db.start",
        "findings": [{"fix": ["inv tf.plan"]}],
    }
    assert found.in_document(document) == {
        "why": "inv db.start",
        "next": "'/a b/inv' db.start",
        "findings": [{"fix": ["'/a b/inv' tf.plan"]}],
    }
