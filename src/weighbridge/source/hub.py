"""Reads one model at one commit from a Hugging Face Hub, or anything that speaks its protocol.

Rules:

1. The ref is resolved once, through `huggingface_hub`; from then on only the 40-hex commit is asked for.
2. What answers must be what was asked: same repository name, same commit (`X-Repo-Commit`), same size and digest headers,
   exactly the requested range. A renamed or redirected repository is an error, not a convenience.
3. `refs/pr/*` is refused unless allowed: anyone may open a pull request.
4. Bytes come by plain ranged GETs, also for files that Xet stores; the token is sent to the endpoint alone and never
   follows a redirect to another host.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import quote, unquote, urljoin, urlsplit

from weighbridge.core.errors import (
    ConfigError,
    ContentChanged,
    Gated,
    LengthMismatch,
    NotFound,
    RateLimited,
    RepositoryMoved,
    RevisionMoved,
    SourceError,
    Unreachable,
)
from weighbridge.core.names import Address, ModelName, check_paths, is_revision
from weighbridge.core.ports import ByteStream
from weighbridge.core.snapshot import Entry, Origin, Snapshot
from weighbridge.source.ranges import check_range
from weighbridge.wire import retry_after
from weighbridge.wire.http import MAX_ERROR_BODY_BYTES, ExactStream, Http, Response
from weighbridge.wire.targets import check_redirect

if TYPE_CHECKING:
    from huggingface_hub import HfApi, ModelInfo

Answer = TypeVar("Answer")

MAX_ENTRIES = 200_000
MAX_REDIRECTS = 3
METADATA_TIMEOUT_SECONDS = 60.0


class HubSource:
    """See `core.ports.Source`. `as_name` is the name under which the model is stored; by default its own."""

    def __init__(
        self,
        address: Address,
        *,
        http: Http,
        endpoint: str = "",
        allow_pull_requests: bool = False,
        as_name: ModelName | None = None,
    ) -> None:
        from huggingface_hub import constants, get_token

        self._address = address
        self._repository = ModelName.parse(address.location)
        self._model_name = as_name or self._repository
        self._endpoint = (endpoint or constants.ENDPOINT).rstrip("/")
        if urlsplit(self._endpoint).scheme not in ("http", "https"):
            raise ConfigError("the Hub's endpoint must start with https:// (or http:// on your own network)")
        self._token = get_token()
        self._http = http
        self._lock = threading.Lock()
        self._commit = ""
        self._located: dict[str, str] = {}
        self._etags: dict[str, str] = {}
        if _is_pull_request(address.ref) and not allow_pull_requests:
            raise ConfigError(
                f"{address} is a pull request, which anyone may open",
                hint="Name a branch, tag or commit; or pass --allow-pull-requests if you have read it.",
            )

    @property
    def endpoint(self) -> str:
        """The Hub that is asked."""
        return self._endpoint

    def pin(self) -> Snapshot:
        """Resolves the ref to a commit and lists its files with sizes and digests.

        Raises:
            NotFound, Gated, RateLimited, Unreachable: the Hub's answer.
            RepositoryMoved: the Hub answers about another repository.
            RevisionMoved: a commit was asked for and another came back.
            UnsafePath: a file name that must not be stored.
        """
        from huggingface_hub import HfApi

        api = HfApi(endpoint=self._endpoint, token=self._token, library_name="weighbridge")
        info = self._asked(lambda: self._info(api))
        if info.id != str(self._repository):
            raise RepositoryMoved(
                f"{self._repository} is now {info.id!r} at {self._endpoint}",
                hint="A name can be taken over by a stranger. Check who owns it and ingest the new name.",
            )
        commit = info.sha if isinstance(info.sha, str) else ""
        if not is_revision(commit):
            raise SourceError(f"{self._endpoint} answers no commit for {self._address}")
        if is_revision(self._address.ref) and commit != self._address.ref:
            raise RevisionMoved(f"{self._endpoint} answers commit {commit} when asked for {self._address.ref}")
        entries = self._asked(lambda: self._entries(api, commit))
        self._commit = commit
        return Snapshot(
            model_name=self._model_name,
            source=self._address,
            origin=self._origin(api, info),
            entries=entries,
            revision=commit,
        )

    def _info(self, api: HfApi) -> ModelInfo:
        ref = self._address.ref or None
        return api.model_info(str(self._repository), revision=ref, timeout=METADATA_TIMEOUT_SECONDS)

    def _asked(self, question: Callable[[], Answer]) -> Answer:
        """Asks through `huggingface_hub` and turns its errors into ours."""
        from huggingface_hub.errors import OfflineModeIsEnabled

        try:
            return question()
        except OfflineModeIsEnabled as error:
            raise SourceError(
                "the Hub is switched off by HF_HUB_OFFLINE", hint="Unset it for this command to ingest from the Hub."
            ) from error
        except _http_error() as error:
            raise self._explain(error) from error
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            # The library takes an answer's fields for what they should be, and stumbles over others.
            raise Unreachable(f"{self._endpoint} gave no usable answer ({type(error).__name__})") from error

    def _explain(self, error: Exception) -> SourceError:
        from huggingface_hub import errors

        response = getattr(error, "response", None)
        status = int(getattr(response, "status_code", 0) or 0)
        said = str(getattr(response, "headers", {}).get("x-error-message", "")) if response is not None else ""
        if isinstance(error, errors.RevisionNotFoundError):
            return NotFound(
                f"{self._repository} has no revision '{self._address.ref}'",
                hint="Name one of its branches, tags or commits.",
            )
        if isinstance(error, errors.GatedRepoError | errors.RepositoryNotFoundError):
            return self._no_access(gated=isinstance(error, errors.GatedRepoError), said=said)
        header = response.headers.get("retry-after") if response is not None else None
        return self._status_error(status, f"{self._address}", header, said)

    def _no_access(self, *, gated: bool, said: str) -> SourceError:
        whose = "with the token in use" if self._token else "without a token"
        suffix = f" ({said})" if said else ""
        if gated:
            return Gated(
                f"{self._repository} is gated and closed {whose}{suffix}",
                hint="Accept its licence on the Hub with the account whose token you use (HF_TOKEN or `hf auth login`).",
            )
        return NotFound(
            f"{self._endpoint} shows no model {self._repository} {whose}{suffix}",
            hint="Check the name; a private model needs HF_TOKEN or `hf auth login` with an account that may read it.",
        )

    def _status_error(self, status: int, what: str, wait: str | None, said: str = "") -> SourceError:
        suffix = f" ({said})" if said else ""
        if status == 429:
            return RateLimited(
                f"{self._endpoint} limits the rate for {what}{suffix}",
                hint="Try again later, with fewer --streams, or with a token.",
                retry_after_seconds=retry_after.seconds(wait),
            )
        if status in (401, 403):
            return Gated(
                f"{self._endpoint} refuses {what} (status {status}){suffix}",
                hint="Check the token (HF_TOKEN or `hf auth login`) and that its account may read the model.",
            )
        if status in (404, 410):
            return NotFound(f"{self._endpoint} does not have {what}{suffix}")
        if status in (0, 408) or status >= 500:
            answer = f"answers status {status}" if status else "does not answer"
            return Unreachable(f"{self._endpoint} {answer} for {what}{suffix}", hint="Try again later.")
        return SourceError(f"{self._endpoint} answers status {status} for {what}{suffix}")

    def _entries(self, api: HfApi, commit: str) -> tuple[Entry, ...]:
        """The tree at the commit; unlike the model's own list of files it is complete for repositories of any size."""
        from huggingface_hub.hf_api import RepoFile

        entries: list[Entry] = []
        for item in api.list_repo_tree(str(self._repository), revision=commit, recursive=True):
            if not isinstance(item, RepoFile):
                continue
            if len(entries) >= MAX_ENTRIES:
                raise SourceError(f"{self._repository} lists more than {MAX_ENTRIES} files")
            sha256 = item.lfs.sha256 if item.lfs else ""
            git_sha1 = "" if item.lfs else item.blob_id
            size = int(item.lfs.size if item.lfs else item.size)
            if size < 0 or not all(isinstance(text, str) for text in (item.path, sha256, git_sha1)):
                raise SourceError(f"{self._endpoint} lists a file of {self._repository} in a form that cannot be read")
            entries.append(Entry(item.path, size, sha256, git_sha1, validator=sha256 or git_sha1))
        check_paths((entry.path for entry in entries), of=f"{self._repository}")
        return tuple(sorted(entries, key=lambda entry: entry.path))

    def _origin(self, api: HfApi, info: ModelInfo) -> Origin:
        owner = info.author if info.author and isinstance(info.author, str) else self._repository.organisation
        owner_id, owner_kind = _owner(api, owner)
        published = info.last_modified.isoformat() if info.last_modified else ""
        return Origin(
            kind="hub",
            address=f"hf://{self._repository}",
            endpoint=self._endpoint,
            repository=info.id,
            repository_id=str(getattr(info, "_id", "") or ""),
            owner=owner,
            owner_id=owner_id,
            owner_kind=owner_kind,
            requested_ref=self._address.ref or "main",
            commit=info.sha or "",
            published_at=published,
        )

    @contextmanager
    def open(self, entry: Entry, start: int, end: int) -> Iterator[ByteStream]:
        """Opens bytes `start` to `end` (excluded) of `entry` at the pinned commit."""
        with self._send(entry, start, end) as response:
            check_range(response, entry, start, end)
            self._check_unchanged(entry, response)
            yield ExactStream(response, end - start)

    def _send(self, entry: Entry, start: int, end: int) -> Response:
        """Asks the endpoint, or the place it named last time, and follows at most `MAX_REDIRECTS` redirects."""
        commit = self._commit
        origin_url = f"{self._endpoint}/{self._repository}/resolve/{commit}/{quote(entry.path)}"
        ranged = {"Range": f"bytes={start}-{end - 1}"} if end > start else {}
        url = self._located.get(entry.path, origin_url)
        for _ in range(MAX_REDIRECTS + 1):
            ours = _same_origin(url, self._endpoint)
            headers = dict(ranged)
            if ours and self._token:
                headers["Authorization"] = f"Bearer {self._token}"
            response = self._http.request("GET", url, headers=headers)
            if ours:
                self._check_claims(entry, response)
            if response.status in (200, 206):
                if not ours:
                    self._located[entry.path] = url
                return response
            with response:
                if response.status not in (301, 302, 303, 307, 308):
                    self._refuse(entry, response, ours=ours)
                url = self._next(entry, url, response)
        raise SourceError(f"{self._endpoint} redirects without end for '{entry.path}' of {self._repository}")

    def _next(self, entry: Entry, url: str, response: Response) -> str:
        try:
            target = urljoin(url, response.headers.get("location", ""))
        except ValueError as error:
            raise SourceError(f"{self._endpoint} redirects '{entry.path}' to an address that cannot be read") from error
        if _same_origin(target, self._endpoint):
            path = unquote(urlsplit(target).path)
            home = urlsplit(self._endpoint).path
            expected = (f"{home}/{self._repository}/resolve/", f"{home}/api/resolve-cache/models/{self._repository}/")
            if not path.startswith(expected):
                raise RepositoryMoved(
                    f"{self._endpoint} redirects '{entry.path}' of {self._repository} to another repository",
                    hint="A name can be taken over by a stranger. Check who owns it and ingest the new name.",
                )
            return target
        check_redirect(target, endpoint=self._endpoint)
        return target

    def _refuse(self, entry: Entry, response: Response, *, ours: bool) -> None:
        """Turns a status that is no success into the error that fits."""
        what = f"'{entry.path}' of {self._repository}@{self._commit[:12]}"
        said = response.headers.get("x-error-message", "")
        code = response.headers.get("x-error-code", "")
        response.read(MAX_ERROR_BODY_BYTES)
        if not ours:
            with self._lock:
                self._located.pop(entry.path, None)
            if response.status in (400, 401, 403, 404, 410):
                raise Unreachable(f"the link to {what} has expired (status {response.status})")
        if code == "GatedRepo":
            raise self._no_access(gated=True, said=said)
        if response.status == 416:
            raise LengthMismatch(f"{what} is shorter than the {entry.size_bytes} bytes that were announced")
        raise self._status_error(response.status, what, response.headers.get("retry-after"), said)

    def _check_claims(self, entry: Entry, response: Response) -> None:
        """Compares what the endpoint's headers say about the file with what was pinned."""
        if response.status >= 400:
            return
        commit = response.headers.get("x-repo-commit")
        if commit and commit != self._commit:
            response.close()
            raise RevisionMoved(
                f"{self._repository} was pinned to {self._commit} and '{entry.path}' came from {commit}",
                hint="Run the command again; if it happens again, the upstream does not keep its history.",
            )
        linked = response.headers.get("x-linked-etag", "").strip('W/"')
        size = response.headers.get("x-linked-size", "")
        if (entry.sha256 and linked and linked != entry.sha256) or (size.isdigit() and int(size) != entry.size_bytes):
            response.close()
            raise ContentChanged(f"'{entry.path}' of {self._repository} is announced with two sizes or digests")

    def _check_unchanged(self, entry: Entry, response: Response) -> None:
        etag = response.headers.get("etag", "")
        with self._lock:
            known = self._etags.setdefault(entry.path, etag)
            if known != etag:
                del self._etags[entry.path]
        if known != etag:
            raise ContentChanged(f"'{entry.path}' of {self._repository} changed its ETag while it was read")

    def close(self) -> None:
        """Lets go of connections."""
        self._http.close()


def _owner(api: HfApi, owner: str) -> tuple[str, str]:
    """The Hub's own id of an organisation or user, and which of the two it is; empty where the Hub does not say."""
    for kind, ask in (("organization", api.get_organization_overview), ("user", api.get_user_overview)):
        try:
            found = getattr(ask(owner), "_id", "")
        except (_http_error(), OSError, ValueError, TypeError, KeyError, AttributeError):
            continue
        if isinstance(found, str) and found:
            return found, kind
    return "", ""


def _http_error() -> type[Exception]:
    """The HTTP library's own base error, whichever library this release of `huggingface_hub` is built on."""
    from huggingface_hub.errors import HfHubHTTPError

    base = HfHubHTTPError.__bases__[0]
    return base if issubclass(base, Exception) else HfHubHTTPError


def _is_pull_request(ref: str) -> bool:
    return unquote(ref).lstrip("/").lower().startswith("refs/pr/") or unquote(ref).lower().startswith("pr/")


def _same_origin(url: str, endpoint: str) -> bool:
    try:
        one, other = urlsplit(url), urlsplit(endpoint)
        return (one.scheme, one.hostname, one.port) == (other.scheme, other.hostname, other.port)
    except ValueError:
        return False
