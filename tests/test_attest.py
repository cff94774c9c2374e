"""Signatures: what is accepted, what is refused, and that the stock OpenSSF tool agrees."""

from __future__ import annotations

import base64
import hashlib
import json
import pickle
import random
from dataclasses import replace
from pathlib import Path

import blake3
import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st

from weighbridge.attest.keys import LocalKey, TrustedKeys, key_id_of
from weighbridge.attest.seal import RECORDS, make_seal, open_seal
from weighbridge.attest.sign import is_unsigned, sign_model, verify_model
from weighbridge.attest.statement import (
    PAYLOAD_TYPE,
    STATEMENT_TYPE,
    Statement,
    Subject,
    open_statement,
    pae,
    sign_statement,
)
from weighbridge.core import canonical
from weighbridge.core.digests import CHUNK_BYTES
from weighbridge.core.errors import ConfigError, Revoked, SignatureInvalid, StatementMismatch, TrustError
from weighbridge.core.finding import Verdict
from weighbridge.core.manifest import Artifact, Manifest
from weighbridge.core.names import ModelName
from weighbridge.core.snapshot import Origin

REVISION = "0123456789abcdef0123456789abcdef01234567"
TYPE = "https://example.org/claim/v1"
STATEMENT = Statement((Subject("a", "0" * 64), Subject("ü", "f" * 64)), TYPE, {"count": 3, "text": "ä", "none": None})
TREE = {
    "config.json": b"{}",
    "model.safetensors": bytes(range(256)) * 40,
    "empty": b"",
    "README.md": b"# a model\n",
    "a b/c.txt": b"sorts before a-b by component",
    "a-b": b"sorts before 'a b/c.txt' by character",
    "tokenizer/deep/er/vocab 日本.txt": "ü\n".encode(),
    ".hidden": b"not ignored",
    ".gitattributes": b"*.safetensors filter=lfs\n",
    ".gitignore": b"*.tmp\n",
    ".github/workflows/ci.yml": b"on: push\n",
    "nested/.gitattributes": b"signed, for it is not at the top\n",
    "nested/.github/x": b"signed as well\n",
    "quote'\"<&>=.json": b"[]",
}


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> LocalKey:
    return LocalKey.create(tmp_path_factory.mktemp("key") / "k")


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> LocalKey:
    return LocalKey.create(tmp_path_factory.mktemp("other") / "k")


@pytest.fixture(scope="module")
def trusted(key: LocalKey) -> TrustedKeys:
    return TrustedKeys().with_key(key.public_pem)


@pytest.fixture(scope="module")
def model_signature(key: LocalKey) -> bytes:
    return sign_model(manifest_of(TREE), key)


def manifest_of(files: dict[str, bytes]) -> Manifest:
    def chunks(data: bytes) -> tuple[str, ...]:
        return tuple(blake3.blake3(data[i : i + CHUNK_BYTES]).hexdigest() for i in range(0, len(data), CHUNK_BYTES))

    artifacts = tuple(
        Artifact(path, len(data), hashlib.sha256(data).hexdigest(), chunks(data))
        for path, data in sorted(files.items())
    )
    origin = Origin("hub", "hf://acme/tiny", commit=REVISION, owner="acme", owner_id="5f0c746619cb630495b814fd")
    return Manifest(ModelName("acme", "tiny"), REVISION, origin, artifacts, created_at="2026-11-01T00:00:00Z")


def write_tree(folder: Path, files: dict[str, bytes]) -> Path:
    for path, data in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    return folder


# --- keys -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("curve", ["P-256", "P-384", "P-521"])
@pytest.mark.parametrize("password", [None, "päss"])
def test_a_key_is_written_once_for_its_owner_alone_and_read_back(tmp_path: Path, curve: str, password: str) -> None:
    path = tmp_path / "signing.key"
    made = LocalKey.create(path, password=password, curve=curve)
    loaded = LocalKey.load(path, password)
    assert path.stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "signing.key.pub").read_bytes() == made.public_pem == loaded.public_pem
    assert made.key_id == loaded.key_id == hashlib.sha256(made.public_pem).hexdigest() == key_id_of(made.public_pem)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["signing.key", "signing.key.pub"]
    TrustedKeys().with_key(made.public_pem).verify(b"data", loaded.sign(b"data"), key_id=made.key_id)


