"""Attestations: what they say, what other tools make of them, and that nothing about them can be bent unnoticed."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.support.certificates import Authority
from tests.support.in_process import InProcess, own_environment, prepared, put_back
from tests.support.manifests import REVISION, TREE, inspection_of, manifest_of, shards
from tests.support.sigstore_instance import Log, Sigstore
from weighbridge.attest.attestations import (
    STEPS,
    Kind,
    findings_digest,
    inspection,
    kind_of,
    open_inspection,
    open_provenance,
    provenance,
    subjects_of,
)
from weighbridge.attest.keyless import Identity, is_bundle, open_bundle, sign_keyless
from weighbridge.attest.keys import LocalKey, TrustedKeys
from weighbridge.attest.statement import PAYLOAD_TYPE, Statement, Subject, envelope_of, pae, sign_statement
from weighbridge.attest.summary import Approved, Cited, Freshness, Grounds, open_summary, summary
from weighbridge.core import canonical
from weighbridge.core.decision import Decision, Outcome, Reason
from weighbridge.core.errors import (
    ConfigError,
    Expired,
    Revoked,
    RolledBack,
    SignatureInvalid,
    StatementMismatch,
    TrustError,
    Unreachable,
    WeighbridgeError,
)
from weighbridge.core.finding import Inspection
from weighbridge.core.layout import SEAL, SEALED_RECORDS, record_key
from weighbridge.core.manifest import Manifest
from weighbridge.core.ports import StoredObject
from weighbridge.store.folder import FolderStore
from weighbridge.vault.records import open_revision, seal_revision

MANIFEST = manifest_of(TREE)
FOUND = inspection_of(MANIFEST, bad="model.safetensors")
SEALED_AT = "2026-11-02T00:00:00Z"
NOW = datetime(2026, 11, 23, tzinfo=UTC)
FRESH = Freshness(NOW)


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> LocalKey:
    return LocalKey.create(tmp_path_factory.mktemp("key") / "k")


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> LocalKey:
    return LocalKey.create(tmp_path_factory.mktemp("stranger") / "k")


@pytest.fixture(scope="module")
def trusted(key: LocalKey) -> TrustedKeys:
    return TrustedKeys().with_key(key.public_pem)


def decision_of(manifest: Manifest, *, outcome: Outcome = Outcome.ADMIT, approvals: int = 1, **more: Any) -> Decision:
    reasons = (
        (Reason("format-not-allowed", outcome, "no", findings=("pickle-x",)),) if outcome is not Outcome.ADMIT else ()
    )
    fields: dict[str, Any] = {
        "policy_name": "balanced",
        "policy_digest": "b" * 64,
        "facts_digest": "c" * 64,
        "rules_version": FOUND.rules_version,
        "decided_at": "2026-11-10T00:00:00Z",
        **more,
    }
    return Decision(
        manifest.model_name,
        manifest.revision,
        manifest.digest,
        outcome,
        reasons,
        approvals,
        self_approval=True,
        **fields,
    )


ALICE = Approved("alice", "a" * 64, "2026-11-12T00:00:00Z")
BOB = Approved("bob", "d" * 64, "2026-11-13T00:00:00Z")
CITED = (Cited("attestations/provenance.x.dsse.json", "e" * 64),)


def said(manifest: Manifest = MANIFEST, *approvals: Approved, decision: Decision | None = None) -> Statement:
    found = inspection_of(manifest, bad="model.safetensors")
    return summary(manifest, decision or decision_of(manifest), Grounds(found, CITED, approvals or (ALICE,)))


@dataclass(frozen=True)
class Case:
    """A kind of attestation: its statement about a manifest, and how it is opened."""

    make: Callable[[Manifest], Statement]
    open: Callable[[bytes, Manifest, TrustedKeys], Any]


CASES = {
    Kind.PROVENANCE: Case(lambda manifest: provenance(manifest, finished_at=SEALED_AT), open_provenance),
    Kind.INSPECTION: Case(
        lambda manifest: inspection(manifest, inspection_of(manifest, bad="model.safetensors")),
        lambda data, manifest, keys: open_inspection(
            data, manifest, inspection_of(manifest, bad="model.safetensors"), keys
        ),
    ),
    Kind.SUMMARY: Case(said, lambda data, manifest, keys: open_summary(data, manifest, keys, fresh=FRESH)),
}


def payload_of(envelope: bytes) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(base64.b64decode(json.loads(envelope)["payload"]))
    return found


# --- what they say ------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", Kind)
def test_an_attestation_comes_back_with_its_steps(kind: Kind, key: LocalKey, trusted: TrustedKeys) -> None:
    envelope = sign_statement(CASES[kind].make(MANIFEST), key)
    assert envelope_of(canonical.encode(CASES[kind].make(MANIFEST).to_json()), b"", key_id="0" * 64)
    found = CASES[kind].open(envelope, MANIFEST, trusted)
    assert kind_of(envelope) is kind
    assert (found.reference, found.key_id) == (MANIFEST.reference, key.key_id)
    assert found.steps[: len(STEPS)] == STEPS


@pytest.mark.parametrize("kind", Kind)
def test_the_subjects_are_the_manifest_and_every_artifact(kind: Kind) -> None:
    subjects = CASES[kind].make(MANIFEST).subjects
    by_name = {subject.name: subject.sha256 for subject in subjects}
    assert (
        by_name.pop(f"weighbridge:acme/tiny@{REVISION}/manifest.json")
        == hashlib.sha256(MANIFEST.to_bytes()).hexdigest()
    )
    assert by_name == {path: hashlib.sha256(data).hexdigest() for path, data in TREE.items()}


def test_an_artifact_called_like_the_manifest_has_a_subject_of_its_own() -> None:
    manifest = manifest_of(TREE | {"manifest.json": b"{}"})
    assert len({subject.name for subject in subjects_of(manifest)}) == len(manifest.artifacts) + 1


def test_everything_that_the_decision_rests_on_is_covered() -> None:
    """Whatever changes in commit, owner, policy, rules, findings, coverage, approvals or time changes what is signed."""
    origin = MANIFEST.origin
    decision = decision_of(MANIFEST)
    less = replace(FOUND.reports[0], coverage=replace(FOUND.reports[0].coverage, inspected_bytes=0))
    changed = [
        said(replace(MANIFEST, origin=replace(origin, commit="f" * 40))),
        said(replace(MANIFEST, origin=replace(origin, owner="evil"))),
        said(replace(MANIFEST, origin=replace(origin, owner_id="0"))),
        said(replace(MANIFEST, created_at="2026-11-01T00:00:01Z")),
        said(MANIFEST, BOB),
        said(MANIFEST, ALICE, BOB),
        said(MANIFEST, replace(ALICE, sha256="9" * 64)),
        said(decision=replace(decision, policy_digest="9" * 64)),
        said(decision=replace(decision, facts_digest="9" * 64)),
        said(decision=replace(decision, decided_at="2026-11-10T00:00:01Z")),
        said(decision=replace(decision, approvals=0)),
        summary(MANIFEST, decision, Grounds(inspection_of(MANIFEST), CITED, (ALICE,))),
        summary(MANIFEST, decision, Grounds(replace(FOUND, reports=(less, *FOUND.reports[1:])), CITED, (ALICE,))),
        summary(MANIFEST, decision, Grounds(FOUND, (), (ALICE,))),
        summary(
            MANIFEST,
            replace(decision, rules_version="x"),
            Grounds(inspection_of(MANIFEST, rules_version="x", bad="model.safetensors"), CITED, (ALICE,)),
        ),
    ]
    digests = {canonical.digest(one.to_json()) for one in [said(), *changed]}
    assert len(digests) == len(changed) + 1


def test_equal_facts_make_equal_statements() -> None:
    backwards = Inspection(tuple(reversed(FOUND.reports)), FOUND.rules_version)
    assert inspection(MANIFEST, backwards) == inspection(MANIFEST, FOUND)
    assert findings_digest(backwards) == findings_digest(FOUND)
    decision = decision_of(MANIFEST)
    both = [summary(MANIFEST, decision, Grounds(FOUND, (), words)) for words in ((ALICE, BOB), (BOB, ALICE))]
    assert both[0] == both[1]


def test_a_folder_without_a_commit_names_none() -> None:
    origin = replace(MANIFEST.origin, kind="folder", address="/models/tiny", commit="")
    statement = provenance(replace(MANIFEST, origin=origin), finished_at=SEALED_AT)
    (upstream,) = statement.predicate["buildDefinition"]["resolvedDependencies"]  # type: ignore[index, call-overload]
    assert "digest" not in upstream
    (upstream,) = CASES[Kind.PROVENANCE].make(MANIFEST).predicate["buildDefinition"]["resolvedDependencies"]  # type: ignore[index, call-overload]
    assert upstream["digest"] == {"gitCommit": REVISION}
    assert upstream["uri"] == f"hf://acme/tiny@{REVISION}"


# --- other tools --------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", Kind)
def test_the_libraries_of_in_toto_read_what_we_write(kind: Kind, key: LocalKey, stranger: LocalKey) -> None:
    from cryptography.hazmat.primitives import serialization
    from google.protobuf import json_format
    from in_toto_attestation.predicates.provenance.v1 import provenance_pb2
    from in_toto_attestation.predicates.vsa.v1 import vsa_pb2
    from in_toto_attestation.v1 import statement_pb2
    from in_toto_attestation.v1.statement import Statement as TheirStatement
    from securesystemslib.dsse import Envelope
    from securesystemslib.exceptions import VerificationError
    from securesystemslib.signer import SSlibKey

    def theirs(one: LocalKey) -> SSlibKey:
        public: Any = serialization.load_pem_public_key(one.public_pem)
        return SSlibKey.from_crypto(public, keyid=one.key_id)

    data = sign_statement(CASES[kind].make(MANIFEST), key)
    envelope = Envelope.from_dict(json.loads(data))
    assert envelope.payload_type == PAYLOAD_TYPE
    assert list(envelope.verify([theirs(key)], 1)) == [key.key_id]
    with pytest.raises(VerificationError):
        envelope.verify([theirs(stranger)], 1)
    with pytest.raises(VerificationError):
        Envelope.from_dict(json.loads(data) | {"payload": base64.b64encode(b"{}").decode()}).verify([theirs(key)], 1)
    statement = json_format.Parse(envelope.payload, statement_pb2.Statement())  # type: ignore[attr-defined]
    TheirStatement.copy_from_pb(statement).validate()
    predicate = payload_of(data)["predicate"]
    shape = {Kind.PROVENANCE: provenance_pb2.Provenance, Kind.SUMMARY: vsa_pb2.VerificationSummary}.get(kind)  # type: ignore[attr-defined]
    if shape is not None:
        ours = {name: value for name, value in predicate.items() if not name.startswith("weighbridge_")}
        # This library's shape of a summary lags behind SLSA's: no version of the verifier, one level instead of several.
        ours.get("verifier", {}).pop("version", None)
        if "verifiedLevels" in ours:
            (ours["verifiedLevels"],) = ours["verifiedLevels"]
        json_format.ParseDict(ours, shape())


# --- attacks ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", Kind)
def test_payload_type_confusion(kind: Kind, key: LocalKey, trusted: TrustedKeys) -> None:
    payload = canonical.encode(CASES[kind].make(MANIFEST).to_json())
    for payload_type in ("application/vnd.in-toto.provenance+json", "application/json", "", PAYLOAD_TYPE.upper()):
        signature = base64.b64encode(key.sign(pae(payload_type, payload))).decode()
        record = {
            "payload": base64.b64encode(payload).decode(),
            "payloadType": payload_type,
            "signatures": [{"keyid": key.key_id, "sig": signature}],
        }
        for named in (payload_type, PAYLOAD_TYPE):
            with pytest.raises(SignatureInvalid):
                CASES[kind].open(canonical.encode(record | {"payloadType": named}), MANIFEST, trusted)


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("other", Kind)
def test_one_kind_of_statement_in_place_of_another(
    kind: Kind, other: Kind, key: LocalKey, trusted: TrustedKeys
) -> None:
    statement = CASES[other].make(MANIFEST)
    if kind is not other:
        with pytest.raises(StatementMismatch):
            CASES[kind].open(sign_statement(statement, key), MANIFEST, trusted)
        renamed = replace(statement, predicate_type=kind.predicate_type)
        with pytest.raises(StatementMismatch):
            CASES[kind].open(sign_statement(renamed, key), MANIFEST, trusted)


ANOTHER = {
    "other bytes of one file": manifest_of(TREE | {"model.safetensors": b"other"}),
    "one file more": manifest_of(TREE | {"extra.py": b""}),
    "one file less": manifest_of({path: data for path, data in TREE.items() if path != "config.json"}),
    "another revision of equal files": manifest_of(TREE, revision="f" * 40),
    "another model of equal files": manifest_of(TREE, name="acme/other"),
    "another time": replace(MANIFEST, created_at="2026-11-01T00:00:01Z"),
    "another owner": replace(MANIFEST, origin=replace(MANIFEST.origin, owner_id="0" * 24)),
}


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("what", ANOTHER)
def test_a_statement_for_another_artifact(kind: Kind, what: str, key: LocalKey, trusted: TrustedKeys) -> None:
    envelope = sign_statement(CASES[kind].make(ANOTHER[what]), key)
    with pytest.raises(StatementMismatch):
        CASES[kind].open(envelope, MANIFEST, trusted)
    # And one that was put together from the subjects of this revision and the predicate of another.
    mixed = replace(CASES[kind].make(ANOTHER[what]), subjects=subjects_of(MANIFEST))
    if what != "another time" or kind is Kind.PROVENANCE:
        with pytest.raises(StatementMismatch):
            CASES[kind].open(sign_statement(mixed, key), MANIFEST, trusted)


@pytest.mark.parametrize("kind", Kind)
def test_subjects_left_out_added_or_in_another_order(kind: Kind, key: LocalKey, trusted: TrustedKeys) -> None:
    good = CASES[kind].make(MANIFEST)
    for subjects in (good.subjects[1:], (*good.subjects, Subject("x", "0" * 64)), good.subjects[::-1]):
        with pytest.raises(StatementMismatch):
            CASES[kind].open(sign_statement(replace(good, subjects=subjects), key), MANIFEST, trusted)


@pytest.mark.parametrize("kind", Kind)
def test_an_edited_date(kind: Kind, key: LocalKey, trusted: TrustedKeys) -> None:
    envelope = json.loads(sign_statement(CASES[kind].make(MANIFEST), key))
    payload = base64.b64decode(envelope["payload"]).replace(b"2026-11", b"2027-11")
    if kind is Kind.INSPECTION:
        payload = payload.replace(b"2026.11.1", b"2027.11.1")
    assert payload != base64.b64decode(envelope["payload"])
    envelope["payload"] = base64.b64encode(payload).decode()
    with pytest.raises(SignatureInvalid):
        CASES[kind].open(canonical.encode(envelope), MANIFEST, trusted)


@pytest.mark.parametrize("kind", Kind)
def test_the_same_key_twice_a_strangers_key_and_a_revoked_one(
    kind: Kind, key: LocalKey, stranger: LocalKey, trusted: TrustedKeys
) -> None:
    statement = CASES[kind].make(MANIFEST)
    envelope = json.loads(sign_statement(statement, key))
    other = json.loads(sign_statement(statement, key))["signatures"]
    for signatures in (envelope["signatures"] * 2, envelope["signatures"] + other, []):
        with pytest.raises(SignatureInvalid, match="signatures"):
            CASES[kind].open(canonical.encode(envelope | {"signatures": signatures}), MANIFEST, trusted)
    with pytest.raises(SignatureInvalid):
        CASES[kind].open(sign_statement(statement, stranger), MANIFEST, trusted)
    revoked = TrustedKeys(revoked=frozenset({key.key_id})).with_key(key.public_pem)
    with pytest.raises(Revoked) as caught:
        CASES[kind].open(canonical.encode(envelope), MANIFEST, revoked)
    assert caught.value.hint


@pytest.mark.parametrize("kind", Kind)
def test_a_signed_statement_with_a_bent_predicate_is_refused(kind: Kind, key: LocalKey, trusted: TrustedKeys) -> None:
    """Whoever holds a trusted key still cannot make it say less, more or something else than the records."""
    good = CASES[kind].make(MANIFEST)
    predicate = json.loads(canonical.encode(good.predicate))

    def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
        yield path
        items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        for name, inner in items:
            yield from leaves(inner, (*path, name))

    def bent(path: tuple[Any, ...], value: Any) -> Statement:
        fresh = json.loads(canonical.encode(good.predicate))
        at = fresh
        for name in path[:-1]:
            at = at[name]
        at[path[-1]] = value
        return replace(good, predicate=fresh)

    free = {
        # The signer's own word, which nothing else says: when it ended, by which version, and on what it rests.
        ("runDetails", "metadata", "finishedOn"),
        ("runDetails", "builder", "version", "weighbridge"),
        ("inspector", "version", "weighbridge"),
        ("verifier", "version", "weighbridge"),
        ("policy", "uri"),
        ("inputAttestations", 0, "uri"),
        ("weighbridge_decision", "rulesVersion"),
        ("weighbridge_decision", "approvals", 0, "person"),
        ("weighbridge_decision", "coverage"),
    }
    paths = [
        path
        for path in leaves(predicate)
        if path and path not in free and path[:2] != ("weighbridge_decision", "coverage")
    ]
    for path in paths:
        with pytest.raises(TrustError):
            CASES[kind].open(sign_statement(bent(path, "bent"), key), MANIFEST, trusted)
    with pytest.raises(StatementMismatch):
        CASES[kind].open(sign_statement(bent(("unknown",), "x"), key), MANIFEST, trusted)
    for junk in ({}, {"a": 1}, {"runDetails": 7}, {"inspector": {}}):
        with pytest.raises(StatementMismatch):
            CASES[kind].open(sign_statement(replace(good, predicate=junk), key), MANIFEST, trusted)


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b"\xff", b"[" * 100_000, b'{"payload":1}', b"null"])
def test_junk_is_no_attestation(data: bytes, trusted: TrustedKeys) -> None:
    assert not is_bundle(data)
    with pytest.raises(SignatureInvalid):
        kind_of(data)
    for case in CASES.values():
        with pytest.raises(SignatureInvalid):
            case.open(data, MANIFEST, trusted)


# --- the summary --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("outcome", "needed", "approvals", "passed"),
    [
        (Outcome.ADMIT, 0, (ALICE,), True),
        (Outcome.ADMIT, 1, (ALICE,), True),
        (Outcome.ADMIT, 2, (ALICE, BOB), True),
        (Outcome.ADMIT, 2, (ALICE,), False),
        (Outcome.ADMIT, 2, (ALICE, ALICE), False),
        (Outcome.ADMIT, 2, (ALICE, replace(BOB, person="alice")), False),
        (Outcome.ADMIT, 2, (ALICE, replace(ALICE, person="bob")), False),
        (Outcome.HOLD, 0, (ALICE, BOB), False),
        (Outcome.DENY, 0, (ALICE, BOB), False),
    ],
)
def test_it_passed_exactly_when_policy_admits_and_enough_people_approved(
    outcome: Outcome,
    needed: int,
    approvals: tuple[Approved, ...],
    passed: bool,
    key: LocalKey,
    trusted: TrustedKeys,
) -> None:
    statement = said(MANIFEST, *approvals, decision=decision_of(MANIFEST, outcome=outcome, approvals=needed))
    found = open_summary(sign_statement(statement, key), MANIFEST, trusted, fresh=FRESH)
    assert found.passed is passed
    assert statement.predicate["verificationResult"] == ("PASSED" if passed else "FAILED")
    flipped = {"verificationResult": "FAILED" if passed else "PASSED"}
    levels = {"verifiedLevels": ["FAILED" if passed else "WEIGHBRIDGE_ADMITTED"]}
    for lie in (flipped, levels, flipped | levels):
        bent = replace(statement, predicate={**statement.predicate, **lie})
        with pytest.raises(StatementMismatch):
            open_summary(sign_statement(bent, key), MANIFEST, trusted, fresh=FRESH)


def test_a_decision_on_another_revision_makes_no_summary() -> None:
    for decision in (decision_of(ANOTHER["one file more"]), decision_of(ANOTHER["another revision of equal files"])):
        with pytest.raises(StatementMismatch, match="the decision is about"):
            summary(MANIFEST, decision, Grounds(FOUND, (), (ALICE,)))
    with pytest.raises(StatementMismatch, match="rests on rules"):
        summary(MANIFEST, decision_of(MANIFEST, rules_version="2020.1"), Grounds(FOUND, (), (ALICE,)))


def test_a_stale_summary_is_expired_and_one_of_a_time_to_come_as_well(key: LocalKey, trusted: TrustedKeys) -> None:
    envelope = sign_statement(said(), key)
    open_summary(envelope, MANIFEST, trusted, fresh=Freshness(NOW, timedelta(days=30)))
    with pytest.raises(Expired, match="older than 5 days"):
        open_summary(envelope, MANIFEST, trusted, fresh=Freshness(NOW, timedelta(days=5)))
    with pytest.raises(Expired, match="has not come"):
        open_summary(envelope, MANIFEST, trusted, fresh=Freshness(datetime(2026, 11, 11, tzinfo=UTC)))


def test_an_older_summary_in_place_of_a_newer_one_is_rolled_back(key: LocalKey, trusted: TrustedKeys) -> None:
    envelope = sign_statement(said(), key)
    open_summary(envelope, MANIFEST, trusted, fresh=Freshness(NOW, newest_decision="2026-11-12T00:00:00Z"))
    with pytest.raises(RolledBack):
        open_summary(envelope, MANIFEST, trusted, fresh=Freshness(NOW, newest_decision="2026-11-20T00:00:00Z"))


def test_a_summary_by_another_policy(key: LocalKey, trusted: TrustedKeys) -> None:
    envelope = sign_statement(said(), key)
    open_summary(envelope, MANIFEST, trusted, fresh=FRESH, policy_digest="b" * 64)
    with pytest.raises(StatementMismatch, match="another policy"):
        open_summary(envelope, MANIFEST, trusted, fresh=FRESH, policy_digest="0" * 64)


# --- one bit ------------------------------------------------------------------------------------


def test_one_bit_flipped_anywhere_is_caught(tmp_path: Path, key: LocalKey, trusted: TrustedKeys) -> None:
    """10,000 random positions over a revision's records, its seal and its attestations, in a real store."""
    store = FolderStore(tmp_path / "store")
    manifest = manifest_of(TREE)
    prefix = f"models/{manifest.model_name}/{manifest.revision}/"
    placed = {one.path: StoredObject(f"{prefix}{one.path}", one.size_bytes) for one in manifest.artifacts}
    seal_revision(store, manifest, placed, FOUND, key, sealed_at=SEALED_AT)

    def open_records() -> None:
        open_revision(store, manifest.model_name, manifest.revision, trusted)

    checks: list[tuple[Path, Callable[[], object]]] = []
    for record in (*SEALED_RECORDS, SEAL):
        checks.append((tmp_path / "store" / record_key(manifest.model_name, manifest.revision, record), open_records))
    for kind, case in CASES.items():
        path = tmp_path / f"{kind.value}.dsse.json"
        path.write_bytes(sign_statement(case.make(manifest), key))
        checks.append((path, lambda path=path, case=case: case.open(path.read_bytes(), manifest, trusted)))  # type: ignore[misc]
    for path, check in checks:
        path.chmod(0o600)
        check()
    sizes = [path.stat().st_size for path, _ in checks]
    generator = random.Random(20261123)
    descriptors = [os.open(path, os.O_RDWR) for path, _ in checks]
    unnoticed = []
    for _ in range(10_000):
        number = generator.choices(range(len(checks)), sizes)[0]
        position, bit = generator.randrange(sizes[number]), 1 << generator.randrange(8)
        original = os.pread(descriptors[number], 1, position)
        os.pwrite(descriptors[number], bytes([original[0] ^ bit]), position)
        try:
            checks[number][1]()
            unnoticed.append((checks[number][0].name, position, bit))
        except (TrustError, WeighbridgeError):
            pass
        os.pwrite(descriptors[number], original, position)
    for descriptor in descriptors:
        os.close(descriptor)
    assert unnoticed == []
    for _, check in checks:
        check()


