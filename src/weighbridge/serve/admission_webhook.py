"""The endpoint that a Kubernetes API server asks before it admits an object: does it use approved models only?

Rules:

- in and out is `AdmissionReview` of `admission.k8s.io/v1`. What is not gets 400; the API server then does as the webhook's
  `failurePolicy` says, which is to be `Fail`;
- an object that mentions no model is allowed. One that does is allowed when each model it names is an approved, unrevoked
  revision, reached through this gateway or lying in the approved store, and each switch and image is as `Rules` want it;
- what cannot be known from the object is refused, or only warned about, as `Rules.unknown` says;
- an update that changes nothing but metadata or status, and an object that is being deleted, are allowed: else a revocation
  would keep anybody from removing what uses the revoked revision;
- when the approved store cannot be read the answer is no, with code 503.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from weighbridge.admit.asking import MAIN
from weighbridge.core.errors import (
    ConfigError,
    LimitExceeded,
    Malformed,
    NothingCollected,
    Revoked,
    WeighbridgeError,
)
from weighbridge.core.layout import model_prefix
from weighbridge.core.names import ModelName, is_revision
from weighbridge.serve.access import ADMISSION
from weighbridge.serve.metrics import Metrics
from weighbridge.serve.workloads import Claim, Json, Said, claims_of, has_scheme

MAX_REVIEW_BYTES: Final = 8 * 1024 * 1024
"""An API server takes objects of 3 MiB, and sends the old one beside the new."""
MAX_CLAIMS: Final = 200
MAX_PROBLEMS: Final = 10
MAX_SHOWN: Final = 200
JUDGE_SECONDS: Final = 8.0
"""Under the 10 s that an API server waits by default."""
_IMAGE_PATTERN = re.compile(r"[a-z0-9](?:[a-z0-9._/:-]{0,250}[a-z0-9])?(?:/\*)?")
_IMAGE = re.compile(
    r"([a-z0-9][a-z0-9._/:-]{0,250}?)(?::[A-Za-z0-9_][A-Za-z0-9._-]{0,127})?(?:@[a-z0-9+._-]+:[0-9a-fA-F]+)?"
)
_NAMESPACE = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_log = logging.getLogger(__name__)
RevisionOf = Callable[[ModelName, str], str]
"""The approved revision that a ref names. Raises as `Approved.resolve` does."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What the webhook wants of an object."""

    endpoints: tuple[str, ...] = ()
    """This gateway's addresses, as `HF_ENDPOINT` may name them."""
    stores: tuple[str, ...] = ()
    """Addresses of the approved store, `s3://bucket/prefix`."""
    unknown: str = "refuse"
    """`refuse` or `warn`: what is done about what cannot be known from the object."""
    pinned: bool = False
    """Whether a model must be named by its commit; else a channel will do."""
    remote_code: bool = False
    """Whether a server may be told to run a repository's code."""
    images_by_digest: bool = True
    """Whether what serves a model must be an image by digest."""
    cluster_endpoint: bool = False
    """Whether the cluster's storage initializer is known to have `HF_ENDPOINT` set to this gateway."""
    images: tuple[str, ...] = ()
    """Images that may serve a model, `registry.example/team/name` or `registry.example/team/*`; empty: any."""
    exempt_namespaces: tuple[str, ...] = ()
    """Namespaces in which everything is admitted, by their exact names."""

    def __post_init__(self) -> None:
        """Refuses what would match nothing, or more than it says.

        Raises:
            ConfigError: `unknown` is another word, an image pattern or a namespace cannot be one.
        """
        if self.unknown not in ("refuse", "warn"):
            raise ConfigError("what is unknown is 'refuse' or 'warn'")
        for pattern in self.images:
            if not _IMAGE_PATTERN.fullmatch(pattern):
                raise ConfigError(
                    f"'{pattern:.200}' names no images", hint="Write registry/team/name or registry/team/*"
                )
        for name in self.exempt_namespaces:
            if not _NAMESPACE.fullmatch(name):
                raise ConfigError(f"'{name:.100}' is no namespace", hint="Write its exact name; there are no patterns.")

    def may_serve(self, image: str) -> bool:
        """Whether an image is one of those that may serve models."""
        if not self.images:
            return True
        name = _image_name(image)
        return bool(name) and any(
            name.startswith(_image_name(one[:-1] + "x")[:-1]) if one.endswith("/*") else name == _image_name(one)
            for one in self.images
        )


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong: in which field, what, and what to write instead. `firm`: the rules leave no choice."""

    field: str
    what: str
    instead: str
    firm: bool = True

    @property
    def text(self) -> str:
        """One sentence or two."""
        return f"{self.field}: {self.what}. {self.instead}"


@dataclass(frozen=True, slots=True)
class Review:
    """The answer about one object."""

    allowed: bool
    message: str = ""
    warnings: tuple[str, ...] = ()
    code: int = 403


def judge(workload: Json, rules: Rules, revision_of: RevisionOf) -> Review:
    """Whether an object may be admitted.

    Raises:
        WeighbridgeError: the approved store cannot be read now.
    """
    try:
        claims = claims_of(workload)
    except LimitExceeded as error:
        return Review(allowed=False, message=error.message)
    models = [one for one in claims if one.claim is Claim.MODEL]
    if len(claims) > MAX_CLAIMS:
        return Review(allowed=False, message=f"the object makes more than {MAX_CLAIMS} statements about models")
    if not any(one.claim not in (Claim.IMAGE, Claim.ENDPOINT) for one in claims):
        return Review(allowed=True)
    problems = [problem for one in claims for problem in _problems(one, models, rules, revision_of)]
    firm = [one for one in problems if one.firm or rules.unknown == "refuse"]
    texts = tuple(dict.fromkeys(one.text for one in (firm or problems)))
    if firm:
        more = f" (and {len(texts) - MAX_PROBLEMS} more)" if len(texts) > MAX_PROBLEMS else ""
        return Review(allowed=False, message="; ".join(texts[:MAX_PROBLEMS]) + more)
    return Review(allowed=True, warnings=texts[:MAX_PROBLEMS])


def _problems(said: Said, models: list[Said], rules: Rules, revision_of: RevisionOf) -> list[Problem]:
    if said.claim is Claim.MODEL:
        return _model_problems(said, models, rules, revision_of)
    if said.claim is Claim.UNKNOWN:
        return [
            Problem(said.field, f"it holds {said.value}, which cannot be known here", "Write the value out", firm=False)
        ]
    if said.claim is Claim.REMOTE_CODE and not rules.remote_code:
        return [Problem(said.field, f"{_shown(said.value)} would run code of the repository", "Leave it out")]
    if said.claim is Claim.OTHER_HUB:
        return [Problem(said.field, f"{_shown(said.value)} fetches models from another hub", "Leave it out")]
    if said.claim is Claim.ENDPOINT and said.value.rstrip("/") not in _endpoints(rules):
        return [Problem(said.field, f"{_shown(said.value)} is not this gateway", f"Write {_an_endpoint(rules)}")]
    if said.claim is Claim.IMAGE and not rules.may_serve(said.value):
        allowed = ", ".join(rules.images[:5]) + ", …" * (len(rules.images) > 5)
        return [Problem(said.field, f"the image {_shown(said.value)} may not serve models", f"Take one of {allowed}")]
    if said.claim is Claim.IMAGE and rules.images_by_digest and not _by_digest(said.value):
        return [
            Problem(
                said.field,
                f"the image {_shown(said.value)} can change under its name",
                "Name it by digest, name@sha256:…",
            )
        ]
    return []


def _endpoints(rules: Rules) -> frozenset[str]:
    return frozenset(one.rstrip("/") for one in rules.endpoints)


def _an_endpoint(rules: Rules) -> str:
    return f"HF_ENDPOINT={rules.endpoints[0]}" if rules.endpoints else "the address of the gateway"


def _image_name(image: str) -> str:
    """An image's registry and name, as a container runtime reads them, without tag and digest; "" where it is no image."""
    found = _IMAGE.fullmatch(image)
    if found is None or ".." in image or "//" in image:
        return ""
    first, slash, rest = found[1].partition("/")
    if slash and ("." in first or ":" in first or first == "localhost"):
        return found[1]
    return f"docker.io/{found[1]}" if slash else f"docker.io/library/{first}{rest}"


