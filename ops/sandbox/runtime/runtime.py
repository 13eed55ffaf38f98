"""Tasks as processes, in place of Fargate's container runtime.

Emulates: the pull through ECR (a deleted image can't be started), platforms, layers with whiteouts,
ENTRYPOINT, CMD, ENV and WORKDIR, a separate environment, lines of output, SIGTERM then SIGKILL,
exit codes 128+n, and the end of all descendants when a container's first process ends. Reasons are
worded as ECS words them.

Differs: no separate file system, network or user. A process sees this machine's files (rootfs.py
describes how the image's own are found); tasks of one image share its unpacked files; a task binds
its own loopback address, which it gets as HOST; USER and limits are recorded, not applied; PATH and
HOME name folders of the unpacked image; a program may kill itself with SIGKILL, which PID 1 of a
container can't; a child that leaves the process group is killed by stop() but survives a first
process that ends by itself.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import threading
from pathlib import Path

from ops.sandbox.contracts import ContainerSpec, EcrBackend, Paths, PullError
from ops.sandbox.engine.base import marker_diff_id
from ops.sandbox.registry import reference
from ops.sandbox.registry.oci import Manifest, parse_manifest, platform_of
from ops.sandbox.registry.store import Blobs, Repositories
from ops.sandbox.runtime import orphan_processes, pull_errors
from ops.sandbox.runtime.processes import ProcessContainer, Spawner
from ops.sandbox.runtime.rootfs import Rootfs, read_settings, write_shims
from ops.sandbox.runtime.unpack import UnpackError, unpack

_DEFAULT_PLATFORM = "linux/amd64"
_MOST_UNPACKED = 20


class ProcessRuntime:
    """Runs containers as processes (contracts.Runtime).

    `registry` is the host:port in the task definitions.
    """

    def __init__(self, paths: Paths, door: EcrBackend, registry: str) -> None:
        self._tasks, self._door, self._registry = paths.tasks, door, registry
        self._blobs, self._repositories = (
            Blobs(paths.images / "registry"),
            Repositories(paths.images / "registry"),
        )
        self._unpacked = paths.images / "rootfs"
        self._shims = write_shims(paths.images / "shims")
        self._spawner = Spawner()
        self._guard = threading.Lock()
        self._pulled: dict[str, tuple[str, Manifest]] = {}
        self._prune()

    def sweep(self) -> tuple[int, ...]:
        """Kill task processes left by an earlier supervisor and return their pids.

        Call it once at `up`, before any start.
        """
        return orphan_processes.sweep(self._tasks)

    def pull(self, image: str, platform: str = _DEFAULT_PLATFORM) -> str:
        """Find the image through ECR, unpack it and return its digest. Raises PullError."""
        digest = self._resolve(image)
        manifest = self._for_platform(image, digest, platform)
        self._unpack(image, manifest)
        self._pulled[image] = (digest, manifest)
        return digest

    def start(self, spec: ContainerSpec) -> ProcessContainer:
        """Start one container. Raises PullError or StartError."""
        if spec.image not in self._pulled:
            self.pull(spec.image)
        digest, manifest = self._pulled[spec.image]
        rootfs = self._rootfs(manifest)
        home = self._tasks / spec.task_id
        home.mkdir(parents=True, exist_ok=True)
        environment = {"HOME": str(home), **spec.environment, "HOST": spec.address}
        command = rootfs.command(
            rootfs.words(spec.entry_point, spec.command), spec.working_directory, environment
        )
        process = self._spawner.spawn(command)
        record = orphan_processes.note(self._tasks, spec.task_id, spec.name, process.pid)
        return ProcessContainer(process, digest, spec.log, lambda: orphan_processes.forget(record))

    def _resolve(self, image: str) -> str:
        """Return ECR's digest for a reference."""
        try:
            wanted = reference.parse(image)
        except ValueError:
            raise pull_errors.no_reference(image) from None
        if wanted.registry != self._registry:
            raise pull_errors.no_such_host(image, wanted.registry or "registry-1.docker.io")
        if self._door.repository(wanted.repository) is None:
            raise pull_errors.not_found(image)
        digest = wanted.digest or self._door.digest(wanted.repository, wanted.tag or "latest")
        if digest is None or not self._door.has_image(wanted.repository, digest):
            raise pull_errors.not_found(image)
        if self._repositories.pushed(wanted.repository, digest) is None:
            raise pull_errors.not_found(image)
        return digest

    def _for_platform(self, image: str, digest: str, platform: str) -> Manifest:
        """Return the manifest for this platform: the image's own, or a child of its index."""
        manifest = self._manifest(image, digest)
        if manifest.children:
            child = manifest.child(platform)
            if child is None:
                raise pull_errors.other_platform(platform)
            return self._manifest(image, child.digest)
        if platform_of(self._config(manifest)) != platform:
            raise pull_errors.other_platform(platform)
        return manifest

    def _manifest(self, image: str, digest: str) -> Manifest:
        pushed = self._repositories.pushed(reference.parse(image).repository, digest)
        if pushed is None or not self._blobs.has(digest):
            raise pull_errors.not_found(image)
        try:
            return parse_manifest(self._blobs.read(digest), pushed.media_type)
        except ValueError as error:
            raise pull_errors.broken(image, str(error)) from error

    def _config(self, manifest: Manifest) -> bytes:
        if manifest.config is None:
            raise PullError("CannotPullContainerError: image Manifest has no configuration")
        return self._blobs.read(manifest.config.digest)

    def _folder(self, manifest: Manifest) -> Path:
        """Return the folder named after the configuration, so that equal images share it."""
        return self._unpacked / (manifest.config.digest if manifest.config else "").removeprefix(
            "sha256:"
        )

    def _unpack(self, image: str, manifest: Manifest) -> None:
        folder = self._folder(manifest)
        with self._guard:
            if folder.is_dir():
                return
            self._unpacked.mkdir(parents=True, exist_ok=True)
            aside = Path(tempfile.mkdtemp(dir=self._unpacked, prefix=".new-"))
            try:
                for layer in manifest.layers:
                    unpack(self._blobs.path(layer.digest), aside)
                aside.chmod(0o755)
                aside.rename(folder)
            except (UnpackError, OSError) as error:
                shutil.rmtree(aside, ignore_errors=True)
                raise pull_errors.broken(image, str(error)) from error

    def _rootfs(self, manifest: Manifest) -> Rootfs:
        config = self._config(manifest)
        on_base = marker_diff_id() in json.loads(config)["rootfs"]["diff_ids"]
        return Rootfs(
            self._folder(manifest), read_settings(config), self._shims if on_base else None
        )

    def _prune(self) -> None:
        """Delete all but the newest unpacked images, before any task runs."""
        if not self._unpacked.is_dir():
            return
        folders = sorted(
            self._unpacked.iterdir(), key=lambda each: each.stat().st_mtime, reverse=True
        )
        unfinished = [each for each in folders if each.name.startswith(".new-")]
        for each in (
            *unfinished,
            *[whole for whole in folders if whole not in unfinished][_MOST_UNPACKED:],
        ):
            shutil.rmtree(each, ignore_errors=True)
