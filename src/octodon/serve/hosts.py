"""By which names a service may be asked.

A web page may let its own name lead to this machine (DNS rebinding), and its script would then read what a service answers that
only this machine can reach. The browser still names the page's host in each request, and that is refused.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address

from octodon.errors import ConfigError

LOOPBACK = ("127.0.0.1", "::1", "localhost")
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*(:[0-9]+)?")
"""A host as a browser names it, so without letters that it writes in others (xn--); "_" is in names of Docker's networks."""
_IPV6 = re.compile(r"\[([^\]]+)\](:[0-9]+)?")


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches the host: an address, or what a name or another spelling of one stands for."""
    address = _address(host)
    if address is None:
        try:
            address = _address(str(socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)[0][4][0]))
        except (OSError, UnicodeError):  # no such name
            return False
    return address is not None and address.is_loopback


def refuse_no_names(allowed: Sequence[str]) -> None:
    """Refuse what is given as a name, such as that of a proxy, and is none.

    Raises
    ------
    ConfigError
        With the first one.
    """
    for name in allowed:
        ipv6 = _IPV6.fullmatch(name)
        if not _NAME.fullmatch(name) and _address(ipv6[1] if ipv6 else name) is None:
            raise ConfigError(
                f"--allow-host: got {name!r}, expected one host, such as models.example.org; repeat the option for more names"
            )


def accepted_hosts(bound: str, address: str, allowed: Sequence[str]) -> frozenset[str] | None:
    """Return the names under which a service may be asked, or None for every name.

    Parameters
    ----------
    bound : str
        Where it was told to listen: an address in any spelling, or a name.
    address : str
        Where it listens, as the socket says. Where others reach it, they may do so by any name, unless names are given.
    allowed : sequence of str
        Names given by whoever starts it.
    """
    if not allowed and not is_loopback(address):
        return None
    return frozenset(host_name(name) for name in (*LOOPBACK, bound, address, *allowed))


def host_name(host: str) -> str:
    """Return a host without its port, in one spelling: "localhost" of "LOCALHOST:8000", "::1" of "[0:0::1]:8000"."""
    if host.startswith("["):
        name = host[1:].partition("]")[0]
    else:
        name = host if host.count(":") > 1 else host.partition(":")[0]
    address = _address(name)
    return name.removesuffix(".").lower() if address is None else str(address)


def _address(text: str) -> IPv4Address | IPv6Address | None:
    """Return an address, as IPv4 where it is only written as IPv6 ("::ffff:127.0.0.1"), or None where it is none."""
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
