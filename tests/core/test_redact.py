"""Secrets are hidden by value in every encoding and by shape; what a diagnosis needs stays."""

from __future__ import annotations

import base64
import html
import json
import random
import shlex
import time
from collections.abc import Callable
from urllib.parse import quote, quote_plus

import pytest

from ops.core.redaction.redact import CUT, LONGEST_LINE, known, one_line, redact, redact_lines
from ops.core.redaction.shapes import hide_shapes
from ops.core.redaction.values import KnownSecrets
from tests.core.redaction_cases import HARMLESS, SECRETS, hidden, pem, text

PASSWORD = "q7'R+x/é\"w\\Z &k=9"  # every character that some encoding changes
SECRET = json.dumps(
    {
        "username": "davidshaevel",
        "password": PASSWORD,
        "host": "db.example.com",
        "port": 5432,
        "dbname": "davidshaevel",
    }
)


@pytest.mark.parametrize("case", SECRETS)
def test_a_secret_is_hidden_by_its_shape(case: str) -> None:
    """Exactly the secret is replaced, once and for all."""
    found = redact(text(case))
    assert found == hidden(case)
    assert redact(found) == found


@pytest.mark.parametrize("case", HARMLESS)
def test_a_harmless_text_stays(case: str) -> None:
    """Byte for byte: a diagnosis is not redacted away."""
    assert redact(case) == case


def test_json_stays_json() -> None:
    """Also where the secret is a number, or a value of Terraform's output."""
    assert json.loads(redact('{"password": 1234567890123, "port": 1}')) == {
        "password": "***",
        "port": 1,
    }
    output = {
        "db_password": {"sensitive": True, "type": "string", "value": text("§")},
        "url": {"value": "x"},
    }
    assert json.loads(redact(json.dumps(output)))["db_password"]["value"] == "***"


def test_a_private_key_is_hidden_line_by_line() -> None:
    """A key over several log lines is hidden; the lines around it stay, and their number."""
    lines = ("before", *text(pem("PRIV" + "ATE KEY")).split("\n"), "after")
    found = redact_lines(lines)
    assert len(found) == len(lines)
    assert (found[0], found[-1]) == ("before", "after")
    assert not any("MII" in line or "AASC" in line for line in found)
    assert redact_lines(("one\ntwo", "three")) == ("one\ntwo", "three")


def b64(value: str, before: str = "", urlsafe: bool = False) -> str:
    encode = base64.urlsafe_b64encode if urlsafe else base64.b64encode
    return encode(f"{before}{value} and more".encode()).decode()


ENCODINGS: dict[str, Callable[[str], str]] = {
    "raw": lambda value: value,
    "quote": quote,
    "quote, nothing safe": lambda value: quote(value, safe=""),
    "quote_plus": quote_plus,
    "quoted twice": lambda value: quote(quote(value)),
    "encodeURIComponent": lambda value: quote(value, safe="!'()*~-_."),
    "small hexadecimals": lambda value: (
        quote(value, safe="").replace("%2F", "%2f").replace("%C3%A9", "%c3%a9")
    ),
    "JSON": json.dumps,
    "JSON in Unicode": lambda value: json.dumps(value, ensure_ascii=False),
    "JSON in JSON": lambda value: json.dumps(json.dumps(value)),
    "JavaScript's JSON": lambda value: json.dumps(value).replace("/", "\\/"),
    "repr": repr,
    "bytes": lambda value: repr(value.encode()),
    "HTML": html.escape,
    "shell": shlex.quote,
    "SQL": lambda value: value.replace("'", "''"),
    "base64": b64,
    "base64 of user:password": lambda value: b64(value, "davidshaevel:"),
    "base64, shifted by one": lambda value: b64(value, "a"),
    "base64, shifted by two": lambda value: b64(value, "ab"),
    "base64 for URLs": lambda value: b64(value, "ab", urlsafe=True),
    "base64, URL-quoted": lambda value: quote(b64(value), safe=""),
    "hexadecimal": lambda value: value.encode().hex(),
}


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_known_value_is_hidden_in_every_encoding(encoding: str) -> None:
    """No shape around it is needed; the words around it stay."""
    secrets = KnownSecrets()
    secrets.add_secret(SECRET)
    written = ENCODINGS[encoding](PASSWORD)
    found = secrets.hide(f"connecting with {written} at db.example.com as davidshaevel")
    assert found.startswith("connecting with ") and found.endswith(
        " at db.example.com as davidshaevel"
    )
    assert "***" in found and len(found) <= 60 + len(written) // 2
    assert not any(part in found for part in ("7'R+", "Z &k=9", written[-24:-14]))


