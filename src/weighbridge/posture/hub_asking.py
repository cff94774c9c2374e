"""Asks one Hub about one model, bounded: JSON answers of its API, page by page, following no redirect.

Rules: the token goes to the endpoint alone; an answer is at most `MAX_ANSWER_BYTES` and takes at most `MAX_SECONDS`; a next
page is asked for only where it is the same question to the same host.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, unquote, urlencode, urljoin, urlsplit

from weighbridge.core.errors import LimitExceeded, Malformed, NotFound, RateLimited, SourceError, Unreachable
from weighbridge.core.names import ModelName
from weighbridge.formats.json_text import Json, parse
from weighbridge.posture.gathering import plain, sha256
from weighbridge.wire.http import Http, Response

MAX_ANSWER_BYTES: Final = 32 * 1024 * 1024
MAX_PAGES: Final = 500
MAX_SECONDS: Final = 60.0
_BLOCK: Final = 64 * 1024
_NEXT: Final = re.compile(r'<([^<>]{1,4096})>\s*;\s*rel="next"')
_REDIRECTS: Final = (301, 302, 303, 307, 308)


@dataclass(frozen=True, slots=True)
class Answer:
    """What the Hub answered. `asked` names the call without its secrets; `location` is where a redirect leads."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    asked: str

    @property
    def digest(self) -> str:
        """The SHA-256 of the body."""
        return sha256(self.body)

    @property
    def location(self) -> str:
        """Where a redirect leads; "" when it is none."""
        return self.headers.get("location", "") if self.status in _REDIRECTS else ""

    def json(self) -> Json:
        """The value of a success.

        Raises:
            SourceError: of the kind that fits the status. FormatError: it is no JSON.
        """
        if self.status != 200:
            raise _refusal(self)
        return parse(self.body).value

    def object(self) -> dict[str, Json]:
        """As `json`, where it is an object."""
        value = self.json()
        if not isinstance(value, dict):
            raise Malformed(f"{self.asked} answers no JSON object")
        return value


def _refusal(answer: Answer) -> SourceError:
    said = plain(answer.headers.get("x-error-message", ""))
    what = f"{answer.asked} answers status {answer.status}" + (f" ({said})" if said else "")
    if answer.location:
        return SourceError(f"{what}: a redirect to {plain(answer.location)}, which is not followed")
    if answer.status == 429:
        return RateLimited(what, hint="Try again later, or with a token.")
    if answer.status in (401, 403, 404):
        return NotFound(what, hint="Check the name; a private model needs HF_TOKEN with an account that may read it.")
    return Unreachable(what) if answer.status >= 500 else SourceError(what)


class HubAsking:
    """Questions to one Hub. `token` may be empty."""

    def __init__(self, http: Http, endpoint: str, model_name: ModelName, *, token: str = "") -> None:
        self._http = http
        self.endpoint = endpoint.rstrip("/")
        self.model_name = model_name
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}

    def model(self, rest: str = "", **query: str) -> Answer:
        """`GET /api/models/org/name/rest`."""
        return self.get(f"/api/models/{self.model_name}{rest}", **query)

    def get(self, path: str, **query: str) -> Answer:
        """One answer.

        Raises:
            Unreachable, Truncated: there is none. LimitExceeded: it is larger, or takes longer, than any honest one.
        """
        return self.get_with(path, {}, **query)

    def get_with(self, path: str, headers: Mapping[str, str], **query: str) -> Answer:
        """As `get`, with headers."""
        suffix = f"?{urlencode(query)}" if query else ""
        return self._ask("GET", f"{self.endpoint}{quote(path, safe='/%')}{suffix}", f"GET {path}", headers, None)

    def post(self, path: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        """One answer to a request with a body. Raises as `get`."""
        return self._ask("POST", f"{self.endpoint}{quote(path, safe='/%')}", f"POST {path}", headers, body)

    def pages(self, path: str, *, limit: int, **query: str) -> Iterator[tuple[Answer, list[dict[str, Json]]]]:
        """All pages of a list, each with the objects in it.

        Raises:
            As `get`; LimitExceeded: there are more than `limit` objects or `MAX_PAGES` pages.
        """
        answer = self.model(path, **query)
        count = 0
        for _ in range(MAX_PAGES):
            value = answer.json()
            if not isinstance(value, list) or not all(isinstance(row, dict) for row in value):
                raise Malformed(f"{answer.asked} answers no list of objects")
            rows = [row for row in value if isinstance(row, dict)]
            count += len(rows)
            if count > limit:
                raise LimitExceeded(f"{answer.asked} lists more than {limit} entries")
            yield answer, rows
            following = self._next(answer)
            if not following:
                return
            answer = self._ask("GET", following, answer.asked, {}, None)
        raise LimitExceeded(f"{answer.asked} has more than {MAX_PAGES} pages")

    def _next(self, answer: Answer) -> str:
        match = _NEXT.search(answer.headers.get("link", "")[:8192])
        if match is None:
            return ""
        path = answer.asked.partition(" ")[2]
        try:
            target = urlsplit(urljoin(self.endpoint, match[1]))
            ours = urlsplit(self.endpoint)
            same = (target.scheme, target.netloc) == (ours.scheme, ours.netloc)
        except ValueError:
            same = False
        if not same or unquote(target.path) != unquote(ours.path + path):
            raise SourceError(f"{answer.asked} names a next page elsewhere, which is not asked for")
        return str(target.geturl())

    def _ask(self, method: str, url: str, asked: str, headers: Mapping[str, str], body: bytes | None) -> Answer:
        until = time.monotonic() + MAX_SECONDS
        with self._http.request(method, url, headers={**self._headers, **headers}, body=body) as response:
            named = {key.lower(): value for key, value in response.headers.items()}
            return Answer(response.status, named, _whole(response, asked, until), asked)


def _whole(response: Response, asked: str, until: float) -> bytes:
    kept, block = bytearray(), bytearray(_BLOCK)
    while count := response.readinto(memoryview(block)):
        kept += block[:count]
        if len(kept) > MAX_ANSWER_BYTES:
            raise LimitExceeded(f"{asked} answers more than {MAX_ANSWER_BYTES} bytes")
        if time.monotonic() > until:
            raise LimitExceeded(f"{asked} took longer than {MAX_SECONDS:.0f} seconds to answer")
    return bytes(kept)
