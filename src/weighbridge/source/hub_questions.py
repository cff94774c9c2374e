"""Asks one Hub about one model, bounded: JSON answers of its API, page by page, following no redirect.

Rules: the token goes to the endpoint alone; an answer is at most `MAX_ANSWER_BYTES` and takes at most `MAX_SECONDS`; a next
page is asked for only where it is the same question to the same host.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, unquote, urlencode, urljoin, urlsplit

from weighbridge.core.errors import LimitExceeded, Malformed, NotFound, RateLimited, SourceError, Unreachable
from weighbridge.core.names import ModelName
from weighbridge.core.shown import plain
from weighbridge.formats.json_text import Json, parse
from weighbridge.wire import retry_after
from weighbridge.wire.http import Http, Response

MAX_ANSWER_BYTES: Final = 32 * 1024 * 1024
MAX_PAGES: Final = 500
MAX_SECONDS: Final = 60.0
MAX_LISTING_SECONDS: Final = 300.0
"""For all pages of a list together."""
MAX_FILES: Final = 20_000
MAX_COMMITS: Final = 5_000
SCANNED: Final = ("safe", "caution", "suspicious", "unsafe")
"""The Hub's words for a file that was scanned, the worst last."""
WAITING: Final = ("unscanned", "queued", "error")
RANK: Final = {word: rank for rank, word in enumerate((*SCANNED[:1], *WAITING, *SCANNED[1:]))}
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
        return hashlib.sha256(self.body).hexdigest()

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
        wait = retry_after.seconds(answer.headers.get("retry-after"))
        return RateLimited(what, hint="Try again later, or with a token.", retry_after_seconds=wait)
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
            As `get`; LimitExceeded: there are more than `limit` objects or `MAX_PAGES` pages, or they take longer than
            `MAX_LISTING_SECONDS`.
        """
        until = time.monotonic() + MAX_LISTING_SECONDS
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
            if time.monotonic() > until:
                raise LimitExceeded(f"{answer.asked} took longer than {MAX_LISTING_SECONDS:.0f} seconds to list")
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


# --- what both who look and who watch ask


def text_field(fields: Mapping[str, Json], key: str) -> str:
    """The text under a key; "" where there is none."""
    value = fields.get(key)
    return value if isinstance(value, str) else ""


def segment(ref: str) -> str:
    """A ref as one segment of a path."""
    return quote(ref, safe="")


def new_name(hub: HubAsking, answer: Answer) -> str:
    """The name of the model that a redirect leads to.

    Raises:
        SourceError: it leads to none on this Hub, which is no rename.
    """
    try:
        target, ours = urlsplit(urljoin(hub.endpoint, answer.location)), urlsplit(hub.endpoint)
        same = (target.scheme, target.netloc) == (ours.scheme, ours.netloc)
        name = unquote(target.path).partition("/api/models/")[2].split("/")[:2]
    except ValueError:
        same, name = False, []
    if not same or len(name) != 2 or not all(name):
        raise SourceError(f"{answer.asked} redirects to {plain(answer.location)}, which is not followed")
    return plain("/".join(name))


def account(hub: HubAsking, name: str) -> tuple[str, Answer]:
    """The account as an organisation, else as a user; only a 404 says that it is not the one."""
    answer = hub.get(f"/api/organizations/{name}/overview")
    if answer.status != 404:
        return "organization", answer
    return "user", hub.get(f"/api/users/{name}/overview")


def scan_word(row: Mapping[str, Json], worse: str) -> str:
    """The worst of all that the answers say about one file; silence is `unscanned`."""
    said = row.get("securityFileStatus")
    word = said.get("status") if isinstance(said, dict) else None
    words = [word if isinstance(word, str) and word in RANK else "unscanned", *scanner_words(row).values()]
    if worse:
        words.append(worse)
    grave = [one for one in words if one in SCANNED[1:]]
    return max(grave, key=RANK.__getitem__) if grave else words[0]


def scanner_words(row: Mapping[str, Json]) -> dict[str, str]:
    """What each scanner says of one file; older answers of the antivirus say only whether a virus was found."""
    said = row.get("securityFileStatus")
    found: dict[str, str] = {}
    for name, scan in sorted(said.items()) if isinstance(said, dict) else ():
        if not name.endswith("Scan") or len(found) == 16:
            continue
        word = scan.get("status") if isinstance(scan, dict) else None
        if isinstance(scan, dict) and word is None and isinstance(scan.get("virusFound"), bool):
            word = "unsafe" if scan["virusFound"] else "safe"
        found[plain(name, 40)] = word if isinstance(word, str) and word in RANK else "unscanned"
    return found


def repository_issues(fields: Mapping[str, Json]) -> dict[str, str]:
    """The files that the repository's own status names, and how bad it says they are."""
    status = fields.get("securityRepoStatus")
    issues = status.get("filesWithIssues") if isinstance(status, dict) else None
    found: dict[str, str] = {}
    for issue in issues[:MAX_FILES] if isinstance(issues, list) else ():
        path = issue.get("path") if isinstance(issue, dict) else None
        level = issue.get("level") if isinstance(issue, dict) else None
        if isinstance(path, str):
            found[path] = level if isinstance(level, str) and level in SCANNED[1:] else "suspicious"
    return found
