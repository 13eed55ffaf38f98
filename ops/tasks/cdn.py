"""`cdn.*`: manage the CDN's cache by hand.

A deploy of a service with `invalidate` paths does this by itself.
"""

from __future__ import annotations

from ops.tasks.shared import Session, ops_task

PATHS = (
    "Path to invalidate, in quotes ('/about', '/static/*'); repeat, or separate with commas, for "
    "more (default: '/*')."
)


@ops_task(options=("plan", "yes", "json", "timeout"), help={"paths": PATHS}, repeated=("paths",))
def invalidate(session: Session, paths: list[str] | None = None) -> None:
    """Invalidate paths in the CDN's cache, and wait until this is complete."""
    from ops.cdn import invalidate as flow
    from ops.platform import Platform

    wanted = patterns(paths or ())
    platform = Platform.of(session.settings)
    session.carry_out(flow.CacheInvalidation.planned(platform, wanted, session.timeout_s()))


def patterns(given: list[str] | tuple[str, ...]) -> tuple[str, ...]:
    """The given paths, or all without any.

    Raises ConfigError (exit 2) for a pattern that CloudFront would interpret differently.
    """
    from ops.cdn.facts import EVERYTHING
    from ops.core.config.types import path_pattern
    from ops.core.errors import ConfigError

    words = [word.strip() for text in given for word in text.split(",") if word.strip()]
    for word in words:
        try:
            path_pattern(word)
        except ValueError as error:
            raise ConfigError(
                f"--paths {word}",
                str(error),
                "--paths '/*' (in quotes, or the shell fills the * in)",
            ) from None
    return tuple(dict.fromkeys(words)) or (EVERYTHING,)


@ops_task(options=("json",))
def status(session: Session) -> None:
    """Show the distribution, whether its last change is deployed, and open invalidations."""
    from ops.cdn import invalidate as flow
    from ops.platform import Platform

    session.report(flow.status(Platform.of(session.settings)))


@ops_task(options=("json",))
def check(session: Session) -> None:
    """Prove for each configured page whether the CDN serves what the origin serves.

    A cached page is compared with the origin (`alb`, else the distribution's origin): by the
    version that it names, else by body hash or ETag. Exit code 1 if a page is stale, or if that is
    unknown: the origin cannot be reached, or the page differs at each request.
    """
    from ops.cdn import check as flow
    from ops.platform import Platform

    session.report(flow.check_cache(Platform.of(session.settings)))
