"""What a listing and a completion cost beside `inv --version`: CPU time, minima, ratios.

Of Invoke's own program (design: --list at most 1.3), and of the program that ./inv runs.

python bench/startup.py [PAIRS]
"""

from __future__ import annotations

import os
import subprocess
import sys
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
    """The CPU time of one whole process, which other work on the machine hardly changes."""
    command = [sys.executable, *program, *words]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    if status:
        raise RuntimeError(f"{' '.join(words)} failed")
    return used.ru_utime + used.ru_stime


def report(name: str, program: tuple[str, ...], pairs: int) -> None:
    """Print what `--list` takes beside `--version`."""
    seconds(program, "--list")  # bytecode is written once
    taken = [(seconds(program, "--version"), seconds(program, "--list")) for _ in range(pairs)]
    version, listing = min(pair[0] for pair in taken), min(pair[1] for pair in taken)
    print(
        f"{name} --version {version * 1000:.0f} ms, {name} --list {listing * 1000:.0f} ms "
        f"(minima of {pairs} interleaved pairs): ratio {listing / version:.2f}"
    )


def main(pairs: int) -> None:
    report("inv", PLAIN, pairs)
    report("./inv", OURS, pairs)
    for name, words in LINES.items():
        pairs_taken = [(seconds(OURS, "--list"), seconds(OURS, *words)) for _ in range(pairs)]
        listing, taken = min(pair[0] for pair in pairs_taken), min(pair[1] for pair in pairs_taken)
        print(f"{name} {taken * 1000:.0f} ms, {taken / listing:.2f} of ./inv --list")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 15)
