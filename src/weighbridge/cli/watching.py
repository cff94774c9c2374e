"""What a round of watching needs, from the home of a command."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from weighbridge.core.errors import Denied

if TYPE_CHECKING:
    from weighbridge.admit.judge_revision import Surroundings as Beside
    from weighbridge.admit.policy import Policy
    from weighbridge.cli.looking import Looking
    from weighbridge.cli.yard import OpenYard
    from weighbridge.core.names import ModelName
    from weighbridge.core.ports import ObjectStore
    from weighbridge.transfer.rescan import Rescanned
    from weighbridge.vault.records import SealedRevision
    from weighbridge.watch.rounds import Surroundings


@contextmanager
def surroundings(yard: OpenYard, cancelled: threading.Event) -> Iterator[Surroundings]:
    """The surroundings of rounds in a home, for as long as the block lasts; they may serve for many rounds.

    Raises:
        ConfigError, LedgerError, TrustError: the home's settings, ledger or key cannot be used.
    """
    from huggingface_hub import constants, get_token

    from weighbridge.cli.commands.decide import open_policy
    from weighbridge.cli.commands.diff import RENDERING
    from weighbridge.cli.looking import Looking
    from weighbridge.drift.rendering import Rendering
    from weighbridge.store.ledger import now_rfc3339
    from weighbridge.watch.rounds import Passing, Surroundings
    from weighbridge.watch.state import WatchBook

    ledger = yard.ledger(writing=True)
    with Looking(yard, cancelled, quiet=True) as looking:
        crossing = _Crossing(yard, looking, cancelled)
        yield Surroundings(
            config=yard.config,
            ledger=ledger,
            http=yard.http,
            endpoint=(yard.config.hub.endpoint or constants.ENDPOINT).rstrip("/"),
            token=get_token() or "",
            verifier=_Trusted(yard),
            store_of=yard.store,
            approved=yard.approved().address,
            policy=lambda: open_policy(yard).policy,
            inspect=looking.inspect,
            rescan=crossing.rescan,
            passing=Passing(crossing.check, crossing.ingest, crossing.promote),
            rendering=Rendering(RENDERING),
            lock=yard.home.path / "watch.lock",
            actor=yard.actor,
            say=yard.output.say,
            clock=now_rfc3339,
            book=WatchBook(ledger),
            fresh=yard.forget_trusted,
        )


@dataclass(frozen=True, slots=True)
class _Trusted:
    """The keys that a home trusts now: a `core.ports.SignatureVerifier`."""

    yard: OpenYard

    def verify(self, data: bytes, signature: bytes, *, key_id: str) -> None:
        """See `TrustedKeys.verify`."""
        self.yard.trusted.verify(data, signature, key_id=key_id)


@dataclass(frozen=True, slots=True)
class _Crossing:
    """The steps by which a revision comes in by itself, as the commands take them."""

    yard: OpenYard
    looking: Looking
    cancelled: threading.Event

    @property
    def _beside(self) -> Beside:
        from weighbridge.admit.judge_revision import Surroundings as Beside

        return Beside(self.yard.ledger(), self.yard.trusted, self.yard.store)

    def _policy(self) -> Policy:
        from weighbridge.cli.commands.decide import open_policy

        return open_policy(self.yard).policy

    def rescan(self, store: ObjectStore, revision: SealedRevision) -> Rescanned:
        """A stored revision, inspected by today's rules."""
        from weighbridge.cli.progress import Silent
        from weighbridge.transfer.rescan import rescan

        scanner = self.looking.scanner(Silent())
        return rescan(scanner, store, revision, self.yard.ledger(writing=True), actor=self.yard.actor)

    def check(self, approved: str) -> None:
        """Returns when an approved revision stands by people's words about it, and the policy is the adopted one."""
        self._standing_decision(approved)

    def _standing_decision(self, approved: str) -> str:
        """The digest of the decision that people approved."""
        from weighbridge.admit.adoption import check_adopted
        from weighbridge.admit.people import roster_of
        from weighbridge.admit.succession import check_standing, open_predecessor, standing_case
        from weighbridge.store.ledger import now_rfc3339

        ledger, now = self.yard.ledger(), now_rfc3339()
        ledger.verify(self.yard.trusted)
        case = standing_case(self._policy(), open_predecessor(approved, self._beside), beside=self._beside, now=now)
        check_adopted(ledger, case.decision)
        check_standing(ledger, case, roster_of(ledger), now=now)
        return case.decision.digest

    def ingest(self, name: ModelName, commit: str, include: tuple[str, ...], exclude: tuple[str, ...]) -> None:
        """Brings a commit in; files that the store has already are copied there and not fetched."""
        from dataclasses import replace

        from weighbridge.cli.crossing import ingesting
        from weighbridge.cli.progress import Silent
        from weighbridge.core.names import Address
        from weighbridge.source.opening import open_source
        from weighbridge.transfer.ingest import ingest
        from weighbridge.watch.rounds import ACTOR

        yard = self.yard
        source = open_source(Address("hf", str(name), commit), yard.config, yard.http)
        bridge = ingesting(yard, yard.store(), self.looking.inspecting(), Silent(), self.cancelled)
        ingest(source, replace(bridge, actor=ACTOR), include=include, exclude=exclude)

    def promote(self, name: ModelName, commit: str, approved: str, channels: tuple[str, ...]) -> None:
        """Signs what the revision follows, has it judged and its approvals counted as ever, promotes it, moves channels."""
        from weighbridge.admit.channels import check_not_revoked
        from weighbridge.admit.succession import Lying, open_predecessor, record_succession
        from weighbridge.cli.admission import judge_now
        from weighbridge.cli.progress import Silent
        from weighbridge.cli.promoting import point, promote_now
        from weighbridge.store.ledger import now_rfc3339
        from weighbridge.vault.inspections import latest_inspection
        from weighbridge.watch.rounds import ACTOR

        yard, ledger = self.yard, self.yard.ledger(writing=True)
        row = yard.resolve_arrival(f"{name}@{commit}")
        store = yard.store(row.store)
        revision = yard.open_sealed(row)
        later = Lying(store, revision, latest_inspection(store, revision, ledger))
        decision_digest = self._standing_decision(approved)
        record_succession(
            later,
            open_predecessor(approved, self._beside),
            decision_digest,
            ledger=ledger,
            signer=yard.key,
            by=(ACTOR, now_rfc3339()),
        )
        stand = judge_now(yard, f"{name}@{commit}")
        check_not_revoked(ledger, name, commit)
        stand.standing.check()
        if stand.standing.heritage is None or stand.standing.heritage.why:
            raise Denied(f"the approvals of {approved} do not stand for it", rules=("not-only-card",))
        promoted = promote_now(yard, stand, Silent(), self.cancelled)
        for channel in channels:
            point(yard, promoted, channel, f"only the words of the card differ from {approved[-40:][:12]}")