@pytest.mark.parametrize("existing", ["k", "k.pub"])
def test_keys_are_never_overwritten(tmp_path: Path, existing: str) -> None:
    (tmp_path / existing).write_bytes(b"mine")
    with pytest.raises(ConfigError, match="exists already"):
        LocalKey.create(tmp_path / "k")
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [(existing, b"mine")]


def test_a_dangling_link_in_the_way_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "k").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigError, match="exists already"):
        LocalKey.create(tmp_path / "k")
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o601, 0o620])
def test_a_key_that_others_can_reach_is_refused_with_the_command_to_run(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "k"
    LocalKey.create(path)
    path.chmod(mode)
    with pytest.raises(ConfigError) as caught:
        LocalKey.load(path)
    assert caught.value.hint == f"Run: chmod 600 {path}"


def test_private_keys_that_cannot_be_used_are_config_errors(tmp_path: Path) -> None:
    def refused(name: str, data: bytes, password: str | None = None) -> str:
        path = tmp_path / name
        path.write_bytes(data)
        path.chmod(0o600)
        with pytest.raises(ConfigError) as caught:
            LocalKey.load(path, password)
        assert "hunter2" not in caught.value.diagnostics()
        return caught.value.message

    LocalKey.create(tmp_path / "plain")
    LocalKey.create(tmp_path / "locked", password="hunter2")
    plain, locked = (tmp_path / "plain").read_bytes(), (tmp_path / "locked").read_bytes()
    assert "not encrypted" in refused("a", plain, "hunter2")
    assert "encrypted" in refused("b", locked)
    assert "wrong" in refused("c", locked, "hunter3")
    assert "no private key" in refused("d", b"-----BEGIN nonsense")
    assert "no private key" in refused("e", (tmp_path / "plain.pub").read_bytes())
    for algorithm, expected in (("ed25519", "not an elliptic-curve key"), ("secp256k1", "curve secp256k1")):
        assert expected in refused(algorithm, _foreign_key(algorithm))
    with pytest.raises(ConfigError, match="cannot be read"):
        LocalKey.load(tmp_path / "missing")
    with pytest.raises(ConfigError, match="not a supported curve"):
        LocalKey.create(tmp_path / "x", curve="P-224")
    with pytest.raises(ConfigError, match="cannot be written"):
        LocalKey.create(tmp_path / "no such folder" / "x")


def _foreign_key(algorithm: str) -> bytes:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519

    private = (
        ed25519.Ed25519PrivateKey.generate() if algorithm == "ed25519" else ec.generate_private_key(ec.SECP256K1())
    )
    return private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def test_a_private_key_does_not_leak_by_printing_or_pickling(key: LocalKey) -> None:
    assert repr(key) == f"LocalKey({key.key_id})"
    with pytest.raises(TypeError):
        pickle.dumps(key)


def test_the_folder_of_trusted_keys_and_that_revoked_beats_trusted(tmp_path: Path, key: LocalKey) -> None:
    (tmp_path / "one.pub").write_bytes(key.public_pem.replace(b"\n", b"\r\n"))
    (tmp_path / "notes.txt").write_text("ignored")
    two = LocalKey.create(tmp_path / "elsewhere.key")
    (tmp_path / "elsewhere.key.pub").rename(tmp_path / "two.pem")
    keys = TrustedKeys.load(tmp_path)
    assert keys.key_ids == {key.key_id, two.key_id}
    for one in (key, two):
        keys.verify(b"x", one.sign(b"x"), key_id=one.key_id)
    (tmp_path / "revoked").mkdir()
    (tmp_path / "revoked" / "two.pub").write_bytes(two.public_pem)
    keys = TrustedKeys.load(tmp_path)
    assert (keys.key_ids, keys.revoked_ids) == ({key.key_id}, {two.key_id})
    for still in (keys, keys.with_key(two.public_pem)):
        with pytest.raises(Revoked):
            still.verify(b"x", two.sign(b"x"), key_id=two.key_id)
    keys.verify(b"x", key.sign(b"x"), key_id=key.key_id)


@pytest.mark.parametrize("where", [".", "revoked"])
@pytest.mark.parametrize("content", [b"", b"junk", b"-----BEGIN PRIVATE KEY-----\n"])
def test_a_key_file_that_cannot_be_read_is_not_skipped(tmp_path: Path, where: str, content: bytes) -> None:
    (tmp_path / "revoked").mkdir()
    (tmp_path / where / "x.pub").write_bytes(content)
    with pytest.raises(ConfigError, match=r"x\.pub"):
        TrustedKeys.load(tmp_path)


def test_a_missing_folder_of_trusted_keys_is_a_config_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="not a folder"):
        TrustedKeys.load(tmp_path / "missing")