def _by_digest(image: str) -> bool:
    name, at, digest = image.rpartition("@sha256:")
    return bool(name and at) and len(digest) == 64 and all(letter in "0123456789abcdef" for letter in digest)


def _shown(text: str) -> str:
    return f"{text[:MAX_SHOWN]!a}"


# --- models --------------------------------------------------------------------------------------


def _model_problems(said: Said, models: list[Said], rules: Rules, revision_of: RevisionOf) -> list[Problem]:
    value = said.value
    if "$" in value:
        return [Problem(said.field, f"{_shown(value)} cannot be known here", "Write the model out", firm=False)]
    if value.startswith(("/", "./", "../")) or value in (".", ""):
        return _local_problems(said, models)
    if value.lower().startswith("hf://"):
        name, at, ref = value[5:].partition("@")
        if not at:
            name, _, ref = value[5:].partition(":")
        return _hub_problems(said, name.strip("/"), ref or said.revision, rules, revision_of)
    if value.startswith("pvc://"):
        instead = "Name the approved store or hf://org/name@revision"
        return [Problem(said.field, "what lies in a volume cannot be known here", instead, firm=False)]
    if has_scheme(value):
        return _store_problems(said, rules, revision_of)
    name, _, _ = value.partition(":")  # llama.cpp writes org/name:quantisation
    return _hub_problems(said, name, said.revision, rules, revision_of)


