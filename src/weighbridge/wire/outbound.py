"""Sends small documents to addresses that a person set: pinned to what was checked, bounded, no redirect followed.

Rules:

- the name is resolved once, each address is judged (`wire.targets.permitted_addresses`), and the connection goes to one of
  them: a resolver that changes its answer in between changes nothing. TLS still proves the name;
- https everywhere; plain http only to addresses that are not public, where the person allowed these;
- where the environment names a proxy, the proxy resolves and connects; an address written as digits is judged all the same;
- of an answer only its status and `Retry-After` are looked at; a redirect is an answer like any other.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import urllib3
from urllib3.exceptions import HTTPError, SSLError

from weighbridge.core.errors import ConfigError, Unreachable
from weighbridge.wire import retry_after
from weighbridge.wire.http import Http, place
from weighbridge.wire.targets import Address, permitted_addresses

MAX_TRIED_ADDRESSES: Final = 4
MAX_URL_CHARACTERS: Final = 2_048


@dataclass(frozen=True, slots=True)
class Target:
    """An URL that a person set, taken apart. `str()` of it shows scheme and host only: the rest may be a secret."""

    url: str
    scheme: str
    host: str
    port: int
    private: bool

    @classmethod
    def parse(cls, url: str, *, private: bool) -> Target:
        """Reads an http or https URL.

        Raises:
            ConfigError: it is none, carries a user name or a password, or is not plain ASCII; the URL is not shown.
        """
        problem = ConfigError("the address is no http or https URL", hint="Write https://host/path, in plain ASCII.")
        if not url.isascii() or not url.isprintable() or " " in url or len(url) > MAX_URL_CHARACTERS:
            raise problem
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            raise problem from None
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.fragment:
            raise problem
        if parts.username is not None or parts.password is not None:
            raise ConfigError("the address carries a user name or a password", hint="Leave it out.")
        if parts.scheme == "http" and not private:
            raise ConfigError(
                f"{place(url)} is not https",
                hint="Plain http is for addresses that are not public; say private = true for one of these.",
            )
        return cls(url, parts.scheme, parts.hostname, port or (443 if parts.scheme == "https" else 80), private)

    def __str__(self) -> str:
        return place(self.url)

    def __repr__(self) -> str:
        return f"Target({place(self.url)})"


@dataclass(frozen=True, slots=True)
class Answered:
    """What the other side made of it."""

    status: int
    retry_after_seconds: float | None


class Outbound:
    """Posts documents. Thread-safe; connections are not kept."""

    def __init__(self, *, user_agent: str, connect_seconds: float = 10.0, read_seconds: float = 15.0) -> None:
        self._user_agent = user_agent
        self._timeout = urllib3.Timeout(connect=connect_seconds, read=read_seconds)
        self._seconds = (connect_seconds, read_seconds)

    def post(self, target: Target, body: bytes, headers: Mapping[str, str]) -> Answered:
        """Posts a document once.

        Raises:
            ConfigError: the address is one that nothing is sent to.
            Unreachable: no connection, no trust, or no answer in time (transient).
        """
        if _is_proxied(target):
            return self._through_proxy(target, body, headers)
        addresses = permitted_addresses(target.host, private=target.private)
        if target.scheme == "http" and any(address.is_global for address in addresses):
            raise ConfigError(f"{target} is a public address, and not https", hint="Write https://.")
        problem = Unreachable(f"{target} does not answer")
        for address in addresses[:MAX_TRIED_ADDRESSES]:
            try:
                return self._post_to(address, target, body, headers)
            except SSLError:
                raise Unreachable(
                    f"{target} could not be trusted", hint="Point SSL_CERT_FILE at the authority of its certificate."
                ) from None
            except (HTTPError, OSError) as error:
                # Not chained: what these say of themselves holds the whole address, which may be a secret.
                problem = Unreachable(f"{target} does not answer ({type(error).__name__})")
        raise problem from None

    def _post_to(self, address: Address, target: Target, body: bytes, headers: Mapping[str, str]) -> Answered:
        parts = urlsplit(target.url)
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        sent = {
            "Host": parts.netloc,
            "User-Agent": self._user_agent,
            "Accept-Encoding": "identity",
            "Connection": "close",
            **headers,
        }
        with self._pool(address, target) as pool:
            raw = pool.urlopen(
                "POST",
                path,
                body=body,
                headers=sent,
                redirect=False,
                retries=False,
                preload_content=False,
                decode_content=False,
                timeout=self._timeout,
            )
            answered = Answered(raw.status, retry_after.seconds(raw.headers.get("retry-after")))
            raw.close()
            return answered

    def _pool(self, address: Address, target: Target) -> urllib3.HTTPConnectionPool:
        host = f"[{address}]" if address.version == 6 else str(address)
        if target.scheme == "http":
            return urllib3.HTTPConnectionPool(host, target.port, maxsize=1)
        authorities = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("SSL_CERT_FILE")
        return urllib3.HTTPSConnectionPool(
            host,
            target.port,
            maxsize=1,
            cert_reqs="CERT_REQUIRED",
            ca_certs=authorities,
            server_hostname=target.host,
            assert_hostname=target.host,
        )

    def _through_proxy(self, target: Target, body: bytes, headers: Mapping[str, str]) -> Answered:
        with suppress(Unreachable):  # behind a proxy names may only resolve there
            permitted_addresses(target.host, private=target.private)
        connect, read = self._seconds
        http = Http(user_agent=self._user_agent, connect_timeout_seconds=connect, read_timeout_seconds=read)
        try:
            with http.request("POST", target.url, headers=headers, body=body) as response:
                return Answered(response.status, retry_after.seconds(response.headers.get("retry-after")))
        except Unreachable as error:
            raise Unreachable(error.message, hint=error.hint) from None
        finally:
            http.close()


def _is_proxied(target: Target) -> bool:
    return bool(getproxies().get(target.scheme)) and not proxy_bypass(target.host)


def connect(host: str, port: int, *, private: bool, seconds: float) -> socket.socket:
    """A connection to a host that a person set, to one of the addresses that were found fit.

    Raises:
        ConfigError: it is one that nothing is sent to. Unreachable: no connection in time (transient).
    """
    problem: OSError | None = None
    for address in permitted_addresses(host, private=private)[:MAX_TRIED_ADDRESSES]:
        try:
            return socket.create_connection((str(address), port), timeout=seconds)
        except OSError as error:
            problem = error
    raise Unreachable(f"{host} port {port} does not answer ({type(problem).__name__})") from problem
