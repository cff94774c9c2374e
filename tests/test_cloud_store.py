"""The object store of GCS and Azure, and the source that reads from them.

Azure's part is the real Azurite. No emulator of GCS that can be installed here speaks the XML API that obstore uses, so
GCS's part is a server of this file's own that speaks as much of it as obstore does, conditions and generations included.
"""

from __future__ import annotations

import hashlib
import re
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

import pytest

from tests.support import azurite
from tests.support.store_contract import PART_BYTES, StoreContract, body, part_numbers, read, send
from weighbridge.core.errors import (
    AccessRefused,
    ConfigError,
    ContentChanged,
    Gated,
    IncompleteUpload,
    LengthMismatch,
    NotFound,
    ObjectMissing,
    StoreError,
    StoreUnreachable,
    UnsafePath,
)
from weighbridge.core.names import Address
from weighbridge.core.ports import StoreFeature
from weighbridge.source.cloud import CloudSource
from weighbridge.store.cloud import CloudStore
from weighbridge.store.folder import FolderStore
from weighbridge.wire import cloud as wire


@dataclass
class XmlBucket:
    """What the server of GCS's XML API holds: objects by name as (bytes, generation), and open multipart uploads."""

    objects: dict[str, tuple[bytes, int]] = field(default_factory=dict)
    uploads: dict[str, dict[int, bytes]] = field(default_factory=dict)
    generation: int = 1_000
    lock: threading.Lock = field(default_factory=threading.Lock)

    def keep(self, name: str, data: bytes, condition: str | None) -> int:
        with self.lock:
            if condition == "0" and name in self.objects:
                return 0
            self.generation += 1
            self.objects[name] = (data, self.generation)
            return self.generation


class XmlApi(BaseHTTPRequestHandler):
    """The XML API's object, multipart and list requests (cloud.google.com/storage/docs/xml-api)."""

    protocol_version = "HTTP/1.1"
    bucket: XmlBucket

    def log_message(self, *_: object) -> None:
        pass

    def answer(self, status: int, content: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if "Content_Length" not in headers:
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def asked(self) -> tuple[str, dict[str, str], bytes]:
        parts = urlsplit(self.path)
        name = unquote(parts.path).lstrip("/").partition("/")[2]
        query = {key: values[0] for key, values in parse_qs(parts.query, keep_blank_values=True).items()}
        return name, query, self.rfile.read(int(self.headers.get("content-length") or 0))

    def do_PUT(self) -> None:
        name, query, data = self.asked()
        if "uploadId" in query:
            self.bucket.uploads[query["uploadId"]][int(query["partNumber"])] = data
            self.answer(200, ETag=f'"{hashlib.md5(data).hexdigest()}"')
            return
        if source := self.headers.get("x-goog-copy-source"):
            found = self.bucket.objects.get(unquote(source).partition("/")[2])
            if found is None:
                self.answer(404, b"<Error><Code>NoSuchKey</Code></Error>")
                return
            data = found[0]
        generation = self.bucket.keep(name, data, self.headers.get("x-goog-if-generation-match"))
        if not generation:
            self.answer(412, b"<Error><Code>PreconditionFailed</Code></Error>")
            return
        self.answer(200, ETag=f'"{hashlib.md5(data).hexdigest()}"', x_goog_generation=str(generation))

    def do_POST(self) -> None:
        name, query, content = self.asked()
        if "uploads" in query:
            upload_id = f"upload-{len(self.bucket.uploads)}"
            self.bucket.uploads[upload_id] = {}
            self.answer(200, f"<R><UploadId>{upload_id}</UploadId></R>".encode())
            return
        parts = self.bucket.uploads.pop(query["uploadId"])
        numbers = [int(number) for number in re.findall(rb"<PartNumber>(\d+)</PartNumber>", content)]
        generation = self.bucket.keep(name, b"".join(parts[number] for number in numbers), None)
        self.answer(200, b"<R><ETag>whole</ETag></R>", x_goog_generation=str(generation))

    def do_DELETE(self) -> None:
        name, query, _ = self.asked()
        if "uploadId" in query:
            self.answer(204 if self.bucket.uploads.pop(query["uploadId"], None) is not None else 404)
        else:
            self.answer(204 if self.bucket.objects.pop(name, None) else 404)

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        name, query, _ = self.asked()
        if "list-type" in query:
            self.listing(query.get("prefix", ""))
            return
        data, generation = self.bucket.objects.get(name, (b"", 0))
        etag = f'"{hashlib.md5(data).hexdigest()}"'
        if not generation or query.get("generation", str(generation)) != str(generation):
            self.answer(404, b"<Error><Code>NoSuchKey</Code></Error>")
            return
        headers = {"ETag": etag, "x_goog_generation": str(generation), "Last_Modified": "Mon, 02 Mar 2026 10:00:00 GMT"}
        if self.headers.get("if-match", etag) != etag:
            self.answer(412, b"<Error><Code>PreconditionFailed</Code></Error>")
        elif wanted := re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("range") or ""):
            first, last = int(wanted[1]), min(int(wanted[2]), len(data) - 1)
            if first >= len(data):
                self.answer(416, b"<Error><Code>InvalidRange</Code></Error>")
                return
            self.answer(206, data[first : last + 1], Content_Range=f"bytes {first}-{last}/{len(data)}", **headers)
        else:
            self.answer(200, data, Content_Length=str(len(data)), **headers)

    def listing(self, prefix: str) -> None:
        items = "".join(
            f"<Contents><Key>{escape(name)}</Key><Size>{len(data)}</Size><ETag>{hashlib.md5(data).hexdigest()}</ETag>"
            "<LastModified>2026-03-02T10:00:00.000Z</LastModified></Contents>"
            for name, (data, _) in sorted(self.bucket.objects.items())
            if name.startswith(prefix)
        )
        self.answer(200, f"<ListBucketResult>{items}</ListBucketResult>".encode())