def _local_problems(said: Said, models: list[Said]) -> list[Problem]:
    """A path is as good as what puts files there: another statement of the object, which is judged by itself."""
    if any(has_scheme(one.value) and not one.value.startswith("pvc://") for one in models):
        return []
    instead = "Name org/name with --revision, or a storage URI of the approved store"
    return [Problem(said.field, f"what lies at {_shown(said.value)} cannot be known here", instead, firm=False)]


def _hub_problems(said: Said, name: str, ref: str, rules: Rules, revision_of: RevisionOf) -> list[Problem]:
    problems = []
    if not said.endpoint and not (rules.cluster_endpoint and not said.container):
        where = f"{said.container}.env" if said.container else said.field
        what = f"without HF_ENDPOINT {_shown(name)} would come from the public Hub"
        problems.append(Problem(where, what, f"Add {_an_endpoint(rules)}"))
    try:
        model_name = ModelName.parse(name)
    except ConfigError:
        return [
            *problems,
            Problem(said.field, f"{_shown(name)} names no approved model", "Write org/name of an approved model"),
        ]
    return problems + _revision_problems(said, model_name, ref or MAIN, rules, revision_of)


def _store_problems(said: Said, rules: Rules, revision_of: RevisionOf) -> list[Problem]:
    """`<store>/models/org/name/revision/`, exactly: no path below, and no dots on the way."""
    for store in rules.stores:
        base = f"{store.rstrip('/')}/models/"
        if not said.value.startswith(base):
            continue
        parts = said.value[len(base) :].rstrip("/").split("/")
        if len(parts) == 3 and is_revision(parts[2]):
            try:
                model_name = ModelName(parts[0], parts[1])
            except ConfigError:
                break
            return _revision_problems(said, model_name, parts[2], rules, revision_of)
    stores = " or ".join(rules.stores) or "the approved store"
    instead = f"Write {stores}/models/org/name/revision/ or hf://org/name@revision"
    return [Problem(said.field, f"{_shown(said.value)} is no revision in the approved store", instead)]


def _revision_problems(
    said: Said, model_name: ModelName, ref: str, rules: Rules, revision_of: RevisionOf
) -> list[Problem]:
    try:
        revision = revision_of(model_name, ref)
    except Revoked:
        return [
            Problem(said.field, f"{model_name} at {_shown(ref)} was revoked", _instead(model_name, ref, revision_of))
        ]
    except NothingCollected:
        what = f"{model_name} has no approved revision {_shown(ref)}"
        return [Problem(said.field, what, _instead(model_name, ref, revision_of))]
    if rules.pinned and ref != revision:
        return [Problem(said.field, f"{_shown(ref)} of {model_name} can move", f"Pin the revision: {revision}")]
    return []


def _instead(model_name: ModelName, ref: str, revision_of: RevisionOf) -> str:
    if ref != MAIN:
        try:
            prefix = model_prefix(model_name, revision := revision_of(model_name, MAIN))
            return f"Approved is {revision} ({prefix})"
        except (NothingCollected, Revoked):
            pass
    return f"Ask for it: weighbridge ingest hf://{model_name}, then approve and promote it"


