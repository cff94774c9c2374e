"""Asks S3 and its neighbours (KMS, EC2, IAM, STS) for settings: what is set, what is not, and which permission is missing.

Rules: an answer that says "there is none" is told from one that does not come; a refusal names the permission that would lift
it; a server that does not implement a call says so. Nothing is written, and nothing is asked of a service that has no address.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

from weighbridge.core import canonical
from weighbridge.core.canonical import JsonValue
from weighbridge.core.errors import AccessRefused, Malformed, StoreError, StoreUnreachable
from weighbridge.core.shown import plain
from weighbridge.wire.s3 import Bucket, store_error

MAX_DEPTH: Final = 30
_REFUSED: Final = frozenset(
    ("AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "AllAccessDisabled", "AuthorizationError", "403")
)
_NOT_THERE: Final = frozenset(
    (
        "NotImplemented",
        "MethodNotAllowed",
        "UnsupportedOperation",
        "UnknownOperationException",
        "InvalidAction",
        "405",
        "501",
    )
)


@dataclass(frozen=True, slots=True)
class Setting:
    """An answer. `source` names the call; `digest` is the SHA-256 of the answer as a record."""

    fields: Mapping[str, JsonValue]
    source: str
    digest: str

    def object(self, key: str) -> Mapping[str, JsonValue]:
        """The object under a key.

        Raises:
            Malformed: there is none: whoever answered does not know the call.
        """
        value = self.fields.get(key)
        if not isinstance(value, Mapping):
            raise Malformed(f"{self.source} answers without '{key}'")
        return value

    def objects(self, key: str) -> list[Mapping[str, JsonValue]]:
        """The objects of the list under a key; none where the key is not there."""
        return objects(self.fields.get(key))


def objects(value: JsonValue) -> list[Mapping[str, JsonValue]]:
    """The objects of a list."""
    return [one for one in value if isinstance(one, Mapping)] if isinstance(value, list) else []


def text(fields: Mapping[str, JsonValue], key: str) -> str:
    """The text under a key, "" where there is none."""
    value = fields.get(key)
    return value if isinstance(value, str) else ""


class BucketAsking:
    """Questions about one bucket."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket
        self.name = bucket.name

    def setting(
        self, call: str, permission: str, *, none: tuple[str, ...] = (), **parameters: str | int
    ) -> Setting | None:
        """What `GetBucketAcl` and its like answer; None where the server says that there is none, by one of `none`.

        Raises:
            AccessRefused: the permission is missing. StoreError: there is no answer, or no such call.
        """
        return _called(
            self._bucket.control,
            _Call(call, permission, f"s3://{self.name}", none),
            {"Bucket": self.name, **parameters},
            place=self._bucket.place,
        )


class Services:
    """The services beside S3. `endpoints` are by service name; without one, and with an S3 server of one's own, there are none."""

    def __init__(self, region: str, *, own_server: bool, endpoints: Mapping[str, str]) -> None:
        self._region = region
        self._own_server = own_server
        self._endpoints = endpoints
        self._clients: dict[str, Any] = {}
        self._session: Any = None

    def ask(
        self, service: str, call: str, permission: str, *, none: tuple[str, ...] = (), **parameters: Any
    ) -> Setting | None:
        """What `kms` `GetKeyPolicy` and its like answer. Raises as `BucketAsking.setting`."""
        variable = f"AWS_ENDPOINT_URL_{service.upper()}"
        endpoint = self._endpoints.get(service) or os.environ.get(variable) or os.environ.get("AWS_ENDPOINT_URL") or ""
        if self._own_server and not endpoint:
            raise StoreError(f"{service.upper()} was not asked: the S3 server is not AWS's, and {variable} names none")
        if service not in self._clients:
            self._clients[service] = self._client(service, endpoint)
        asked = _Call(call, permission, service.upper(), none)
        return _called(self._clients[service], asked, parameters, place=endpoint or service)

    def _client(self, service: str, endpoint: str) -> Any:
        import botocore.config
        import botocore.session

        config = botocore.config.Config(
            region_name=self._region,
            retries={"mode": "standard", "max_attempts": 3},
            connect_timeout=5,
            read_timeout=30,
        )
        with _translated(service, service):
            self._session = self._session or botocore.session.get_session()
            return self._session.create_client(service, config=config, endpoint_url=endpoint or None)


@dataclass(frozen=True, slots=True)
class _Call:
    name: str
    permission: str
    what: str
    none: tuple[str, ...]

    @property
    def shown(self) -> str:
        return f"{self.name} of {self.what}"


def _called(client: Any, call: _Call, parameters: Mapping[str, Any], *, place: str) -> Setting | None:
    import botocore.exceptions

    method = getattr(client, _snake(call.name))
    with _translated(call.shown, place):
        try:
            answer = method(**parameters)
        except botocore.exceptions.ClientError as error:
            said = error.response.get("Error", {})
            code = str(said.get("Code", ""))
            status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
            if code in call.none:
                return None
            raise _refusal(call, code, status, str(said.get("Message", ""))) from error
        except (KeyError, AttributeError, TypeError, IndexError) as error:
            # botocore takes an answer's elements for what they should be, and stumbles over others.
            raise Malformed(f"the answer to {call.shown} cannot be read ({type(error).__name__})") from error
    fields = {key: _json(value) for key, value in answer.items() if key != "ResponseMetadata"}
    return Setting(fields, call.shown, canonical.digest(fields))


def _refusal(call: _Call, code: str, status: int, message: str) -> Exception:
    if code in _REFUSED or status in (401, 403):
        return AccessRefused(
            f"the credentials may not call {call.shown} ({plain(code, 60)})",
            hint=f"Missing permission: {call.permission}",
        )
    if code in _NOT_THERE or status in (405, 501):
        return StoreError(f"the server does not implement {call.shown}")
    return store_error(plain(code, 60), plain(message), what=call.shown, status=status)


@contextmanager
def _translated(what: str, place: str) -> Iterator[None]:
    import botocore.exceptions
    import botocore.parsers

    try:
        yield
    except botocore.parsers.ResponseParserError as error:
        raise Malformed(f"the answer to {what} cannot be read") from error
    except (botocore.exceptions.BotoCoreError, ValueError) as error:
        raise StoreUnreachable(f"{place} does not answer {what} ({type(error).__name__})") from error


def _snake(name: str) -> str:
    from botocore import xform_name

    return str(xform_name(name))


def _json(value: Any, depth: int = 0) -> JsonValue:
    """An answer as a record: times as RFC 3339, fractions as text, bodies left out."""
    if depth > MAX_DEPTH:
        raise Malformed("the answer is nested deeper than any honest one")
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, dict):
        return {str(key): _json(inner, depth + 1) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_json(inner, depth + 1) for inner in value]
    if isinstance(value, date):
        return value.isoformat()
    return str(value) if isinstance(value, float) else ""
