"""What a listing and a completion cost beside `inv --version`: interleaved pairs, minima, ratios.

Of Invoke's own program (design: --list at most 1.3), and of the program that ./inv runs.

python bench/startup.py [PAIRS]
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PLAIN = ("-m", "invoke")
OURS = ("-P", "-X", "utf8", "ops/tasks/program.py", "--search-root", str(ROOT))
LINES = {
    "completion of a task": ("--complete", "--", "inv", "db.up"),
    "completion of a fault": ("--complete", "--", "inv", "sandbox.break", "page"),
    "completion of a tag": ("--complete", "--", "inv", "backend.deploy", "--tag", ""),
}


def seconds(program: tuple[str, ...], *words: str) -> float:
    """One whole process, in seconds."""
    began = time.perf_counter()
    command = [sys.executable, *program, *words]
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def report(name: str, program: tuple[str, ...], pairs: int) -> float:
    """Print what `--list` takes beside `--version`; return its minimum."""
    seconds(program, "--list")  # bytecode is written once
    taken = [(seconds(program, "--version"), seconds(program, "--list")) for _ in range(pairs)]
    version, listing = min(pair[0] for pair in taken), min(pair[1] for pair in taken)
    print(
        f"{name} --version {version * 1000:.0f} ms, {name} --list {listing * 1000:.0f} ms "
        f"(minima of {pairs} interleaved pairs): ratio {listing / version:.2f}"
    )
    return listing


def main(pairs: int) -> None:
    report("inv", PLAIN, pairs)
    listing = report("./inv", OURS, pairs)
    for name, words in LINES.items():
        taken = min(seconds(OURS, *words) for _ in range(pairs))
        print(f"{name} {taken * 1000:.0f} ms, {taken / listing:.2f} of ./inv --list")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 15)
