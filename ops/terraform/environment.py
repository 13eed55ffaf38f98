"""The whole environment of a Terraform child, said explicitly: a rehearsal never gets an AWS
credential of this machine.

An environment with an overlay, or with an endpoint of its own, gets that endpoint, its dummy keys,
and empty credentials files. Any other gets its profile, and then no key from our own variables
either: in AWS's SDK for Go those would win over the profile. `TF_CLI_ARGS*`, `TF_DATA_DIR` and
`TF_WORKSPACE` are never handed on: they would add words to commands, or move the state, unseen."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from ops.core.errors import ConfigError

if TYPE_CHECKING:
    from ops.core.config.settings import Settings

KEPT = (
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
NEVER = ("TF_CLI_ARGS", "TF_DATA_DIR", "TF_WORKSPACE", "TF_IN_AUTOMATION", "TF_INPUT")
KEYS = (
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_SECURITY_TOKEN",
    "AWS_DEFAULT_PROFILE",
    "AWS_ENDPOINT_URL",
)


def environment(settings: Settings, ours: Mapping[str, str]) -> dict[str, str]:
    """The child's variables. Raises ConfigError for an overlay without endpoint or keys."""
    place = settings.environment
    common = {
        "TF_IN_AUTOMATION": "1",
        "AWS_REGION": place.region,
        "AWS_DEFAULT_REGION": place.region,
        "CHECKPOINT_DISABLE": "1",
    }
    if place.terraform and place.terraform.workspace:
        common["TF_WORKSPACE"] = place.terraform.workspace
    if place.overlay or place.aws.endpoint:
        return {
            **{name: ours[name] for name in KEPT if name in ours},
            **common,
            **rehearsal(settings),
        }
    kept = {name: value for name, value in ours.items() if not name.startswith(NEVER)}
    if place.aws.profile:
        kept = {name: value for name, value in kept.items() if not name.startswith(KEYS)}
        common["AWS_PROFILE"] = place.aws.profile
    return {**kept, **common}


def rehearsal(settings: Settings) -> dict[str, str]:
    aws = settings.environment.aws
    if not (aws.endpoint and aws.access_key and aws.secret_key):
        why = (
            "with an overlay it never uses this machine's AWS credentials, and it has no "
            "endpoint or no keys of its own"
        )
        hint = (
            settings.environment.overlay_hint
            or f"give environments.{settings.name}.aws an endpoint and keys in its overlay"
        )
        raise ConfigError(f"environment {settings.name} cannot reach its AWS", why, hint)
    return {
        "AWS_ENDPOINT_URL": aws.endpoint,
        "AWS_ACCESS_KEY_ID": aws.access_key,
        "AWS_SECRET_ACCESS_KEY": aws.secret_key,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    }
