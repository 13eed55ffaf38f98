"""Calls to an engine and what dockerd 20.10.24 answered to each.

The emulated engine must give these answers (tests/sandbox/test_engine.py), and a real one must
still give them (tests/real/test_engine_real.py)."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from docker.errors import APIError

from tests.sandbox.images_platform import build, push

FILES = {"app.py": "print(1)", "src/a.py": "1", "src/b.txt": "2", "src/deep/c.txt": "3"}
_NOISE = (
    " ---> Running in",
    "Removing intermediate container",
    " ---> Removed intermediate",
    " ---> Using cache",
)
_ID = re.compile(r"sha256:[0-9a-f]{64}|\b[0-9a-f]{12}\b")


@dataclass(frozen=True)
class BuildCall:
    """One build: `ends` are the last texts of its stream, or the refusal as `status: text`."""

    says: str
    dockerfile: str
    ends: tuple[str, ...]
    wishes: dict[str, Any] = field(default_factory=dict)


_AT = "400: dockerfile parse error line"
_BUILT = ("Successfully built <id>",)
BUILDS = (
    BuildCall(
        "unknown instruction", "FROM scratch\nFOO bar\n", (f"{_AT} 2: unknown instruction: FOO",)
    ),
    BuildCall(
        "line after a continuation",
        "FROM scratch\nENV A=1 \\\n  B=2\n\nFOO\n",
        (f"{_AT} 5: unknown instruction: FOO",),
    ),
    BuildCall("empty", "", ("400: the Dockerfile (Dockerfile) cannot be empty",)),
    BuildCall(
        "only comments",
        "# nothing\n",
        ("400: failed to parse Dockerfile: file with no instructions",),
    ),
    BuildCall("no FROM", "COPY a b\n", ("400: no build stage in current context",)),
    BuildCall(
        "ENV without a value",
        "FROM scratch\nENV A\n",
        ("400: failed to parse Dockerfile: ENV must have two arguments",),
    ),
    BuildCall(
        "COPY without a destination",
        "FROM scratch\nCOPY app.py\n",
        (
            f"{_AT} 2: COPY requires at least two arguments, but only one was provided. "
            f"Destination could not be determined",
        ),
    ),
    BuildCall(
        "WORKDIR without a folder",
        "FROM scratch\nWORKDIR\n",
        (f"{_AT} 2: WORKDIR requires exactly one argument",),
    ),
    BuildCall(
        "unknown flag",
        "FROM scratch\nCOPY --bogus=1 app.py /\n",
        (f"{_AT} 2: Unknown flag: bogus",),
    ),
    BuildCall(
        "other Dockerfile",
        "FROM scratch\n",
        ("500: Cannot locate specified Dockerfile: No.such",),
        {"dockerfile": "No.such"},
    ),
    BuildCall(
        "missing file",
        "FROM scratch\nCOPY missing /x\n",
        (
            "Step 2/2 : COPY missing /x",
            "error: COPY failed: file not found in build context or excluded by "
            ".dockerignore: stat missing: file does not exist",
        ),
    ),
    BuildCall(
        "glob without a match",
        "FROM scratch\nCOPY mis*.py /x/\n",
        ("error: COPY failed: no source files were specified",),
    ),
    BuildCall(
        "outside the context",
        "FROM scratch\nCOPY ../etc /x\n",
        ("error: COPY failed: forbidden path outside the build context: ../etc ()",),
    ),
    BuildCall(
        "many to one",
        "FROM scratch\nCOPY src/* /x\n",
        (
            "error: When using COPY with more than one source file, the destination must "
            "be a directory and end with a /",
        ),
    ),
    BuildCall(
        "only FROM", "FROM scratch\n", ("error: No image was generated. Is your Dockerfile empty?",)
    ),
    BuildCall("bad port", "FROM scratch\nEXPOSE abc\n", ("error: Invalid containerPort: abc",)),
    BuildCall(
        "open quote",
        "FROM scratch\nENV A='unterminated\n",
        (
            'error: failed to process "\'unterminated": unexpected end of statement while '
            "looking for matching single-quote",
        ),
    ),
    BuildCall(
        "a tag",
        "FROM scratch\nCOPY app.py /\n",
        (" ---> <id>", "aux <id>", *_BUILT, "Successfully tagged calls:1"),
        {
            "tag": "calls:1",
        },
    ),
    BuildCall(
        "unused argument",
        "FROM scratch\nCOPY app.py /\n",
        ("[Warning] One or more build-args [ZZ] were not consumed", *_BUILT),
        {
            "buildargs": {"ZZ": "1"},
        },
    ),
    BuildCall(
        "ARG above FROM",
        "ARG B=scratch\nFROM $B\nCOPY app.py /app.py\nCMD python app.py\n",
        (
            "Step 1/4 : ARG B=scratch",
            "Step 2/4 : FROM $B",
            " ---> ",
            "Step 3/4 : COPY app.py /app.py",
            " ---> <id>",
            "Step 4/4 : CMD python app.py",
            " ---> <id>",
            "aux <id>",
            *_BUILT,
        ),
    ),
    BuildCall(
        "labels of the call",
        "FROM scratch\nLABEL \\\n a=1 \\\n # a comment\n b=2\ncopy app.py /\n",
        (
            "Step 1/4 : FROM scratch",
            " ---> ",
            "Step 2/4 : LABEL  a=1  b=2",
            " ---> <id>",
            "Step 3/4 : copy app.py /",
            " ---> <id>",
            "Step 4/4 : LABEL c=3",
            " ---> <id>",
            "aux <id>",
            *_BUILT,
        ),
        {"labels": {"c": "3"}},
    ),
)

CONFIGURED = """\
FROM scratch
ARG X=1
ENV A=$X B="two words" C=${MISSING:-none}
ENV OLD style value
WORKDIR /app
WORKDIR sub
COPY app.py .
COPY src/ ./src/
COPY ["src/a.py", "src/b.txt", "/both/"]
COPY src/*.txt /glob/
EXPOSE 3001 53/udp
LABEL a=b "quoted key"='x y'
USER nobody
ENTRYPOINT ["python3"]
CMD ["app.py"]
"""


def answer(client: Any, call: BuildCall) -> tuple[str, ...]:
    """The texts of a build, ids and the engines' own noise taken out."""
    try:
        lines = build(client, call.dockerfile, FILES, **call.wishes)
    except APIError as error:
        return (f"{error.status_code}: {error.explanation}",)
    texts = (_text(line) for line in lines)
    return tuple(
        _ID.sub("<id>", text)
        for text in texts
        if (text.strip() and not text.startswith(_NOISE)) or text == " ---> "
    )


def _text(line: dict[str, Any]) -> str:
    if "error" in line:
        return f"error: {line['error']}"
    return f"aux {line['aux']['ID']}" if "aux" in line else str(line["stream"]).removesuffix("\n")


def pushed(client: Any, repository: str, tag: str | None, login: dict[str, str] | None) -> set[str]:
    """What a push says, ids, progress and sizes taken out."""
    lines = push(client, repository, tag, login)
    texts = (
        line.get("status") or f"error: {line.get('error')}"
        for line in lines
        if "aux" not in line and line.get("status") != "Pushing"
    )
    return {re.sub(r"size: \d+", "size: <n>", _ID.sub("<id>", text)) for text in texts}


def facts(client: Any, name: str) -> dict[str, Any]:
    """What an inspect says that both engines must agree on."""
    found = client.api.inspect_image(name)
    wanted = ("User", "ExposedPorts", "Env", "Cmd", "WorkingDir", "Entrypoint", "Labels")
    return {
        "config": {each: found["Config"][each] for each in wanted},
        "platform": (found["Os"], found["Architecture"]),
        "tags": found["RepoTags"],
        "layers": len(found["RootFS"]["Layers"]),
        "size": found["Size"],
    }


def refused(call: Any, *words: Any, **wishes: Any) -> str:
    """The refusal of one API call as `status: text`."""
    try:
        found = call(*words, **wishes)
    except APIError as error:
        return f"{error.status_code}: {error.explanation}"
    raise AssertionError(f"not refused: {found}")
