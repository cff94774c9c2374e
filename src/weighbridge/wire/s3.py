"""Speaks to one S3 bucket: signed requests for bytes, botocore for everything else.

Bytes go through `wire.http` with a botocore signature over headers and an unsigned payload, because botocore's own transfers spend 5 to 10
CPU-seconds per GB where this spends less than one; the payload is covered by the CRC64NVME header, which is signed.
Control calls (multipart bookkeeping, listings, copies, settings) go through botocore, whose completeness matters more there.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit
from xml.etree.ElementTree import ParseError, fromstring

from weighbridge.core.errors import (
    AccessRefused,
    ConfigError,
    Conflict,
    DigestMismatch,
    IncompleteUpload,
    ObjectMissing,
    OutOfSpace,
    StoreError,
    StoreUnreachable,
    Unreachable,
)
from weighbridge.wire.http import MAX_ERROR_BODY_BYTES, Http, Response, place

if TYPE_CHECKING:
    from botocore.credentials import ReadOnlyCredentials
    from mypy_boto3_s3 import S3Client

_ERRORS: Mapping[str, type[StoreError | DigestMismatch]] = {
    "NoSuchKey": ObjectMissing,
    "NoSuchVersion": ObjectMissing,
    "NotFound": ObjectMissing,
    "404": ObjectMissing,
    "405": ObjectMissing,
    "NoSuchUpload": IncompleteUpload,
    "InvalidPart": IncompleteUpload,
    "InvalidPartOrder": IncompleteUpload,
    "EntityTooSmall": IncompleteUpload,
    "PreconditionFailed": Conflict,
    "ConditionalRequestConflict": Conflict,
    "412": Conflict,
    "409": Conflict,
    "BadDigest": DigestMismatch,
    "InvalidDigest": DigestMismatch,
    "XAmzContentChecksumMismatch": DigestMismatch,
    "AccessDenied": AccessRefused,
    "InvalidAccessKeyId": AccessRefused,
    "SignatureDoesNotMatch": AccessRefused,
    "ExpiredToken": AccessRefused,
    "TokenRefreshRequired": AccessRefused,
    "RequestTimeTooSkewed": AccessRefused,
    "403": AccessRefused,
    "401": AccessRefused,
    "InsufficientStorage": OutOfSpace,
    "507": OutOfSpace,
    "SlowDown": StoreUnreachable,
    "RequestTimeout": StoreUnreachable,
    "InternalError": StoreUnreachable,
    "ServiceUnavailable": StoreUnreachable,
}


_WAITS_SECONDS = (0.1, 0.3, 0.9)
"""Waits before a request that found no answer is sent again. Every request here may be: writes are conditional or by part."""


MAX_PRESIGNED_SECONDS = 3_600


def crc64nvme_text(value: int) -> str:
    """A CRC64NVME as S3 writes it: base64 of its 8 big-endian bytes."""
    return base64.b64encode(value.to_bytes(8, "big")).decode("ascii")


def crc64nvme_value(text: str) -> int:
    """The inverse of `crc64nvme_text`."""
    return int.from_bytes(base64.b64decode(text), "big")


class Bucket:
    """One bucket. Thread-safe. Credentials by every standard chain of botocore, refreshed as they expire."""

    def __init__(self, name: str, *, http: Http, endpoint: str = "", region: str = "") -> None:
        try:
            import botocore.config
            import botocore.session
        except ImportError as error:
            raise ConfigError(
                "S3 needs the 'aws' extra, which is not installed", hint="pip install 'weighbridge[aws]'"
            ) from error
        self.name = name
        self._http = http
        session = botocore.session.get_session()
        credentials = session.get_credentials()
        if credentials is None:
            raise ConfigError(
                f"no AWS credentials were found for s3://{name}",
                hint="Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE, or run where a role is attached.",
            )
        self._credentials = credentials
        self._region = region or session.get_config_variable("region") or "us-east-1"
        config = botocore.config.Config(
            region_name=self._region,
            s3={"addressing_style": "path" if endpoint else "auto"},
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            retries={"mode": "standard", "max_attempts": 5},
            connect_timeout=10,
            read_timeout=60,
            max_pool_connections=32,
        )
        client: Any = session.create_client("s3", config=config, endpoint_url=endpoint or None)
        self.control: S3Client = client
        self.endpoint = endpoint or str(self.control.meta.endpoint_url)
        self._base = self._base_url(self.endpoint, path_style=bool(endpoint))

    def _base_url(self, endpoint: str, *, path_style: bool) -> str:
        parts = urlsplit(endpoint)
        if path_style or "." in self.name:
            return f"{endpoint.rstrip('/')}/{self.name}"
        return f"{parts.scheme}://{self.name}.{parts.netloc}"

    @property
    def place(self) -> str:
        """The server, without the bucket."""
        return place(self._base)

    @property
    def origin(self) -> str:
        """`scheme://host[:port]` of every request for bytes."""
        parts = urlsplit(self._base)
        return f"{parts.scheme}://{parts.netloc}"

    def request(
        self,
        method: str,
        key: str,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes | bytearray | memoryview | None = None,
    ) -> Response:
        """Sends one signed request and returns a success (2xx); its body is still on its way.

        Raises:
            StoreError, DigestMismatch: of the kind that fits the server's answer.
        """
        url = f"{self._base}/{quote(key, safe='/~-._')}"
        if query:
            url += "?" + "&".join(f"{quote(k, safe='')}={quote(v, safe='')}" for k, v in sorted(query.items()))
        what = f"{method} s3://{self.name}/{key}"
        for wait_seconds in _WAITS_SECONDS:
            try:
                return self._send(method, url, headers or {}, body, what)
            except StoreUnreachable:
                time.sleep(wait_seconds)
        return self._send(method, url, headers or {}, body, what)

    def _send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | bytearray | memoryview | None,
        what: str,
    ) -> Response:
        try:
            response = self._http.request(method, url, headers=self._sign(method, url, headers), body=body)
        except Unreachable as error:
            raise StoreUnreachable(error.message, hint=error.hint) from error
        if response.status < 300:
            return response
        with response:
            raise self._error(response, what)

    def _sign(self, method: str, url: str, headers: Mapping[str, str]) -> dict[str, str]:
        import botocore.auth
        import botocore.awsrequest

        frozen = self._frozen()
        request = botocore.awsrequest.AWSRequest(method=method, url=url, headers=dict(headers))
        request.headers["X-Amz-Content-SHA256"] = "UNSIGNED-PAYLOAD"
        request.context["payload_signing_enabled"] = False
        signer = _unsigned_payload_auth()(frozen, "s3", self._region)
        signer.add_auth(request)
        return dict(request.headers.items())

    def presigned(self, key: str, *, query: Mapping[str, str], seconds: int) -> str:
        """A URL that GETs an object with exactly this query for so long, at most as long as the credentials live.

        Raises:
            ConfigError: `seconds` is not 1 to `MAX_PRESIGNED_SECONDS`.
            StoreError: there are no credentials, or they end now.
        """
        import botocore.auth
        import botocore.awsrequest

        if not 1 <= seconds <= MAX_PRESIGNED_SECONDS:
            raise ConfigError(f"an address is signed for 1 to {MAX_PRESIGNED_SECONDS} seconds, not {seconds}")
        frozen, life = self._lasting(seconds)
        request = botocore.awsrequest.AWSRequest(
            method="GET", url=f"{self._base}/{quote(key, safe='/~-._')}", params=dict(query)
        )
        botocore.auth.S3SigV4QueryAuth(frozen, "s3", self._region, expires=life).add_auth(request)
        return str(request.url)

    def _lasting(self, seconds: int) -> tuple[ReadOnlyCredentials, int]:
        """Credentials, and up to `seconds` for which they are good without being refreshed."""
        self._frozen()
        expires_within = getattr(self._credentials, "refresh_needed", None)
        life = seconds
        while life and expires_within is not None and expires_within(refresh_in=life):
            life //= 2
        if not life:
            raise StoreUnreachable(f"the credentials for s3://{self.name} expire now and were not refreshed")
        # Taken after the measuring: they are those that were measured, or newer ones, which last longer.
        return self._frozen(), life

    def _frozen(self) -> ReadOnlyCredentials:
        """Credentials that are good now. Raises StoreError where they cannot be had."""
        with self.translated(f"the credentials for s3://{self.name}"):
            try:
                return self._credentials.get_frozen_credentials()
            except RuntimeError as error:  # botocore's word for refreshed credentials that are expired already
                raise StoreUnreachable(f"the credentials for s3://{self.name}: {error}") from error

    def _error(self, response: Response, what: str) -> StoreError | DigestMismatch:
        body = response.read(MAX_ERROR_BODY_BYTES)
        code, message = _xml_error(body)
        return store_error(code or str(response.status), message, what=what, status=response.status)

    @contextmanager
    def translated(self, what: str) -> Iterator[None]:
        """Turns botocore's errors inside the `with` block into ours."""
        import botocore.exceptions

        try:
            yield
        except botocore.exceptions.ClientError as error:
            answer = error.response
            said = answer.get("Error", {})
            status = int(answer.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
            raise store_error(
                str(said.get("Code", status)), str(said.get("Message", "")), what=what, status=status
            ) from error
        except botocore.exceptions.ParamValidationError as error:
            raise ConfigError(f"{what} was refused before it was sent: {error}") from error
        except botocore.exceptions.BotoCoreError as error:
            raise StoreUnreachable(
                f"{self.place} does not answer {what} ({type(error).__name__})",
                hint="Check the endpoint, the network and the credentials; `weighbridge doctor` tries each.",
            ) from error


def store_error(code: str, message: str, *, what: str, status: int) -> StoreError | DigestMismatch:
    """The error that fits an S3 error code."""
    kind = _ERRORS.get(code) or _ERRORS.get(str(status))
    if kind is None:
        kind = StoreUnreachable if status >= 500 or status == 0 else StoreError
    hints: dict[type, str] = {
        AccessRefused: "Check the credentials, the bucket policy and the clock; `weighbridge doctor` tries each.",
        OutOfSpace: "Free space in the store, or choose another with --to.",
    }
    return kind(f"{what} failed: {code} {message}".strip(), hint=hints.get(kind, ""))


def _xml_error(body: bytes) -> tuple[str, str]:
    if b"<!DOCTYPE" in body or b"<!ENTITY" in body:
        return "", ""
    try:
        root = fromstring(body)  # noqa: S314 (document types are refused above, and the size is bounded)
    except ParseError:
        return "", ""
    found = {element.tag.rpartition("}")[2]: (element.text or "") for element in root}
    return found.get("Code", "")[:100], found.get("Message", "")[:500]


@cache
def _unsigned_payload_auth() -> type:
    import botocore.auth

    class UnsignedPayloadAuth(botocore.auth.S3SigV4Auth):
        """Signature version 4 whose payload digest is the literal UNSIGNED-PAYLOAD, over http as over https."""

        def payload(self, request: object) -> str:
            return "UNSIGNED-PAYLOAD"

    return UnsignedPayloadAuth
