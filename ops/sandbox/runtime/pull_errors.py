"""The reasons of failed image pulls, worded as ECS does (stoppedReason).

Samples are in the developer guide's "CannotPullContainer" pages.
"""

from __future__ import annotations

from ops.sandbox.contracts import PullError

_RETRIED = "CannotPullContainerError: pull image manifest has been retried {} time(s): {}"


def not_found(image: str) -> PullError:
    return PullError(_RETRIED.format(7, f"failed to resolve ref {image}: {image}: not found"))


def other_platform(platform: str) -> PullError:
    return PullError(
        _RETRIED.format(
            7, f"image Manifest does not contain descriptor matching platform '{platform}'"
        )
    )


def no_such_host(image: str, host: str) -> PullError:
    name, tries = host.partition(":")[0], _RETRIED.format(1, f"failed to resolve ref {image}")
    return PullError(
        f'{tries}: failed to do request: Head "https://{host}/v2/": dial tcp: lookup '
        f"{name}: no such host"
    )


def unreachable(image: str, host: str) -> PullError:
    tries = _RETRIED.format(1, f"failed to resolve ref {image}")
    return PullError(
        f'{tries}: failed to do request: Head "https://{host}/v2/": dial tcp 203.0.113.11:443: '
        f"i/o timeout"
    )


def layers_unreachable(region: str) -> PullError:
    bucket = f"prod-{region}-starport-layer-bucket.s3.{region}.amazonaws.com"
    return PullError(
        "CannotPullContainerError: ref pull has been retried 5 time(s): failed to copy: "
        f'httpReaderSeeker: failed open: failed to do request: Get "https://{bucket}/": dial tcp '
        "203.0.113.12:443: i/o timeout"
    )


def no_reference(image: str) -> PullError:
    return PullError(
        f'CannotPullContainerError: failed to normalize image reference "{image}": invalid '
        f"reference format"
    )


def forbidden(image: str, host: str) -> PullError:
    tries = _RETRIED.format(1, f"failed to resolve ref {image}")
    return PullError(
        f"{tries}: unexpected status from HEAD request to http://{host}/v2/: 403 Forbidden"
    )


def broken(image: str, why: str) -> PullError:
    return PullError(
        f"CannotPullContainerError: ref pull has been retried 1 time(s): failed to extract "
        f"{image}: {why}"
    )
