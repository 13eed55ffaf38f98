"""Questions before a change."""

from __future__ import annotations

import pytest

from ops.core import ui
from ops.core.errors import Refused


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if a person could answer."""
    monkeypatch.setattr(ui, "on_terminal", lambda: True)


@pytest.mark.usefixtures("terminal")
@pytest.mark.parametrize(
    ("answer", "typed", "default", "agreed"),
    [
        ("y", None, False, True),
        ("", None, False, False),
        ("", None, True, True),
        ("No", None, True, False),
        ("prod", "prod", False, True),
        ("y", "prod", False, False),
    ],
)
def test_an_answer_decides(answer: str, typed: str | None, default: bool, agreed: bool) -> None:
    """An empty answer is the default; a word to type has no other."""
    try:
        ui.confirm("change it", yes=False, typed=typed, default=default, ask=lambda _: answer)
    except Refused:
        assert not agreed
    else:
        assert agreed


def test_without_a_terminal_only_a_default_of_yes_goes_on() -> None:
    """A lost terminal does not stop a rollback."""
    ui.confirm("roll back", yes=False, default=True)
    with pytest.raises(Refused, match="there is no terminal"):
        ui.confirm("change it", yes=False)