def test_signatures_by_strangers_or_over_other_bytes_are_invalid(key: LocalKey, other: LocalKey, trusted) -> None:
    for data, signature, key_id in (
        (b"x", key.sign(b"y"), key.key_id),
        (b"x", other.sign(b"x"), key.key_id),
        (b"x", other.sign(b"x"), other.key_id),
        (b"x", key.sign(b"x"), ""),
        (b"x", b"", key.key_id),
        (b"x", b"\x30\x00", key.key_id),
    ):
        with pytest.raises(SignatureInvalid):
            trusted.verify(data, signature, key_id=key_id)


# --- statements -----------------------------------------------------------------------------------------------------


def test_pae_is_the_one_of_the_dsse_specification() -> None:
    assert pae("http://example.com/HelloWorld", b"hello world") == (
        b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    )


def test_a_statement_comes_back_as_it_went_in(key: LocalKey, trusted: TrustedKeys) -> None:
    envelope = sign_statement(STATEMENT, key)
    assert open_statement(envelope, trusted, predicate_type=TYPE) == STATEMENT
    assert json.loads(base64.b64decode(json.loads(envelope)["payload"]))["_type"] == STATEMENT_TYPE


def _signed(payload: object, key: LocalKey, payload_type: str = PAYLOAD_TYPE) -> bytes:
    data = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    signature = key.sign(pae(payload_type, data))
    return canonical.encode(
        {
            "payload": base64.b64encode(data).decode(),
            "payloadType": payload_type,
            "signatures": [{"keyid": key.key_id, "sig": base64.b64encode(signature).decode()}],
        }
    )


def _again(edit):
    """An edit of the parsed envelope, written canonically again."""

    def apply(envelope: bytes) -> bytes:
        record = json.loads(envelope)
        edit(record, record["signatures"][0])
        return canonical.encode(record)

    return apply


NO_ENVELOPES = {
    "payload-not-base64": _again(lambda e, s: e.update(payload="!" + e["payload"])),
    "payload-not-text": _again(lambda e, s: e.update(payload=7)),
    "payload-with-line-break": _again(lambda e, s: e.update(payload=e["payload"][:8] + "\n" + e["payload"][8:])),
    "payload-surrogate": lambda data: data.replace(b'"payload":"', b'"payload":"\\ud800'),
    "key-surrogate": lambda data: data.replace(b'"keyid":"', b'"keyid":"\\ud800'),
    "another-type": _again(lambda e, s: e.update(payloadType="application/json")),
    "no-signature": _again(lambda e, s: e.update(signatures=[])),
    "two-signatures": _again(lambda e, s: e.update(signatures=[s, s])),
    "signature-not-an-object": _again(lambda e, s: e.update(signatures=["x"])),
    "unknown-key": _again(lambda e, s: e.update(extra=1)),
    "unknown-signature-key": _again(lambda e, s: s.update(extra="x")),
    "missing-key-id": _again(lambda e, s: s.pop("keyid")),
    "empty-key-id": _again(lambda e, s: s.update(keyid="")),
    "not-canonical": lambda data: json.dumps(json.loads(data), indent=1).encode(),
    "repeated-key": lambda data: data.replace(b'"payloadType"', b'"payload":"","payloadType"'),
    "utf-16": lambda data: data.decode().encode("utf-16"),
}