# --- keyless ------------------------------------------------------------------------------------


def test_keyless_without_an_identity_token_says_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [
        name for name in os.environ if name.startswith(("ACTIONS_", "GITHUB_", "GITLAB", "BUILDKITE", "CIRCLE"))
    ]:
        monkeypatch.delenv(name)
    for name in ("junk", "eyJhbGciOiJub25lIn0.e30."):
        (tmp_path / "token").write_text(name)
        with pytest.raises(ConfigError, match="not one that Sigstore takes") as caught:
            sign_keyless(said(), token_file=str(tmp_path / "token"))
        assert name not in caught.value.diagnostics()
    with pytest.raises(ConfigError, match="cannot be read"):
        sign_keyless(said(), token_file=str(tmp_path / "none"))


WHO = Identity("ci@example.org", "https://issuer.example.org")


@pytest.mark.parametrize("kind", Kind)
def test_a_keyless_bundle_is_opened_like_any_attestation(kind: Kind, tmp_path: Path) -> None:
    sigstore = Sigstore()
    root = tmp_path / "root.json"
    root.write_bytes(sigstore.trusted_root)
    bundle = sigstore.bundle(CASES[kind].make(MANIFEST), identity=WHO.name, issuer=WHO.issuer)
    envelope, keys = open_bundle(bundle, WHO, trusted_root=str(root))
    assert kind_of(envelope) is kind
    assert CASES[kind].open(envelope, MANIFEST, keys).reference == MANIFEST.reference
    with pytest.raises(StatementMismatch):
        CASES[kind].open(envelope, ANOTHER["one file more"], keys)


