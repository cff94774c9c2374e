"""The web catalog as routes: pages, downloads, logging in and the acts; and what every answer of it carries.

Rules:

- pages are made on the server and work without scripts; what scripts there are come from this server (`static/`), and the
  policy of every page allows nothing else, no frames around it, and forms to this server alone;
- everything a stranger wrote goes through the template engine's escaping, and control characters and those that turn text
  around are written out (`visible`);
- a form is taken only with the session's code and from this server's own page; it is bounded, and read once;
- pages work in threads, at most `PAGES_AT_ONCE` at a time, so that they never stand in the way of downloads.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache, partial
from importlib.resources import files
from pathlib import PurePosixPath
from typing import Any, Final, TypeVar
from urllib.parse import parse_qsl, quote, urlencode

import anyio
import anyio.to_thread
from starlette.convertors import StringConvertor, register_url_convertor
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Match, Route

from weighbridge import __version__
from weighbridge.core.errors import (
    Busy,
    ConfigError,
    Conflict,
    Denied,
    NothingCollected,
    Unreachable,
    WeighbridgeError,
)
from weighbridge.core.layout import record_key
from weighbridge.core.names import ModelName, is_revision
from weighbridge.serve.hub_paths import is_always_the_hubs
from weighbridge.serve.web_acts import ACTS, Movements, Order, perform, visitor_of_login
from weighbridge.serve.web_data import Shelf, WebSources
from weighbridge.serve.web_oidc import Authenticator
from weighbridge.serve.web_requests import Desk
from weighbridge.serve.web_rows import VERDICTS, Page
from weighbridge.serve.web_session import (
    BY_ACCESS,
    BY_LOGIN,
    Session,
    Sessions,
    TokenDoor,
    Visitor,
    is_same_origin,
    own_path,
)
from weighbridge.serve.web_updates import Board
from weighbridge.serve.web_views import Views
from weighbridge.serve.web_words import environment
from weighbridge.vault.records import read_record

PAGES_AT_ONCE: Final = 8
MAX_FORM_BYTES: Final = 16 * 1024
MAX_FIELDS: Final = 32
MAX_TOKEN: Final = 1_000
BACK: Final = "/login/oidc/back"
STATIC: Final = "/static/web/"
_MEDIA: Final = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}
_POLICY: Final = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
HEADERS: Final[Mapping[str, str]] = {
    "Content-Security-Policy": _POLICY,
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cache-Control": "no-store",
}
_Answer = TypeVar("_Answer")
_Words = Mapping[str, str]
_View = Callable[[_Words, Visitor], Page]


@dataclass(frozen=True, slots=True)
class WebSettings:
    """How people come in. `is_open` says of a request whether somebody unknown is shown the catalog.

    `doors` knows access tokens, `login` a provider of OpenID Connect; either may be missing. `movements` promotes and rolls
    back, where the gateway's process may.
    """

    sessions: Sessions
    is_open: Callable[[Mapping[str, Any]], bool]
    doors: TokenDoor | None = None
    login: Authenticator | None = None
    movements: Movements | None = None


class _Commit(StringConvertor):
    """Forty hexadecimal digits of an address, so that no path of the protocol is taken for a page."""

    regex = "[0-9a-f]{40}"


register_url_convertor("commit", _Commit())


def routes(sources: WebSources, settings: WebSettings, *, closing: ExitStack | None = None) -> list[Route]:
    """The catalog's routes, to stand before those of the protocol; `closing` is given what is to be let go of at the end."""
    web = _Web(sources, settings)
    if closing is not None:
        closing.callback(web.close)
    return web.routes()


def is_catalog(found: Sequence[Route]) -> Callable[[Mapping[str, Any]], bool]:
    """Whether a request is one of the catalog's, which knows its own visitors: `Access.elsewhere` of these routes."""

    def matches(scope: Mapping[str, Any]) -> bool:
        if is_always_the_hubs(scope["path"]):
            return False
        return any(route.matches(dict(scope))[0] is Match.FULL for route in found)

    return matches


