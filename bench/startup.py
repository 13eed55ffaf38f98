"""What `inv --list` costs beside `inv --version`: interleaved pairs, minima, one ratio (design: at
most 1.3).

python bench/startup.py [PAIRS]
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def seconds(*words: str) -> float:
    """One whole process, in seconds."""
    began = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "invoke", *words], cwd=ROOT, check=True, stdout=subprocess.DEVNULL
    )
    return time.perf_counter() - began


def main(pairs: int) -> None:
    seconds("--list")  # bytecode is written once
    taken = [(seconds("--version"), seconds("--list")) for _ in range(pairs)]
    version, listing = min(pair[0] for pair in taken), min(pair[1] for pair in taken)
    print(
        f"inv --version {version * 1000:.0f} ms, inv --list {listing * 1000:.0f} ms "
        f"(minima of {pairs} interleaved pairs)"
    )
    print(f"ratio {listing / version:.2f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 15)
