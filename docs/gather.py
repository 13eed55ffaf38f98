"""`inv dev.docs`: generate documentation pages from docstrings.

docs/sandbox.md consists of a hand-written head and, below the marker GATHERED, the docstring of
every module below ops/sandbox that says where it differs from the real thing. The modules are
parsed, not imported.
"""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = "docs/sandbox.md"
GATHERED = "<!-- gathered by `inv dev.docs` from the modules' docstrings: change them there -->"
SAYS_SO = ("differ", "Differ")


def write(root: Path) -> bool:
    """Update docs/sandbox.md; return whether it changed."""
    page = root / PAGE
    before = page.read_text(encoding="utf-8")
    after = gathered(root)
    if after != before:
        page.write_text(after, encoding="utf-8")
    return after != before


def gathered(root: Path) -> str:
    """Return the generated page."""
    head = (root / PAGE).read_text(encoding="utf-8").split(GATHERED)[0]
    return head + GATHERED + "\n" + "".join(section(name, text) for name, text in emulations(root))


def emulations(root: Path) -> list[tuple[str, str]]:
    """Return (module, docstring) of every emulation, sorted by name."""
    found = []
    for path in sorted((root / "ops/sandbox").rglob("*.py")):
        docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
        if any(word in docstring for word in SAYS_SO) and path.parent.name != "sandbox":
            found.append((path.relative_to(root / "ops").as_posix(), docstring))
    return found


def section(name: str, docstring: str) -> str:
    title, _, body = docstring.partition("\n\n")
    return f"\n### {name}\n\n{' '.join(title.split())}\n" + (f"\n{body}\n" if body else "")


if __name__ == "__main__":
    print(f"{PAGE}: {'written' if write(ROOT) else 'up to date'}")