def test_a_keyless_bundle_by_somebody_else_or_of_another_sigstore(tmp_path: Path) -> None:
    sigstore, root = Sigstore(), tmp_path / "root.json"
    statement = CASES[Kind.PROVENANCE].make(MANIFEST)
    root.write_bytes(sigstore.trusted_root)
    good = sigstore.bundle(statement, identity=WHO.name, issuer=WHO.issuer)
    open_bundle(good, WHO, trusted_root=str(root))
    refused = {
        "another person": sigstore.bundle(statement, identity="evil@example.org", issuer=WHO.issuer),
        "another issuer": sigstore.bundle(statement, identity=WHO.name, issuer="https://evil.example.org"),
        "another authority": replace(sigstore, authority=Authority("fulcio")),
        "another certificate log": replace(sigstore, certificates=Log()),
        "another signature log": replace(sigstore, signatures=Log()),
        "another statement in the log": sigstore.bundle(
            statement, identity=WHO.name, issuer=WHO.issuer, logged=CASES[Kind.INSPECTION].make(MANIFEST)
        ),
        "signed after its certificate": _after(good),
    }
    for what, made in refused.items():
        data = made.bundle(statement, identity=WHO.name, issuer=WHO.issuer) if isinstance(made, Sigstore) else made
        with pytest.raises(SignatureInvalid) as caught:
            open_bundle(data, WHO, trusted_root=str(root))
        assert WHO.name in caught.value.message, what
    generator = random.Random(7)
    for _ in range(200):
        bent = bytearray(good)
        bent[generator.randrange(len(bent))] ^= 1 << generator.randrange(8)
        try:
            envelope, _ = open_bundle(bytes(bent), WHO, trusted_root=str(root))
        except SignatureInvalid:
            continue
        # A flip in what the library does not read (a field's name) changes nothing of what was signed.
        assert envelope == open_bundle(good, WHO, trusted_root=str(root))[0]