def test_a_known_value_is_hidden_over_several_lines_and_where_it_is_cut() -> None:
    """A value with line breaks, also when the log splits it; the part before or after a cut."""
    secrets = KnownSecrets()
    secrets.add("first-line-1\nsecond-line-2")
    secrets.add("a9LongPassword7x")
    assert secrets.hide("a first-line-1\nsecond-line-2 b") == "a ***\n*** b"
    assert secrets.hide("log: second-line-2 end") == "log: *** end"
    assert secrets.hide("first-line-1\\nsecond-line-2") == "***"
    assert secrets.hide("the password is a9LongPas") == "the password is ***"
    assert secrets.hide("ngPassword7x is the password") == "*** is the password"
    assert secrets.hide("a9LongPa in the middle") == "a9LongPa in the middle"


def test_only_what_is_secret_is_learned() -> None:
    """User, host, port, database, words and short values stay; nested and listed secrets do not."""
    secrets = KnownSecrets()
    secrets.add_secret(SECRET)
    secrets.add_secret(
        json.dumps(
            {
                "nested": json.dumps({"token": "t0kenInside"}),
                "keys": ["k3y-number-one"],
                "pin": 12345,
            }
        )
    )
    secrets.add_secret(
        json.dumps(
            {
                "DATABASE_URL": "postgres://app:p%40ss-w0rd@db/x",
                "MODE": "production",
                "short": "a1b2",
            }
        )
    )
    secrets.add_secret("DB_HOST=db.internal\nDB_PASSWORD=fromDotEnv1\n")
    secrets.add_secret(json.dumps({"username": "postgres", "password": "postgres"}))
    kept = "davidshaevel@db.example.com:5432 production a1b2 12345 db.internal postgres DB_HOST"
    assert secrets.hide(kept) == kept
    for value in ("t0kenInside", "k3y-number-one", "p%40ss-w0rd", "p@ss-w0rd", "fromDotEnv1"):
        assert secrets.hide(f"x {value} y") == "x *** y"


def test_variables_are_learned_by_their_name() -> None:
    """A version is no secret, a password is; a word stays, since it stands in too many texts."""
    secrets = KnownSecrets()
    secrets.add_variables(
        {
            "APP_VERSION": "5fe73cf",
            "DB_PASSWORD": "w0rdless",
            "AWS_SECRET_ACCESS_KEY": "/K7MDENGbPxRfiCY",
            "PWD": "/srv/An App",
            "TOKEN": "testing",
        }
    )
    assert secrets.hide("w0rdless /K7MDENGbPxRfiCY") == "*** ***"
    assert secrets.hide("5fe73cf /srv/An App testing") == "5fe73cf /srv/An App testing"


def test_a_document_is_hidden_and_stays_a_document() -> None:
    """Strings, keys and lists; numbers and absent values stay what they are."""
    secrets = KnownSecrets()
    secrets.add(PASSWORD)
    document = {"a": [f"x {PASSWORD}", 1, None, True], PASSWORD: {"b": ("y",)}}
    assert json.loads(json.dumps(secrets.hide_in(document))) == {
        "a": ["x ***", 1, None, True],
        "***": {"b": ["y"]},
    }


def test_what_is_known_is_hidden_by_redact() -> None:
    """By value before shape, and before the text is shortened."""
    known.add("s3cretValue")
    assert redact("boom s3cretValue") == "boom ***"
    assert one_line("x" * 395 + " s3cretValue") == "x" * 395 + " ***"


