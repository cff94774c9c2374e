"""Speaks the Hub's protocol over what is approved: metadata from signed manifests, bytes that were proven first.

- Whatever the index and the sealed records do not name does not exist; nothing is ever asked for outside.
- An answer about bytes begins when the first chunk of them is proven; when a later one does not fit its digest, or the revision
  is revoked meanwhile, the connection ends before the announced length: no client takes that for a whole file.
- One range is honoured; a request for several gets the whole file, as RFC 9110 allows. No header of Xet is ever sent, so that
  bytes come from here.
- `permit` in the request's scope, where there is one, narrows what is listed; whether a request may be answered at all is
  decided by the layer before this one.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable
from typing import TYPE_CHECKING, Final, TypeVar

from weighbridge.admit.asking import PRODUCTION
from weighbridge.core.canonical import JsonValue
from weighbridge.core.errors import WeighbridgeError
from weighbridge.core.manifest import Artifact
from weighbridge.core.names import ModelName, is_revision
from weighbridge.serve import documents
from weighbridge.serve.access import Permit
from weighbridge.serve.answers import Answers, Message
from weighbridge.serve.approved import Approved
from weighbridge.serve.claims import Claims, ClaimsOf
from weighbridge.serve.conditions import Conditions, Plan, file_headers, plan
from weighbridge.serve.documents import Served
from weighbridge.serve.hub_listing import Listed
from weighbridge.serve.hub_paths import OF_ANY_CHANNEL, Asked, Kind, asked_by
from weighbridge.serve.hub_requests import Request, paths_of
from weighbridge.serve.listing import Wanted
from weighbridge.serve.paging import after, cursor_of, next_link
from weighbridge.serve.redirects import Redirects, redirect_headers
from weighbridge.serve.refusals import (
    ENTRY_NOT_FOUND,
    REPO_NOT_FOUND,
    REVISION_NOT_FOUND,
    Headers,
    Refusal,
    refusal_of,
)
from weighbridge.serve.requesting import Requesting
from weighbridge.serve.streaming import ProvenBytes
from weighbridge.serve.threads import Threads

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

PAGE: Final = 1_000
MAX_DOCUMENT_BYTES: Final = 8 * 1024 * 1024
MAX_SERVED: Final = 64
THREADS: Final = 8
READ_ONLY: Final = "This gateway is read-only. A model comes in by: weighbridge ingest hf://org/name"
ASKING: Final = "It was not approved for use here. Ask for it: weighbridge request {name}, or tell a reviewer."
_OTHER_KINDS: Final = ("/api/datasets/", "/api/spaces/", "/datasets/", "/spaces/")
_log = logging.getLogger("weighbridge.gateway")
T = TypeVar("T")
Told = Callable[[str, str, str], None]
"""Told of trouble: what, where, why."""


def log_trouble(what: str, where: str, why: str) -> None:
    """Writes trouble to the log."""
    _log.error("%s: %s: %s", what, where, why)


class Hub:
    """See above: an ASGI application. `public_url` is what clients call it, where that cannot be seen from here."""

    def __init__(
        self,
        approved: Approved,
        proven: ProvenBytes,
        *,
        public_url: str = "",
        asking: str = ASKING,
        told: Told = log_trouble,
        redirects: Redirects | None = None,
        requesting: Requesting | None = None,
    ) -> None:
        self._approved = approved
        self._proven = proven
        self._public_url = public_url.rstrip("/")
        self._asking = asking
        self._told = told
        self._redirects = redirects
        self._requesting = requesting
        self._answers = Answers(approved)
        self._claims = ClaimsOf(approved.store, told)
        self._listed = Listed(approved, self._claims)
        self._threads = Threads(THREADS, thread_name_prefix="approved")
        self._served: OrderedDict[tuple[ModelName, str], Served] = OrderedDict()
        self._documents: OrderedDict[tuple[object, ...], bytes] = OrderedDict()
        self._document_bytes = 0

    def close(self) -> None:
        """Lets go of threads."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["method"] == "GET" and (ready := self._answers.find(scope)) is not None:
            await send(ready[0])
            await send(ready[1])
            return
        asked: Asked | None = None
        try:
            asked = asked_by(scope)
            if asked is None and scope["method"] not in ("GET", "HEAD"):
                raise Refusal(403, READ_ONLY)
            if asked is None:
                code = REPO_NOT_FOUND if scope["path"].startswith(_OTHER_KINDS) else ""
                raise Refusal(404, "there is nothing here under this address; models only", code)
            await self._answer(Request.of(asked, scope), receive, send)
        except Refusal as refusal:
            await self._request_it(refusal, asked, scope)
            await _refuse(send, refusal, head=scope["method"] == "HEAD")
        except WeighbridgeError as error:
            name = asked.name if asked is not None else ""
            answered = refusal_of(error, asking=self._asking.format(name=name))
            if answered.status in (409, 500, 503):
                self._told("refused", name or "-", error.message)
            await self._request_it(answered, asked, scope)
            await _refuse(send, answered, head=scope["method"] == "HEAD")

    async def _request_it(self, refusal: Refusal, asked: Asked | None, scope: Scope) -> None:
        """Files a request for what was missed, and has the refusal say how it stands."""
        if self._requesting is None or asked is None or asked.model_name is None:
            return
        if refusal.status == 404 and refusal.code in (REPO_NOT_FOUND, REVISION_NOT_FOUND):
            words = await self._requesting.words(asked.model_name, asked.ref, scope)
            refusal.message = f"{words.rstrip('.')}." if words else refusal.message

    async def _answer(self, request: Request, receive: Receive, send: Send) -> None:
        asked, look = request.asked, self._answers.look
        headers: Headers = []
        allowed = ("POST",) if asked.kind is Kind.PATHS_INFO else ("GET", "HEAD")
        if request.method not in allowed:
            raise Refusal(405, "this address is not asked that way", headers=[(b"allow", ", ".join(allowed).encode())])
        if asked.kind in (Kind.RESOLVE, Kind.RAW):
            await self._file(request, receive, send)
            return
        if asked.kind is Kind.WHOAMI:
            body = _encoded(_whoami(request.permit))
        elif asked.kind is Kind.LISTING:
            body, headers = await self._listing(request)
        elif asked.kind in OF_ANY_CHANNEL:
            body = _encoded(await self._as_a_whole(request))
        else:
            body, headers = await self._document(request, receive)
        start, whole = _json_messages(body, headers, head=request.method == "HEAD")
        if asked.kind is Kind.INFO and request.method == "GET":
            self._answers.keep(look, request.scope, start, whole)
        await send(start)
        await send(whole)

    # --- what is approved

    async def _call(self, function: Callable[..., T], *arguments: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, function, *arguments)

    async def _revision(self, asked: Asked) -> Served:
        model_name = _known(asked, self._asking)
        sealed = self._approved.peek(model_name, asked.ref)
        if sealed is None:
            sealed = await self._call(self._approved.resolve, model_name, asked.ref)
        key = (model_name, sealed.manifest.revision)
        served = self._served.get(key)
        if served is None or served.sealed is not sealed:
            served = self._served[key] = Served.of(sealed)
            while len(self._served) > MAX_SERVED:
                self._served.popitem(last=False)
        return served

    async def _found(self, asked: Asked) -> Served:
        """As `_revision`; a model of which nothing is approved is a missing model, not a missing revision."""
        try:
            return await self._revision(asked)
        except WeighbridgeError as error:
            refusal = refusal_of(error, asking=self._asking.format(name=asked.name))
            if refusal.status != 404 or asked.model_name is None:
                raise
            channels = await self._call(self._approved.channels, asked.model_name)
            if channels:
                refusal.instead = f"Channels of {asked.name}: {', '.join(sorted(channels))}."
            elif not is_revision(asked.ref):
                refusal.code = REPO_NOT_FOUND
            raise refusal from error

    async def _gate(self, served: Served) -> None:
        manifest = served.manifest
        if self._approved.peek(manifest.model_name, manifest.revision) is None:
            await self._call(self._approved.check, manifest.model_name, manifest.revision)

    # --- metadata

    async def _listing(self, request: Request) -> tuple[bytes, Headers]:
        wanted = Wanted.of(request.query)
        found = await self._call(self._listed.names, wanted, request.permit)
        cut, headers = self._cut(request, "/api/models", found, "rank" if wanted.dated else "id")
        return _encoded(await self._call(self._listed.told, request, cut)), headers

    async def _as_a_whole(self, request: Request) -> JsonValue:
        model_name = _known(request.asked, self._asking)
        channels = await self._call(self._approved.channels, model_name)
        if request.permit is not None:
            channels = request.permit.shown(model_name, channels)
        if not channels:
            raise Refusal(404, self._asking.format(name=request.asked.name), REPO_NOT_FOUND)
        if request.asked.kind is not Kind.REFS:
            return documents.nobody(request.asked.kind.value)
        return documents.refs(channels, main=channels.get(PRODUCTION, ""))

    async def _document(self, request: Request, receive: Receive) -> tuple[bytes, Headers]:
        asked = request.asked
        paths = await paths_of(request, receive) if asked.kind is Kind.PATHS_INFO else None
        served = await self._found(asked)
        if asked.kind is Kind.INFO:
            expand, blobs = tuple(request.query.get("expand", ())), request.flag("blobs")
            security = request.flag("securityStatus")
            known = self._claims.peek(served.sealed)
            claims: Claims = known if known is not None else await self._call(self._claims.of, served.sealed)
            return self._kept(
                served,
                ("info", blobs, expand, security),
                lambda: documents.model_info(served, claims, blobs=blobs, expand=expand, security=security),
            ), []
        if asked.kind is Kind.TREE:
            return self._tree(request, served)
        if paths is not None:
            return _encoded(list(documents.paths_info(served, paths[0], expand=paths[1]))), []
        return _encoded(list(documents.commits(served))), []

    def _tree(self, request: Request, served: Served) -> tuple[bytes, Headers]:
        recursive, expand = request.flag("recursive"), request.flag("expand")
        found = documents.tree(served, request.asked.path, recursive=recursive, expand=expand)
        if found is None:
            raise _no_entry(request.asked, served)
        model_name, ref = request.asked.name, request.asked.ref
        inside = f"/{request.asked.path}" if request.asked.path else ""
        return self._page(request, f"/api/models/{model_name}/tree/{ref}{inside}", found, "path")

    def _page(self, request: Request, path: str, found: list[documents.Record], key: str) -> tuple[bytes, Headers]:
        cut, headers = self._cut(request, path, found, key)
        return _encoded(list(cut)), headers

    def _cut(
        self, request: Request, path: str, found: list[documents.Record], key: str
    ) -> tuple[list[documents.Record], Headers]:
        """One page of records in order of `key`, and where the next one is."""
        text = request.text("limit")
        limit = min(PAGE, max(1, int(text))) if text.isdecimal() and len(text) < 6 else PAGE
        rest = after(found, key, request.text("cursor"))
        headers: Headers = []
        if len(rest) > limit:
            cursor = cursor_of(str(rest[limit - 1][key]))
            headers.append(
                (b"link", next_link(self._public_url or _base(request.scope), path, request.query, cursor, limit))
            )
        return rest[:limit], headers

    def _kept(self, served: Served, what: tuple[object, ...], make: Callable[[], JsonValue]) -> bytes:
        """A document of an immutable revision, encoded once."""
        key = (served.manifest.model_name, served.manifest.revision, *what)
        body = self._documents.get(key)
        if body is not None:
            self._documents.move_to_end(key)
            return body
        body = _encoded(make())
        if len(str(what)) < 200 and len(body) < MAX_DOCUMENT_BYTES:
            self._documents[key] = body
            self._document_bytes += len(body)
            while self._document_bytes > MAX_DOCUMENT_BYTES:
                self._document_bytes -= len(self._documents.popitem(last=False)[1])
        return body

    # --- files

    async def _file(self, request: Request, receive: Receive, send: Send) -> None:
        served = await self._found(request.asked)
        artifact = served.by_path.get(request.asked.path)
        if artifact is None:
            raise _no_entry(request.asked, served)
        raw = request.asked.kind is Kind.RAW
        conditions = Conditions.of(request.headers, ranges=request.method == "GET")
        planned = plan(artifact, conditions)
        headers = [*file_headers(artifact, served.manifest.revision, raw=raw), *planned.headers]
        start = {"type": "http.response.start", "status": planned.status, "headers": headers}
        if planned.span is None or request.method == "HEAD":
            await send(start)
            await send({"type": "http.response.body", "body": b""})
            return
        self._proven.check(artifact, planned.span)
        if not raw and self._redirects is not None and self._redirects.wanted(planned, conditions):
            location = await self._call(self._redirects.location, served.sealed.placed[artifact.path], headers)
            if location is not None:
                await self._gate(served)
                headers = redirect_headers(location, headers)
                await send({"type": "http.response.start", "status": 302, "headers": headers})
                await send({"type": "http.response.body", "body": b""})
                return
        await self._stream(served, artifact, planned, (start, receive, send))

    async def _stream(
        self,
        served: Served,
        artifact: Artifact,
        planned: Plan,
        wire: tuple[dict[str, object], Receive, Send],
    ) -> None:
        start, receive, send = wire
        assert planned.span is not None

        async def gate() -> None:
            await self._gate(served)

        parts = self._proven.read(served.sealed.placed[artifact.path], artifact, planned.span, gate=gate)
        gone = asyncio.create_task(_until_gone(receive))
        begun = False
        try:
            # What cannot be proven from the start is a plain refusal; the status is not sent yet.
            first = await anext(parts, b"")
            await send(start)
            begun = True
            await _send_parts(send, first, parts, gone)
        except WeighbridgeError as error:
            if not begun:
                raise
            where = f"{served.manifest.reference} {artifact.path}"
            self._told("a download was cut off", where, error.message)
        finally:
            gone.cancel()
            await parts.aclose()