def _after(bundle: bytes) -> bytes:
    record = json.loads(bundle)
    (entry,) = record["verificationMaterial"]["tlogEntries"]
    entry["integratedTime"] = str(int(entry["integratedTime"]) + 3600)
    return json.dumps(record).encode()


def test_keyless_verification_never_falls_back(tmp_path: Path, key: LocalKey, monkeypatch: pytest.MonkeyPatch) -> None:
    import sigstore

    stored = Path(sigstore.__file__).parent / "_store"
    (root,) = list(stored.glob("*sigstore.dev/trusted_root.json"))
    who = Identity("somebody@example.org", "https://issuer.example.org")
    envelope = sign_statement(said(), key)
    bundle = {
        "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
        "verificationMaterial": {"publicKey": {"hint": key.key_id}, "tlogEntries": []},
        "dsseEnvelope": json.loads(envelope),
    }
    assert is_bundle(json.dumps(bundle).encode())
    assert not is_bundle(envelope)
    for data in (json.dumps(bundle).encode(), envelope, b"", b"{}", b"[" * 50_000):
        with pytest.raises(SignatureInvalid):
            open_bundle(data, who, trusted_root=str(root))
    (tmp_path / "root.json").write_text("{}")
    with pytest.raises(ConfigError, match="no trusted root"):
        open_bundle(json.dumps(bundle).encode(), who, trusted_root=str(tmp_path / "root.json"))


