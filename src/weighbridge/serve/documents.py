"""Words a sealed revision as the Hub words a repository: model info, trees, paths, refs, commits.

Every fact is from the signed manifest and the sealed inspection, or claimed by the model's own files (`serve.claims`). A file
that upstream keeps in Git itself has Git's blob id; any other is presented as kept by Git LFS, with its SHA-256. The ids of
folders, which a manifest does not hold, are digests of what lies below them.
Pure functions; what they return is JSON.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from weighbridge.core.canonical import JsonValue
from weighbridge.core.digests import git_blob_header
from weighbridge.core.finding import Severity, Verdict
from weighbridge.core.manifest import Artifact, Manifest
from weighbridge.core.names import ModelName
from weighbridge.serve.claims import NOTHING, Claims
from weighbridge.vault.records import SealedRevision

Record = dict[str, JsonValue]
ALWAYS: Final = ("_id", "id", "modelId")


@dataclass(frozen=True, slots=True)
class Served:
    """A sealed revision, ready to be asked for single files: artifacts by path, and the folders of them."""

    sealed: SealedRevision
    by_path: dict[str, Artifact] = field(default_factory=dict)
    folders: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, sealed: SealedRevision) -> Served:
        """The revision with its paths and folders."""
        digests: dict[str, hashlib._Hash] = {}
        for artifact in sealed.manifest.artifacts:
            folder = artifact.path.rpartition("/")[0]
            while folder:
                below = digests.setdefault(folder, hashlib.sha1(folder.encode("utf-8"), usedforsecurity=False))
                below.update(f"{artifact.path}\0{artifact.sha256}\n".encode())
                folder = folder.rpartition("/")[0]
        return cls(
            sealed,
            {artifact.path: artifact for artifact in sealed.manifest.artifacts},
            {folder: digest.hexdigest() for folder, digest in digests.items()},
        )

    @property
    def manifest(self) -> Manifest:
        """The signed manifest."""
        return self.sealed.manifest


def etag(artifact: Artifact) -> str:
    """What the Hub gives as a file's validator, without quotes: the SHA-256, or Git's blob id where Git keeps the file."""
    return artifact.git_sha1 or artifact.sha256


def hub_time(text: str) -> str:
    """RFC 3339 as the Hub writes it: UTC, milliseconds, `Z`; the epoch when it is none."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        found = datetime.fromtimestamp(0, UTC)
    found = (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
    return f"{found:%Y-%m-%dT%H:%M:%S}.{found.microsecond // 1000:03d}Z"


def date_of(manifest: Manifest) -> str:
    """When the revision was published upstream, else when it came in."""
    return hub_time(manifest.origin.published_at or manifest.created_at)


def model_info(
    served: Served, claims: Claims = NOTHING, *, blobs: bool, expand: Sequence[str] = (), security: bool = False
) -> Record:
    """`GET /api/models/{id}[/revision/{ref}]`; with `expand` only the properties that it names."""
    manifest = served.manifest
    said = date_of(manifest)
    name = str(manifest.model_name)
    record: Record = {
        "_id": manifest.revision[:24],
        "id": name,
        "modelId": name,
        "author": manifest.model_name.organisation,
        "sha": manifest.revision,
        "lastModified": said,
        "createdAt": said,
        "private": False,
        "gated": False,
        "disabled": False,
        "downloads": 0,
        "likes": 0,
        **claims.to_record(),
        "usedStorage": manifest.total_bytes,
        "siblings": [_sibling(artifact, blobs=blobs) for artifact in manifest.artifacts],
    }
    if security:
        record["securityRepoStatus"] = _security(served)
    if expand:
        return {key: value for key, value in record.items() if key in ALWAYS or key in expand}
    return record


def _standing(served: Served) -> dict[str, str]:
    """What the sealed inspection made of each file, in the Hub's words; a file that is not named was not understood."""
    found: dict[str, str] = {}
    for report in served.sealed.inspection.reports:
        worst = max((finding.severity for finding in report.findings), default=None)
        said = "safe" if report.settled_verdict is Verdict.CLEAN else ""
        if worst is not None and worst >= Severity.MEDIUM:
            said = "suspicious" if worst is Severity.MEDIUM else "unsafe"
        order = ("", "safe", "suspicious", "unsafe")
        found[report.path] = max(found.get(report.path, ""), said, key=order.index)
    return found


def _security(served: Served) -> Record:
    issues = [
        {"path": path, "level": said} for path, said in _standing(served).items() if said in ("suspicious", "unsafe")
    ]
    return {"scansDone": True, "filesWithIssues": list(issues)}


def listed(model_name: ModelName, revision: str, claims: Claims = NOTHING) -> Record:
    """One model in `GET /api/models`."""
    said = claims.to_record()
    return {
        "_id": revision[:24],
        "id": str(model_name),
        "modelId": str(model_name),
        "author": model_name.organisation,
        "sha": revision,
        "private": False,
        "gated": False,
        "downloads": 0,
        "likes": 0,
        **{name: said[name] for name in ("tags", "pipeline_tag", "library_name") if name in said},
    }


def _sibling(artifact: Artifact, *, blobs: bool) -> Record:
    if not blobs:
        return {"rfilename": artifact.path}
    record: Record = {"rfilename": artifact.path, "size": artifact.size_bytes, "blobId": _blob_id(artifact)}
    if not artifact.git_sha1:
        record["lfs"] = {
            "sha256": artifact.sha256,
            "size": artifact.size_bytes,
            "pointerSize": len(_pointer(artifact)),
        }
    return record


def _pointer(artifact: Artifact) -> bytes:
    said = f"version https://git-lfs.github.com/spec/v1\noid sha256:{artifact.sha256}\nsize {artifact.size_bytes}\n"
    return said.encode("ascii")


def _blob_id(artifact: Artifact) -> str:
    if artifact.git_sha1:
        return artifact.git_sha1
    pointer = _pointer(artifact)
    return hashlib.sha1(git_blob_header(len(pointer)) + pointer, usedforsecurity=False).hexdigest()


def tree(served: Served, folder: str, *, recursive: bool, expand: bool) -> list[Record] | None:
    """`GET /api/models/{id}/tree/{ref}/{folder}`, whole; None when there is no such folder."""
    if folder and folder not in served.folders:
        return None
    inside = f"{folder}/" if folder else ""
    paths = [
        path
        for path in (*served.folders, *served.by_path)
        if path.startswith(inside) and (recursive or "/" not in path[len(inside) :])
    ]
    return list(paths_info(served, sorted(paths), expand=expand))


def paths_info(served: Served, paths: Iterable[str], *, expand: bool) -> Iterable[Record]:
    """`POST /api/models/{id}/paths-info/{ref}`: those of the paths that exist."""
    standing = _standing(served) if expand else {}
    for path in paths:
        record: Record = {}
        if (artifact := served.by_path.get(path)) is not None:
            record = {"type": "file", "oid": _blob_id(artifact), "size": artifact.size_bytes, "path": path}
            if not artifact.git_sha1:
                record["lfs"] = {
                    "oid": artifact.sha256,
                    "size": artifact.size_bytes,
                    "pointerSize": len(_pointer(artifact)),
                }
        elif (oid := served.folders.get(path)) is not None:
            record = {"type": "directory", "oid": oid, "size": 0, "path": path}
        if record and expand:
            record["lastCommit"] = _commit(served.manifest)
            if record["type"] == "file":
                said = standing.get(path, "") or "unscanned"
                record["securityFileStatus"] = {"status": said, "avScan": None, "pickleImportScan": None}
        if record:
            yield record


def _commit(manifest: Manifest) -> Record:
    said = date_of(manifest)
    return {"id": manifest.revision, "title": "Approved revision", "date": said}


def commits(served: Served) -> list[Record]:
    """`GET /api/models/{id}/commits/{ref}`: the one revision; what was before it is not here."""
    return [{**_commit(served.manifest), "message": "", "authors": []}]


def nobody(kind: str) -> JsonValue:
    """What people of the public Hub did with a model: nothing, here. `kind` is `likers`, `discussions` or `auth-check`."""
    if kind == "discussions":
        return {"discussions": [], "count": 0, "start": 0}
    return [] if kind == "likers" else {}


def refs(channels: dict[str, str], *, main: str) -> Record:
    """`GET /api/models/{id}/refs`: each channel as a branch; `main` is the revision of the main one, "" without it."""
    named = {"main": main, **channels} if main else channels
    return {
        "branches": [
            {"name": name, "ref": f"refs/heads/{name}", "targetCommit": revision} for name, revision in named.items()
        ],
        "converts": [],
        "tags": [],
        "pullRequests": [],
    }
