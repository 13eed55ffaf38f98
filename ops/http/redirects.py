"""Follow redirects when one address is requested in the name of another host."""

from __future__ import annotations

from urllib.parse import urlsplit


def own_address(asked: str, host: str | None, location: str) -> str | None:
    """The address to request next; None if the redirect leads to another host.

    `asked` is the address of the request, and `host` the host it was made for (None: its own). A
    load balancer that redirects everything to https://SITE is itself requested by https: the site's
    address would be the CDN's.
    """
    base, to = urlsplit(asked), urlsplit(location)
    if host is None or to.netloc == base.netloc:
        return location
    if to.hostname != urlsplit(f"//{host}").hostname:
        return None
    if to.scheme == base.scheme:
        return to._replace(netloc=base.netloc).geturl()
    name = f"[{base.hostname}]" if ":" in (base.hostname or "") else base.hostname or ""
    return to._replace(netloc=f"{name}:{to.port}" if to.port else name).geturl()
