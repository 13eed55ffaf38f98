"""The complete environment of a Terraform process.

An environment with an overlay or its own endpoint gets that endpoint, its dummy keys and empty
credentials files, so that a rehearsal never uses AWS credentials of this machine. Any other gets
its profile and none of our own AWS keys, which AWS's SDK for Go would prefer to the profile.
`TF_CLI_ARGS*`, `TF_DATA_DIR` and `TF_WORKSPACE` are never passed on: they would add arguments to
commands or use another state, unnoticed.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from ops.aws.session import unreachable_local_aws

if TYPE_CHECKING:
    from ops.core.config.settings import Settings

_PASSED_TO_OVERLAY = (
    "HOME",
    "PATH",
    "LANG",
    "LC_ALL",
    "TMPDIR",
    "USER",
    "LOGNAME",
    "TF_CLI_CONFIG_FILE",
    "TF_PLUGIN_CACHE_DIR",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "NO_PROXY",
    "https_proxy",
    "http_proxy",
    "no_proxy",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
)
_NEVER_PASSED = ("TF_CLI_ARGS", "TF_DATA_DIR", "TF_WORKSPACE", "TF_IN_AUTOMATION", "TF_INPUT")
_AWS_KEYS = (
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_SECURITY_TOKEN",
    "AWS_DEFAULT_PROFILE",
    "AWS_ENDPOINT_URL",
)


def child_environment(settings: Settings, ours: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of a Terraform process.

    Raises ConfigError for an overlay without endpoint or keys.
    """
    environment = settings.environment
    common = {
        "TF_IN_AUTOMATION": "1",
        "AWS_REGION": environment.region,
        "AWS_DEFAULT_REGION": environment.region,
        "CHECKPOINT_DISABLE": "1",
    }
    if environment.terraform and environment.terraform.workspace:
        common["TF_WORKSPACE"] = environment.terraform.workspace
    if environment.overlay or environment.aws.endpoint:
        passed = {name: ours[name] for name in _PASSED_TO_OVERLAY if name in ours}
        return {**passed, **common, **_overlay_credentials(settings)}
    passed = {name: value for name, value in ours.items() if not name.startswith(_NEVER_PASSED)}
    if environment.aws.profile:
        passed = {name: value for name, value in passed.items() if not name.startswith(_AWS_KEYS)}
        common["AWS_PROFILE"] = environment.aws.profile
    return {**passed, **common}


def _overlay_credentials(settings: Settings) -> dict[str, str]:
    """The variables that reach a local AWS, and keep this machine's own credentials out."""
    aws = settings.environment.aws
    if not (aws.endpoint and aws.access_key and aws.secret_key):
        raise unreachable_local_aws(settings)
    return {
        "AWS_ENDPOINT_URL": aws.endpoint,
        "AWS_ACCESS_KEY_ID": aws.access_key,
        "AWS_SECRET_ACCESS_KEY": aws.secret_key,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    }
