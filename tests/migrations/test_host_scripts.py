"""The programs that run on the bastion before anything is installed there."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from ops.migrations.remote.bundle import _pack
from ops.migrations.remote.cache_folders import candidates
from ops.migrations.remote.host_scripts import INSTALL, PROBE


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


def installed(cache: Path, kind: str = "site") -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", PROBE, "here", str(cache)], capture_output=True, check=True
    )
    names: list[str] = json.loads(done.stdout)["folders"][0]["there"][kind]
    return names


def test_a_bundle_that_lost_files_is_installed_again(tmp_path: Path) -> None:
    """As by systemd-tmpfiles in /var/tmp: else no run would ever find its libraries again."""
    for name in ("one.py", "two.py"):
        (tmp_path / name).write_text("pass\n")
    archive = _pack([(f"lib/{name}", tmp_path / name) for name in ("one.py", "two.py")])
    cache = tmp_path / "cache"
    library = cache / "site" / "abc" / "lib"

    def install() -> None:
        words = [sys.executable, "-c", INSTALL, str(cache), "site", "abc"]
        subprocess.run(words, input=archive, capture_output=True, check=True)

    install()
    (library / "__pycache__").mkdir()
    (library / "__pycache__" / "one.pyc").touch()  # Python's own
    assert installed(cache) == ["abc"]
    (library / "two.py").unlink()
    assert installed(cache) == []
    install()
    assert installed(cache) == ["abc"] and (library / "two.py").exists()
    assert [each.name for each in (cache / "site").iterdir()] == ["abc"]
    (cache / "site" / "abc" / ".files").unlink()  # as installed by an earlier version
    (cache / "code" / "old").mkdir(parents=True)
    (cache / "code" / "old" / "engine.py").touch()
    assert (installed(cache), installed(cache, "code")) == ([], ["old"])


def test_the_home_folder_may_be_written_as_a_tilde() -> None:
    assert candidates("~/mine/cache")[0] == "mine/cache"