def test_without_a_network_the_public_root_is_not_guessed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Nothing answers at this address: what a firewall does, without a wait.
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(Unreachable, match="cannot be reached"):
        open_bundle(b"{}", Identity("a", "b"))


# --- the command --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> InProcess:
    card = "---\nlicense: mit\n---\n# Words\n"
    return prepared(tmp_path_factory.mktemp("pristine"), {"README.md": card, "config.json": "{}"})


@pytest.fixture
def stored(pristine: InProcess, monkeypatch: pytest.MonkeyPatch) -> InProcess:
    own_environment(monkeypatch)
    return put_back(pristine)


def test_attesting_twice_leaves_one_record_and_one_event(stored: InProcess, tmp_path: Path) -> None:
    first = stored("attest", "acme/tiny", "--json", "--output", str(tmp_path / "out")).json
    again = stored("attest", "acme/tiny", "--json").json
    assert [one["type"] for one in first] == ["provenance", "inspection"]
    assert [one["new"] for one in first + again] == [True, True, False, False]
    assert [one["sha256"] for one in first] == [one["sha256"] for one in again]
    for one in first:
        data = (tmp_path / "out" / Path(one["record"]).name).read_bytes()
        assert hashlib.sha256(data).hexdigest() == one["sha256"]
    kinds = [one["kind"] for one in stored("audit", "log", "--json").events]
    assert kinds.count("revision.attested") == 2
    stored("check")