def test_a_long_line_is_cut_before_it_is_searched() -> None:
    """It says so, and other lines stay."""
    found = redact("short\n" + "x" * 200_000 + "\nshort")
    assert found == f"short\n{'x' * LONGEST_LINE}{CUT}\nshort"
    assert redact(found) == found


GROWING = (
    "PASSWORD=" + "\\" * 6000,
    "a.",
    "eyJaaaaaaaa.",
    "com.example.service.impl.",
    "token:",
    "token=(",
    'password="',
    "://a:",
    "://a:b c ",
    "password ",
    "--token ",
    "a://x",
    "<password>",
    'name: "password ',
    'value": "',
    "curl ",
    "login ",
    "\\",
    '\\"',
    "secret\\\\\\",
    "authorization: ",
    "cookie: ",
    '"cookie": "',
    "bearer ",
    "*:*:*:*:",
    "a:1234:b:c:",
    "PASSWORD $$",
    "password '",
    "\n",
    "password: |\n a\n",
    "password=<<EOT\n",
    "https://a1",
    "_KEY=",
    "token = {",
    "token = [",
    "\x1b[0m",
    "a@",
    "sk-",
    "Aa1_-.",
    '{"name": "password"',
    "value=password,",
    "password=a,b=",
    "login a password ",
    "hooks.slack.com/services/",
    "b.c-d_e/",
)


def work(sample: str, length: int) -> float:
    """Processor time in seconds, the best of five: a busy machine only adds to it."""
    long = (sample * (length // len(sample) + 1))[:length]
    spent = []
    for _ in range(5):
        began = time.thread_time()
        hide_shapes(long)
        spent.append(time.thread_time() - began)
    return min(spent)


def test_the_work_grows_with_the_length_not_with_its_square() -> None:
    """Four times the text is about four times the work; a square would be sixteen times."""
    hide_shapes("password=x")  # compiled
    grown = {sample: work(sample, 20_000) / max(work(sample, 5_000), 0.0003) for sample in GROWING}
    again = {
        sample: work(sample, 40_000) / max(work(sample, 10_000), 0.0003)
        for sample, times in grown.items()
        if times > 8
    }
    assert not [sample for sample, times in again.items() if times > 8], again


ATOMS = (
    "password",
    "=",
    ":",
    " ",
    '"',
    "'",
    "\\",
    "\n",
    "\r\n",
    "token",
    "secret",
    "a1B2c3D4",
    "***",
    "://",
    "u:",
    "@h",
    "/",
    "Bearer ",
    "Basic ",
    "Authorization: ",
    "Cookie: ",
    "{",
    "}",
    "[",
    "]",
    "<",
    ">",
    "</",
    "value",
    "name",
    "key",
    "$$",
    "E",
    "PASSWORD ",
    "IDENTIFIED BY ",
    "--",
    "-p ",
    "login ",
    "curl -u ",
    "|\n  ",
    "<<EOT\n",
    "EOT",
    "\x1b[0m",
    "\0",
    "arn:",
    "null",
    "->",
    ",",
    ";",
    "&",
    "é",
    "\ud800",
    "x" * 30,
    "eyJaaaaaaaa.bbbb",
    "AKIA" + "A" * 16,
    text(pem("PRIV" + "ATE KEY")),
    "5432",
    "*",
    "_KEY=",
    "API_KEY",
    "(",
    ")",
    "?sig=",
    "Signature=",
    ".",
    "pass",
    "_",
    "=>",
    "abc def",
    "using password ",
    PASSWORD,
    PASSWORD[:9],
    quote(PASSWORD),
)


def test_any_text_can_be_redacted_and_then_stays() -> None:
    """Nothing raises, the number of lines stays, and redacting again changes nothing."""
    known.add(PASSWORD)
    chance = random.Random(7)
    for _ in range(3000):
        sample = "".join(chance.choice(ATOMS) for _ in range(chance.randint(1, 14)))
        found = redact(sample)
        assert found.count("\n") == sample.count("\n"), sample
        assert redact(found) == found, sample
        assert len(redact_lines(sample.split("\n"))) == sample.count("\n") + 1
