"""By which names a service may be asked.

A web page may let its own name lead to this machine (DNS rebinding), and its script would then read what a service answers that
only this machine can reach. The browser still names the page's host in each request, and that is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_address

from octodon.errors import ConfigError

LOOPBACK = ("127.0.0.1", "::1", "localhost")


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches the host."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def accepted_hosts(bound: str, allowed: Sequence[str]) -> frozenset[str] | None:
    """Return the names under which a service may be asked, or None for every name.

    Parameters
    ----------
    bound : str
        Where it listens. Where others reach it, they may do so by any name, unless names are given.
    allowed : sequence of str
        Names given by whoever starts it, such as that of a proxy.

    Raises
    ------
    ConfigError
        What is given is no name.
    """
    for name in allowed:
        if not host_name(name) or "/" in name:
            raise ConfigError(
                f"--allow-host: got {name!r}, expected a host alone, such as models.example.org"
            )
    if not allowed and not is_loopback(bound):
        return None
    return frozenset(host_name(name) for name in (*LOOPBACK, bound, *allowed))


def host_name(host: str) -> str:
    """Return a host without its port, in lower case: "localhost" of "LOCALHOST:8000", "::1" of "[::1]:8000"."""
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    name = host if host.count(":") > 1 else host.partition(":")[0]
    return name.removesuffix(".").lower()
