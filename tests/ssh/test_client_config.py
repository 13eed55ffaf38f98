"""The tokens of ssh_config are filled in as ssh does."""

from __future__ import annotations

import getpass
import os

import pytest

from ops.ssh.client_config import fill_tokens, parse


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("nc %h %p", "nc 10.0.0.5 2222"),
        ("door --as %r --to %n", "door --as ops --to bastion"),
        ("%u-%i", f"{getpass.getuser()}-{os.getuid()}"),
        ("100%%, %%h", "100%, %h"),
        ("%x 100%", "%x 100%"),
    ],
)
def test_tokens_are_filled_in_once(text: str, filled: str) -> None:
    assert fill_tokens(text, "bastion", "10.0.0.5", "ops", 2222) == filled


def test_a_command_keeps_its_tokens_until_it_runs() -> None:
    """Only paths are complete: the command is filled in where the hop is known."""
    hop = parse(
        "bastion",
        "hostname 10.0.0.5\nuser ops\nport 2222\nproxycommand nc %h %p\n"
        "userknownhostsfile /keys/%n-%%",
    )
    assert hop.proxy_command == "nc %h %p"
    assert [str(path) for path in hop.known_hosts] == ["/keys/bastion-%"]
