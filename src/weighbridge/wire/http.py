"""Moves bytes over HTTP without buffering bodies: one pool of connections, bounded waits, typed failures.

`urllib3` carries the connections (TLS, proxies, reuse). Reads return what has arrived, so that a peer dripping one byte a
second is noticed. Redirects are never followed here: whoever asks decides what a redirect means.
"""

from __future__ import annotations

import http.client
import io
import os
from collections.abc import Mapping
from contextlib import suppress
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import urllib3
from urllib3.exceptions import HTTPError, IncompleteRead, ReadTimeoutError, SSLError

from weighbridge.core.errors import Truncated, Unreachable

READ_BYTES = 1024 * 1024
"""What one read asks for: below it system calls dominate, above it the copy leaves the cache."""

MAX_ERROR_BODY_BYTES = 64 * 1024


class Response:
    """An answer whose body is still on its way. Close it (or leave the `with` block) to return the connection."""

    def __init__(self, raw: urllib3.BaseHTTPResponse, *, url: str) -> None:
        self._raw = raw
        self._inner = _plain_body(raw)
        self._whole = False
        self.status = raw.status
        self.headers: Mapping[str, str] = raw.headers
        self.place = place(url)

    def readinto(self, view: memoryview, /) -> int:
        """See `core.ports.ByteStream`; 0 at the end of the body."""
        wanted = view[:READ_BYTES]
        try:
            if self._inner is not None and self._inner.length:
                return self._read_straight(self._inner, wanted)
            data = self._raw.read1(len(wanted), decode_content=False)
        except IncompleteRead as error:
            raise Truncated(f"{self.place} closed the connection before the body was complete") from error
        except (ReadTimeoutError, TimeoutError) as error:
            raise Unreachable(f"{self.place} stopped sending") from error
        except (HTTPError, OSError) as error:
            if isinstance(error.__cause__, http.client.IncompleteRead):
                raise Truncated(f"{self.place} closed the connection before the body was complete") from error
            raise Unreachable(f"the connection to {self.place} broke ({type(error).__name__})") from error
        if not data:
            self._whole = True
            return 0
        view[: len(data)] = data
        return len(data)

    def _read_straight(self, inner: http.client.HTTPResponse, view: memoryview) -> int:
        """One read from the connection's buffer into ours; keeps both libraries' count of what is left."""
        room = view[: inner.length]
        if not len(room):
            return 0
        assert isinstance(inner.fp, io.BufferedReader)
        count = inner.fp.readinto1(room)
        if not count:
            raise Truncated(f"{self.place} closed the connection before the body was complete")
        assert inner.length is not None
        inner.length -= count
        setattr(self._raw, "length_remaining", inner.length)  # noqa: B010 (not declared by the base class)
        return count

    def read(self, limit_bytes: int) -> bytes:
        """The whole body, or its first `limit_bytes`."""
        buffer = bytearray(limit_bytes)
        view, filled = memoryview(buffer), 0
        while filled < limit_bytes:
            count = self.readinto(view[filled:])
            if not count:
                break
            filled += count
        return bytes(view[:filled])

    def finish(self) -> bool:
        """Whether the body ends here; if it does, the connection can be used again."""
        if self._whole:
            return True
        if getattr(self._raw, "length_remaining", None):
            return False  # more was announced than was asked for
        with suppress(Truncated, Unreachable):
            self.readinto(memoryview(bytearray(1)))
        return self._whole

    def close(self) -> None:
        """Gives the answer up, and its connection with it."""
        self._raw.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._whole and kind is None:
            self._raw.release_conn()
        else:
            self._raw.close()


def _plain_body(raw: urllib3.BaseHTTPResponse) -> http.client.HTTPResponse | None:
    """The standard library's response below urllib3's, where its body is of announced length and not chunked.

    urllib3 offers no read into a buffer that returns what has arrived; its `read1` makes an object of half a megabyte for
    each read and copies it: 0.2 CPU-seconds per GB. Where urllib3 keeps its response elsewhere, `read1` it is.
    """
    inner = getattr(raw, "_fp", None)
    if not isinstance(inner, http.client.HTTPResponse) or inner.chunked or inner.length is None:
        return None
    return inner if isinstance(inner.fp, io.BufferedReader) else None


class ExactStream:
    """Exactly `size_bytes` of a response's body, as a `core.ports.ByteStream`.

    Raises:
        Truncated: the body is shorter. A longer body is cut off, and its connection is not used again.
    """

    def __init__(self, response: Response, size_bytes: int) -> None:
        self._response = response
        self._left = size_bytes

    def readinto(self, view: memoryview, /) -> int:
        """Fills up to `len(view)` bytes; 0 only at the end of the range."""
        if not self._left:
            return 0
        count = self._response.readinto(view[: self._left])
        if not count:
            raise Truncated(f"{self._response.place} ended the body {self._left} bytes early")
        self._left -= count
        if not self._left:
            self._response.finish()
        return count


class Http:
    """A pool of connections. Thread-safe."""

    def __init__(
        self,
        *,
        user_agent: str,
        connect_timeout_seconds: float = 10.0,
        read_timeout_seconds: float = 60.0,
        connections: int = 16,
    ) -> None:
        self._timeout = urllib3.Timeout(connect=connect_timeout_seconds, read=read_timeout_seconds)
        self._connections = connections
        self._headers = {"User-Agent": user_agent, "Accept-Encoding": "identity"}
        self._authorities = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("SSL_CERT_FILE")
        self._direct = urllib3.PoolManager(num_pools=16, maxsize=connections, ca_certs=self._authorities)
        self._proxied: dict[str, urllib3.ProxyManager] = {}

    def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | bytearray | memoryview | None = None,
    ) -> Response:
        """Sends one request and returns when the answer's headers are there.

        Raises:
            Unreachable: no connection, no answer in time, or a broken one (transient).
        """
        try:
            raw = self._pool(url).urlopen(
                method,
                url,
                headers={**self._headers, **(headers or {})},
                body=body,
                redirect=False,
                retries=False,
                timeout=self._timeout,
                preload_content=False,
                decode_content=False,
            )
        except SSLError as error:
            raise Unreachable(
                f"{place(url)} could not be trusted ({error})",
                hint="Point SSL_CERT_FILE at the certificate authority of your proxy or store.",
            ) from error
        except (HTTPError, OSError) as error:
            raise Unreachable(
                f"{place(url)} does not answer ({type(error).__name__})",
                hint="Check the address, the network and the proxy settings.",
            ) from error
        return Response(raw, url=url)

    def _pool(self, url: str) -> urllib3.PoolManager:
        parts = urlsplit(url)
        proxy = getproxies().get(parts.scheme)
        if not proxy or proxy_bypass(parts.hostname or ""):
            return self._direct
        if proxy not in self._proxied:
            self._proxied[proxy] = urllib3.ProxyManager(
                proxy, num_pools=16, maxsize=self._connections, ca_certs=self._authorities
            )
        return self._proxied[proxy]

    def close(self) -> None:
        """Closes all connections."""
        self._direct.clear()
        for manager in self._proxied.values():
            manager.clear()


def place(url: str) -> str:
    """Scheme, host and port of a URL: what may be shown, for paths and queries can carry signatures."""
    try:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port else ""
        return f"{parts.scheme}://{parts.hostname or ''}{port}"
    except ValueError:
        return "an address that cannot be read"
