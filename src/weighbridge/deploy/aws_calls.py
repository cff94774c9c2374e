"""Calls AWS's control services through botocore: each request is checked against the service's model before it is sent.

Credentials and the region come by botocore's standard chain. Nothing here holds a secret, and no message carries one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from weighbridge.core.errors import AccessRefused, Busy, ConfigError, StoreUnreachable, WeighbridgeError
from weighbridge.deploy.service_model import ServiceModel, load_service_model

if TYPE_CHECKING:
    from botocore.client import BaseClient
    from botocore.session import Session

Answer = Mapping[str, Any]
MAX_PAGES: Final = 200
_MAX_SHOWN: Final = 600
_REFUSED: Final = frozenset(
    (
        "AccessDenied",
        "AccessDeniedException",
        "ExpiredToken",
        "ExpiredTokenException",
        "IncompleteSignature",
        "InvalidClientTokenId",
        "InvalidSignatureException",
        "MissingAuthenticationToken",
        "OptInRequired",
        "SignatureDoesNotMatch",
        "UnrecognizedClientException",
    )
)
_BUSY: Final = frozenset(("ResourceInUse", "ConflictException", "ConcurrentUpdateException"))
_PASSING: Final = frozenset(
    ("InternalFailure", "InternalServerError", "RequestLimitExceeded", "ServiceUnavailable", "Throttling")
)
_ABSENT: Final = frozenset(("ResourceNotFound", "ResourceNotFoundException", "ObjectNotFoundException"))


class Aws:
    """Clients of one region, made when they are first used. `endpoints` are addresses by service, for private ones."""

    def __init__(self, *, region: str = "", endpoints: Mapping[str, str] | None = None) -> None:
        self._region = region
        self._endpoints = dict(endpoints or {})
        self._clients: dict[str, BaseClient] = {}
        self._models: dict[str, ServiceModel] = {}
        self._session: Session | None = None
        self.unanswered = ""
        """The request that was sent last, until its answer came: after an interruption, it may have been done."""

    def call(self, service: str, operation: str, request: Mapping[str, object]) -> Answer:
        """Sends one request and returns the answer.

        Raises:
            ConfigError: the request is not what the service takes, or there is no region or no botocore.
            AccessRefused: the credentials are missing or do not allow it.
            Busy: what it concerns is being changed.
            StoreUnreachable: no answer, or a failure that may pass.
            WeighbridgeError: the service said no.
        """
        answer = self._send(service, operation, request)
        if answer is None:
            raise WeighbridgeError(f"{service} {operation}: what it names is not there")
        return answer

    def find(self, service: str, operation: str, request: Mapping[str, object]) -> Answer | None:
        """As `call`, with None where what the request names does not exist."""
        return self._send(service, operation, request)

    def pages(self, service: str, operation: str, request: Mapping[str, object], member: str) -> Iterator[Any]:
        """The entries of a listing, page by page.

        Raises:
            WeighbridgeError: as `call`; or the listing does not end.
        """
        token: dict[str, object] = {}
        for _ in range(MAX_PAGES):
            answer = self.call(service, operation, {**request, **token})
            yield from answer.get(member, ())
            if not answer.get("NextToken"):
                return
            token = {"NextToken": answer["NextToken"]}
        raise WeighbridgeError(f"{service} {operation} does not end after {MAX_PAGES} pages")

    def _send(self, service: str, operation: str, request: Mapping[str, object]) -> Answer | None:
        if service not in self._models:
            self._models[service] = load_service_model(service)
        self._models[service].validate(operation, request)
        import botocore
        import botocore.exceptions as problems

        try:
            with _translated(service, operation):
                send = getattr(self._client(service), botocore.xform_name(operation))
                self.unanswered = operation
                answer: Answer = send(**request)
        except problems.ClientError as error:
            if _is_absent(error.response.get("Error", {})):
                return None
            raise _refusal(service, operation, error.response.get("Error", {})) from error
        self.unanswered = ""
        return answer

    def _client(self, service: str) -> BaseClient:
        if service not in self._clients:
            import botocore.config
            import botocore.session

            if self._session is None:
                self._session = botocore.session.get_session()
            config = botocore.config.Config(
                retries={"mode": "standard", "max_attempts": 6}, connect_timeout=10, read_timeout=60
            )
            make: Any = self._session.create_client
            self._clients[service] = make(
                service,
                region_name=self._region or None,
                endpoint_url=self._endpoints.get(service),
                config=config,
            )
        return self._clients[service]


def printable(text: str) -> str:
    """What a service says, as one line of bounded length that a terminal takes."""
    return " ".join("".join(one if one.isprintable() else " " for one in text[:_MAX_SHOWN]).split())


@contextmanager
def _translated(service: str, operation: str) -> Iterator[None]:
    """Errors of botocore that come without an answer, as this project's."""
    import botocore.exceptions as problems

    try:
        yield
    except problems.NoRegionError as error:
        raise ConfigError("which region of AWS is meant is not said", hint="Say it, or set AWS_REGION.") from error
    except (problems.NoCredentialsError, problems.PartialCredentialsError, problems.ProfileNotFound) as error:
        raise AccessRefused(
            f"no AWS credentials were found for {service} {operation}",
            hint="Set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or run where a role is attached.",
        ) from error
    except (problems.HTTPClientError, problems.ConnectionError) as error:
        raise StoreUnreachable(f"{service} did not answer {operation} ({type(error).__name__})") from error
    except problems.ClientError:
        raise
    except problems.BotoCoreError as error:
        raise WeighbridgeError(f"{service} {operation} failed: {printable(str(error))}") from error


def _is_absent(error: Mapping[str, Any]) -> bool:
    code, message = str(error.get("Code", "")), str(error.get("Message", "")).lower()
    # SageMaker has no code of its own for what does not exist.
    return code in _ABSENT or (
        code == "ValidationException" and ("could not find" in message or "does not exist" in message)
    )


def _refusal(service: str, operation: str, error: Mapping[str, Any]) -> WeighbridgeError:
    code, message = printable(str(error.get("Code", ""))), printable(str(error.get("Message", "")))
    said = f"{service} {operation}: {message or code} ({code})"
    if code in _REFUSED:
        return AccessRefused(said, hint=f"The caller needs {service}:{operation}.")
    if code in _BUSY:
        return Busy(said, hint="Try again when the change that is under way has ended.")
    if code.startswith(tuple(_PASSING)) or code.endswith("ThrottlingException"):
        return StoreUnreachable(said, hint="Try again; nothing that was made is made twice.")
    if code == "ResourceLimitExceeded":
        return WeighbridgeError(said, hint="Ask for a higher quota of this instance type, or use another.")
    return WeighbridgeError(said)
