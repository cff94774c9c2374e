"""Keeps objects in an S3 bucket, or a server that speaks S3.

Every object is written with `If-None-Match: *` and a full-object CRC64NVME that the server checks and keeps; parts carry
theirs. Nothing is written to a bucket without versioning unless the settings allow it: there an overwrite would leave no
trace. A lost answer is not a failure: before a write is tried again, what is stored is compared with what was sent.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any

from weighbridge.core.config import StoreSettings
from weighbridge.core.errors import (
    ConfigError,
    Conflict,
    IncompleteUpload,
    LengthMismatch,
    ObjectMissing,
    StoreError,
    StoreUnreachable,
    Unreachable,
    Unversioned,
)
from weighbridge.core.layout import INCOMING
from weighbridge.core.names import Address
from weighbridge.core.ports import (
    Buffer,
    ByteStream,
    ObjectStore,
    PartReceipt,
    StoredObject,
    StoreFeature,
    UnfinishedUpload,
)
from weighbridge.wire.http import ExactStream, Http, Response
from weighbridge.wire.s3 import Bucket, crc64nvme_text, crc64nvme_value

COPY_PART_BYTES = 1024**3
"""Server-side copies go in pieces of this size; one request may copy at most 5 GiB (S3 User Guide, CopyObject)."""

MAX_PARTS = 10_000


class S3Store:
    """See `core.ports.ObjectStore`."""

    def __init__(self, address: Address, *, http: Http, settings: StoreSettings) -> None:
        self._address = address
        self._settings = settings
        self._prefix = f"{address.prefix}/" if address.prefix else ""
        self._bucket = Bucket(address.bucket, http=http, endpoint=settings.s3_endpoint, region=settings.s3_region)
        self._checksum = _crc64nvme()

    @property
    def address(self) -> str:
        """`s3://bucket/prefix`."""
        return str(self._address)

    @property
    def features(self) -> frozenset[StoreFeature]:
        """Versions, recorded checksums, resumable parts."""
        return frozenset({StoreFeature.VERSIONS, StoreFeature.RECORDED_CHECKSUMS, StoreFeature.RESUMABLE_PARTS})

    def check(self) -> None:
        """Raises Unversioned when the bucket keeps no versions and the settings do not allow that."""
        with self._bucket.translated(f"the settings of {self.address}"):
            answer = self._bucket.control.get_bucket_versioning(Bucket=self._bucket.name)
        status = answer.get("Status", "")
        if status != "Enabled" and not self._settings.allow_unversioned:
            state = f"is {status.lower()}" if status else "was never enabled"
            raise Unversioned(
                f"versioning of s3://{self._bucket.name} {state}: an overwrite would leave no trace",
                hint="Enable versioning on the bucket, or set store.allow_unversioned (--allow-unversioned).",
            )

    def _key(self, key: str) -> str:
        return f"{self._prefix}{key}"

    def head(self, key: str, *, version_id: str = "") -> StoredObject:
        """Size, version, ETag and recorded CRC64NVME."""
        query = {"versionId": version_id} if version_id else {}
        with self._bucket.request(
            "HEAD", self._key(key), query=query, headers={"x-amz-checksum-mode": "ENABLED"}
        ) as response:
            response.finish()
            return _stored(key, int(response.headers.get("content-length", "0")), response)

    @contextmanager
    def open(self, key: str, start: int, end: int, *, version_id: str = "") -> Iterator[ByteStream]:
        """Opens a byte range of the object, of that version where one is given."""
        query = {"versionId": version_id} if version_id else {}
        headers = {"Range": f"bytes={start}-{end - 1}"} if end > start else {}
        try:
            with self._bucket.request("GET", self._key(key), query=query, headers=headers) as response:
                length = response.headers.get("content-length", "")
                if (end > start and response.status != 206 and start) or (
                    length.isdigit() and int(length) < end - start
                ):
                    raise LengthMismatch(f"'{key}' in {self.address} is shorter than its record says")
                yield ExactStream(response, end - start)
        except Unreachable as error:
            raise StoreUnreachable(error.message, hint=error.hint) from error
        except StoreError as error:
            if "InvalidRange" in error.message:
                raise LengthMismatch(f"'{key}' in {self.address} is shorter than its record says") from error
            raise

    @property
    def presign_origin(self) -> str:
        """See `core.ports.Presigning`: the server, with the bucket in its name where that is the server's way."""
        return self._bucket.origin

    def presign(
        self, key: str, *, version_id: str, seconds: int, content_type: str = "", content_disposition: str = ""
    ) -> str:
        """See `core.ports.Presigning`. Signed here, by SigV4 in the query; nothing is asked of the server."""
        if not version_id:
            raise ObjectMissing(f"'{key}' in {self.address} has no version that an address could name")
        query = {
            "versionId": version_id,
            "response-cache-control": "no-store",
            "response-content-type": content_type,
            "response-content-disposition": content_disposition,
        }
        chosen = {name: value for name, value in query.items() if value}
        return self._bucket.presigned(self._key(key), query=chosen, seconds=seconds)

    def list(self, prefix: str) -> Iterator[StoredObject]:
        """All current objects under the prefix, in order of key."""
        pages = self._bucket.control.get_paginator("list_objects_v2")
        with self._bucket.translated(f"listing {self.address}"):
            for page in pages.paginate(Bucket=self._bucket.name, Prefix=self._key(prefix)):
                for item in page.get("Contents", []):
                    key = item["Key"][len(self._prefix) :]
                    if not key.endswith("/"):
                        modified = item.get("LastModified")
                        yield StoredObject(
                            key,
                            item["Size"],
                            etag=item.get("ETag", "").strip('"'),
                            modified_at=modified.isoformat() if modified else "",
                        )

    def put(self, key: str, body: Buffer | bytes, *, replace: bool = False) -> StoredObject:
        """One request; the server checks the CRC64NVME."""
        crc = crc64nvme_text(self._checksum(body))
        headers = {**self._write_headers(key), "x-amz-checksum-crc64nvme": crc}
        if not replace:
            headers["If-None-Match"] = "*"
        try:
            with self._bucket.request("PUT", self._key(key), headers=headers, body=body) as response:
                response.finish()
                stored = _stored(key, len(body), response)
        except Conflict:
            stored = self._same_or_conflict(key, len(body), crc)
        return StoredObject(key, len(body), stored.version_id, stored.etag, stored.crc64nvme or crc)

    def _same_or_conflict(self, key: str, size_bytes: int, crc: str) -> StoredObject:
        found = self.head(key)
        if found.size_bytes != size_bytes or found.crc64nvme != crc:
            raise Conflict(
                f"'{key}' in {self.address} already holds other bytes",
                hint="Nothing was overwritten. `weighbridge check` says what the store holds.",
            )
        return found

    def _protection(self, key: str) -> dict[str, str]:
        """Encryption and object lock of an object, as botocore names them. What is only staged is not locked."""
        settings = self._settings
        chosen: dict[str, str] = {}
        if settings.s3_encryption:
            chosen["ServerSideEncryption"] = settings.s3_encryption
        if settings.s3_kms_key:
            chosen["SSEKMSKeyId"] = settings.s3_kms_key
        if key.startswith(INCOMING):
            return chosen
        if settings.object_lock_mode:
            until = datetime.now(UTC) + timedelta(days=settings.object_lock_days)
            chosen["ObjectLockMode"] = settings.object_lock_mode
            chosen["ObjectLockRetainUntilDate"] = until.strftime("%Y-%m-%dT%H:%M:%SZ")
        if settings.legal_hold:
            chosen["ObjectLockLegalHoldStatus"] = "ON"
        return chosen

    def _write_headers(self, key: str) -> dict[str, str]:
        return {_PROTECTION_HEADERS[name]: value for name, value in self._protection(key).items()}

    def begin(self, key: str, size_bytes: int) -> str:
        """Creates a multipart upload with a full-object CRC64NVME."""
        with self._bucket.translated(f"beginning the upload of '{key}' to {self.address}"):
            answer = self._bucket.control.create_multipart_upload(
                Bucket=self._bucket.name,
                Key=self._key(key),
                ChecksumAlgorithm="CRC64NVME",
                ChecksumType="FULL_OBJECT",
                **self._boto_protection(key),
            )
        return answer["UploadId"]

    def _boto_protection(self, key: str) -> Any:  # botocore's generated argument types cannot be built from a mapping
        return self._protection(key)

    def put_part(self, key: str, upload_id: str, number: int, offset: int, body: memoryview) -> PartReceipt:
        """One part; the server checks its CRC64NVME."""
        crc = crc64nvme_text(self._checksum(body))
        with self._bucket.request(
            "PUT",
            self._key(key),
            query={"partNumber": str(number), "uploadId": upload_id},
            headers={"x-amz-checksum-crc64nvme": crc},
            body=body,
        ) as response:
            response.finish()
            etag = response.headers.get("etag", "").strip('"')
        return PartReceipt(number, offset, len(body), etag, crc)

    def surviving_parts(self, key: str, upload_id: str, receipts: Sequence[PartReceipt]) -> Sequence[PartReceipt]:
        """Receipts that the server's own list of parts confirms by number, size and ETag."""
        held: dict[int, tuple[int, str]] = {}
        pages = self._bucket.control.get_paginator("list_parts")
        try:
            with self._bucket.translated(f"listing the parts of '{key}' in {self.address}"):
                for page in pages.paginate(Bucket=self._bucket.name, Key=self._key(key), UploadId=upload_id):
                    for part in page.get("Parts", []):
                        held[part["PartNumber"]] = (part["Size"], part["ETag"].strip('"'))
        except (IncompleteUpload, ObjectMissing):
            return ()
        return [receipt for receipt in receipts if held.get(receipt.number) == (receipt.size_bytes, receipt.etag)]

    def complete(self, key: str, upload_id: str, receipts: Sequence[PartReceipt], *, size_bytes: int) -> StoredObject:
        """Completes the upload on condition that the key is absent and the full CRC64NVME is right."""
        ordered = sorted(receipts, key=lambda receipt: receipt.number)
        crc = self._combined(ordered, key, size_bytes)
        try:
            with self._bucket.translated(f"completing the upload of '{key}' to {self.address}"):
                answer = self._bucket.control.complete_multipart_upload(
                    Bucket=self._bucket.name,
                    Key=self._key(key),
                    UploadId=upload_id,
                    MultipartUpload={
                        "Parts": [
                            {"PartNumber": part.number, "ETag": part.etag, "ChecksumCRC64NVME": part.crc64nvme}
                            for part in ordered
                        ]
                    },
                    ChecksumCRC64NVME=crc,
                    ChecksumType="FULL_OBJECT",
                    IfNoneMatch="*",
                )
        except (Conflict, IncompleteUpload, ObjectMissing) as error:
            # The answer of an earlier try may have been lost: then the object is already there and is this one.
            with suppress(ObjectMissing):
                stored = self._same_or_conflict(key, size_bytes, crc)
                self.abort(key, upload_id)
                return stored
            raise IncompleteUpload(error.message, hint="Run the command again; it begins this file anew.") from error
        recorded = answer.get("ChecksumCRC64NVME", "") or crc
        if recorded != crc:
            raise Conflict(f"'{key}' in {self.address} was stored with checksum {recorded}, not {crc}")
        return StoredObject(key, size_bytes, answer.get("VersionId", ""), answer.get("ETag", "").strip('"'), crc)

    def _combined(self, ordered: Sequence[PartReceipt], key: str, size_bytes: int) -> str:
        from awscrt.checksums import combine_crc64nvme

        total, reached = 0, 0
        for receipt in ordered:
            if receipt.offset != reached:
                raise IncompleteUpload(f"the upload of '{key}' to {self.address} lacks bytes from {reached}")
            value = crc64nvme_value(receipt.crc64nvme)
            total = int(combine_crc64nvme(total, value, receipt.size_bytes)) if reached else value
            reached += receipt.size_bytes
        if reached != size_bytes:
            raise IncompleteUpload(f"the upload of '{key}' to {self.address} has {reached} of {size_bytes} bytes")
        return crc64nvme_text(total)

    def abort(self, key: str, upload_id: str) -> None:
        """Drops the upload."""
        with (
            suppress(IncompleteUpload, ObjectMissing),
            self._bucket.translated(f"aborting the upload of '{key}' to {self.address}"),
        ):
            self._bucket.control.abort_multipart_upload(
                Bucket=self._bucket.name, Key=self._key(key), UploadId=upload_id
            )

    def unfinished(self, prefix: str) -> Iterator[UnfinishedUpload]:
        """Multipart uploads that were neither completed nor aborted."""
        pages = self._bucket.control.get_paginator("list_multipart_uploads")
        with self._bucket.translated(f"listing the unfinished uploads of {self.address}"):
            for page in pages.paginate(Bucket=self._bucket.name, Prefix=self._key(prefix)):
                for upload in page.get("Uploads", []):
                    started = upload.get("Initiated")
                    yield UnfinishedUpload(
                        upload["Key"][len(self._prefix) :], upload["UploadId"], started.isoformat() if started else ""
                    )

    def copy(self, source_key: str, key: str, *, version_id: str = "") -> StoredObject:
        """A server-side copy, conditional on the absence of the target; no byte comes through here."""
        return self.take(self, source_key, key, version_id=version_id)

    def take(self, origin: ObjectStore, source_key: str, key: str, *, version_id: str = "") -> StoredObject:
        """A server-side copy, also from another bucket of the same endpoint."""
        if not isinstance(origin, S3Store) or origin._bucket.endpoint != self._bucket.endpoint:
            raise ConfigError(
                f"{origin.address} and {self.address} are not of one S3 service, so nothing can be copied on its side",
                hint="Put both stores on one endpoint.",
            )
        source = origin.head(source_key, version_id=version_id)
        with suppress(ObjectMissing):
            return self._same_or_conflict(key, source.size_bytes, source.crc64nvme)
        place: dict[str, str] = {"Bucket": origin._bucket.name, "Key": origin._key(source_key)}
        if version_id:
            place["VersionId"] = version_id
        try:
            if source.size_bytes <= COPY_PART_BYTES:
                self._copy_whole(place, key)
            else:
                self._copy_parts(place, key, source.size_bytes)
        except Conflict:
            # Somebody else's copy was first, or the answer to an earlier try was lost.
            return self._same_or_conflict(key, source.size_bytes, source.crc64nvme)
        copied = self.head(key)
        if copied.size_bytes != source.size_bytes or (source.crc64nvme and copied.crc64nvme != source.crc64nvme):
            raise Conflict(f"the copy of '{source_key}' to '{key}' in {self.address} is not equal to its source")
        self._lock_copy(key, copied.version_id)
        return copied

    def _lock_copy(self, key: str, version_id: str) -> None:
        """Locks a copy where the server did not heed the lock that the copy asked for (SeaweedFS 4.48 does not)."""
        wanted = self._protection(key)
        target: Any = {"Bucket": self._bucket.name, "Key": self._key(key)}
        if version_id:
            target["VersionId"] = version_id
        with self._bucket.translated(f"locking '{key}' in {self.address}"):
            if not {"ObjectLockMode", "ObjectLockLegalHoldStatus"} & set(wanted):
                return
            found = self._bucket.control.head_object(**target)
            if "ObjectLockMode" in wanted and found.get("ObjectLockMode") != wanted["ObjectLockMode"]:
                until = wanted["ObjectLockRetainUntilDate"]
                retention: Any = {"Mode": wanted["ObjectLockMode"], "RetainUntilDate": until}
                self._bucket.control.put_object_retention(**target, Retention=retention)
            if "ObjectLockLegalHoldStatus" in wanted and found.get("ObjectLockLegalHoldStatus") != "ON":
                self._bucket.control.put_object_legal_hold(**target, LegalHold={"Status": "ON"})

    def _copy_whole(self, origin: Mapping[str, str], key: str) -> None:
        arguments: Any = {
            "CopySource": origin,
            "ChecksumAlgorithm": "CRC64NVME",
            "IfNoneMatch": "*",
            **self._protection(key),
        }
        with self._bucket.translated(f"copying to '{key}' in {self.address}"):
            self._bucket.control.copy_object(Bucket=self._bucket.name, Key=self._key(key), **arguments)

    def _copy_parts(self, origin: Mapping[str, str], key: str, size_bytes: int) -> None:
        upload_id = self.begin(key, size_bytes)
        source: Any = origin
        parts: list[Any] = []
        piece = max(COPY_PART_BYTES, -(-size_bytes // MAX_PARTS))
        try:
            with self._bucket.translated(f"copying to '{key}' in {self.address}"):
                for number, start in enumerate(range(0, size_bytes, piece), start=1):
                    answer = self._bucket.control.upload_part_copy(
                        Bucket=self._bucket.name,
                        Key=self._key(key),
                        UploadId=upload_id,
                        PartNumber=number,
                        CopySource=source,
                        CopySourceRange=f"bytes={start}-{min(start + piece, size_bytes) - 1}",
                    )
                    result = answer["CopyPartResult"]
                    part = {"PartNumber": number, "ETag": result.get("ETag", "")}
                    if result.get("ChecksumCRC64NVME"):
                        part["ChecksumCRC64NVME"] = result["ChecksumCRC64NVME"]
                    parts.append(part)
                self._bucket.control.complete_multipart_upload(
                    Bucket=self._bucket.name,
                    Key=self._key(key),
                    UploadId=upload_id,
                    MultipartUpload={"Parts": parts},
                    IfNoneMatch="*",
                )
        except StoreError:
            self.abort(key, upload_id)
            raise

    def delete(self, key: str, *, version_id: str = "") -> None:
        """Deletes one version for good, or hides the object behind a delete marker."""
        arguments: Any = {"VersionId": version_id} if version_id else {}
        with suppress(ObjectMissing), self._bucket.translated(f"deleting '{key}' in {self.address}"):
            self._bucket.control.delete_object(Bucket=self._bucket.name, Key=self._key(key), **arguments)

    def close(self) -> None:
        """Connections belong to the HTTP pool that was handed in."""


_PROTECTION_HEADERS = {
    "ServerSideEncryption": "x-amz-server-side-encryption",
    "SSEKMSKeyId": "x-amz-server-side-encryption-aws-kms-key-id",
    "ObjectLockMode": "x-amz-object-lock-mode",
    "ObjectLockRetainUntilDate": "x-amz-object-lock-retain-until-date",
    "ObjectLockLegalHoldStatus": "x-amz-object-lock-legal-hold",
}


def _stored(key: str, size_bytes: int, response: Response) -> StoredObject:
    headers = response.headers
    version = headers.get("x-amz-version-id", "")
    return StoredObject(
        key,
        size_bytes,
        version_id="" if version == "null" else version,
        etag=headers.get("etag", "").strip('"'),
        crc64nvme=headers.get("x-amz-checksum-crc64nvme", ""),
    )


def _crc64nvme() -> Any:
    try:
        from awscrt.checksums import crc64nvme
    except ImportError as error:
        raise ConfigError(
            "S3 needs the 'aws' extra, which is not installed", hint="pip install 'weighbridge[aws]'"
        ) from error
    return crc64nvme
