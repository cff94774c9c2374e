"""Reads a model from a prefix of an S3 bucket.

What is listed is pinned: each object's version (where the bucket keeps versions) and ETag. An object that changes while it
is read is an error. The revision is known only once the bytes are.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from weighbridge.core.config import StoreSettings
from weighbridge.core.errors import (
    ContentChanged,
    SourceError,
)
from weighbridge.core.names import Address, ModelName
from weighbridge.core.ports import ByteStream
from weighbridge.core.snapshot import Entry, Snapshot
from weighbridge.source.prefix import MAX_ENTRIES, as_source_error, snapshot_of
from weighbridge.source.ranges import check_range
from weighbridge.wire.http import ExactStream, Http
from weighbridge.wire.s3 import Bucket


class S3Source:
    """See `core.ports.Source`."""

    def __init__(
        self, address: Address, *, http: Http, settings: StoreSettings, as_name: ModelName | None = None
    ) -> None:
        self._address = address
        self._as_name = as_name
        self._endpoint = settings.s3_endpoint
        self._prefix = f"{address.prefix}/" if address.prefix else ""
        self._bucket = Bucket(address.bucket, http=http, endpoint=settings.s3_endpoint, region=settings.s3_region)

    def pin(self) -> Snapshot:
        """Lists the objects under the prefix with their current versions.

        Raises:
            NotFound: there are none. Gated, Unreachable, SourceError: the bucket's answer.
            UnsafePath: a key that must not be stored.
        """
        with as_source_error():
            entries, newest = self._list()
        return snapshot_of(self._address, entries, newest=newest, as_name=self._as_name, endpoint=self._endpoint)

    def _list(self) -> tuple[list[Entry], str]:
        entries: list[Entry] = []
        newest = ""
        pages = self._bucket.control.get_paginator("list_object_versions")
        with self._bucket.translated(f"listing {self._address}"):
            for page in pages.paginate(Bucket=self._bucket.name, Prefix=self._prefix):
                for item in page.get("Versions", []):
                    path = item["Key"][len(self._prefix) :]
                    if not item["IsLatest"] or path.endswith("/"):
                        continue
                    version = item.get("VersionId", "")
                    etag = item.get("ETag", "").strip('"')
                    entries.append(
                        Entry(path, item["Size"], validator=f"{'' if version == 'null' else version}/{etag}")
                    )
                    newest = max(newest, item["LastModified"].isoformat())
                if len(entries) > MAX_ENTRIES:
                    raise SourceError(f"{self._address} holds more than {MAX_ENTRIES} objects")
        return entries, newest

    @contextmanager
    def open(self, entry: Entry, start: int, end: int) -> Iterator[ByteStream]:
        """Opens bytes `start` to `end` (excluded) of the pinned version."""
        version, _, etag = entry.validator.partition("/")
        query = {"versionId": version} if version else {}
        headers = {"Range": f"bytes={start}-{end - 1}"} if end > start else {}
        with (
            as_source_error(),
            self._bucket.request("GET", f"{self._prefix}{entry.path}", query=query, headers=headers) as response,
        ):
            if response.headers.get("etag", "").strip('"') != etag:
                raise ContentChanged(f"'{entry.path}' in {self._address} changed while it was read")
            check_range(response, entry, start, end)
            yield ExactStream(response, end - start)

    def close(self) -> None:
        """Connections belong to the HTTP pool that was handed in."""
