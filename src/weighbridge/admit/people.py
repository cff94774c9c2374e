"""Who may act: named people with keys and roles, as the ledger's signed statements say.

Rules:

- a person is admitted by a statement that an admin signed; the first one signs for himself and is an admin. So whoever can
  write to the ledger's database, but holds no admin's key, cannot make himself a reviewer;
- a name, and a key, belong to one person for ever: neither is given to another, also not after a removal;
- `requester` may ask, `reviewer` may approve and reject, `admin` may do both and say who is who;
- `gateway` is a machine's role: its key may pass on the word of a person whom it authenticated by OpenID Connect, under the
  login (`oidc_login`) that an admin gave that person. It says nothing of its own;
- a statement that does not verify is an error, never a person less: the roster is whole or there is none.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import Enum
from typing import Final

from weighbridge.attest.public_keys import key_id_of, parse_public, pem_of
from weighbridge.attest.statement import Statement, Subject, open_statement, sign_statement, unverified
from weighbridge.attest.trust import TrustedKeys
from weighbridge.core.canonical import Fields
from weighbridge.core.errors import ConfigError, Denied, FormatError, LedgerError, StatementMismatch, TrustError
from weighbridge.core.ports import Signer
from weighbridge.store.ledger import Event, Ledger

PERSON_TYPE: Final = "https://weighbridge.dev/person/v1"
ADDED: Final = "person.added"
REMOVED: Final = "person.removed"
MAX_PEOPLE: Final = 10_000
MAX_LOGIN: Final = 500
_NAME = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9._@+-]{0,98}[A-Za-z0-9_])?")


class Role(Enum):
    """What a person may do."""

    REQUESTER = "requester"
    REVIEWER = "reviewer"
    ADMIN = "admin"
    GATEWAY = "gateway"


def oidc_login(issuer: str, subject: str) -> str:
    """The login of whoever an OpenID Connect provider knows as `subject` (`sub`); `issuer` is its `iss`, an https URL.

    Both together are unique and never given again (OpenID Connect Core 1.0, section 2); an e-mail address is neither.

    Raises:
        ConfigError: they are no such claims.
    """
    plain = issuer.isprintable() and subject.isprintable() and " " not in issuer and "#" not in issuer
    if not issuer.startswith("https://") or not subject or not plain or len(issuer) + len(subject) > MAX_LOGIN:
        raise ConfigError("an OpenID Connect login needs the https issuer and the subject of an ID token")
    return f"oidc:{issuer}#{subject}"


@dataclass(frozen=True, slots=True)
class Person:
    """A person. `logins` are the names under which this person acts (`user@host`, or one of OpenID Connect).

    `key_id` is the SHA-256 of `public_pem`.
    """

    name: str
    roles: frozenset[Role]
    key_id: str
    public_pem: str
    logins: tuple[str, ...]
    active: bool = True

    @property
    def may_approve(self) -> bool:
        """Whether an approval of this person counts."""
        return self.active and bool(self.roles & {Role.REVIEWER, Role.ADMIN})

    @property
    def may_pass_on(self) -> bool:
        """Whether this is a gateway, which passes on what others say."""
        return self.active and Role.GATEWAY in self.roles

    @property
    def is_admin(self) -> bool:
        """Whether this person may say who is who."""
        return self.active and Role.ADMIN in self.roles

    def is_actor(self, actor: str) -> bool:
        """Whether the ledger's actor is this person."""
        return actor == self.name or actor in self.logins


@dataclass(frozen=True, slots=True)
class Roster:
    """Everybody who was ever admitted, by name."""

    people: tuple[Person, ...] = ()

    def person(self, name: str) -> Person:
        """The active person of that name.

        Raises:
            Denied: there is none.
        """
        found = next((one for one in self.people if one.name == name and one.active), None)
        if found is None:
            first = f"Nobody is known yet: weighbridge people add {name} --role admin"
            admitted = "An admin admits people: weighbridge people add NAME --role reviewer --key FILE.pub"
            raise Denied(
                f"there is no person '{name}' here",
                rules=("unknown-person",),
                hint=admitted if self.people else first,
            )
        return found

    def of_key(self, key_id: str) -> Person | None:
        """The person whose key that is, also one who was removed since."""
        return next((one for one in self.people if one.key_id == key_id), None)

    @property
    def active(self) -> tuple[Person, ...]:
        """Those who may act now."""
        return tuple(one for one in self.people if one.active)

    @property
    def keys(self) -> TrustedKeys:
        """The keys of all people, the removed ones as revoked."""
        return _keys(self.people, revoked=frozenset(one.key_id for one in self.people if not one.active))


