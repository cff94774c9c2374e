"""Takes the Hub's webhooks for what they are worth: a hint to look now at a model that is watched anyway.

Rules:

- nothing that an event says is believed or kept: of its content only the model's name is read, and compared with the watched
  ones. What happened is seen by looking, as in every round;
- the secret (`X-Webhook-Secret`) is compared in constant time; without it, or with another, the answer is 401;
- with the secret the answer is 202 whatever the event says, so that it does not tell what is watched here;
- many events of one model are one look, and two looks at a model lie `gap_seconds` apart.

Source: the Hub's documentation of webhooks, payload version 3.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from collections.abc import Callable, Collection
from typing import Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from weighbridge.core.errors import ConfigError, Malformed
from weighbridge.core.names import ModelName
from weighbridge.watch.pokes import Pokes

PATH: Final = "/webhooks/hub"
MAX_BODY_BYTES: Final = 256 * 1024
MAX_SECRET_CHARACTERS: Final = 1_024
LEAST_SECRET_CHARACTERS: Final = 16
REFUSALS_SECONDS: Final = 60.0


class HubWebhook:
    """The route. `watched` says what is watched now; it is asked in the server's loop and must not block.

    `refused` is told, at most every `REFUSALS_SECONDS`, how many calls came without the secret since it was told last.
    """

    def __init__(
        self,
        secret: str,
        watched: Callable[[], Collection[ModelName]],
        pokes: Pokes,
        *,
        refused: Callable[[int], None] = lambda _count: None,
    ) -> None:
        self._secret = hashlib.sha256(secret.encode("ascii")).digest()
        self._watched = watched
        self._pokes = pokes
        self._refused = refused
        self._refusals = 0
        self._refused_at = float("-inf")

    @property
    def route(self) -> Route:
        """`POST /webhooks/hub`."""
        return Route(PATH, self._answer, methods=["POST"])

    async def _answer(self, request: Request) -> Response:
        given = request.headers.getlist("x-webhook-secret")
        if len(given) != 1 or not self._knows(given[0]):
            self._count_refusal()
            return _said(401, "the secret is not the one that is set here")
        body = await request.body()
        try:
            model_name = model_of(body)
        except Malformed as error:
            return _said(400, error.message)
        if model_name is not None and model_name in self._watched():
            self._pokes.poke(model_name)
        return _said(202, "heard")

    def _count_refusal(self) -> None:
        self._refusals += 1
        if time.monotonic() - self._refused_at >= REFUSALS_SECONDS:
            self._refused(self._refusals)
            self._refusals, self._refused_at = 0, time.monotonic()

    def _knows(self, given: str) -> bool:
        # Digests of both: their length, and so the time of the comparison, tells nothing about the secret.
        mac = hashlib.sha256(given[:MAX_SECRET_CHARACTERS].encode("utf-8", "replace")).digest()
        return hmac.compare_digest(mac, self._secret)


def model_of(body: bytes) -> ModelName | None:
    """The model that an event is about; None where it is about none, or about nothing that a look would see.

    Raises:
        Malformed: it is no JSON object of bounded size.
    """
    if len(body) > MAX_BODY_BYTES:
        raise Malformed("the event is too large")
    try:
        event = json.loads(body)
    except (ValueError, RecursionError):
        raise Malformed("the event is no JSON") from None
    if not isinstance(event, dict):
        raise Malformed("the event is no JSON object")
    scope, repository = _text(event.get("event"), "scope"), event.get("repo")
    # Later versions narrow scopes (repo.config.dois); discussions, which anybody may open, change nothing that is watched.
    if scope.partition(".")[0] != "repo" or _text(repository, "type") != "model":
        return None
    if _only_pull_requests(event.get("updatedRefs")):
        return None
    try:
        return ModelName.parse(_text(repository, "name"))
    except ConfigError:
        return None


def _text(value: object, key: str) -> str:
    found = value.get(key) if isinstance(value, dict) else None
    return found if isinstance(found, str) else ""


def _only_pull_requests(refs: object) -> bool:
    return isinstance(refs, list) and bool(refs) and all(_text(one, "ref").startswith("refs/pr/") for one in refs)


def _said(status: int, words: str) -> Response:
    return JSONResponse({"status": words}, status_code=status, headers={"cache-control": "no-store"})


def check_secret(text: str) -> str:
    """The secret, where it can be one.

    Raises:
        ConfigError: it is short, long or not plain ASCII; the Hub sends no other.
    """
    if not LEAST_SECRET_CHARACTERS <= len(text) <= MAX_SECRET_CHARACTERS or not (text.isascii() and text.isprintable()):
        raise ConfigError(
            f"the secret of the Hub's webhook is not {LEAST_SECRET_CHARACTERS} to {MAX_SECRET_CHARACTERS} plain ASCII "
            "characters",
            hint="Make one: openssl rand -hex 32",
        )
    return text
