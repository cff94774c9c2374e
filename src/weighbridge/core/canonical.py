"""One way to write a record as bytes, so that equal records have equal digests.

The form is that of RFC 8785 (JCS) restricted to what records need: objects with string keys, arrays, strings, booleans,
null and integers within 53 bits; no floating-point numbers. Keys are sorted by code point (records use ASCII keys, where
this equals RFC 8785's UTF-16 order); text is UTF-8 without escapes beyond those JSON requires.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from weighbridge.core.errors import LimitExceeded, Malformed

JsonValue = None | bool | int | str | Sequence["JsonValue"] | Mapping[str, "JsonValue"]
JsonObject = Mapping[str, JsonValue]

MAX_RECORD_BYTES = 256 * 1024 * 1024
"""A manifest of 690 GB in 8 MiB chunks takes 6 MB; nothing honest comes near this bound."""


def encode(value: JsonValue) -> bytes:
    """The canonical bytes of a record."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode("utf-8")


def digest(value: JsonValue) -> str:
    """The SHA-256 of the canonical bytes, 64 hexadecimal digits."""
    # It loads the whole of OpenSSL, and most records are never hashed.
    import hashlib

    return hashlib.sha256(encode(value)).hexdigest()


def decode_object(data: bytes, *, what: str) -> dict[str, JsonValue]:
    """Reads one JSON object, refusing repeated keys, non-finite numbers, deep nesting and anything after it.

    `what` names the record in the error.

    Raises:
        LimitExceeded: the text is larger than any honest record.
        Malformed: it is not one JSON object.
    """
    if len(data) > MAX_RECORD_BYTES:
        raise LimitExceeded(f"{what} is {len(data)} bytes, more than {MAX_RECORD_BYTES}")
    try:
        value = json.loads(
            data.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_no_constant, parse_float=_no_constant
        )
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except (ValueError, RecursionError) as error:
        raise Malformed(
            f"{what} is not valid JSON ({type(error).__name__}: {error})",
            hint="The record was altered or cut short; restore it or ingest the revision again.",
        ) from error
    if not isinstance(value, dict):
        raise Malformed(f"{what} is not a JSON object")
    return value


def _unique(pairs: list[tuple[str, JsonValue]]) -> dict[str, JsonValue]:
    record = dict(pairs)
    if len(record) != len(pairs):
        raise ValueError("a key is repeated")
    return record


def _no_constant(text: str) -> JsonValue:
    raise ValueError(f"{text} is not an integer")


class Fields:
    """Typed access to the keys of a decoded record, with an error that names record and key.

    Raises:
        Malformed: from every method, when the key is missing or of another type; from `done`, when unread keys remain.
    """

    def __init__(self, record: JsonValue, *, what: str) -> None:
        if not isinstance(record, Mapping):
            raise Malformed(f"{what} is not an object")
        self._record = record
        self._what = what
        self._read: set[str] = set()

    def _get(self, key: str) -> JsonValue:
        self._read.add(key)
        if key not in self._record:
            raise Malformed(f"{self._what} has no '{key}'")
        return self._record[key]

    def text(self, key: str, default: str | None = None) -> str:
        """The string under `key`."""
        if default is not None and key not in self._record:
            return default
        value = self._get(key)
        if not isinstance(value, str):
            raise Malformed(f"'{key}' of {self._what} is not text")
        return value

    def integer(self, key: str, default: int | None = None) -> int:
        """The non-negative integer under `key`."""
        if default is not None and key not in self._record:
            return default
        value = self._get(key)
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 1 << 53:
            raise Malformed(f"'{key}' of {self._what} is not a non-negative integer")
        return value

    def boolean(self, key: str) -> bool:
        """The truth value under `key`."""
        value = self._get(key)
        if not isinstance(value, bool):
            raise Malformed(f"'{key}' of {self._what} is not true or false")
        return value

    def items(self, key: str) -> list[JsonValue]:
        """The array under `key`."""
        value = self._get(key)
        if not isinstance(value, list):
            raise Malformed(f"'{key}' of {self._what} is not a list")
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        """The array of strings under `key`."""
        values = self.items(key)
        if not all(isinstance(value, str) for value in values):
            raise Malformed(f"'{key}' of {self._what} is not a list of text")
        return tuple(str(value) for value in values)

    def value(self, key: str) -> JsonValue:
        """Whatever is under `key`, for somebody else to read."""
        return self._get(key)

    def fields(self, key: str) -> Fields:
        """The object under `key`."""
        return Fields(self._get(key), what=f"'{key}' of {self._what}")

    def mapping(self, key: str) -> dict[str, str]:
        """The object of strings under `key`."""
        value = self._get(key)
        if not isinstance(value, dict) or not all(isinstance(v, str) for v in value.values()):
            raise Malformed(f"'{key}' of {self._what} is not an object of text")
        return {str(k): str(v) for k, v in value.items()}

    def done(self) -> None:
        """Refuses keys nobody asked for: an unknown field is a field nobody checks."""
        unknown = sorted(set(self._record) - self._read)
        if unknown:
            raise Malformed(f"{self._what} has unknown keys: {', '.join(unknown)}")