@pytest.mark.parametrize("edit", NO_ENVELOPES.values(), ids=NO_ENVELOPES.keys())
def test_what_is_no_envelope_has_no_valid_signature(edit, key: LocalKey, trusted: TrustedKeys) -> None:
    with pytest.raises(SignatureInvalid):
        open_statement(edit(sign_statement(STATEMENT, key)), trusted, predicate_type=TYPE)
    with pytest.raises(SignatureInvalid):
        open_statement(_signed(STATEMENT.to_json(), key, "application/json"), trusted, predicate_type=TYPE)


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b"null", b"\xff", b"[" * 100_000, b'{"payload":1e999}'])
def test_junk_has_no_valid_signature(data: bytes, trusted: TrustedKeys) -> None:
    with pytest.raises(SignatureInvalid):
        open_statement(data, trusted, predicate_type=TYPE)


@pytest.mark.parametrize(
    "payload",
    [
        b"not json",
        [],
        {},
        STATEMENT.to_json() | {"_type": "https://in-toto.io/Statement/v0.1"},
        STATEMENT.to_json() | {"predicateType": "https://example.org/claim/v2"},
        STATEMENT.to_json() | {"subject": []},
        STATEMENT.to_json() | {"subject": [{"name": "a", "digest": {"sha1": "0" * 40}}]},
        STATEMENT.to_json() | {"subject": [{"name": "a", "digest": {"sha256": "0" * 63}}]},
        STATEMENT.to_json() | {"subject": [{"name": "a", "digest": {"sha256": "0" * 64}}] * 2},
        STATEMENT.to_json() | {"predicate": 1},
        STATEMENT.to_json() | {"predicate": {"score": 0.5}},
        STATEMENT.to_json() | {"extra": 1},
    ],
)
def test_a_signed_payload_that_is_not_the_expected_statement_mismatches(payload, key, trusted) -> None:
    with pytest.raises(StatementMismatch):
        open_statement(_signed(payload, key), trusted, predicate_type=TYPE)


# --- model signatures -----------------------------------------------------------------------------------------------


def stock(*arguments: object) -> Result:
    """The stock tool's command line, in this process; the tests of exports start the program itself."""
    from model_signing._cli import main

    return CliRunner().invoke(main, [*map(str, arguments)])


def stock_verify(folder: Path, public_key: Path) -> bool:
    ended = stock("verify", "key", folder, "--signature", folder / "model.sig", "--public_key", public_key)
    assert ("Verification succeeded" in ended.stdout) == (ended.exit_code == 0), ended.output
    assert ended.exit_code == 0 or "Verification failed" in ended.stderr, ended.output
    return ended.exit_code == 0


@pytest.mark.parametrize("curve", ["P-256", "P-384", "P-521"])
def test_the_stock_tool_accepts_our_signature(tmp_path: Path, curve: str) -> None:
    signing = LocalKey.create(tmp_path / "k", curve=curve)
    folder = write_tree(tmp_path / "model", TREE)
    (folder / "model.sig").write_bytes(sign_model(manifest_of(TREE), signing))
    assert stock_verify(folder, tmp_path / "k.pub")


def test_the_stock_tool_refuses_our_signature_on_any_other_folder(tmp_path: Path) -> None:
    signing = LocalKey.create(tmp_path / "k")
    LocalKey.create(tmp_path / "stranger")

    def verdict(name: str, files: dict[str, bytes], public: str = "k.pub") -> bool:
        folder = write_tree(tmp_path / name, files)
        (folder / "model.sig").write_bytes(sign_model(manifest_of(TREE), signing))
        return stock_verify(folder, tmp_path / public)

    weights = TREE["model.safetensors"]
    assert verdict("same", TREE)
    assert not verdict("flipped", TREE | {"model.safetensors": weights[:99] + bytes([weights[99] ^ 1]) + weights[100:]})
    assert not verdict("added", TREE | {"extra.py": b""})
    assert not verdict("removed", {path: data for path, data in TREE.items() if path != "empty"})
    assert not verdict("stranger's key", TREE, "stranger.pub")
    # Known and documented: the stock tool does not look at these, so the seal has to.
    assert verdict("git", TREE | {".gitattributes": b"changed"})


