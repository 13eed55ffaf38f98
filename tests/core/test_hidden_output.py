"""Known secrets are hidden at the few places through which everything is printed, raised and
stored.
"""

from __future__ import annotations

import ast
import io
import json
from pathlib import Path
from typing import Any

import pytest

from ops.core import ui
from ops.core.errors import OpsError
from ops.core.redaction.redact import known, redact
from ops.health import history
from ops.state import outbox
from tests.front_door import ROOT

SECRET = 's3cret "value" é'


@pytest.fixture(autouse=True)
def learned() -> None:
    known.add(SECRET)


def test_what_is_printed_holds_no_known_secret(capsys: pytest.CaptureFixture[str]) -> None:
    """stdout, stderr and a question's prompt, whoever prints."""
    with ui.ignore_broken_pipes():
        print(f"result {SECRET}")
        ui.progress(f"progress {SECRET}")
        ui.read_answer(f"{SECRET}? ", lambda _: "y")
    out, err = capsys.readouterr()
    assert out == "result ***\n"
    assert err == "progress ***\n***? "


def test_a_document_holds_no_known_secret() -> None:
    """It stays one line of JSON, though the secret has quotes."""
    stream = io.StringIO()
    ui.write_document(stream, {"why": f"boom {SECRET}", "findings": ({"text": SECRET},)})
    assert json.loads(stream.getvalue()) == {"why": "boom ***", "findings": [{"text": "***"}]}


def test_an_error_holds_no_known_secret() -> None:
    """Neither in its lines, which Invoke prints, nor in its document."""
    error = OpsError(f"connect with {SECRET}", json.dumps(SECRET), f"psql '{SECRET}'")
    assert "s3cret" not in str(error) + str(error.message) + json.dumps(error.as_document())
    assert error.what == "connect with ***"


def test_files_hold_no_known_secret(tmp_path: Path) -> None:
    """Records that wait to be sent, and runs of health checks that are kept."""
    document: dict[str, Any] = {"why": SECRET, "at": "2026-11-30T00:00:00Z", "checks": []}
    kept = (
        outbox.put(tmp_path, "a/key", document),
        history.write_run(tmp_path / "sweep.json", document),
    )
    for path in kept:
        assert json.loads(path.read_text())["why"] == "***"


def test_text_of_another_program_cannot_paint_or_move() -> None:
    """Colours go, other control characters are visible; lines and tabs stay."""
    assert ui.plain("\x1b[0;31mred\x1b[0m\x1b[K\tx\n\x1b[2J\x07") == "red\tx\n\\x1b[2J\\x07"


def literals() -> list[str]:
    """Every text that our own messages and advice are made of."""
    found = []
    for file in sorted((ROOT / "ops").rglob("*.py")):
        if {"sandbox", "redaction"} & set(file.parts):
            continue
        tree = ast.parse(file.read_text(encoding="utf-8"))
        docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        found += [
            node.value
            for node in ast.walk(tree)
            if isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and id(node) not in docstrings
        ]
    return found


def test_our_own_advice_is_not_taken_for_a_secret() -> None:
    """None of the texts in the program is changed."""
    texts = literals()
    assert len(texts) > 2000
    assert [text for text in texts if redact(text) != text] == []