def read_roster(events: Iterable[Event], ledger: str) -> Roster:
    """The roster that events come to, each statement verified against the admins of its own time.

    `ledger` is the ledger's identity: a statement made for another ledger does not count here.

    Raises:
        LedgerError: a statement does not verify, or was not an admin's to make.
    """
    roster = Roster()
    for event in events:
        if event.kind in (ADDED, REMOVED):
            try:
                roster = _applied(roster, event, "" if event.sequence == 1 else ledger)
            except (TrustError, FormatError, ConfigError, Denied) as error:
                raise LedgerError(
                    f"event {event.sequence} of the ledger does not make '{event.subject}' a person: {error.message}",
                    hint="Somebody wrote to the ledger without an admin's key. Find out who; restore it from a backup.",
                ) from error
    return roster


def roster_of(ledger: Ledger) -> Roster:
    """The roster of a ledger; see `read_roster`."""
    return read_roster(ledger.events(kinds=(ADDED, REMOVED)), ledger.identity())


def add_person(
    ledger: Ledger,
    name: str,
    public_pem: bytes,
    *,
    roles: frozenset[Role],
    logins: tuple[str, ...],
    admin: tuple[str, Signer],
) -> Person:
    """Admits a person, by the word of `admin`: a name and the key to sign with. The first person names himself.

    Raises:
        ConfigError: the name or key is taken, or no name or key at all, or there is no role.
        Denied: `admin` is none.
        LedgerError, StoreError: it could not be recorded.
    """
    roster = roster_of(ledger)
    pem = pem_of(parse_public(public_pem, f"the key of '{name}'"))
    person = Person(name, roles, key_id_of(pem), pem.decode("ascii"), logins)
    _check_new(roster, person)
    check_admin(roster, admin, first=person)
    envelope = sign_statement(_statement("add", person, by=admin[0], ledger=ledger.identity()), admin[1])
    payload = {"person": name, "statement": envelope.decode("ascii")}
    ledger.append(ADDED, name, payload, actor=admin[0])
    return person


def remove_person(ledger: Ledger, name: str, *, admin: tuple[str, Signer]) -> None:
    """Ends what a person may do; approvals of the past stay in the ledger and count no more.

    Raises:
        Denied: there is no such person, or `admin` is none.
        ConfigError: it is the last admin.
    """
    roster = roster_of(ledger)
    person = roster.person(name)
    check_admin(roster, admin)
    if person.is_admin and sum(one.is_admin for one in roster.people) == 1:
        raise ConfigError(f"'{name}' is the last admin", hint="Admit another admin first.")
    envelope = sign_statement(_statement("remove", person, by=admin[0], ledger=ledger.identity()), admin[1])
    ledger.append(REMOVED, name, {"person": name, "statement": envelope.decode("ascii")}, actor=admin[0])


def check_admin(roster: Roster, admin: tuple[str, Signer], *, first: Person | None = None) -> None:
    """Returns when `admin`, a name and a key, is one; where nobody is known yet, when it is `first` himself.

    Raises:
        Denied: it is none.
    """
    name, signer = admin
    if not roster.people and first is not None:
        if (first.name, first.key_id) != (name, signer.key_id) or Role.ADMIN not in first.roles:
            raise Denied("the first person is an admin and admits himself", rules=("not-an-admin",))
        return
    person = roster.person(name)
    if not person.is_admin or person.key_id != signer.key_id:
        raise Denied(
            f"'{name}' is no admin here, or this is not the admin's key",
            rules=("not-an-admin",),
            hint="`weighbridge people list` names the admins.",
        )