def test_a_signature_in_the_model_itself_is_left_to_the_seal(tmp_path: Path) -> None:
    """A publisher may sign too: that `model.sig` gives way to ours in the folder, and its bytes are in the manifest."""
    signing = LocalKey.create(tmp_path / "k")
    manifest = manifest_of(TREE | {"model.sig": b"the publisher's"})
    folder = write_tree(tmp_path / "model", TREE)
    (folder / "model.sig").write_bytes(sign_model(manifest, signing))
    assert stock_verify(folder, tmp_path / "k.pub")
    verify_model(sign_model(manifest, signing), manifest, TrustedKeys().with_key(signing.public_pem))


@pytest.mark.parametrize("arguments", [[], ["--no-ignore-git-paths"]])
def test_our_verification_accepts_what_the_stock_tool_signs(tmp_path: Path, arguments: list[str]) -> None:
    signing = LocalKey.create(tmp_path / "k")
    folder = write_tree(tmp_path / "model", TREE)
    signature = folder / "model.sig"
    ended = stock("sign", "key", folder, "--signature", signature, "--private_key", tmp_path / "k", *arguments)
    assert ended.exit_code == 0, ended.output
    trusted = TrustedKeys().with_key(signing.public_pem)
    verify_model(signature.read_bytes(), manifest_of(TREE), trusted)
    for files in (TREE | {"x": b""}, TREE | {"config.json": b"[]"}, {k: v for k, v in TREE.items() if k != "empty"}):
        with pytest.raises(StatementMismatch):
            verify_model(signature.read_bytes(), manifest_of(files), trusted)


def test_our_signature_says_what_the_stock_one_says(tmp_path: Path) -> None:
    signing = LocalKey.create(tmp_path / "k")
    folder = write_tree(tmp_path / "tiny", TREE)
    signature = folder / "model.sig"
    assert not stock("sign", "key", folder, "--signature", signature, "--private_key", tmp_path / "k").exit_code

    def opened(data: bytes) -> tuple[dict, dict]:
        bundle = json.loads(data)
        bundle["dsseEnvelope"]["signatures"][0]["sig"] = ""
        statement = json.loads(base64.b64decode(bundle["dsseEnvelope"].pop("payload")))
        statement["predicate"]["serialization"]["ignore_paths"].sort()  # the stock tool lists a set
        return bundle, statement

    assert opened(sign_model(manifest_of(TREE), signing)) == opened(signature.read_bytes())


def test_a_model_signature_holds_for_its_manifest_alone(key: LocalKey, other: LocalKey, trusted: TrustedKeys) -> None:
    manifest = manifest_of(TREE)
    signature = sign_model(manifest, key)
    verify_model(signature, manifest, trusted)
    assert is_unsigned(".git/config")
    assert not is_unsigned("nested/.gitattributes")
    for changed in (
        manifest_of(TREE | {"empty": b"x"}),
        manifest_of(TREE | {"new": b""}),
        manifest_of({path: data for path, data in TREE.items() if path != "a-b"}),
    ):
        with pytest.raises(StatementMismatch, match="acme/tiny@"):
            verify_model(signature, changed, trusted)
    with pytest.raises(SignatureInvalid):
        verify_model(sign_model(manifest, other), manifest, trusted)
    with pytest.raises(SignatureInvalid):
        verify_model(b"{}", manifest, trusted)
    with pytest.raises(Revoked):
        verify_model(signature, manifest, TrustedKeys(revoked=frozenset({key.key_id})))


def _edit_payload(signature: bytes, key: LocalKey, edit) -> bytes:
    bundle = json.loads(signature)
    statement = json.loads(base64.b64decode(bundle["dsseEnvelope"]["payload"]))
    edit(statement)
    payload = json.dumps(statement).encode()
    bundle["dsseEnvelope"]["payload"] = base64.b64encode(payload).decode()
    bundle["dsseEnvelope"]["signatures"][0]["sig"] = base64.b64encode(key.sign(pae(PAYLOAD_TYPE, payload))).decode()
    return json.dumps(bundle).encode()


