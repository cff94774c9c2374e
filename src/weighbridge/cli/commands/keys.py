"""`weighbridge keys`: whose signatures count, and what to do when a key grows old or is stolen."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

import click

from weighbridge.cli.console import Output
from weighbridge.cli.options import cancellable, common
from weighbridge.cli.settings import Home
from weighbridge.core.errors import ConfigError, Interrupted, NothingCollected, WeighbridgeError

if TYPE_CHECKING:
    from weighbridge.attest.rotation import Succession
    from weighbridge.attest.trust import KnownKey
    from weighbridge.cli.yard import OpenYard
    from weighbridge.store.catalog import CataloguedRevision

TRUSTED = "key.trusted"
REVOKED = "key.revoked"
ROTATED = "key.rotated"
MIN_ID_DIGITS = 8


@click.group("keys")
def keys_command() -> None:
    """Trust, exchange and revoke the keys that seal revisions."""


@keys_command.command("list", epilog="\b\nExamples:\n  weighbridge keys list\n  weighbridge keys list --json")
@common
def list_command(home: Home, output: Output, /) -> int:
    """List the keys whose signatures count, and those that were revoked."""
    from weighbridge.cli.yard import OpenYard

    with OpenYard(home, output) as yard:
        own = _own_id(yard)
        rows = [(known.key_id, _state(known, own), known) for known in _known(yard)]
        if output.as_json:
            output.document(
                [
                    {
                        "key_id": key_id,
                        "state": state,
                        "public_key": known.public_pem.decode("ascii"),
                        "revoked_at": known.revocation.revoked_at if known.revocation else "",
                        "revoked_by": known.revocation.revoked_by if known.revocation else "",
                        "reason": known.revocation.reason if known.revocation else "",
                    }
                    for key_id, state, known in rows
                ]
            )
            return 0
        output.table(
            ("key", "state", "since", "why"),
            [
                (key_id, state, *((k.revocation.revoked_at[:10], k.revocation.reason) if k.revocation else ("", "")))
                for key_id, state, k in rows
            ],
        )
        if not rows:
            output.say("No key yet; the first command that signs makes one.")
    return 0


@keys_command.command("public", epilog="\b\nExamples:\n  weighbridge keys public > bridge.pub")
@common
def public_command(home: Home, output: Output, /) -> int:
    """Print the public half of the key that signs here, wherever its private half is."""
    from weighbridge.cli.yard import OpenYard

    with OpenYard(home, output) as yard:
        pem = yard.key.public_pem.decode("ascii")
        if output.as_json:
            output.document({"key_id": yard.key.key_id, "public_key": pem})
        else:
            output.line(pem.rstrip("\n"))
    return 0


@keys_command.command("trust", epilog="\b\nExamples:\n  weighbridge keys trust bridge.pub")
@click.argument("file", type=click.Path(path_type=Path))
@common
def trust_command(home: Home, output: Output, /, *, file: Path) -> int:
    """Trust the public key in FILE: what it signed counts here from now on."""
    from weighbridge.attest.trust import TrustFolder
    from weighbridge.cli.yard import OpenYard
    from weighbridge.wire.files import read_small

    with OpenYard(home, output) as yard:
        key_id, new = TrustFolder(home.trusted_keys).trust(read_small(file, f"'{file}'"))
        if new:
            yard.ledger(writing=True).append(TRUSTED, f"key:{key_id}", {"key_id": key_id}, actor=yard.actor)
        _tell(output, key_id, "trusted" if new else "trusted already")
    return 0


@keys_command.command(
    "revoke", epilog='\b\nExamples:\n  weighbridge keys revoke 3e3659964da70db7 --reason "laptop stolen"'
)
@click.argument("key_id", metavar="KEYID")
@click.option("--reason", required=True, help="Why; people will read it.")
@common
def revoke_command(home: Home, output: Output, /, *, key_id: str, reason: str) -> int:
    """Revoke a key, for good: nothing that it signed counts any more. Exchange your own key first (keys rotate)."""
    from weighbridge.attest.trust import Revocation, TrustFolder
    from weighbridge.cli.yard import OpenYard
    from weighbridge.store.ledger import now_rfc3339

    if not reason.strip() or len(reason) > 500:
        raise click.UsageError("--reason takes 1 to 500 characters")
    with OpenYard(home, output) as yard:
        known = _named(yard, key_id)
        if known.key_id == yard.key.key_id:
            raise ConfigError(
                f"{known.key_id[:16]}… is the key that signs here",
                hint="Exchange it first: weighbridge keys rotate. Then revoke it, and reseal what it sealed.",
            )
        revocation = Revocation(known.key_id, reason.strip(), now_rfc3339(), yard.actor)
        new = TrustFolder(home.trusted_keys).revoke(known.public_pem, revocation)
        if new:
            payload = {"key_id": known.key_id, "reason": revocation.reason, "revoked_at": revocation.revoked_at}
            # The head that this signs takes the place of one that the revoked key may have signed.
            yard.ledger(writing=True).append(REVOKED, f"key:{known.key_id}", payload, actor=yard.actor)
        _tell(output, known.key_id, "revoked" if new else "revoked already")
        if new:
            output.say("What it sealed is refused now. To keep it: weighbridge keys reseal MODEL@REV, or --all")
    return 0


@keys_command.command("rotate", epilog="\b\nExamples:\n  weighbridge keys rotate")
@common
def rotate_command(home: Home, output: Output, /) -> int:
    """Sign with a new key from now on. What the old one signed stays valid until that is revoked.

    The home's own key is replaced by a new one. For a key in an HSM or a KMS, exchange it there first: this then accepts
    the new key under the old name.
    """
    from weighbridge.attest.rotation import accept, finish, prepare
    from weighbridge.attest.signers import is_elsewhere, open_signer, read_password
    from weighbridge.attest.trust import TrustFolder
    from weighbridge.cli.yard import OpenYard

    with OpenYard(home, output) as yard:
        signing, trust = yard.config.signing, TrustFolder(home.trusted_keys)
        password = read_password(signing.password_file)
        if is_elsewhere(signing.key):
            now = open_signer(signing.key, password=password, certificate_chain=signing.certificate_chain)
            succession = accept(now, yard.key_path, trust)
            _enter(yard, succession)
        elif signing.key:
            raise ConfigError(
                f"the signing key '{signing.key}' is named by the settings and not this home's to replace",
                hint="weighbridge keys public > old.pub; weighbridge keys trust old.pub; then name another key.",
            )
        else:
            _ = yard.key
            succession = prepare(yard.key_path, trust, password=password)
            # Entered before it is done, and signed for by the old key: an exchange that nobody was told of would be worse
            # than one that is told of and not done yet.
            _enter(yard, succession)
            finish(yard.key_path, succession)
        if output.as_json:
            output.document({"before": succession.old_id, "now": succession.new_id})
        else:
            output.line(f"{succession.new_id}\tsigns from now on")
            output.say(f"What {succession.old_id[:16]}… signed stays valid until you revoke it.")
            if waiting := _of_the_index(yard, succession.old_id):
                output.say(waiting)
    return 0


def _of_the_index(yard: OpenYard, old_id: str) -> str:
    """What is still to be done where the index of channels asks for the old key; "" where it does not."""
    from weighbridge.admit.index_keys import read_root
    from weighbridge.attest.rotation import retired_path
    from weighbridge.cli.channeling import index_reader

    trusted = index_reader(yard).trusted
    roles = read_root(trusted.newest_root()).signed.roles if trusted.has_root else {}
    if not any(old_id in role.keyids for role in roles.values()):
        return ""
    retired = retired_path(yard.key_path, old_id)
    if roles["root"].keyids == [old_id] and retired.is_file():
        how = f"weighbridge keys public > new.pub; weighbridge channels rotate-keys --root-key new.pub --sign-with '{retired}'"
    else:
        how = "weighbridge channels rotate-keys, and the signatures of those who hold its root keys"
    return (
        f"The index of channels still asks for the old key, and nothing moves there until it asks for this one: {how}"
    )


def _enter(yard: OpenYard, succession: Succession) -> None:
    payload = {
        "before": succession.old_id,
        "key_id": succession.new_id,
        "statement": succession.statement.decode("utf-8"),
    }
    yard.ledger(writing=True).append(ROTATED, f"key:{succession.new_id}", payload, actor=yard.actor)


@keys_command.command(
    "reseal",
    epilog="\b\nExamples:\n  weighbridge keys reseal org/name@1a2b3c\n  weighbridge keys reseal --all",
)
@click.argument("references", nargs=-1, metavar="[MODEL[@REV]]...")
@click.option("--all", "everything", is_flag=True, help="Every revision whose seal is by a revoked key.")
@common
def reseal_command(home: Home, output: Output, /, *, references: tuple[str, ...], everything: bool) -> int:
    """Seal revisions again whose key was revoked, with today's key. Every byte is read and proven first.

    What proves it is the ledger, which saw each seal being made. A revision that a thief of the key brought in through this
    ledger is not found by it: look through what came in since the theft.
    """
    from weighbridge.cli.yard import OpenYard

    if bool(references) == everything:
        raise click.UsageError("name revisions, or take --all")
    with OpenYard(home, output) as yard:
        yard.ledger().verify(yard.trusted)
        rows = _revoked_rows(yard) if everything else [_row(yard, reference) for reference in references]
        if not rows:
            raise NothingCollected("no revision is sealed by a revoked key")
        return max(_tried(yard, row) for row in rows)


def _tried(yard: OpenYard, row: CataloguedRevision) -> int:
    """One that cannot be sealed again must not keep the others from it."""
    try:
        _reseal(yard, row)
    except WeighbridgeError as error:
        if isinstance(error, Interrupted):
            raise
        yard.output.error(WeighbridgeError(f"{row.model_name}@{row.revision}: {error.message}", hint=error.hint))
        return error.exit_code
    return 0


def _row(yard: OpenYard, reference: str) -> CataloguedRevision:
    row = yard.resolve(reference)
    if not _is_revoked(yard, row):
        raise NothingCollected(f"{row.model_name}@{row.revision} is not sealed by a revoked key")
    return row


def _revoked_rows(yard: OpenYard) -> list[CataloguedRevision]:
    return [row for row in yard.ledger().catalog().revisions() if _is_revoked(yard, row)]


def _is_revoked(yard: OpenYard, row: CataloguedRevision) -> bool:
    """Also when an earlier run was killed after it had replaced the seal and before the ledger knew."""
    from weighbridge.attest.statement import unverified
    from weighbridge.core.layout import SEAL, record_key
    from weighbridge.vault.records import read_record

    data = read_record(yard.store(row.store), record_key(row.model_name, row.revision, SEAL))
    return unverified(data)[0] in yard.trusted.revoked_ids or hashlib.sha256(data).hexdigest() != row.seal_digest


def _reseal(yard: OpenYard, row: CataloguedRevision) -> None:
    from weighbridge.cli.progress import watching
    from weighbridge.store.ledger import now_rfc3339
    from weighbridge.vault.reseal import Locksmith, reseal

    output = yard.output
    quiet = Output(quiet=output.quiet or output.as_json, colour=output.colour)
    with_revoked = yard.trusted.despite_revocation(yard.home.trusted_keys)
    locksmith = Locksmith(yard.trusted, with_revoked, yard.key, yard.actor)
    with cancellable(output) as cancelled, watching(quiet, "proving") as observer:
        sealed = reseal(
            yard.store(row.store),
            row,
            yard.ledger(writing=True),
            locksmith,
            sealed_at=now_rfc3339(),
            observer=observer,
            cancelled=cancelled,
        )
    if output.as_json:
        output.document({"resealed": sealed.manifest.reference, "store": row.store, "key_id": yard.key.key_id})
    else:
        output.line(f"{sealed.manifest.reference}: sealed again by {yard.key.key_id[:16]}…")


# --- what is known ------------------------------------------------------------------------------


def _known(yard: OpenYard) -> list[KnownKey]:
    """The keys of the folder, and our own where it is not among them."""
    from weighbridge.attest.trust import KnownKey, TrustFolder

    known = list(TrustFolder(yard.home.trusted_keys).keys())
    public = yard.key_path.with_name(yard.key_path.name + ".pub")
    if public.is_file() and _own_id(yard) not in {one.key_id for one in known}:
        known.insert(0, KnownKey(_own_id(yard), public.read_bytes()))
    return known


def _own_id(yard: OpenYard) -> str:
    from weighbridge.attest.public_keys import key_id_of, parse_public, pem_of

    public = yard.key_path.with_name(yard.key_path.name + ".pub")
    return key_id_of(pem_of(parse_public(public.read_bytes(), f"'{public}'"))) if public.is_file() else ""


def _state(known: KnownKey, own: str) -> str:
    if known.revocation is not None:
        return "revoked"
    return "signs here" if known.key_id == own else "trusted"


def _named(yard: OpenYard, key_id: str) -> KnownKey:
    found = [one for one in _known(yard) if one.key_id.startswith(key_id.lower())]
    if len(key_id) < MIN_ID_DIGITS or len(found) != 1:
        raise NothingCollected(
            f"{len(found) or 'no'} key{'s' * (len(found) != 1)} here begin with {key_id[:64]!r}",
            hint=f"`weighbridge keys list` shows all; give at least {MIN_ID_DIGITS} digits of one.",
        )
    return found[0]


def _tell(output: Output, key_id: str, what: str) -> None:
    if output.as_json:
        output.document({"key_id": key_id, "state": what})
    else:
        output.line(f"{key_id}\t{what}")
