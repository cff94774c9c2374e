"""Decides which hosts a redirect may lead to, so that an upstream cannot point us at what only we can reach.

Rules (server-side request forgery, OWASP SSRF prevention): the scheme stays as safe as it was; no user name in the URL;
the host must not resolve to a link-local, multicast, reserved or unspecified address, nor to a private or loopback one
unless the endpoint the user chose lies there too. The name is resolved again when the connection is made, so a resolver
that changes its answer in between is not excluded; an egress proxy excludes it.
"""

from __future__ import annotations

import ipaddress
import socket
from contextlib import suppress
from functools import lru_cache
from urllib.parse import urlsplit

from weighbridge.core.errors import SourceError
from weighbridge.wire.http import place

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def check_redirect(target: str, *, endpoint: str) -> None:
    """Returns when a request to `endpoint` may be redirected to the absolute URL `target`.

    Raises:
        SourceError: it may not, and the message says why.
    """
    try:
        _check(target, endpoint)
    except (ValueError, UnicodeError) as error:
        raise _refused(target, "the address cannot be read") from error


def _check(target: str, endpoint: str) -> None:
    new, old = urlsplit(target), urlsplit(endpoint)
    _ = new.port  # raises for what is no port
    if new.scheme not in ("https", old.scheme) or new.scheme not in ("http", "https"):
        raise _refused(target, f"'{new.scheme}' is not as safe as '{old.scheme}'")
    if not new.hostname or new.username is not None or new.password is not None:
        raise _refused(target, "the address has no host or carries a user name")
    inside = any(_internal(address) for address in _resolve(old.hostname or ""))
    for address in _resolve(new.hostname):
        if _never(address) or (_internal(address) and not inside):
            raise _refused(target, f"{address} is not a public address")


_METADATA = tuple(ipaddress.ip_address(text) for text in ("fd00:ec2::254", "100.100.100.200", "168.63.129.16"))
"""Where clouds hand out credentials, besides the link-local addresses (AWS over IPv6, Alibaba, Azure)."""


def _never(address: Address) -> bool:
    return (
        address in _METADATA
        or address.is_link_local
        or address.is_multicast
        or address.is_unspecified
        or (address.is_reserved and not address.is_loopback)
    )


def _internal(address: Address) -> bool:
    return not address.is_global


@lru_cache(maxsize=256)
def _resolve(host: str) -> tuple[Address, ...]:
    with suppress(ValueError):
        return (_unmapped(ipaddress.ip_address(host)),)
    try:
        answers = socket.getaddrinfo(host, None, proto=socket.IPPROTO_TCP)
    except OSError:
        return ()  # behind a proxy names may only resolve there; the connection itself will say
    return tuple(_unmapped(ipaddress.ip_address(str(answer[4][0]).partition("%")[0])) for answer in answers)


def _unmapped(address: Address) -> Address:
    """The IPv4 address that an IPv6 address stands for, where it does (mapped, 6to4)."""
    if isinstance(address, ipaddress.IPv6Address):
        return address.ipv4_mapped or address.sixtofour or address
    return address


def _refused(target: str, reason: str) -> SourceError:
    return SourceError(
        f"the upstream redirects to {place(target)}, which is refused: {reason}",
        hint="Nothing was sent there. If this is your own mirror, make it answer from one network.",
    )
