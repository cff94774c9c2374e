"""Decides which downloads go straight to the store, by 302 to a short-lived address of the sealed version, and writes that answer.

- Off unless the settings switch it on and the policy that counts allows it; the policy is asked again every `POLICY_SECONDS`,
  and where it cannot be read, or another one was adopted, bytes come through the gateway.
- Only whole answers or ranges of `min_bytes` and more: what is smaller, code and configuration among it, is proven here as ever.
  A request with a condition is answered here too: its ETags are ours, and the store does not know them.
- The address names the very version that the seal's placement names. An object without a version is never redirected to.
- An address that does not begin with the store's own origin is not sent. It is a secret for its life: it goes to the client and
  nowhere else, and no cache may keep it.
- Once it was sent nobody here proves the bytes, and a revocation stops new addresses, not those that are out.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from weighbridge.core.errors import ConfigError, StoreError, WeighbridgeError
from weighbridge.core.ports import ObjectStore, Presigning, StoredObject
from weighbridge.serve.conditions import Conditions, Plan
from weighbridge.serve.refusals import Headers

POLICY_SECONDS: Final = 5.0
"""How long an answer of the policy is good for."""
MAX_LOCATION: Final = 7_168
"""Clients and proxies take lines of 8 KiB; a security token may make an address long."""
_KEPT_HEADERS: Final = frozenset(
    (b"x-repo-commit", b"etag", b"x-linked-etag", b"x-linked-size", b"accept-ranges", b"x-content-type-options")
)
Told = Callable[[str, str, str], None]


@dataclass(frozen=True, slots=True)
class RedirectTerms:
    """From how many bytes on an answer is a redirect, and how long an address is good."""

    min_bytes: int
    seconds: int


class Redirects:
    """See above. `permits` says whether policy allows it now, and may raise; thread-safe, blocks but for `wanted`.

    Raises:
        ConfigError: the store cannot hand out addresses.
    """

    def __init__(
        self,
        store: ObjectStore,
        terms: RedirectTerms,
        permits: Callable[[], bool],
        *,
        told: Told,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if not isinstance(store, Presigning):
            raise ConfigError(
                f"{store.address} cannot hand out addresses of single versions, so 'gateway.redirects' cannot be on",
                hint="Only S3 can, here. Leave it off: then bytes come through the gateway, each chunk proven.",
            )
        self._store = store
        self._terms = terms
        self._permits = permits
        self._told = told
        self._clock = clock
        self._asked: tuple[float, bool] | None = None
        self.origin = store.presign_origin

    def wanted(self, planned: Plan, conditions: Conditions) -> bool:
        """Whether an answer is one for the store, if policy allows it."""
        if planned.status not in (200, 206) or planned.span is None:
            return False
        if conditions.if_match or conditions.if_none_match or conditions.if_range:
            return False
        return planned.span[1] - planned.span[0] >= max(1, self._terms.min_bytes)

    def permitted(self) -> bool:
        """Whether policy allows it now, at most `POLICY_SECONDS` late. What cannot be told is a no."""
        now = self._clock()
        if self._asked is not None and now - self._asked[0] < POLICY_SECONDS:
            return self._asked[1]
        try:
            found = self._permits()
        except WeighbridgeError as error:
            found = False
            if self._asked is None or self._asked[1]:
                self._told("no redirects", "policy", error.message)
        self._asked = (now, found)
        return found

    def location(self, stored: StoredObject, headers: Headers) -> bytes | None:
        """Where the client shall go; None: answer with the bytes. `headers` are those of the file."""
        if not stored.version_id or not self.permitted():
            return None
        said = dict(headers)
        try:
            found = self._store.presign(
                stored.key,
                version_id=stored.version_id,
                seconds=self._terms.seconds,
                content_type=said.get(b"content-type", b"application/octet-stream").decode("ascii"),
                content_disposition=said.get(b"content-disposition", b"attachment").decode("ascii"),
            )
            self._check(found)
        except (StoreError, ConfigError) as error:
            self._told("no redirect", stored.key, error.message)
            return None
        return found.encode("ascii")

    def _check(self, address: str) -> None:
        """Raises StoreError for what must not be a `Location`; never says the address."""
        parts = urlsplit(address)
        if f"{parts.scheme}://{parts.netloc}" != self.origin or not parts.path.startswith("/"):
            raise StoreError("the store signed an address that is not its own")
        if len(address) > MAX_LOCATION or not all("!" <= one <= "~" for one in address):
            raise StoreError("the store signed an address that no header holds")


def redirect_headers(location: bytes, headers: Headers) -> Headers:
    """The headers of the 302, from those of the file."""
    kept = [(name, value) for name, value in headers if name in _KEPT_HEADERS]
    return [
        *kept,
        (b"location", location),
        (b"cache-control", b"no-store"),
        (b"referrer-policy", b"no-referrer"),
        (b"content-length", b"0"),
    ]