# --- the endpoint --------------------------------------------------------------------------------


def review_of(body: bytes, rules: Rules, revision_of: RevisionOf) -> tuple[str, Review]:
    """The uid of the request in an `AdmissionReview`, and the answer.

    Raises:
        Malformed: it is none.
    """
    request = _request_of(body)
    uid = request.get("uid")
    if not isinstance(uid, str) or not 0 < len(uid) <= 128 or not uid.isprintable():
        raise Malformed("the review has no uid")
    workload = request.get("object")
    if request.get("operation") == "DELETE" or workload is None:
        return uid, Review(allowed=True)
    # The API server says where the object is; what the object says of itself is not asked.
    if request.get("namespace") in rules.exempt_namespaces:
        return uid, Review(allowed=True)
    if not isinstance(workload, Mapping):
        raise Malformed("the object of the review is no object")
    if _changes_nothing(workload, request.get("oldObject")):
        return uid, Review(allowed=True)
    try:
        return uid, judge(workload, rules, revision_of)
    except WeighbridgeError as error:
        _log.warning("an object cannot be judged: %s", error.message)
        message = "the approved store cannot be read now, so nothing that uses a model is admitted; try again"
        return uid, Review(allowed=False, message=message, code=503)


def _request_of(body: bytes) -> Mapping[str, Json]:
    try:
        document = json.loads(body, object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise Malformed("the body is no JSON of an admission review") from error
    if not isinstance(document, dict) or document.get("kind") != "AdmissionReview":
        raise Malformed("the body is no AdmissionReview")
    if document.get("apiVersion") != "admission.k8s.io/v1":
        raise Malformed("the review is not of admission.k8s.io/v1")
    request = document.get("request")
    if not isinstance(request, dict):
        raise Malformed("the review has no request")
    return request


def _unique(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key is repeated")
    return found


def _changes_nothing(new: Mapping[str, Json], old: Json) -> bool:
    metadata = new.get("metadata")
    if isinstance(metadata, Mapping) and metadata.get("deletionTimestamp") and isinstance(old, Mapping):
        return True
    if not isinstance(old, Mapping):
        return False
    aside = ("metadata", "status")
    return {key: new[key] for key in new if key not in aside} == {key: old[key] for key in old if key not in aside}


def answer(uid: str, review: Review) -> dict[str, Json]:
    """The `AdmissionReview` to send back."""
    response: dict[str, Json] = {"uid": uid, "allowed": review.allowed}
    if not review.allowed:
        response["status"] = {"code": review.code, "message": f"weighbridge: {review.message}"}
    if review.warnings:
        response["warnings"] = [f"weighbridge: {one}"[:256] for one in review.warnings]
    return {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response}


class AdmissionWebhook:
    """The endpoint. `revision_of` may block."""

    def __init__(self, rules: Rules, revision_of: RevisionOf, metrics: Metrics | None = None) -> None:
        self._rules = rules
        self._revision_of = revision_of
        self._metrics = metrics

    @property
    def route(self) -> Route:
        """`POST /admission/v1`."""
        return Route(ADMISSION, self.endpoint, methods=["POST"])

    async def endpoint(self, request: Request) -> Response:
        """Answers one review."""
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json":
            return JSONResponse({"error": "an admission review is application/json"}, status_code=415)
        body = bytearray()
        async for piece in request.stream():
            body += piece
            if len(body) > MAX_REVIEW_BYTES:
                return JSONResponse({"error": "the review is too large"}, status_code=413)
        try:
            async with asyncio.timeout(JUDGE_SECONDS):
                uid, review = await asyncio.to_thread(review_of, bytes(body), self._rules, self._revision_of)
        except Malformed as error:
            return JSONResponse({"error": error.message}, status_code=400)
        except TimeoutError:
            return JSONResponse({"error": "the review took too long"}, status_code=503)
        if self._metrics is not None:
            self._metrics.add("weighbridge_admission_total", result="allowed" if review.allowed else "refused")
        if not review.allowed:
            _log.info("refused %s: %s", uid, review.message)
        return JSONResponse(answer(uid, review), headers={"cache-control": "no-store"})