def _check_new(roster: Roster, person: Person) -> None:
    if not _NAME.fullmatch(person.name):
        raise ConfigError(f"'{person.name}' is no name for a person", hint="Use letters, digits and . _ @ + -")
    if not person.roles:
        raise ConfigError(f"'{person.name}' needs a role", hint="Choose requester, reviewer or admin.")
    if Role.GATEWAY in person.roles and len(person.roles) > 1:
        raise ConfigError(f"'{person.name}' cannot be a gateway and act as a person")
    if any(not login or len(login) > MAX_LOGIN + 8 or not login.isprintable() for login in person.logins):
        raise ConfigError(f"a login of '{person.name}' is empty, too long or not plain text")
    if len(roster.people) >= MAX_PEOPLE:
        raise ConfigError(f"there are {MAX_PEOPLE} people already")
    for known in roster.people:
        if known.name == person.name:
            raise ConfigError(f"the name '{person.name}' is taken; names are never given twice")
        if known.key_id == person.key_id:
            raise ConfigError(
                f"this key is the key of '{known.name}' already: two people never share one",
                hint="Each person makes a key: weighbridge people key NAME",
            )
        shared = sorted(set(known.logins) & set(person.logins))
        if shared and known.active:
            raise ConfigError(f"'{shared[0]}' acts for '{known.name}' already")


def _statement(act: str, person: Person, *, by: str, ledger: str) -> Statement:
    predicate = {
        "act": act,
        "person": person.name,
        "roles": sorted(role.value for role in person.roles),
        "public_key": person.public_pem,
        "logins": list(person.logins),
        "by": by,
        "ledger": ledger,
    }
    return Statement((Subject(f"person:{person.name}", person.key_id),), PERSON_TYPE, predicate)


def _applied(roster: Roster, event: Event, ledger: str) -> Roster:
    envelope = Fields(event.payload, what="the event").text("statement").encode("utf-8")
    act, person, by, made_for = _read(envelope, roster)
    if made_for != ledger:
        raise StatementMismatch("the statement was made for another ledger")
    if (act, person.name) != ("add" if event.kind == ADDED else "remove", event.subject):
        raise StatementMismatch("the statement is about another person or act")
    if act == "remove":
        if not any(one.key_id == person.key_id and one.active for one in roster.people):
            raise StatementMismatch("the statement removes nobody who is there")
        gone = (replace(one, active=False) if one.key_id == person.key_id else one for one in roster.people)
        return Roster(tuple(gone))
    _check_new(roster, person)
    if roster.people and not roster.person(by).is_admin:
        raise StatementMismatch(f"'{by}' was no admin")
    return Roster((*roster.people, person))


def _read(envelope: bytes, roster: Roster) -> tuple[str, Person, str, str]:
    """Act, person, who says so, and for which ledger; only an admin's key opens it, or for the first person that person's own."""
    admins = tuple(one for one in roster.people if one.is_admin)
    signed_by, claim = unverified(envelope)
    keys = _keys(admins) if roster.people else _keys((_person(claim)[1],))
    act, person, by, ledger = _person(open_statement(envelope, keys, predicate_type=PERSON_TYPE))
    if roster.people:
        if roster.person(by).key_id != signed_by:
            raise StatementMismatch(f"the statement says '{by}', but another admin signed it")
    elif by != person.name or Role.ADMIN not in person.roles:
        raise StatementMismatch("the first person of a ledger is an admin and admits himself")
    return act, person, by, ledger


def _person(statement: Statement) -> tuple[str, Person, str, str]:
    fields = Fields(statement.predicate, what="the statement about a person")
    pem = pem_of(parse_public(fields.text("public_key").encode("utf-8"), "the statement"))
    try:
        roles = frozenset(Role(role) for role in fields.texts("roles"))
    except ValueError as error:
        raise StatementMismatch("the statement names a role that this version does not know") from error
    person = Person(fields.text("person"), roles, key_id_of(pem), pem.decode("ascii"), fields.texts("logins"))
    act, by, ledger = fields.text("act"), fields.text("by"), fields.text("ledger")
    fields.done()
    if statement.subjects != (Subject(f"person:{person.name}", person.key_id),):
        raise StatementMismatch("the statement is about another key than the one it carries")
    return act, person, by, ledger


def _keys(people: Iterable[Person], *, revoked: frozenset[str] = frozenset()) -> TrustedKeys:
    public = {one.key_id: parse_public(one.public_pem.encode("ascii"), f"the key of '{one.name}'") for one in people}
    return TrustedKeys(public, revoked)
