"""Reads what a client of the Hub's protocol asks: the query within bounds, and the paths in a body."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qs, parse_qsl

from weighbridge.core.errors import FormatError, Malformed
from weighbridge.serve.access import PERMIT, Permit
from weighbridge.serve.hub_paths import Asked
from weighbridge.serve.refusals import Refusal

if TYPE_CHECKING:
    from starlette.types import Receive, Scope

MAX_BODY_BYTES: Final = 1024 * 1024
MAX_PATHS: Final = 1_000
MAX_FIELDS: Final = 100


@dataclass(frozen=True, slots=True)
class Request:
    """One request, parsed."""

    asked: Asked
    method: str
    headers: Sequence[tuple[bytes, bytes]]
    query: dict[str, list[str]]
    scope: Scope
    permit: Permit | None

    def flag(self, name: str) -> bool:
        """Whether a query parameter says yes."""
        return self.query.get(name, [""])[-1].lower() in ("1", "true")

    def text(self, name: str) -> str:
        """A query parameter, "" without it."""
        return self.query.get(name, [""])[-1]

    @classmethod
    def of(cls, asked: Asked, scope: Scope) -> Request:
        """The request of a scope.

        Raises:
            Refusal: its query is too long.
        """
        permit = scope.get(PERMIT)
        query = scope.get("query_string", b"")
        if len(query) > MAX_BODY_BYTES:
            raise Refusal(414, "the query is too long")
        try:
            parsed = parse_qs(query.decode("latin-1"), max_num_fields=MAX_FIELDS) if query else {}
        except ValueError as error:
            raise Refusal(400, f"a query has at most {MAX_FIELDS} fields") from error
        found = permit if isinstance(permit, Permit) else None
        return cls(asked, scope["method"], scope["headers"], parsed, scope, found)


async def paths_of(request: Request, receive: Receive) -> tuple[list[str], bool]:
    """The paths of a paths-info request, from JSON or a form, and whether it wants more of them.

    Raises:
        Refusal: it is too large, ends early, or names no paths.
    """
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise Refusal(400, "the request ended early")
        body += message.get("body", b"")
        if len(body) > MAX_BODY_BYTES:
            raise Refusal(413, f"a request has at most {MAX_BODY_BYTES} bytes", headers=[(b"connection", b"close")])
        if not message.get("more_body", False):
            break
    kind = next((value for name, value in request.headers if name == b"content-type"), b"")
    try:
        paths, expand = _read_json(bytes(body)) if b"json" in kind else _read_form(bytes(body))
    except (ValueError, RecursionError, FormatError) as error:
        raise Refusal(400, "the paths cannot be read; send a form or JSON with 'paths'") from error
    if len(paths) > MAX_PATHS:
        raise Refusal(413, f"at most {MAX_PATHS} paths may be asked for at once")
    return [path.strip("/") for path in paths], expand


def _read_form(body: bytes) -> tuple[list[str], bool]:
    pairs = parse_qsl(body.decode("utf-8"), max_num_fields=MAX_PATHS + 100) if body else []
    expand = any(value.lower() in ("1", "true") for name, value in pairs if name == "expand")
    return [value for name, value in pairs if name == "paths"], expand


def _read_json(body: bytes) -> tuple[list[str], bool]:
    found: object = json.loads(body)
    if not isinstance(found, dict):
        raise Malformed("no object")
    paths = found.get("paths", [])
    paths = [paths] if isinstance(paths, str) else paths
    if not isinstance(paths, list) or not all(isinstance(path, str) for path in paths):
        raise Malformed("no list of paths")
    return paths, found.get("expand") is True