def test_without_a_decision_there_is_no_summary(stored: InProcess) -> None:
    assert "no decision" in stored("attest", "acme/tiny").err
    assert "weighbridge decide" in stored("attest", "acme/tiny", "--type", "vsa", code=3).err


def test_a_summary_follows_the_decision_and_the_approvals(stored: InProcess, tmp_path: Path) -> None:
    stored("decide", "acme/tiny", code=None)
    out = tmp_path / "out"

    def attested() -> Path:
        (made,) = stored("attest", "acme/tiny", "--type", "vsa", "--json", "--output", str(out)).json
        return out / Path(made["record"]).name

    before = attested()
    predicate = payload_of(before.read_bytes())["predicate"]
    needed = predicate["weighbridge_decision"]["approvalsNeeded"]
    assert predicate["verificationResult"] == ("FAILED" if needed else "PASSED")
    assert len(predicate["inputAttestations"]) == 2
    stored("attest", "acme/tiny", "--verify", str(before), code=5 if needed else 0)
    stored("approve", "acme/tiny", "--reason", "read it")
    after = attested()
    found = stored("attest", "acme/tiny", "--verify", str(after), "--json", "--max-age", "1").json
    assert found["verified"]
    assert found["passed"]
    assert len(found["approvals"]) == 1
    for cited in payload_of(after.read_bytes())["predicate"]["inputAttestations"]:
        (record,) = (stored.home / "store" / "records").rglob(Path(cited["uri"]).name)
        assert hashlib.sha256(record.read_bytes()).hexdigest() == cited["digest"]["sha256"]


