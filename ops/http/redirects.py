"""Where a redirect is asked for, when one address is looked at in the name of another."""

from __future__ import annotations

from urllib.parse import urlsplit


def own_address(asked: str, host: str | None, location: str) -> str | None:
    """The address to ask next. `host`: for whom `asked` is looked at (None: for itself); None: the
    redirect leads to somebody else.

    A load balancer that sends everything to https://SITE is asked by https itself: the site's
    address would be the CDN's."""
    base, to = urlsplit(asked), urlsplit(location)
    if host is None or to.netloc == base.netloc:
        return location
    if to.hostname != urlsplit(f"//{host}").hostname:
        return None
    if to.scheme == base.scheme:
        return to._replace(netloc=base.netloc).geturl()
    name = f"[{base.hostname}]" if ":" in (base.hostname or "") else base.hostname or ""
    return to._replace(netloc=f"{name}:{to.port}" if to.port else name).geturl()
