"""Exchanging the key that signs: the old one stays trusted, and signs that the new one is its successor.

For a key in a file, each step leaves a home in which everything that was signed still verifies, so a kill at any moment is
taken up by running it again: the old and the new public key are trusted; the old key signs the succession, for the ledger;
the old private key is kept in `retired/`; the new one takes its place.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from weighbridge.attest.key_files import PUBLIC_SUFFIX
from weighbridge.attest.keys import LocalKey
from weighbridge.attest.public_keys import SigningKey, key_id_of, parse_public, pem_of
from weighbridge.attest.statement import Statement, Subject, sign_statement
from weighbridge.attest.trust import TrustFolder
from weighbridge.core.errors import ConfigError
from weighbridge.wire.files import read_small

ROTATION_TYPE = "https://weighbridge.dev/key-rotation/v1"
RETIRED_FOLDER = "retired"
NEXT_SUFFIX = ".next"


@dataclass(frozen=True, slots=True)
class Succession:
    """One key after another. `statement` is the old key's word for it, a DSSE envelope; empty where it cannot speak."""

    old_id: str
    new_id: str
    statement: bytes


def prepare(path: Path, trust: TrustFolder, *, password: str | None = None) -> Succession:
    """Makes the successor of the key in a file; nothing signs with it before `finish`.

    Raises:
        ConfigError: the key cannot be read, or its folder not be written to.
        Revoked: the old key was revoked before it was exchanged.
    """
    old = LocalKey.load(path, password)
    trust.trust(old.public_pem)
    ahead = path.with_name(path.name + NEXT_SUFFIX)
    new = LocalKey.load(ahead, password) if ahead.exists() else LocalKey.create(ahead, password=password)
    trust.trust(new.public_pem)
    return Succession(old.key_id, new.key_id, sign_succession(old, new))


def retired_path(path: Path, old_id: str) -> Path:
    """Where the old private key is kept once the one at `path` was exchanged."""
    return path.parent / RETIRED_FOLDER / f"{old_id[:16]}.pem"


def finish(path: Path, succession: Succession) -> None:
    """Puts the successor in the place of the key in a file; the old private key is kept.

    Raises:
        ConfigError: the folder cannot be written to.
    """
    ahead = path.with_name(path.name + NEXT_SUFFIX)
    kept = retired_path(path, succession.old_id)
    try:
        kept.parent.mkdir(exist_ok=True, mode=0o700)
        if not kept.exists():
            os.link(path, kept)
        # The public half first: a kill in between leaves a pair that does not fit, of which both are trusted.
        public = ahead.with_name(ahead.name + PUBLIC_SUFFIX)
        if public.exists():
            public.replace(path.with_name(path.name + PUBLIC_SUFFIX))
        ahead.replace(path)
    except OSError as error:
        raise ConfigError(f"the keys in '{path.parent}' cannot be exchanged: {error.strerror}") from error


def accept(key: SigningKey, path: Path, trust: TrustFolder) -> Succession:
    """Takes note that a name that stands for a key elsewhere stands for another one now; `path` is where its public half is kept.

    Raises:
        ConfigError: it is the same key as before, or none was known.
        Revoked: the old key was revoked already.
    """
    kept = path.with_name(path.name + PUBLIC_SUFFIX)
    if not kept.exists():
        raise ConfigError(f"'{key.place}' has not signed here before", hint="There is nothing to exchange it for.")
    before = read_small(kept, f"'{kept}'")
    old_id = key_id_of(pem_of(parse_public(before, f"'{kept}'")))
    if old_id == key.key_id:
        raise ConfigError(
            f"'{key.place}' is still the key {old_id[:16]}…",
            hint="Make the new key where the old one is, let the name stand for it, then run this again.",
        )
    trust.trust(before)
    trust.trust(key.public_pem)
    fresh = kept.with_name(kept.name + NEXT_SUFFIX)
    try:
        fresh.write_bytes(key.public_pem)
        fresh.replace(kept)
    except OSError as error:
        raise ConfigError(f"'{kept}' cannot be written: {error.strerror}") from error
    return Succession(old_id, key.key_id, b"")


def sign_succession(old: SigningKey, new: SigningKey) -> bytes:
    """The old key's word that the new one comes after it: a statement whose subject is the new key by its id."""
    subject = Subject(f"key:{new.key_id}", new.key_id)
    predicate = {"from": old.key_id, "to": new.key_id, "public_key": new.public_pem.decode("ascii")}
    return sign_statement(Statement((subject,), ROTATION_TYPE, predicate), old)