@pytest.fixture(scope="module")
def azure() -> Iterator[azurite.AzureServer]:
    with azurite.running() as server:
        yield server


@pytest.fixture
def container(azure: azurite.AzureServer, monkeypatch: pytest.MonkeyPatch) -> str:
    for name, value in azure.environment.items():
        monkeypatch.setenv(name, value)
    return azure.container()


@pytest.fixture
def azure_store(container: str) -> Iterator[CloudStore]:
    store = CloudStore(Address.parse(f"az://{container}/a/prefix"))
    yield store
    store.close()


@pytest.fixture
def gcs_bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[XmlBucket]:
    bucket = XmlBucket()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Api", (XmlApi,), {"bucket": bucket}))
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    monkeypatch.setenv("GOOGLE_BASE_URL", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("GOOGLE_BEARER_TOKEN", "token-of-the-test")
    monkeypatch.setenv("GOOGLE_ALLOW_HTTP", "true")
    yield bucket
    server.shutdown()
    server.server_close()


@pytest.fixture
def gcs_store(gcs_bucket: XmlBucket) -> Iterator[CloudStore]:
    store = CloudStore(Address.parse("gs://bucket/a/prefix"))
    yield store
    store.close()


class TestFolderStore(StoreContract):
    @pytest.fixture
    def store(self, tmp_path: Path) -> FolderStore:
        return FolderStore(tmp_path / "store")


class TestAzureStore(StoreContract):
    @pytest.fixture
    def store(self, azure_store: CloudStore) -> CloudStore:
        return azure_store


class TestGoogleStore(StoreContract):
    @pytest.fixture
    def store(self, gcs_store: CloudStore) -> CloudStore:
        return gcs_store

    def test_an_aborted_upload_is_dropped_by_the_service(self, store: CloudStore, gcs_bucket: XmlBucket) -> None:
        data = body(PART_BYTES * 4)
        upload_id = store.begin("big", len(data))
        send(store, "big", data, upload_id, [1, 2, 3])
        store.abort("big", upload_id)
        assert not gcs_bucket.uploads
        assert not gcs_bucket.objects

    def test_closing_the_store_ends_what_is_open(self, store: CloudStore, gcs_bucket: XmlBucket) -> None:
        data = body(PART_BYTES * 4)
        send(store, "big", data, store.begin("big", len(data)), [1, 2])
        store.close()
        assert not gcs_bucket.uploads
        assert not gcs_bucket.objects

    def test_a_version_is_what_it_was(self, store: CloudStore) -> None:
        first = store.put("key", b"first")
        second = store.put("key", b"other", replace=True)
        assert StoreFeature.VERSIONS in store.features
        assert first.version_id != second.version_id
        with pytest.raises(ObjectMissing):  # this bucket keeps no old versions
            read(store, "key", 0, 5, version_id=first.version_id)
        with pytest.raises(ObjectMissing):
            store.head("key", version_id=first.version_id)
        with pytest.raises(ObjectMissing):
            store.copy("key", "elsewhere", version_id=first.version_id)
        with pytest.raises(StoreError, match="not the current one"):
            store.delete("key", version_id=first.version_id)
        assert store.head("key", version_id=second.version_id).size_bytes == 5


class TestUploads:
    def test_nothing_of_an_upload_survives(self, azure_store: CloudStore) -> None:
        data = body(PART_BYTES * 2)
        upload_id = azure_store.begin("big", len(data))
        receipts = send(azure_store, "big", data, upload_id, [1])
        assert StoreFeature.RESUMABLE_PARTS not in azure_store.features
        assert list(azure_store.surviving_parts("big", upload_id, receipts)) == []

    def test_what_a_kill_left_staged_is_named_and_can_be_removed(self, azure_store: CloudStore) -> None:
        upload_id = "0123456789abcdef0123456789abcdef"
        azure_store.put(f".uploads/{upload_id}/models/big", b"staged")
        (left,) = azure_store.unfinished("models/")
        assert (left.key, left.upload_id) == ("models/big", upload_id)
        assert left.started_at
        assert list(azure_store.unfinished("records/")) == []
        azure_store.abort(left.key, left.upload_id)
        assert list(azure_store.unfinished("")) == []

    def test_a_part_that_never_comes_is_an_error_and_not_a_hang(
        self, azure_store: CloudStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(wire, "EARLY_WAIT_SECONDS", 0.05)
        data = body(PART_BYTES * 7)
        upload_id = azure_store.begin("big", len(data))
        with pytest.raises(IncompleteUpload, match="lacks bytes from 0"):
            send(azure_store, "big", data, upload_id, [2, 3, 4, 5, 6, 7])
        azure_store.abort("big", upload_id)

    def test_blocked_threads_go_on_once_the_missing_part_comes(self, azure_store: CloudStore) -> None:
        data = body(PART_BYTES * 8)
        upload_id = azure_store.begin("big", len(data))
        # Four are kept, three threads wait, and the fourth brings what all wait for.
        receipts = send(azure_store, "big", data, upload_id, [2, 3, 4, 5, 6, 7, 8, 1])
        azure_store.complete("big", upload_id, receipts, size_bytes=len(data))
        assert read(azure_store, "big", 0, len(data)) == data

    def test_an_abort_frees_the_threads_that_wait(self, azure_store: CloudStore) -> None:
        data = body(PART_BYTES * 7)
        upload_id = azure_store.begin("big", len(data))
        failures: list[Exception] = []

        def work() -> None:
            try:
                send(azure_store, "big", data, upload_id, [2, 3, 4, 5, 6, 7])
            except IncompleteUpload as error:
                failures.append(error)

        thread = threading.Thread(target=work)
        thread.start()
        azure_store.abort("big", upload_id)
        thread.join(60)
        assert not thread.is_alive()
        assert len(failures) == 1

    @pytest.mark.fault
    def test_a_server_that_dies_breaks_the_upload(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with azurite.running() as server:
            for name, value in server.environment.items():
                monkeypatch.setenv(name, value)
            store = CloudStore(Address.parse(f"az://{server.container()}"))
            data = body(PART_BYTES * 5)
            upload_id = store.begin("big", len(data))
            receipts = send(store, "big", data, upload_id, [1])
            server.stop()

            def go_on() -> None:
                receipts.extend(send(store, "big", data, upload_id, [2, 3, 4, 5]))
                store.complete("big", upload_id, receipts, size_bytes=len(data))

            with pytest.raises(IncompleteUpload):
                go_on()
            with pytest.raises(StoreUnreachable):
                store.head("big")
            store.close()


class TestRefusals:
    def test_a_wrong_key(self, container: str, monkeypatch: pytest.MonkeyPatch) -> None:
        wrong = azurite.KEY.replace("Eby8", "AAAA")
        monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_KEY", wrong)
        with pytest.raises(AccessRefused) as raised:
            CloudStore(Address.parse(f"az://{container}")).head("key")
        assert wrong not in raised.value.diagnostics()
        with pytest.raises(Gated):
            CloudSource(Address.parse(f"az://{container}/x")).pin()

    def test_a_container_that_is_not_there(self, container: str) -> None:
        store = CloudStore(Address.parse("az://wb-not-there/prefix"))
        with pytest.raises(ObjectMissing):
            store.check()
        with pytest.raises(ObjectMissing):
            store.put("key", b"1")

    def test_check_passes_where_one_may_write(self, azure_store: CloudStore) -> None:
        azure_store.check()
        assert list(azure_store.list("")) == []

    def test_no_account(self, container: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("AZURE_STORAGE_ACCOUNT_NAME")
        with pytest.raises(ConfigError) as raised:
            CloudStore(Address.parse(f"az://{container}"))
        assert "AZURE_STORAGE_ACCOUNT_NAME" in raised.value.hint

    def test_plain_http_only_where_it_is_allowed(self, container: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("AZURE_ALLOW_HTTP")
        with pytest.raises(ConfigError, match="plain HTTP"):
            CloudStore(Address.parse(f"az://{container}")).check()

    def test_the_extra_is_not_installed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "obstore", None)
        for kind in (CloudStore, CloudSource):
            with pytest.raises(ConfigError) as raised:
                kind(Address.parse("gs://bucket"))
            assert "weighbridge[cloud]" in raised.value.hint

    def test_unsafe_keys(self, azure_store: CloudStore) -> None:
        with pytest.raises(UnsafePath):
            azure_store.put("../outside", b"1")
        with pytest.raises(UnsafePath):
            azure_store.begin("a//b", 1)


@pytest.mark.parametrize("scheme", ["az", "gs"])
class TestCloudSource:
    @pytest.fixture
    def store(self, scheme: str, request: pytest.FixtureRequest) -> CloudStore:
        store = request.getfixturevalue("azure_store" if scheme == "az" else "gcs_store")
        assert isinstance(store, CloudStore)
        return store

    def test_pins_and_reads(self, store: CloudStore, scheme: str) -> None:
        files = {"config.json": b"{}", "sub/weights.bin": body(3_000_000), "sub/empty": b""}
        for path, data in files.items():
            store.put(f"model/{path}", data)
        store.put("model-two/other", b"of another model")
        source = CloudSource(Address.parse(f"{store.address}/model"))
        snapshot = source.pin()
        assert {entry.path: entry.size_bytes for entry in snapshot.entries} == {k: len(v) for k, v in files.items()}
        assert (str(snapshot.model_name), snapshot.revision, snapshot.origin.kind) == ("local/model", "", "bucket")
        assert snapshot.origin.published_at
        for entry in snapshot.entries:
            data, middle = files[entry.path], entry.size_bytes // 2
            for start, end in ((0, entry.size_bytes), (middle, entry.size_bytes), (0, middle)):
                got = bytearray(end - start)
                filled = 0
                with source.open(entry, start, end) as stream:
                    while count := stream.readinto(memoryview(got)[filled:] or memoryview(bytearray(1))):
                        filled += count
                assert bytes(got) == data[start:end]

    def test_a_change_after_the_pin_is_an_error(self, store: CloudStore, scheme: str) -> None:
        store.put("model/file", b"as it was")
        source = CloudSource(Address.parse(f"{store.address}/model"))
        (entry,) = source.pin().entries
        store.put("model/file", b"as it is!", replace=True)
        with pytest.raises(ContentChanged), source.open(entry, 0, 9):
            pass
        assert source.pin().entries[0].validator != entry.validator

    def test_a_removal_after_the_pin_is_an_error(self, store: CloudStore, scheme: str) -> None:
        store.put("model/file", b"as it was")
        source = CloudSource(Address.parse(f"{store.address}/model"))
        (entry,) = source.pin().entries
        store.delete("model/file")
        with pytest.raises((NotFound, ContentChanged)), source.open(entry, 0, 9):
            pass

    def test_a_range_past_the_end(self, store: CloudStore, scheme: str) -> None:
        store.put("model/file", b"as it was")
        source = CloudSource(Address.parse(f"{store.address}/model"))
        (entry,) = source.pin().entries
        with pytest.raises(LengthMismatch), source.open(entry, 0, 10):
            pass

    def test_nothing_there(self, store: CloudStore, scheme: str) -> None:
        with pytest.raises(NotFound):
            CloudSource(Address.parse(f"{store.address}/model")).pin()

    def test_folder_markers_are_no_files(self, store: CloudStore, scheme: str) -> None:
        store.put("model/sub", b"")
        store.put("model/sub/file", b"1")
        (entry,) = CloudSource(Address.parse(f"{store.address}/model")).pin().entries
        assert entry.path == "sub/file"


def test_large_objects_are_cut_into_few_enough_pieces(gcs_store: CloudStore, gcs_bucket: XmlBucket) -> None:
    data = body(PART_BYTES * 2)
    upload_id = gcs_store.begin("big", 10**12)
    send(gcs_store, "big", data, upload_id, part_numbers(data))
    gcs_store.abort("big", upload_id)
    assert not gcs_bucket.uploads
