"""Programs that the bastion's own Python runs, before anything is installed there.

They are written for old Pythons too, so that a host with one is named and not a syntax error.
"""

from __future__ import annotations

# `.files` of a bundle has their number: what cleans up /tmp and /var/tmp removes single files
_WHOLE = """
def whole(folder):
    count = 0
    for _, folders, files in os.walk(folder):
        folders[:] = [each for each in folders if each != "__pycache__"]
        count += len(files)
    try:
        with open(os.path.join(folder, ".files")) as file:
            return count - 1 == int(file.read())
    except (IOError, OSError, ValueError):
        # an earlier version's: its engine may watch a run, its libraries are copied again
        return count > 0 and os.path.basename(os.path.dirname(folder)) == "code"
"""

# prints one JSON document; the arguments are the environment and the folders to examine
PROBE = (
    """
import json, os, platform, stat, sys, sysconfig
"""
    + _WHOLE
    + """
libc, version = platform.libc_ver()
musl = "musl" in (sysconfig.get_config_var("HOST_GNU_TYPE") or "")
number = [int(each or 0) for each in (version.split(".") + ["0", "0"])[:2]]
def names(folder):
    found = os.listdir(folder) if os.path.isdir(folder) else []
    names = [each for each in found if each[0] != "." and whole(os.path.join(folder, each))]
    age = lambda each: os.path.getmtime(os.path.join(folder, each))
    return sorted(names, key=age, reverse=True)
def foreign(path):
    if not os.path.lexists(path):
        return False
    found = os.lstat(path)
    return found.st_uid != os.geteuid() or not stat.S_ISDIR(found.st_mode) or found.st_mode & 0o022
def examine(path):
    path = os.path.abspath(path.replace("%u", str(os.geteuid())))
    about = {"path": path, "there": {"site": [], "code": []}, "problem": "", "free": None, "ran": 0}
    try:
        nearest = path
        while not os.path.lexists(nearest):
            nearest = os.path.dirname(nearest)
        if path.startswith(("/tmp/", "/var/tmp/")) and foreign(path):
            about["problem"] = "it belongs to another user, or others can write to it"
            return about
        about["there"] = {kind: names(os.path.join(path, kind)) for kind in ("site", "code")}
        runs = os.path.join(path, "runs", sys.argv[1])
        about["ran"] = os.path.getmtime(runs) if os.path.isdir(runs) else 0
        disk = os.statvfs(nearest)
        if not os.path.isdir(nearest):
            about["problem"] = nearest + " is not a folder"
        elif disk.f_flag & getattr(os, "ST_RDONLY", 0):
            about["problem"] = "it is on a read-only file system"
        elif disk.f_flag & getattr(os, "ST_NOEXEC", 0):
            about["problem"] = "its file system does not run programs (noexec)"
        elif not os.access(nearest, os.W_OK | os.X_OK):
            about["problem"] = "no permission to write to " + nearest
        if disk.f_blocks:
            about["free"] = disk.f_bavail * disk.f_frsize
    except OSError as error:
        about["problem"] = error.strerror or str(error)
    return about
libc = "musl" if musl else libc or "other"
print(json.dumps({"version": list(sys.version_info[:2]), "machine": platform.machine(),
    "libc": libc, "libc_version": number, "folders": [examine(each) for each in sys.argv[2:]]}))
"""
)

# the exit code of INSTALL if the folder can't take the bundle; stderr has the reason
CANNOT_WRITE = 73
# unpacks the archive on stdin; the arguments are the cache folder, a kind, and the bundle's name
INSTALL = (
    """
import os, shutil, stat, sys, tarfile, tempfile
"""
    + _WHOLE
    + """
cache, kind, name = sys.argv[1:]
root = os.path.join(cache, kind)
making = None
os.umask(0o077)
try:
    os.makedirs(root, exist_ok=True)
    found = os.lstat(cache)
    if cache.startswith(("/tmp/", "/var/tmp/")) and (
        found.st_uid != os.geteuid() or not stat.S_ISDIR(found.st_mode) or found.st_mode & 0o022
    ):
        raise PermissionError(1, "it belongs to another user, or others can write to it")
    making = tempfile.mkdtemp(prefix=".making-", dir=root)
    with tarfile.open(fileobj=sys.stdin.buffer, mode="r|gz") as archive:
        archive.extraction_filter = getattr(tarfile, "data_filter", None)
        archive.extractall(making)
    count = sum(len(files) for _, _, files in os.walk(making))
    with open(os.path.join(making, ".files"), "w") as file:
        file.write(str(count))
    target = os.path.join(root, name)
    if os.path.isdir(target) and not whole(target):
        broken = tempfile.mkdtemp(prefix=".making-", dir=root)
        os.rename(target, os.path.join(broken, name))
        shutil.rmtree(broken, ignore_errors=True)
    os.rename(making, target)
except OSError as error:
    if not os.path.isdir(os.path.join(root, name)):
        print(error.strerror or error, file=sys.stderr)
        sys.exit(73)
finally:
    if making:
        shutil.rmtree(making, ignore_errors=True)
"""
)
