"""Decides which hosts a redirect, or a notice, may go to, so that nobody points us at what only we can reach.

Rules (server-side request forgery, OWASP SSRF prevention): the scheme stays as safe as it was; no user name in the URL;
the host must not resolve to a link-local, multicast, reserved or unspecified address, nor to a private or loopback one
unless the endpoint the user chose lies there too. After `check_redirect` the name is resolved again when the connection is
made, so a resolver that changes its answer in between is not excluded; an egress proxy excludes it. Whoever asks
`permitted_addresses` connects to one of these and nowhere else.
"""

from __future__ import annotations

import ipaddress
import socket
from contextlib import suppress
from functools import lru_cache
from urllib.parse import urlsplit

from weighbridge.core.errors import ConfigError, SourceError, Unreachable
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


def permitted_addresses(host: str, *, private: bool) -> tuple[Address, ...]:
    """The present addresses of a host that a person set, once all of them were found fit to be connected to.

    `private` says whether the person allowed addresses that are not public; link-local ones, where clouds hand out
    credentials, are never allowed.

    Raises:
        ConfigError: an address is not allowed.
        Unreachable: the name has no address now (transient).
    """
    try:
        addresses = _look_up(host)
    except UnicodeError as error:
        raise ConfigError(f"'{host:.200}' cannot be the name of a host") from error
    for address in addresses:
        if _never(address):
            raise ConfigError(f"'{host:.200}' is {address}, where nothing is ever sent to")
        if _internal(address) and not private:
            raise ConfigError(
                f"'{host:.200}' is {address}, which is not a public address",
                hint="If it is your own and meant to be reached from here, say private = true.",
            )
    if not addresses:
        raise Unreachable(f"'{host:.200}' has no address", hint="Check the name, and the resolver of this machine.")
    return addresses


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
    return _look_up(host)


def _look_up(host: str) -> tuple[Address, ...]:
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