class _Web:
    """The handlers. Loop-bound; what blocks goes to threads."""

    def __init__(self, sources: WebSources, settings: WebSettings) -> None:
        self._sources = sources
        self._settings = settings
        self._sessions = settings.sessions
        self._shelf = Shelf(sources)
        self._desk = Desk(sources, self._shelf)
        self._board = Board(sources, self._desk.find)
        self._views = Views(sources, self._shelf, movements=settings.movements, asked_for=self._desk.waiting)
        self._limiter: anyio.CapacityLimiter | None = None

    def close(self) -> None:
        """Compares no more revisions."""
        self._views.comparisons.close()

    def routes(self) -> list[Route]:
        """See `routes`."""
        views = self._views
        pages: dict[str, _View] = {
            "/": views.models,
            "/models/{org}/{name}": views.model,
            "/models/{org}/{name}/{revision:commit}": views.revision,
            "/models/{org}/{name}/{revision:commit}/diff": views.difference,
            "/queue": views.queue,
            "/requests": self._desk.page,
            "/updates": self._board.page,
            "/audit": views.audit,
            "/ingests": views.ingests,
            "/rules": views.rules,
            "/rules/{rule}": views.rule,
        }
        found = [Route(path, partial(self._page, view), methods=["GET"]) for path, view in pages.items()]
        return [
            *found,
            Route("/models", self._home, methods=["GET"]),
            Route(
                "/records/{org}/{name}/{revision:commit}/{record:path}", self._guarded(self._record), methods=["GET"]
            ),
            Route("/acts/{act}", self._guarded(self._act), methods=["POST"]),
            Route("/requests/{act}", self._guarded(self._request_act), methods=["POST"]),
            Route("/login", self._guarded(self._login_page), methods=["GET"]),
            Route("/login", self._guarded(self._login), methods=["POST"]),
            Route("/login/oidc", self._guarded(self._oidc), methods=["GET"]),
            Route(BACK, self._guarded(self._oidc_back), methods=["GET"]),
            Route("/logout", self._guarded(self._logout), methods=["POST"]),
            Route(STATIC + "{name}", _static, methods=["GET"]),
        ]

    # --- pages

    async def _page(self, view: _View, request: Request) -> Response:
        async def shown(request: Request) -> Response:
            session, visitor = await self._visitor(request)
            if not visitor.known and not self._settings.is_open(request.scope):
                return self._to_login(request)
            words = {**request.query_params, **_path_words(request)}
            page = await self._thread(partial(view, words, visitor))
            return self._render(request, page, session, visitor)

        return await self._guarded(shown)(request)

    async def _home(self, request: Request) -> Response:
        return _redirect("/" + (f"?{request.url.query}" if request.url.query else ""))

    async def _record(self, request: Request) -> Response:
        _, visitor = await self._visitor(request)
        if not visitor.known and not self._settings.is_open(request.scope):
            return self._to_login(request)
        words = _path_words(request)

        def read() -> bytes:
            row, name, store = self._views.record(words, visitor)
            return read_record(self._sources.store_of(store), record_key(row.model_name, row.revision, name))

        data = await self._thread(read)
        name = f"{words['name']}-{words['revision'][:12]}-{words['record'].replace('/', '-')}"
        disposition = f"attachment; filename*=UTF-8''{quote(name, safe='')}"
        headers = {**HEADERS, "Content-Disposition": disposition}
        media = "application/json" if name.endswith(".json") else "application/octet-stream"
        return Response(data, headers=headers, media_type=media)

    # --- acts

    async def _act(self, request: Request) -> Response:
        session, visitor = await self._visitor(request)
        form = await self._form(request, session)
        act = str(request.path_params.get("act", ""))
        if act not in ACTS:
            raise NothingCollected("there is no such act")
        try:
            model = ModelName.parse(form.get("model", ""))
        except ConfigError as error:
            raise NothingCollected("there is no such model") from error
        revision = form.get("revision", "")
        if not is_revision(revision) or not visitor.sees(model):
            raise NothingCollected("there is no such revision")
        order = Order(act, model, revision, form.get("reason", ""), form.get("channel", ""), form.get("decision", ""))
        done = await self._thread(
            partial(perform, self._shelf, self._sources, self._settings.movements, visitor, order)
        )
        return _redirect(f"/models/{model}/{revision}?{urlencode({'done': act, 'said': self._said(session, done)})}")

    async def _request_act(self, request: Request) -> Response:
        session, visitor = await self._visitor(request)
        form = await self._form(request, session)
        act = str(request.path_params.get("act", ""))
        done = await self._thread(partial(self._desk.perform, act, visitor, form))
        target = "/queue" if form.get("back") == "queue" else "/requests"
        return _redirect(f"{target}?{urlencode({'said': self._said(session, done)})}")

    def _said(self, session: Session | None, text: str) -> str:
        """A message of our own for the next page, signed, so that no link can put words on it."""
        return self._sessions.note(session, text) if session else ""

    # --- logging in

    async def _login_page(self, request: Request) -> Response:
        session, visitor = await self._visitor(request)
        return self._login_form(
            request, session or self._sessions.start(), visitor, request.query_params.get("next", "/")
        )

    def _login_form(
        self, request: Request, session: Session, visitor: Visitor, target: str, *, problem: str = ""
    ) -> Response:
        login = self._settings.login
        context = {
            "target": own_path(target),
            "provider": login.name if login else "",
            "takes_tokens": self._settings.doors is not None,
            "problem": problem,
        }
        page = Page("web_login", context, 403 if problem else 200)
        answer = self._render(request, page, session, visitor)
        answer.headers.append("Set-Cookie", self._sessions.header(session))
        return answer

    async def _login(self, request: Request) -> Response:
        session, visitor = await self._visitor(request)
        form = await self._form(request, session)
        doors, token, target = self._settings.doors, form.get("token", "").strip(), form.get("next", "/")
        guest = None
        if doors is not None and token.isascii() and 0 < len(token) <= MAX_TOKEN:
            guest = await self._thread(partial(doors.enter, token))
        if guest is None:
            fresh = self._sessions.start()
            return self._login_form(request, fresh, visitor, target, problem="This token opens nothing here.")
        return self._entered(session, self._sessions.start(BY_ACCESS, guest.identity, guest.name), target)

    async def _oidc(self, request: Request) -> Response:
        login = self._login_or_nothing()
        address, pending = await self._thread(login.begin)
        answer = RedirectResponse(address, 303, headers=dict(HEADERS))
        kept = {**pending, "next": own_path(request.query_params.get("next", "/"))}
        answer.headers.append("Set-Cookie", self._sessions.pending_header(kept))
        return answer

    async def _oidc_back(self, request: Request) -> Response:
        login = self._login_or_nothing()
        session, _ = await self._visitor(request)
        pending = self._sessions.pending(request.cookies)
        if pending is None:
            raise Denied("this login took too long, or was not begun in this browser", hint="Begin it again.")
        words = {name: value[:4_096] for name, value in request.query_params.items()}
        known = await self._thread(partial(login.finish, pending, words))
        answer = self._entered(
            session, self._sessions.start(BY_LOGIN, known.login, known.name), pending.get("next", "/")
        )
        answer.headers.append("Set-Cookie", self._sessions.forget_pending())
        return answer

    def _entered(self, before: Session | None, session: Session, target: str) -> Response:
        if before is not None:
            self._sessions.end(before)
        answer = _redirect(own_path(target))
        answer.headers.append("Set-Cookie", self._sessions.header(session))
        return answer

    def _login_or_nothing(self) -> Authenticator:
        if self._settings.login is None:
            raise NothingCollected("this gateway has no single sign-on")
        return self._settings.login

    async def _logout(self, request: Request) -> Response:
        session, _ = await self._visitor(request)
        await self._form(request, session)
        if session is not None:
            self._sessions.end(session)
        answer = _redirect("/")
        answer.headers.append("Set-Cookie", self._sessions.header(self._sessions.start()))
        return answer

    def _to_login(self, request: Request) -> Response:
        target = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        return _redirect(f"/login?{urlencode({'next': own_path(target)})}")

    # --- what all of them need

    async def _visitor(self, request: Request) -> tuple[Session | None, Visitor]:
        """Who asks, as things stand now: tokens and people are looked up again on every request."""
        session = self._sessions.read(request.cookies)
        if session is None:
            return None, Visitor()
        if session.kind == BY_ACCESS and self._settings.doors is not None:
            guest = await self._thread(partial(self._settings.doors.still, session.identity))
            if guest is not None:
                return session, Visitor(guest.name, BY_ACCESS, sees=guest.sees)
        if session.kind == BY_LOGIN and self._settings.login is not None:
            roster = await self._thread(self._shelf.roster)
            return session, visitor_of_login(roster, session.identity, session.name)
        return session, Visitor()

    async def _form(self, request: Request, session: Session | None) -> _Words:
        """The fields of a form that came from a page of this very session.

        Raises:
            Denied: it did not, or it is no form.
        """
        media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if media != "application/x-www-form-urlencoded" or not is_same_origin(request.headers):
            raise Denied("this form did not come from a page of this gateway", hint="Go back, and send it again.")
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > MAX_FORM_BYTES:
                raise Denied("the form is too long")
        try:
            fields = dict(parse_qsl(body.decode("utf-8"), keep_blank_values=True, max_num_fields=MAX_FIELDS))
        except ValueError as error:
            raise Denied("the form cannot be read") from error
        if not self._sessions.is_own(session, fields.get("code", "")):
            raise Denied("this form is too old, or not of this session", hint="Go back, reload, and send it again.")
        return fields

    async def _thread(self, work: Callable[[], _Answer]) -> _Answer:
        if self._limiter is None:
            self._limiter = anyio.CapacityLimiter(PAGES_AT_ONCE)
        return await anyio.to_thread.run_sync(work, limiter=self._limiter)

    def _guarded(self, handler: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
        async def guarded(request: Request) -> Response:
            try:
                return await handler(request)
            except WeighbridgeError as error:
                context = {"title": _title(error), "message": error.message, "hint": error.hint}
                try:
                    session, visitor = await self._visitor(request)
                except WeighbridgeError:
                    session, visitor = None, Visitor()
                return self._render(request, Page("web_message", context, _status(error)), session, visitor)

        return guarded

    def _render(self, request: Request, page: Page, session: Session | None, visitor: Visitor) -> HTMLResponse:
        begun = None
        if session is None and page.template == "web_login":
            begun = session = self._sessions.start()
        query = request.query_params
        note = self._sessions.noted(session, query.get("said", "")) if session else ""
        html = (
            environment()
            .get_template(f"{page.template}.html.jinja")
            .render(
                **page.context,
                visitor=visitor,
                code=self._sessions.code(session) if session else "",
                path=request.url.path,
                here=own_path(request.url.path + (f"?{request.url.query}" if request.url.query else "")),
                note=note,
                can_login=self._settings.doors is not None or self._settings.login is not None,
                version=__version__,
                verdicts=VERDICTS,
                assets=_assets(),
            )
        )
        answer = HTMLResponse(html, page.status, headers=dict(HEADERS))
        if begun is not None:
            answer.headers.append("Set-Cookie", self._sessions.header(begun))
        return answer


# --- answers ----------------------------------------------------------------------------------------


def _redirect(target: str) -> Response:
    return RedirectResponse(target, 303, headers=dict(HEADERS))


def _path_words(request: Request) -> dict[str, str]:
    return {name: str(value) for name, value in request.path_params.items()}


def _status(error: WeighbridgeError) -> int:
    kinds: tuple[tuple[type[WeighbridgeError], int], ...] = (
        (NothingCollected, 404),
        (Denied, 403),
        (Busy, 503),
        (Conflict, 409),
        (ConfigError, 400),
        (Unreachable, 502),
    )
    return next((status for kind, status in kinds if isinstance(error, kind)), 503)


def _title(error: WeighbridgeError) -> str:
    titles = {404: "Not here", 403: "Not allowed", 409: "It changed meanwhile", 400: "Not understood"}
    return titles.get(_status(error), "This cannot be shown now")


async def _static(request: Request) -> Response:
    found = _assets().get(str(request.path_params.get("name", "")))
    if found is None:
        return Response("there is no such file\n", 404, headers=dict(HEADERS), media_type="text/plain")
    headers = {**HEADERS, "Cache-Control": "public, max-age=31536000, immutable", "Content-Type": found.media}
    return Response(found.data, headers=headers)


@dataclass(frozen=True, slots=True)
class _Asset:
    """A file of `static/`; `url` changes with its bytes."""

    url: str
    media: str
    data: bytes


@cache
def _assets() -> Mapping[str, _Asset]:
    found = {}
    for one in files("weighbridge.serve").joinpath("static").iterdir():
        media = _MEDIA.get(PurePosixPath(one.name).suffix)
        if media is not None:
            data = one.read_bytes()
            found[one.name] = _Asset(f"{STATIC}{one.name}?{hashlib.sha256(data).hexdigest()[:12]}", media, data)
    return found