def test_verify_says_the_steps_and_what_does_not_hold(stored: InProcess, tmp_path: Path) -> None:
    stored("attest", "acme/tiny", "--output", str(tmp_path))
    (came,), (found,) = tmp_path.glob("provenance.*"), tmp_path.glob("inspection.*")
    ran = stored("attest", "acme/tiny", "--verify", str(came))
    assert "6. what it says" in ran.err
    stored("attest", "acme/tiny", "--verify", str(found))
    altered = bytearray(came.read_bytes())
    altered[20] ^= 1
    came.write_bytes(bytes(altered))
    stored("attest", "acme/tiny", "--verify", str(came), code=7)
    stored("attest", "acme/tiny", "--verify", str(tmp_path / "none"), code=2)
    stored("attest", "acme/tiny", "--verify", str(came), "--show", code=2)
    stored("attest", "acme/tiny", "--max-age", "3", code=2)
    shown = stored("attest", "acme/tiny", "--type", "provenance", "--show").out
    assert json.loads(shown)["predicateType"] == "https://slsa.dev/provenance/v1"


def test_a_bundle_is_verified_for_the_identity_that_was_named_and_for_no_key(stored: InProcess, tmp_path: Path) -> None:
    stored("attest", "acme/tiny", "--output", str(tmp_path))
    (came,) = tmp_path.glob("provenance.*")
    bundle = tmp_path / "bundle.json"
    record = {
        "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
        "verificationMaterial": {"publicKey": {"hint": "x"}, "tlogEntries": []},
        "dsseEnvelope": json.loads(came.read_bytes()),
    }
    bundle.write_text(json.dumps(record))
    who = ("--identity", "ci@example.org", "--issuer", "https://issuer.example.org")
    assert "Sigstore bundle" in stored("attest", "acme/tiny", "--verify", str(bundle), code=2).err
    assert "no Sigstore bundle" in stored("attest", "acme/tiny", "--verify", str(came), *who, code=2).err
    (tmp_path / "token").write_text("junk")
    signing = ("--keyless", "--output", str(tmp_path), "--identity-token", str(tmp_path / "token"))
    assert "not one that Sigstore takes" in stored("attest", "acme/tiny", *signing, code=2).err
    for wrong in (("--keyless",), ("--identity-token", "x"), who, ("--verify", "x", *who[:2]), ("--trusted-root", "x")):
        stored("attest", "acme/tiny", *wrong, code=2)


def test_an_altered_attestation_is_not_written_over(stored: InProcess) -> None:
    stored("attest", "acme/tiny")
    (record,) = (stored.home / "store" / "records").rglob("provenance.*")
    record.chmod(0o600)
    record.write_bytes(record.read_bytes().replace(b"payloadType", b"payloadTyp3"))
    stored("attest", "acme/tiny", code=7)


def test_a_large_model_has_as_many_subjects(key: LocalKey, trusted: TrustedKeys) -> None:
    manifest = manifest_of(shards())
    for case in CASES.values():
        envelope = sign_statement(case.make(manifest), key)
        assert len(payload_of(envelope)["subject"]) == 164
        case.open(envelope, manifest, trusted)
        swapped = manifest_of(shards() | {"model-00007-of-000163.safetensors": b"swapped"})
        with pytest.raises(StatementMismatch, match="model-00007"):
            case.open(envelope, swapped, trusted)
