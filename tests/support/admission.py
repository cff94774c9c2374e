"""A ledger, people and decisions to try admission with, in process and with real keys."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec

from weighbridge.admit.approvals import Case
from weighbridge.admit.people import Person, Role, Roster, add_person, roster_of
from weighbridge.attest.keys import LocalKey
from weighbridge.core.decision import Decision, Outcome, Reason
from weighbridge.core.names import ModelName
from weighbridge.store.ledger import Ledger

NOW = "2026-11-23T12:00:00.000000Z"
ADMITTED = Decision(
    model_name=ModelName("acme", "tiny"),
    revision="1" * 40,
    manifest_digest="2" * 64,
    outcome=Outcome.ADMIT,
    reasons=(),
    approvals=1,
    self_approval=False,
    policy_name="test",
    policy_digest="3" * 64,
    facts_digest="4" * 64,
    rules_version="2026.11.3",
    decided_at=NOW,
)
DENIED = replace(
    ADMITTED,
    outcome=Outcome.DENY,
    reasons=(Reason("findings-grave", Outcome.DENY, "it holds a weapon", "take the weapon out", "w.bin"),),
)


def new_key() -> LocalKey:
    """A fresh key in memory."""
    return LocalKey(ec.generate_private_key(ec.SECP256R1()))


class Office:
    """A ledger in a folder, signed by a key of its own, and the people of it with their keys."""

    def __init__(self, folder: Path, url: str = "") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.key = new_key()
        self.url = url or f"sqlite:///{folder / 'ledger.sqlite'}"
        self.keys: dict[str, LocalKey] = {}
        self.clock = NOW
        self.ledger = Ledger(self.url, head_path=folder / "head.json", signer=self.key, clock=lambda: self.clock)

    def close(self) -> None:
        """Lets go of the ledger."""
        self.ledger.close()

    def admit(self, name: str, role: Role, *, by: str = "", logins: tuple[str, ...] = ()) -> Person:
        """Adds a person with a new key, by the word of `by`, or of the first person."""
        self.keys.setdefault(name, new_key())
        admin = by or next(iter(self.keys))
        return add_person(
            self.ledger,
            name,
            self.keys[name].public_pem,
            roles=frozenset((role,)),
            logins=logins,
            admin=(admin, self.keys[admin]),
        )

    def who(self, name: str) -> tuple[str, LocalKey]:
        """A person as whoever signs."""
        return name, self.keys[name]

    @property
    def roster(self) -> Roster:
        """Everybody, as the ledger says now."""
        return roster_of(self.ledger)

    def case(self, decision: Decision = ADMITTED, requester: str = "ingest@build") -> Case:
        """A decision to be approved."""
        return Case(decision, requester, self.ledger.identity())
