"""The programs that run on the bastion before anything is installed there."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from ops.migrations.remote.host_scripts import PROBE


def test_an_old_python_is_described(tmp_path: Path) -> None:
    """Python 2.7 does not know the flags of statvfs: its version is the answer."""
    code = f"import os\ndel os.ST_RDONLY, os.ST_NOEXEC\nexec({PROBE!r})"
    done = subprocess.run(
        [sys.executable, "-c", code, "here", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    (folder,) = answer["folders"]
    assert answer["version"] == list(sys.version_info[:2])
    assert (folder["path"], folder["problem"]) == (str(tmp_path), "") and folder["free"] > 0
