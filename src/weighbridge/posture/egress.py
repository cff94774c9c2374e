"""What a client contacted and sent, from a recorded run: a JSON list of its requests."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final
from urllib.parse import unquote

from weighbridge.core.canonical import JsonValue
from weighbridge.core.errors import LimitExceeded, Malformed
from weighbridge.core.names import ModelName
from weighbridge.core.shown import plain
from weighbridge.formats.json_text import Json, parse
from weighbridge.posture.evidence import Evidence
from weighbridge.posture.gathering import Notes, bounded, listed, sha256

IDS: Final = (
    "hub.egress.hosts",
    "hub.egress.token_sent",
    "hub.egress.token_hosts",
    "hub.egress.user_agent",
    "hub.egress.model_named",
    "hub.egress.requests",
)
MAX_BYTES: Final = 32 * 1024 * 1024
MAX_REQUESTS: Final = 200_000


def read_egress(notes: Notes, data: bytes, source: str, model_name: ModelName) -> Iterator[Evidence]:
    """The facts of a recorded run. An empty recording is a fact too: nothing was contacted.

    Raises:
        LimitExceeded, Malformed: it is no recording.
    """
    if len(data) > MAX_BYTES:
        raise LimitExceeded(f"{source} is {len(data)} bytes, more than {MAX_BYTES}")
    value = parse(data).value
    if not isinstance(value, list):
        raise Malformed(f"{source} is no JSON list of requests")
    if len(value) > MAX_REQUESTS:
        raise LimitExceeded(f"{source} holds more than {MAX_REQUESTS} requests")
    requests = [_request(row, number, source) for number, row in enumerate(value, start=1)]
    digest = sha256(data)
    name = str(model_name).lower()
    different = {tuple(sorted(row.items())): row for row in requests}
    agents = sorted((row["user_agent"] for row in requests if isinstance(row["user_agent"], str)), key=len)
    told: tuple[tuple[str, JsonValue], ...] = (
        ("hosts", listed(str(row["host"]) for row in requests)),
        ("token_sent", any(row["token"] for row in requests)),
        ("token_hosts", listed(str(row["host"]) for row in requests if row["token"])),
        ("user_agent", agents[-1] if agents else ""),
        ("model_named", any(name in unquote(_path(row)).lower() for row in value)),
        ("requests", bounded(different[key] for key in sorted(different))),
    )
    for key, fact in told:
        yield notes.saw(f"hub.egress.{key}", fact, source, digest=digest)


def _path(row: Json) -> str:
    path = row.get("path", "") if isinstance(row, dict) else ""
    return path if isinstance(path, str) else ""


def _request(row: Json, number: int, source: str) -> dict[str, str | bool]:
    """One request; the header's value ends here."""
    if not isinstance(row, dict):
        raise Malformed(f"request {number} of {source} is no object")
    texts: dict[str, str | bool] = {}
    for key in ("host", "method", "path", "user_agent"):
        text = row.get(key, "")
        if not isinstance(text, str):
            raise Malformed(f"'{key}' of request {number} of {source} is no text")
        texts[key] = plain(text)
    if not texts["host"]:
        raise Malformed(f"request {number} of {source} names no host")
    sent = row.get("authorization", False)
    if not isinstance(sent, bool | str | None):
        raise Malformed(f"'authorization' of request {number} of {source} is neither true, false nor text")
    texts["host"] = str(texts["host"]).lower()
    return {**texts, "token": bool(sent)}