@pytest.mark.parametrize(
    "edit",
    [
        lambda s: s.update(_type="x"),
        lambda s: s.update(predicateType="https://model_signing/Digests/v0.1"),
        lambda s: s.update(subject=s["subject"] * 2),
        lambda s: s["subject"][0]["digest"].update(sha256="0" * 64),
        lambda s: s["predicate"]["serialization"].update(method="shards"),
        lambda s: s["predicate"]["serialization"].update(hash_type="blake2b"),
        lambda s: s["predicate"]["resources"].append(s["predicate"]["resources"][0]),
        lambda s: s["predicate"]["resources"][0].update(algorithm="md5"),
        lambda s: s["predicate"]["resources"].reverse(),
        lambda s: s.pop("predicate"),
    ],
)
def test_a_signed_payload_that_is_no_such_model_signature_mismatches(edit, key: LocalKey, trusted) -> None:
    manifest = manifest_of(TREE)
    signature = _edit_payload(sign_model(manifest, key), key, edit)
    with pytest.raises(StatementMismatch):
        verify_model(signature, manifest, trusted)


@pytest.mark.parametrize(
    "edit",
    [
        lambda b: b.update(mediaType="application/vnd.dev.sigstore.bundle.v0.2+json"),
        lambda b: b.update(messageSignature={}),
        lambda b: b["verificationMaterial"]["publicKey"].update(hint=""),
        lambda b: b["verificationMaterial"].update(tlogEntries=[{}]),
        lambda b: b["dsseEnvelope"].update(payloadType="text/plain"),
        lambda b: b["dsseEnvelope"].update(signatures=[]),
        lambda b: b["dsseEnvelope"]["signatures"].append(b["dsseEnvelope"]["signatures"][0]),
        lambda b: b["dsseEnvelope"]["signatures"][0].update(sig="AA="),
        lambda b: b.pop("dsseEnvelope"),
    ],
)
def test_a_bundle_of_another_shape_has_no_valid_signature(edit, key: LocalKey, trusted: TrustedKeys) -> None:
    manifest = manifest_of(TREE)
    bundle = json.loads(sign_model(manifest, key))
    edit(bundle)
    with pytest.raises(SignatureInvalid):
        verify_model(json.dumps(bundle).encode(), manifest, trusted)


# --- seals ----------------------------------------------------------------------------------------------------------


def records_of(manifest: Manifest, key: LocalKey) -> dict[str, bytes]:
    return {
        "manifest.json": manifest.to_bytes(),
        "model.sig": sign_model(manifest, key),
        "placement.json": b'{"placed":true}',
        "inspection.json": b'{"verdict":"clean"}',
    }


def sealed(manifest: Manifest, key: LocalKey) -> tuple[bytes, dict[str, bytes]]:
    records = records_of(manifest, key)
    envelope = make_seal(
        manifest,
        records,
        verdict=Verdict.UNKNOWN,
        rules_version="2026.11.1",
        sealed_at="2026-11-01T00:00:00Z",
        signer=key,
    )
    return envelope, records


def test_a_seal_says_what_it_was_told_and_binds_every_record(key: LocalKey, trusted: TrustedKeys) -> None:
    manifest = manifest_of(TREE)
    envelope, records = sealed(manifest, key)
    seal = open_seal(envelope, trusted)
    assert (seal.model_name, seal.revision) == (manifest.model_name, REVISION)
    assert (seal.manifest_digest, seal.commit) == (manifest.digest, REVISION)
    assert (seal.owner, seal.owner_id) == ("acme", "5f0c746619cb630495b814fd")
    assert (seal.verdict, seal.rules_version) == (Verdict.UNKNOWN, "2026.11.1")
    assert seal.sealed_at == "2026-11-01T00:00:00Z"
    assert {record.name for record in seal.records} == set(RECORDS)
    for name, data in records.items():
        seal.check_record(name, data)
        for wrong in (data + b"\n", data[:-1], b""):
            with pytest.raises(StatementMismatch, match=name):
                seal.check_record(name, wrong)
    with pytest.raises(StatementMismatch):
        seal.check_record("extra.json", b"")
    seal.check_manifest(Manifest.from_bytes(records["manifest.json"]))