async def _send_parts(send: Send, first: bytes, parts: AsyncGenerator[bytes, None], gone: asyncio.Task[None]) -> None:
    """Sends what comes; an answer that is not ended makes the server close the connection."""
    await send({"type": "http.response.body", "body": first, "more_body": True})
    del first
    async for part in parts:
        if gone.done():
            return
        await send({"type": "http.response.body", "body": part, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _refuse(send: Send, refusal: Refusal, *, head: bool) -> None:
    headers, body = refusal.answer()
    await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if head else body})


def _json_messages(body: bytes, headers: Headers, *, head: bool) -> tuple[Message, Message]:
    length = (b"content-length", str(len(body)).encode("ascii"))
    kind = (b"content-type", b"application/json; charset=utf-8")
    private = (b"cache-control", b"no-cache")
    start = {"type": "http.response.start", "status": 200, "headers": (kind, length, private, *headers)}
    return start, {"type": "http.response.body", "body": b"" if head else body}


def _encoded(value: JsonValue) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode("ascii")


def _known(asked: Asked, asking: str) -> ModelName:
    if asked.model_name is None:
        raise Refusal(404, f"{asked.name[:200]!r} is no model here. {asking.format(name='org/name')}", REPO_NOT_FOUND)
    return asked.model_name


def _no_entry(asked: Asked, served: Served) -> Refusal:
    commit = (b"x-repo-commit", served.manifest.revision.encode("ascii"))
    message = f"{served.manifest.reference} has no {asked.path!r:.300}"
    return Refusal(404, message, ENTRY_NOT_FOUND, headers=[commit])


def _whoami(permit: Permit | None) -> JsonValue:
    name = permit.who if permit is not None else "anonymous"
    return {
        "type": "user",
        "id": name,
        "name": name,
        "fullname": name,
        "email": None,
        "isPro": False,
        "orgs": [],
        "auth": {"type": "access_token", "accessToken": {"displayName": name, "role": "read"}},
    }


def _base(scope: Scope) -> str:
    host = next((value for name, value in scope["headers"] if name == b"host"), b"").decode("latin-1")
    return f"{scope['scheme']}://{host}" if host and all(one.isalnum() or one in ".-:[]_" for one in host) else ""
