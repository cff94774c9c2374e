"""Keys that are not in a file, keys with certificates, and keys that grow old: what signs, and what is refused."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from tests.support import kms, softhsm
from tests.support.certificates import DAY, NOW, Authority, pem, usage
from tests.support.in_process import InProcess, ingest, own_environment, prepared, put_back
from tests.support.manifests import REVISION, TREE, manifest_of
from weighbridge.attest.certificate import MAX_CHAIN, Anchors, CertifiedKey, Chain
from weighbridge.attest.keys import LocalKey, TrustedKeys
from weighbridge.attest.kms import KmsKey
from weighbridge.attest.pkcs11 import Pkcs11Uri
from weighbridge.attest.public_keys import SigningKey
from weighbridge.attest.rotation import ROTATION_TYPE
from weighbridge.attest.sign import sign_model, verify_certified_model, verify_model
from weighbridge.attest.signers import open_signer
from weighbridge.attest.statement import open_statement
from weighbridge.attest.trust import Revocation, TrustFolder
from weighbridge.core.errors import (
    ConfigError,
    Expired,
    Revoked,
    SignatureInvalid,
    SignerUnavailable,
    StatementMismatch,
)
from weighbridge.core.ports import Signer


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> InProcess:
    own_environment(monkeypatch)
    return InProcess(tmp_path / "home")


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> InProcess:
    """A home with one revision."""
    return prepared(tmp_path_factory.mktemp("pristine"), {"README.md": "# Words\n", "config.json": "{}"})


@pytest.fixture
def stored(pristine: InProcess, monkeypatch: pytest.MonkeyPatch) -> InProcess:
    """That home, as it was."""
    own_environment(monkeypatch)
    return put_back(pristine)


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> LocalKey:
    return LocalKey.create(tmp_path_factory.mktemp("key") / "k")


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> LocalKey:
    return LocalKey.create(tmp_path_factory.mktemp("stranger") / "k")


@pytest.fixture(scope="module")
def kms_server() -> Iterator[kms.KmsServer]:
    with kms.running() as server:
        yield server


@pytest.fixture
def aws(kms_server: kms.KmsServer, monkeypatch: pytest.MonkeyPatch) -> kms.KmsServer:
    for name, value in kms_server.environment.items():
        monkeypatch.setenv(name, value)
    return kms_server


def signed_folder(folder: Path, signer: Signer) -> tuple[Path, Path]:
    """A folder with the files of `TREE`, and the signature of it."""
    folder.mkdir(exist_ok=True)
    for path, data in TREE.items():
        (folder / path).write_bytes(data)
    signature = folder / "model.sig"
    signature.write_bytes(sign_model(manifest_of(TREE), signer))
    return folder, signature


def stock_accepts(folder: Path, signer: SigningKey) -> bool:
    """Whether the stock tool, called as a library, accepts what the signer signs."""
    import model_signing

    folder, signature = signed_folder(folder, signer)
    public = folder.with_name("k.pub")
    public.write_bytes(signer.public_pem)
    model_signing.verifying.Config().use_elliptic_key_verifier(public_key=public).verify(folder, signature)
    return True


def verifies(signer: SigningKey) -> None:
    """What the signer signs is accepted by its key, short or long."""
    trusted = TrustedKeys().with_key(signer.public_pem)
    for data in (b"", b"x", bytes(100_000)):
        trusted.verify(data, signer.sign(data), key_id=signer.key_id)
    verify_model(sign_model(manifest_of(TREE), signer), manifest_of(TREE), trusted)


# --- an HSM -------------------------------------------------------------------------------------


@pytest.mark.parametrize("curve", ["secp256r1", "secp384r1", "secp521r1"])
def test_a_key_in_an_hsm_signs_as_one_in_a_file_does(curve: str) -> None:
    token = softhsm.token(curve)
    signer = open_signer(token.uri)
    verifies(signer)
    assert signer.place == token.path
    assert softhsm.PIN not in f"{signer!r}{signer.place}"
    assert open_signer(token.uri.partition("&")[0], password=softhsm.PIN).key_id == signer.key_id
    with pytest.raises(TypeError):
        signer.__reduce__()


def test_the_stock_tool_accepts_what_an_hsm_signed(tmp_path: Path) -> None:
    signer = open_signer(softhsm.token().uri)
    assert stock_accepts(tmp_path / "model", signer)


def test_an_hsm_that_is_removed_midway_signs_nothing() -> None:
    token = softhsm.token()
    signer = open_signer(token.uri)
    signer.sign(b"x")
    token.remove()
    with pytest.raises(SignerUnavailable) as caught:
        signer.sign(b"x")
    assert token.path in caught.value.message
    assert caught.value.hint


def test_a_wrong_pin_is_said_and_never_shown(tmp_path: Path) -> None:
    token = softhsm.token()
    token.pin_file.write_text("hunter2-secret")
    with pytest.raises(ConfigError) as caught:
        open_signer(token.uri)
    assert "does not take the PIN" in caught.value.message
    assert "hunter2" not in caught.value.diagnostics()


@pytest.mark.parametrize(
    ("uri", "problem"),
    [
        ("pkcs11:object=k?pin-value=1234", "holds a PIN"),
        ("pkcs11:pin-value=1234;object=k", "holds a PIN"),
        ("pkcs11:token=t", "which key"),
        ("pkcs11:object=k;object=j", "repeated"),
        ("pkcs11:object=k;colour=red", "not understood"),
        ("pkcs11:object=k?module-name=softhsm2", "not understood"),
        ("pkcs11:object=k k", "badly spelt"),
        ("pkcs11:object=%zz", "badly spelt"),
        ("pkcs11:object=k;type=public", "private key"),
        ("pkcs11:object=k;slot-id=-1", "not a number"),
        ("pkcs11:object=%ff", "UTF-8"),
        ("PKCS11:object=k", "begins with"),
        ("pkcs11:object=" + "a" * 5000, "begins with"),
    ],
)
def test_a_pkcs11_uri_that_is_not_understood_is_refused(uri: str, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem) as caught:
        Pkcs11Uri.parse(uri)
    assert "1234" not in caught.value.diagnostics()


def test_a_pkcs11_uri_is_read_as_rfc_7512_writes_it() -> None:
    uri = Pkcs11Uri.parse(
        "pkcs11:token=The%20Software%20PKCS%2311%20Softtoken;object=my-sign-key;id=%69%95;type=private;slot-id=7"
        "?module-path=/usr/lib/p11.so&pin-source=file:/etc/token"
    )
    assert (uri.token, uri.label, uri.key) == ("The Software PKCS#11 Softtoken", "my-sign-key", b"\x69\x95")
    assert (uri.slot_id, uri.module_path, uri.pin_source) == (7, "/usr/lib/p11.so", "file:/etc/token")


def test_what_an_hsm_cannot_offer_is_a_config_error(tmp_path: Path) -> None:
    token = softhsm.token()
    no_library = tmp_path / "no-library.so"
    no_library.write_bytes(b"not ELF")
    for uri, problem in (
        (token.path, "which PKCS#11 library"),
        (f"{token.path}?module-path=relative.so", "which PKCS#11 library"),
        (f"{token.path}?module-path={tmp_path / 'missing.so'}", "no PKCS#11 library at"),
        (f"{token.path}?module-path={no_library}", "no PKCS#11 library that loads"),
        (token.uri.replace(token.label, "another"), "no token fit"),
        (token.uri.replace("object=seal", "object=other"), "NoSuchKey"),
        (token.uri.replace("pin-source=/", "pin-source="), "absolute path"),
        (token.uri.replace(".pin", ".none"), "cannot be read"),
    ):
        with pytest.raises(ConfigError, match=problem):
            open_signer(uri)


def test_an_ingest_signed_by_an_hsm_verifies_without_it(run: InProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    token = softhsm.token()
    monkeypatch.setenv("WEIGHBRIDGE_SIGNING_KEY", token.uri)
    ingest(run, "tiny", {"config.json": "{}"})
    assert not list(run.home.rglob("signing.pem"))
    token.remove()
    run("verify", "acme/tiny", "--deep")
    assert softhsm.PIN not in run("config").out + run("keys", "list").out


# --- AWS KMS ------------------------------------------------------------------------------------


@pytest.mark.parametrize("spec", ["ECC_NIST_P256", "ECC_NIST_P384", "ECC_NIST_P521"])
def test_a_key_in_kms_signs_as_one_in_a_file_does(aws: kms.KmsServer, spec: str) -> None:
    arn = aws.key("bridge", spec=spec)
    by_alias, by_arn = KmsKey("awskms:///alias/bridge"), KmsKey(f"awskms:///{arn}")
    verifies(by_alias)
    assert by_alias.key_id == by_arn.key_id


def test_the_stock_tool_accepts_what_kms_signed(aws: kms.KmsServer, tmp_path: Path) -> None:
    aws.key("stock")
    signer = open_signer("awskms:///alias/stock")
    assert stock_accepts(tmp_path / "model", signer)


def test_an_alias_that_is_moved_midway_does_not_change_the_key(aws: kms.KmsServer) -> None:
    aws.key("moving")
    signer = KmsKey("awskms:///alias/moving")
    aws.key("moving")
    verifies(signer)
    assert KmsKey("awskms:///alias/moving").key_id != signer.key_id


def test_a_signature_by_another_key_than_kms_named_is_refused(aws: kms.KmsServer) -> None:
    signer = KmsKey(f"awskms:///{aws.key()}")
    # Whoever answers in KMS's place signs with a key of its own.
    signer._name = aws.key()
    with pytest.raises(SignatureInvalid, match="no signature by its key") as caught:
        signer.sign(b"x")
    assert "Nothing was signed" in caught.value.hint


def test_what_kms_refuses_is_said_with_its_reason(aws: kms.KmsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    disabled = aws.key()
    signer = KmsKey(f"awskms:///{disabled}")
    aws.client().disable_key(KeyId=disabled)
    with pytest.raises(ConfigError, match="refuses"):
        signer.sign(b"x")
    for address, problem in (
        ("awskms:///alias/none", "NotFoundException"),
        (f"awskms:///{aws.key(spec='RSA_2048')}", "not an elliptic-curve key"),
        (f"awskms:///{aws.key(spec='ECC_SECG_P256K1')}", "curve secp256k1"),
        (f"awskms:///{aws.key(spec='SYMMETRIC_DEFAULT', usage='ENCRYPT_DECRYPT')}", "refuses"),
        ("awskms:///alias/a b", "names no key"),
        ("awskms://user:secret@host/alias/a", "names no key"),
        ("awskms:/alias/a", "names no key"),
    ):
        with pytest.raises((ConfigError, SignerUnavailable), match=problem):
            KmsKey(address)
    monkeypatch.setenv("AWS_ENDPOINT_URL_KMS", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with pytest.raises(SignerUnavailable, match="does not answer"):
        KmsKey("awskms:///alias/none")


def test_a_key_that_was_exchanged_behind_its_name_is_noticed(
    aws: kms.KmsServer, run: InProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    aws.key("bridge")
    monkeypatch.setenv("WEIGHBRIDGE_SIGNING_KEY", "awskms:///alias/bridge")
    ingest(run, "tiny", {"config.json": "{}"})
    before = run("keys", "list", "--json").json
    assert run("keys", "rotate", code=2).err.count("is still the key")
    aws.key("bridge")
    assert "another key than before" in run("attest", "acme/tiny", code=2).err
    run("keys", "rotate")
    after = {one["key_id"]: one["state"] for one in run("keys", "list", "--json").json}
    assert after[before[0]["key_id"]] == "trusted"
    assert sorted(after.values()) == ["signs here", "trusted"]
    run("attest", "acme/tiny")
    run("verify", "acme/tiny")
    run("check")


@pytest.mark.parametrize("key_name", ["gcpkms://projects/x", "sigstore:", "https://example.org/key"])
def test_other_kinds_of_keys_are_not_guessed(key_name: str) -> None:
    with pytest.raises(ConfigError, match="no kind of signing key"):
        open_signer(key_name)


# --- certificates -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Issued:
    """A root, an authority below it, and the chain of a key."""

    root: Authority
    middle: Authority
    chain: Chain


def issued(key: LocalKey, **bent: Any) -> Issued:
    root = Authority("root")
    middle = Authority("middle", root, path_length=0)
    return Issued(root, middle, Chain((middle.issue(key.public_pem, **bent), middle.certificate)))


def test_the_stock_tool_accepts_our_signature_with_certificates(tmp_path: Path, key: LocalKey) -> None:
    made = issued(key)
    signer = CertifiedKey(key, made.chain, now=NOW)
    folder, signature = signed_folder(tmp_path / "model", signer)
    for name, anchor in (("root", made.root), ("stranger", Authority("root"))):
        (tmp_path / f"{name}.pem").write_bytes(pem(anchor.certificate))
        command = [
            "verify",
            "certificate",
            folder,
            "--signature",
            signature,
            "--certificate_chain",
            tmp_path / f"{name}.pem",
        ]
        ended = subprocess.run(
            [sys.executable, "-m", "model_signing", *map(str, command)], capture_output=True, text=True, check=False
        )
        assert (ended.returncode == 0) == ("Verification succeeded" in ended.stdout) == (name == "root"), ended


def test_our_verification_accepts_what_the_stock_tool_signs_with_certificates(tmp_path: Path, key: LocalKey) -> None:
    made = issued(key)
    import model_signing

    (tmp_path / "leaf.pem").write_bytes(pem(made.chain.certificates[0]))
    (tmp_path / "middle.pem").write_bytes(pem(made.middle.certificate))
    folder = tmp_path / "model"
    folder.mkdir()
    for path, data in TREE.items():
        (folder / path).write_bytes(data)
    signing = model_signing.signing.Config().use_certificate_signer(
        private_key=Path(key.place),
        signing_certificate=tmp_path / "leaf.pem",
        certificate_chain=[tmp_path / "middle.pem"],
    )
    signing.sign(folder, tmp_path / "sig")
    signature = (tmp_path / "sig").read_bytes()
    anchors = Anchors((made.root.certificate,))
    assert verify_certified_model(signature, manifest_of(TREE), anchors, at=NOW).key_id == key.key_id
    with pytest.raises(StatementMismatch):
        verify_certified_model(signature, manifest_of(TREE | {"x": b""}), anchors, at=NOW)


def test_a_seal_and_its_signature_with_certificates_verify_by_the_key(
    stored: InProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = LocalKey.load(stored.home / "keys" / "signing.pem")
    made = issued(own, begins=NOW - 10_000 * DAY, ends=NOW + 10_000 * DAY)
    (tmp_path / "chain.pem").write_bytes(pem(*made.chain.certificates))
    monkeypatch.setenv("WEIGHBRIDGE_SIGNING_CERTIFICATE_CHAIN", str(tmp_path / "chain.pem"))
    ingest(InProcess(stored.home), "second", {"config.json": '{"a": 1}'})
    (signature,) = (stored.home / "store" / "records" / "acme" / "second").rglob("model.sig")
    assert "x509CertificateChain" in json.loads(signature.read_bytes())["verificationMaterial"]
    stored("verify", "acme/second")
    for name, anchor in (("root", made.root), ("stranger", Authority("root"))):
        (tmp_path / f"{name}.pem").write_bytes(pem(anchor.certificate))
    given = ("--verify", str(signature), "--anchors")
    assert "signed by CN=bridge" in stored("attest", "acme/second", *given, str(tmp_path / "root.pem")).out
    assert stored("attest", "acme/second", *given, str(tmp_path / "root.pem"), "--json").json["key_id"] == own.key_id
    stored("attest", "acme/second", *given, str(tmp_path / "stranger.pem"), code=7)
    stored("attest", "acme/tiny", *given, str(tmp_path / "root.pem"), code=7)
    stored("attest", "acme/tiny", "--anchors", str(tmp_path / "root.pem"), code=2)


def test_an_expired_certificate_neither_signs_nor_verifies(key: LocalKey) -> None:
    made = issued(key)
    signature = sign_model(manifest_of(TREE), CertifiedKey(key, made.chain, now=NOW))
    anchors = Anchors((made.root.certificate,))
    for moment in (NOW + 31 * DAY, NOW - 2 * DAY):
        with pytest.raises(Expired):
            CertifiedKey(key, made.chain, now=moment)
        with pytest.raises(Expired):
            verify_certified_model(signature, manifest_of(TREE), anchors, at=moment)


def test_an_expired_authority_is_no_anchor(key: LocalKey) -> None:
    root = Authority("root", ends=NOW - timedelta(hours=1))
    chain = Chain((root.issue(key.public_pem),))
    with pytest.raises(Expired):
        chain.check(Anchors((root.certificate,)), at=NOW)


@pytest.mark.parametrize(
    "bent",
    [
        {"key_usage": usage(encipher=True)},
        {"key_usage": usage(encipher=True), "extended": ()},
        {"extended": (ExtendedKeyUsageOID.SERVER_AUTH,)},
        {"extended": (ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.EMAIL_PROTECTION)},
        {"key_usage": usage(digital_signature=True, key_cert_sign=True), "more": (x509.BasicConstraints(True, 0),)},
    ],
)
def test_a_certificate_for_another_purpose_neither_signs_nor_verifies(key: LocalKey, bent: dict[str, Any]) -> None:
    made = issued(key, **bent)
    with pytest.raises(SignatureInvalid):
        CertifiedKey(key, made.chain, now=NOW)
    with pytest.raises(SignatureInvalid):
        made.chain.check(Anchors((made.root.certificate,)), at=NOW)


def test_a_chain_that_is_not_anchored_is_refused(key: LocalKey) -> None:
    made, others = issued(key), issued(key)
    anchors = Anchors((made.root.certificate,))
    made.chain.check(anchors, at=NOW)
    leaf, middle = made.chain.certificates
    wrong = {
        "another root of the same name": others.chain,
        "a leaf of another authority": Chain((others.chain.certificates[0], middle)),
        "out of order": Chain((middle, leaf)),
        "without the one between": Chain((leaf,)),
        "its own root at the end": Chain((*others.chain.certificates, others.root.certificate)),
        "a stranger at the end": Chain((leaf, middle, others.root.certificate)),
    }
    for chain in wrong.values():
        with pytest.raises(SignatureInvalid):
            chain.check(anchors, at=NOW)


def test_an_authority_that_may_not_issue_does_not_make_a_chain(key: LocalKey) -> None:
    root = Authority("root", path_length=0)
    too_deep = Authority("middle", root, path_length=0)
    no_authority = Authority("nobody", Authority("root2"), is_ca=False)
    for issuer, anchor in ((too_deep, root), (no_authority, no_authority.issuer)):
        assert anchor is not None
        chain = Chain((issuer.issue(key.public_pem), issuer.certificate))
        with pytest.raises(SignatureInvalid):
            chain.check(Anchors((anchor.certificate,)), at=NOW)


def test_a_critical_extension_that_is_not_understood_is_not_passed_over(key: LocalKey) -> None:
    constrained = x509.NameConstraints(permitted_subtrees=[x509.DNSName("example.org")], excluded_subtrees=None)
    made = issued(key, more=(constrained,))
    with pytest.raises(SignatureInvalid, match="critical extension"):
        made.chain.check(Anchors((made.root.certificate,)), at=NOW)


def test_a_chain_of_another_key_is_not_taken_for_ours(key: LocalKey, stranger: LocalKey) -> None:
    with pytest.raises(ConfigError, match="not that of the key"):
        CertifiedKey(key, issued(stranger).chain, now=NOW)


def test_a_signature_with_a_strangers_certificate_is_not_by_a_trusted_key(key: LocalKey, stranger: LocalKey) -> None:
    signature = sign_model(manifest_of(TREE), CertifiedKey(stranger, issued(stranger).chain, now=NOW))
    with pytest.raises(SignatureInvalid, match="not among"):
        verify_model(signature, manifest_of(TREE), TrustedKeys().with_key(key.public_pem))


def test_a_chain_that_is_no_chain_is_refused(key: LocalKey) -> None:
    made = issued(key)
    signature = json.loads(sign_model(manifest_of(TREE), CertifiedKey(key, made.chain, now=NOW)))
    trusted = TrustedKeys().with_key(key.public_pem)
    certificates = signature["verificationMaterial"]["x509CertificateChain"]["certificates"]
    for bent in ([], [{"rawBytes": "AAAA"}], certificates * MAX_CHAIN, [{"rawBytes": "!"}], [7], [{}]):
        signature["verificationMaterial"]["x509CertificateChain"]["certificates"] = bent
        with pytest.raises(SignatureInvalid):
            verify_model(json.dumps(signature).encode(), manifest_of(TREE), trusted)


# --- rotation and revocation --------------------------------------------------------------------


def test_after_a_rotation_old_signatures_hold_and_new_ones_are_by_the_new_key(stored: InProcess) -> None:
    old = LocalKey.load(stored.home / "keys" / "signing.pem")
    stored("keys", "rotate")
    new = LocalKey.load(stored.home / "keys" / "signing.pem")
    assert new.key_id != old.key_id
    assert (stored.home / "keys" / "retired" / f"{old.key_id[:16]}.pem").stat().st_mode & 0o777 == 0o600
    stored("verify", "acme/tiny")
    stored("check")
    made = stored("attest", "acme/tiny", "--json").json
    (record,) = (stored.home / "store").rglob(Path(made[0]["record"]).name)
    assert json.loads(record.read_bytes())["signatures"][0]["keyid"] == new.key_id


def test_the_old_key_says_in_the_ledger_which_comes_after_it(stored: InProcess) -> None:
    from weighbridge.store.ledger import Ledger

    old = LocalKey.load(stored.home / "keys" / "signing.pem")
    stored("keys", "rotate")
    with Ledger(
        f"sqlite:///{stored.home / 'ledger.sqlite'}", head_path=stored.home / "ledger.head.json", signer=None
    ) as ledger:
        (event,) = ledger.events(kinds=("key.rotated",))
    statement = open_statement(
        str(event.payload["statement"]).encode(),
        TrustedKeys().with_key(old.public_pem),
        predicate_type=ROTATION_TYPE,
    )
    new = LocalKey.load(stored.home / "keys" / "signing.pem")
    assert statement.subjects[0].sha256 == new.key_id == event.payload["key_id"]


@pytest.mark.parametrize("step", ["made", "public", "linked"])
def test_a_rotation_that_was_killed_is_finished_by_the_next(stored: InProcess, step: str) -> None:
    from weighbridge.attest.rotation import prepare

    keys = stored.home / "keys"
    before = LocalKey.load(keys / "signing.pem")
    succession = prepare(keys / "signing.pem", TrustFolder(keys / "trusted"))
    if step != "made":
        (keys / "signing.pem.next.pub").replace(keys / "signing.pem.pub")
    if step == "linked":
        (keys / "retired").mkdir()
        os.link(keys / "signing.pem", keys / "retired" / f"{before.key_id[:16]}.pem")
    stored("verify", "acme/tiny")
    stored("keys", "rotate")
    assert LocalKey.load(keys / "signing.pem").key_id == succession.new_id
    stored("verify", "acme/tiny")
    stored("check")


def test_what_a_revoked_key_sealed_is_refused_until_it_is_sealed_again(stored: InProcess) -> None:
    stored("attest", "acme/tiny")
    (old,) = stored("keys", "list", "--json").json
    assert "Exchange it first" in stored("keys", "revoke", old["key_id"][:16], "--reason", "theft", code=2).err
    stored("keys", "rotate")
    stored("keys", "revoke", old["key_id"][:16], "--reason", "laptop stolen")
    refused = stored("verify", "acme/tiny", code=7).err
    assert "laptop stolen" in refused
    assert "weighbridge keys reseal" in refused
    stored("attest", "acme/tiny", code=7)
    stored("check", code=6)
    stored("keys", "reseal", "acme/tiny")
    stored("verify", "acme/tiny", "--deep")
    stored("check")
    stored("attest", "acme/tiny")
    stored("keys", "reseal", "acme/tiny", code=3)
    stored("keys", "reseal", "--all", code=3)
    state = {one["key_id"]: one for one in stored("keys", "list", "--json").json}[old["key_id"]]
    assert (state["state"], state["reason"]) == ("revoked", "laptop stolen")
    assert "revoked" in stored("keys", "trust", str(_written(stored, state["public_key"])), code=7).err


def _written(run: InProcess, pem_text: str) -> Path:
    path = run.home.parent / "old.pub"
    path.write_text(pem_text)
    return path


def _revoked(stored: InProcess) -> None:
    (old,) = stored("keys", "list", "--json").json
    stored("keys", "rotate")
    stored("keys", "revoke", old["key_id"], "--reason", "stolen")


def test_a_changed_byte_is_not_sealed_again(stored: InProcess) -> None:
    _revoked(stored)
    (config,) = (stored.home / "store" / "models").rglob("config.json")
    config.chmod(0o600)
    config.write_text("[]")
    assert "is not what was ingested" in stored("keys", "reseal", "acme/tiny", code=6).err
    assert "revoked" in stored("verify", "acme/tiny", code=7).err


def test_what_a_thief_of_the_key_sealed_in_place_of_ours_is_not_sealed_again(stored: InProcess) -> None:
    from weighbridge.attest.seal import make_seal, open_seal
    from weighbridge.core.layout import SEALED_RECORDS
    from weighbridge.core.manifest import Manifest

    thief = LocalKey.load(stored.home / "keys" / "signing.pem")
    _revoked(stored)
    (path,) = (stored.home / "store" / "records").rglob("seal.dsse.json")
    records = {name: (path.parent / name).read_bytes() for name in SEALED_RECORDS}
    seal = open_seal(path.read_bytes(), TrustedKeys().with_key(thief.public_pem))
    forged = make_seal(
        Manifest.from_bytes(records["manifest.json"]),
        records,
        verdict=seal.verdict,
        rules_version=seal.rules_version,
        sealed_at="2020-01-01T00:00:00Z",
        signer=thief,
    )
    path.chmod(0o600)
    path.write_bytes(forged)
    assert "not the one in the ledger" in stored("keys", "reseal", "acme/tiny", code=7).err
    # Nor by somebody with a key that still counts: only what the ledger heard of.
    other = make_seal(
        Manifest.from_bytes(records["manifest.json"]),
        records,
        verdict=seal.verdict,
        rules_version=seal.rules_version,
        sealed_at="2020-01-01T00:00:00Z",
        signer=LocalKey.load(stored.home / "keys" / "signing.pem"),
    )
    path.write_bytes(other)
    assert "not the one in the ledger" in stored("keys", "reseal", "--all", code=7).err


def test_sealing_again_keeps_what_a_later_inspection_found(stored: InProcess) -> None:
    import hashlib
    from dataclasses import replace

    from weighbridge.cli.console import Output
    from weighbridge.cli.settings import Home
    from weighbridge.cli.yard import OpenYard
    from weighbridge.vault.events import RESCANNED
    from weighbridge.vault.inspections import inspection_key
    from weighbridge.vault.records import open_revision

    with OpenYard(Home(stored.home), Output(quiet=True)) as yard:
        row = yard.resolve("acme/tiny")
        store = yard.store(row.store)
        revision = open_revision(store, row.model_name, row.revision, yard.trusted)
        data = replace(revision.inspection, rules_version="2099.1").to_bytes()
        digest = hashlib.sha256(data).hexdigest()
        store.put(inspection_key(revision, digest), data)
        found = {"verdict": "bad", "findings": {"critical": 1}, "inspection_digest": digest, "rules_version": "2099.1"}
        about = {"store": store.address, "model": str(row.model_name), "revision": row.revision}
        yard.ledger(writing=True).append(RESCANNED, revision.manifest.reference, {**about, **found}, actor="a")
    # What is said of a revision meanwhile is no reason to fall back to the sealed inspection.
    stored("attest", "acme/tiny")
    stored("decide", "acme/tiny", code=None)
    assert stored("show", "acme/tiny", "--json").json["inspection"]["rules_version"] == "2099.1"
    _revoked(stored)
    stored("keys", "reseal", "acme/tiny")
    assert stored("show", "acme/tiny", "--json").json["inspection"]["rules_version"] == "2099.1"
    stored("verify", "acme/tiny", "--deep")


@pytest.mark.parametrize("step", ["signature", "seal"])
def test_a_resealing_that_was_killed_is_finished_by_the_next(
    stored: InProcess, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from weighbridge.store.folder import FolderStore
    from weighbridge.vault import reseal

    _revoked(stored)

    class Killed(BaseException):
        pass

    def die(*arguments: object, **more: object) -> None:
        raise Killed

    if step == "seal":
        monkeypatch.setattr(reseal, "record_ingested", die)
    else:
        put = FolderStore.put

        def put_but_the_seal(self: FolderStore, name: str, body: bytes, **more: Any) -> object:
            return die() if name.endswith("seal.dsse.json") else put(self, name, body, **more)

        monkeypatch.setattr(FolderStore, "put", put_but_the_seal)
    with pytest.raises(Killed):
        stored("keys", "reseal", "acme/tiny")
    monkeypatch.undo()
    stored("keys", "reseal", "--all")
    stored("verify", "acme/tiny", "--deep")
    stored("check")


def test_a_trusted_key_is_told_to_the_ledger_once(stored: InProcess, tmp_path: Path, stranger: LocalKey) -> None:
    (tmp_path / "s.pub").write_bytes(stranger.public_pem)
    assert "trusted" in stored("keys", "trust", str(tmp_path / "s.pub")).out
    assert "already" in stored("keys", "trust", str(tmp_path / "s.pub")).out
    assert len(stored("keys", "list", "--json").json) == 2
    stored("keys", "revoke", stranger.key_id[:4], "--reason", "x", code=3)
    stored("keys", "revoke", stranger.key_id, "--reason", "x")
    assert "already" in stored("keys", "revoke", stranger.key_id, "--reason", "y").out
    stored("keys", "trust", str(stored.home / "keys" / "signing.pem"), code=2)
    assert stored("keys", "public").out.encode() == LocalKey.load(stored.home / "keys" / "signing.pem").public_pem


def test_a_record_alone_revokes_and_one_that_cannot_be_read_is_not_skipped(tmp_path: Path, key: LocalKey) -> None:
    folder = TrustFolder(tmp_path)
    folder.trust(key.public_pem)
    (tmp_path / "revoked").mkdir()
    record = tmp_path / "revoked" / "x.json"
    record.write_bytes(Revocation(key.key_id, "stolen", "2026-11-23T00:00:00Z", "root@here").to_bytes())
    with pytest.raises(Revoked, match="2026-11-23 by root@here: stolen"):
        TrustedKeys.load(tmp_path).verify(b"x", key.sign(b"x"), key_id=key.key_id)
    for junk in (b"", b"{}", b"[" * 10_000, record.read_bytes().replace(key.key_id.encode(), b"short")):
        record.write_bytes(junk)
        with pytest.raises(ConfigError):
            TrustedKeys.load(tmp_path)


def test_verifying_a_model_of_another_revision_by_a_good_key_is_refused(key: LocalKey) -> None:
    made = issued(key)
    signer = CertifiedKey(key, made.chain, now=NOW)
    other = manifest_of(TREE | {"model.safetensors": b"other"}, revision=REVISION[::-1])
    with pytest.raises(StatementMismatch):
        verify_certified_model(sign_model(other, signer), manifest_of(TREE), Anchors((made.root.certificate,)), at=NOW)