def test_a_valid_seal_in_the_place_of_another_is_caught(key: LocalKey, trusted: TrustedKeys) -> None:
    manifest = manifest_of(TREE)
    seal = open_seal(sealed(manifest, key)[0], trusted)
    seal.check_about(manifest.model_name, manifest.revision)
    for name, revision in ((ModelName("acme", "huge"), REVISION), (manifest.model_name, "f" * 40)):
        with pytest.raises(StatementMismatch):
            seal.check_about(name, revision)
    for altered in (
        replace(manifest, created_at="2026-11-02T00:00:00Z"),
        replace(manifest, model_name=ModelName("acme", "huge")),
        manifest_of(TREE | {".gitattributes": b"changed"}),
    ):
        with pytest.raises(StatementMismatch):
            seal.check_manifest(altered)


def test_only_whole_sets_of_fitting_records_are_sealed(key: LocalKey) -> None:
    manifest = manifest_of(TREE)
    good = records_of(manifest, key)
    for records in (
        {name: data for name, data in good.items() if name != "inspection.json"},
        good | {"extra.json": b""},
        good | {"manifest.json": manifest_of({"a": b""}).to_bytes()},
    ):
        with pytest.raises(ConfigError):
            make_seal(manifest, records, verdict=Verdict.CLEAN, rules_version="1", sealed_at="", signer=key)


@pytest.mark.parametrize(
    "edit",
    [
        {"verdict": "spotless"},
        {"revision": "main"},
        {"model": "../x"},
        {"manifest_digest": ""},
        {"origin": []},
        {"extra": 1},
    ],
)
def test_a_signed_seal_with_odd_fields_mismatches(edit: dict, key: LocalKey, trusted: TrustedKeys) -> None:
    record = json.loads(base64.b64decode(json.loads(sealed(manifest_of(TREE), key)[0])["payload"]))
    record["predicate"] |= edit
    with pytest.raises(StatementMismatch):
        open_seal(_signed(record, key), trusted)


def test_a_signed_seal_over_fewer_records_mismatches(key: LocalKey, trusted: TrustedKeys) -> None:
    record = json.loads(base64.b64decode(json.loads(sealed(manifest_of(TREE), key)[0])["payload"]))
    record["subject"].pop()
    with pytest.raises(StatementMismatch):
        open_seal(_signed(record, key), trusted)


def test_another_statement_of_the_same_key_is_no_seal(key: LocalKey, trusted: TrustedKeys) -> None:
    with pytest.raises(StatementMismatch):
        open_seal(sign_statement(STATEMENT, key), trusted)


def _opens(envelope: bytes, records: dict[str, bytes], trusted: TrustedKeys) -> None:
    seal = open_seal(envelope, trusted)
    for name, data in records.items():
        seal.check_record(name, data)


def test_any_flipped_bit_of_seal_or_record_is_caught(key: LocalKey, trusted: TrustedKeys) -> None:
    envelope, records = sealed(manifest_of(TREE), key)
    _opens(envelope, records, trusted)
    everything = records | {"seal": envelope}
    places = [(name, bit) for name, data in everything.items() for bit in range(len(data) * 8)]
    chosen = random.Random(20261101).sample(places, 500)
    # As many again in the seal itself: it is small beside the records, and the only one that is parsed.
    chosen += random.Random(7).sample([("seal", bit) for bit in range(len(envelope) * 8)], 500)
    for name, bit in chosen:
        flipped = bytearray(everything[name])
        flipped[bit // 8] ^= 1 << bit % 8
        altered = everything | {name: bytes(flipped)}
        with pytest.raises(TrustError):
            _opens(altered.pop("seal"), altered, trusted)


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_a_damaged_model_signature_never_passes_and_never_fails_untyped(
    model_signature: bytes, trusted: TrustedKeys, data: st.DataObject
) -> None:
    manifest, signature = manifest_of(TREE), model_signature
    start = data.draw(st.integers(0, len(signature)))
    end = data.draw(st.integers(start, min(len(signature), start + 8)))
    damaged = signature[:start] + data.draw(st.binary(max_size=8)) + signature[end:]
    bundle = json.loads(signature)
    try:
        verify_model(damaged, manifest, trusted)
    except TrustError:
        return
    # What still passes says the same in another spelling (white space between tokens).
    assert json.loads(damaged) == bundle
