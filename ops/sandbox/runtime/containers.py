"""Tasks as containers of a real Docker engine (`inv sandbox.up --engine docker`).

Emulates Fargate more closely than processes: separate file system, user and process tree; every
pull asks the registry; output is captured from the start. Differs: the network is the machine's own
(`network_mode host`), so a task binds its own loopback address, which it gets as HOST; CPU and
memory limits are not applied. Linux only: an engine inside a virtual machine has another loopback.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from docker.errors import APIError, DockerException, NotFound

from ops.sandbox.contracts import ContainerSpec, PullError, StartError
from ops.sandbox.registry import reference
from ops.sandbox.runtime import pull_errors
from ops.sandbox.runtime.line_splitter import LineSplitter

ROOT_LABEL = "ops.sandbox.root"
TASK_LABEL = "ops.sandbox.task"
_LAST_WORDS = 2.0  # seconds for the rest of the output, once a container has ended
_LOG = logging.getLogger("sandbox.runtime")


class DockerRuntime:
    """Runs containers on a real engine (contracts.Runtime).

    `client` is a docker.DockerClient, `root` the sandbox's folder (its containers are labelled with
    it), `token` returns the current registry password (GetAuthorizationToken's, without `AWS:`).
    """

    def __init__(self, client: Any, root: Path, token: Callable[[], str]) -> None:
        self._client, self._root, self._token = client, str(root), token
        self._pulled: dict[str, str] = {}

    def sweep(self) -> tuple[str, ...]:
        """Remove containers left by an earlier supervisor of this sandbox; return their ids."""
        found = self._client.containers.list(
            all=True, ignore_removed=True, filters={"label": f"{ROOT_LABEL}={self._root}"}
        )
        for container in found:
            _remove(container)
        return tuple(str(container.id) for container in found)

    def pull(self, image: str, platform: str = "linux/amd64") -> str:
        """Pull from the registry and return the digest.

        Raises PullError.

        Never uses the engine's cache, since images deleted in ECR must not start.
        """
        try:
            wanted = reference.parse(image)
        except ValueError:
            raise pull_errors.no_reference(image) from None
        login = {"username": "AWS", "password": self._token()}
        try:
            digest = self._pull(wanted, platform, login)
            if f"linux/{self._client.images.get(image).attrs['Architecture']}" != platform:
                raise pull_errors.other_platform(platform)
        except (DockerException, OSError) as error:
            raise _pull_error(
                image,
                wanted.registry or "",
                platform,
                str(getattr(error, "explanation", None) or error),
            ) from error
        self._pulled[image] = digest
        return digest

    def _pull(self, wanted: reference.Reference, platform: str, login: dict[str, str]) -> str:
        what, digest = wanted.digest or wanted.tag or "latest", wanted.digest or ""
        for line in self._client.api.pull(
            wanted.name, tag=what, stream=True, decode=True, auth_config=login, platform=platform
        ):
            if "error" in line:
                raise DockerException(line["error"])
            if str(line.get("status", "")).startswith("Digest: "):
                digest = line["status"].removeprefix("Digest: ")
        return digest

    def start(self, spec: ContainerSpec) -> DockerContainer:
        """Start one container. Raises PullError or StartError."""
        digest = self._pulled.get(spec.image) or self.pull(spec.image)
        container = self._create(spec, f"{reference.parse(spec.image).name}@{digest}")
        try:
            output = container.attach(
                stream=True
            )  # before the start: `logs` of dockerd 20.10 loses a last line without a newline
            container.start()
        except APIError as error:
            _remove(container)
            raise StartError(
                f"CannotStartContainerError: Error response from daemon: {error.explanation}"
            ) from error
        except OSError as error:
            raise StartError(f"CannotStartContainerError: {error}") from error
        return DockerContainer(container, output, digest, spec.log)

    def _create(self, spec: ContainerSpec, image: str) -> Any:
        chosen = {
            "entrypoint": list(spec.entry_point) if spec.entry_point is not None else None,
            "command": list(spec.command) if spec.command is not None else None,
            "working_dir": spec.working_directory,
        }
        try:
            return self._client.containers.create(
                image,
                environment={**spec.environment, "HOST": spec.address},
                labels={ROOT_LABEL: self._root, TASK_LABEL: spec.task_id},
                network_mode="host",
                # a proxy of ~/.docker/config.json is this machine's, not the tasks'
                use_config_proxy=False,
                **{name: value for name, value in chosen.items() if value is not None},
            )
        except APIError as error:
            raise StartError(
                f"CannotCreateContainerError: Error response from daemon: {error.explanation}"
            ) from error
        except OSError as error:  # the engine has gone; requests' errors are OSErrors
            raise StartError(f"CannotCreateContainerError: {error}") from error


class DockerContainer:
    """A running container (contracts.Container).

    It is removed from the engine once its exit and its last line were read.
    """

    digest: str
    pid: int | None
    _code: int | None

    def __init__(
        self, container: Any, output: Iterable[bytes], digest: str, log: Callable[[str], None]
    ) -> None:
        self.digest = digest
        self._container, self._code = container, None
        self.pid = _pid(container)
        reader = threading.Thread(
            target=_read,
            args=(output, LineSplitter(log)),
            name=f"output-{container.short_id}",
            daemon=True,
        )
        self._watcher = threading.Thread(
            target=self._watch, args=(reader,), name=f"container-{container.short_id}", daemon=True
        )
        reader.start()
        self._watcher.start()

    def _watch(self, reader: threading.Thread) -> None:
        code = 137  # removed from outside, which kills it
        try:
            code = int(self._container.wait()["StatusCode"])
        except (DockerException, OSError, ValueError, KeyError):
            code = _last_code(self._container, code)
        finally:
            reader.join(_LAST_WORDS)
            try:
                _remove(self._container)
            except (DockerException, OSError) as error:
                _LOG.warning(
                    "container %s could not be removed (%s); `sandbox.down` does it",
                    self._container.short_id,
                    error,
                )
            self._code = code

    def poll(self) -> int | None:
        """Return the exit code (128+signal when killed), or None while it runs."""
        return self._code

    def stop(self, timeout: float) -> int:
        """Send SIGTERM, then SIGKILL after `timeout` seconds; return the exit code. Idempotent."""
        if self._code is None:
            try:
                self._container.kill("SIGTERM")
                self._watcher.join(timeout)
                if self._code is None:
                    self._container.kill("SIGKILL")
            except (DockerException, OSError):
                _LOG.debug(
                    "container %s ended while it was being stopped", self._container.short_id
                )
        self._watcher.join(10)
        return 137 if self._code is None else self._code


def _read(output: Iterable[bytes], lines: LineSplitter) -> None:
    """Pass on every line until the end, or until the engine is gone."""
    try:
        for chunk in output:
            lines.feed(chunk)
    except (DockerException, OSError, ValueError):
        _LOG.warning("a container's output ended early")
    finally:
        lines.end()


def _pid(container: Any) -> int | None:
    try:
        container.reload()
        return container.attrs["State"]["Pid"] or None
    except (DockerException, OSError):
        return None


def _last_code(container: Any, otherwise: int) -> int:
    """Return the exit code from the container's state after the engine disconnected.

    None while it still runs.
    """
    try:
        container.reload()
        state = container.attrs["State"]
        return otherwise if state["Running"] else int(state["ExitCode"])
    except (DockerException, OSError):
        return otherwise


def _remove(container: Any) -> None:
    try:
        container.remove(force=True, v=True)
    except NotFound:
        return
    except APIError as error:
        if error.status_code != 409:  # its removal is already under way
            raise


def _pull_error(image: str, host: str, platform: str, text: str) -> PullError:
    """Translate the engine's error to ECS's wording."""
    if "no matching manifest" in text:
        return pull_errors.other_platform(platform)
    if "denied" in text or "no basic auth" in text or "unauthorized" in text:
        return pull_errors.forbidden(image, host)
    if "not found" in text or "manifest unknown" in text:
        return pull_errors.not_found(image)
    return PullError(f"CannotPullContainerError: ref pull has been retried 1 time(s): {text}")
