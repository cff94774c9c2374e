"""`weighbridge people`: who may ask, approve, and say who is who."""

from __future__ import annotations

from pathlib import Path

import click

from weighbridge.cli.console import Output
from weighbridge.cli.options import common
from weighbridge.cli.settings import Home
from weighbridge.core.errors import ConfigError

MAX_KEY_BYTES = 64 * 1024
ROLES = ("requester", "reviewer", "admin", "gateway")


@click.group("people")
def people_command() -> None:
    """Admit and remove the people whose approvals count."""


@people_command.command("list", epilog="\b\nExamples:\n  weighbridge people list\n  weighbridge people list --json")
@common
def list_command(home: Home, output: Output, /) -> int:
    """List everybody, with role and key."""
    from weighbridge.admit.people import Roster, roster_of
    from weighbridge.cli.yard import OpenYard

    with OpenYard(home, output) as yard:
        roster = roster_of(yard.ledger()) if yard.has_ledger else Roster()
        if output.as_json:
            output.document(
                [
                    {
                        "person": one.name,
                        "roles": sorted(role.value for role in one.roles),
                        "key_id": one.key_id,
                        "logins": list(one.logins),
                        "active": one.active,
                    }
                    for one in roster.people
                ]
            )
            return 0
        output.table(
            ("person", "roles", "key", "acts as", ""),
            [
                (
                    one.name,
                    ", ".join(sorted(role.value for role in one.roles)),
                    one.key_id[:16],
                    ", ".join(one.logins),
                    "" if one.active else "removed",
                )
                for one in roster.people
            ],
        )
        if not roster.people:
            output.say("Nobody yet. The first one to run `weighbridge people add` or `approve` becomes admin.")
        return 0


@people_command.command("key", epilog="\b\nExamples:\n  weighbridge people key alice")
@click.argument("name")
@common
def key_command(home: Home, output: Output, /, *, name: str) -> int:
    """Make a key for NAME in this home, and print its public half for an admin."""
    from weighbridge.cli.identity import key_path, make_key
    from weighbridge.cli.yard import OpenYard

    _plain(name)
    with OpenYard(home, output) as yard:
        key = make_key(yard, name)
        public = Path(f"{key_path(yard, name)}.pub")
        if output.as_json:
            output.document({"person": name, "key_id": key.key_id, "public_key": str(public), "login": yard.login})
            return 0
        output.line(str(public))
        output.say(
            f"An admin now runs: weighbridge people add {name} --role reviewer --key {public} --login {yard.login}"
        )
        return 0


@people_command.command(
    "add",
    epilog="\b\nExamples:\n  weighbridge people add alice --role admin\n"
    "  weighbridge people add bob --role reviewer --key bob.pem.pub --login bob@workstation",
)
@click.argument("name")
@click.option("--role", "roles", multiple=True, required=True, type=click.Choice(ROLES), help="May be repeated.")
@click.option("--key", "key_file", default="", metavar="FILE", help="The public key (default: one made here before).")
@click.option("--login", "logins", multiple=True, metavar="USER@HOST", help="What the ledger calls NAME.")
@click.option("--oidc", default="", metavar="ISSUER#SUB", help="NAME as an OpenID Connect provider knows NAME.")
@click.option("--person", default=None, metavar="ADMIN", help="The admin who says so.")
@common
def add_command(
    home: Home,
    output: Output,
    /,
    *,
    name: str,
    roles: tuple[str, ...],
    key_file: str,
    logins: tuple[str, ...],
    oidc: str,
    person: str | None,
) -> int:
    """Admit NAME. An admin's key signs; where nobody is known yet, NAME becomes the first admin."""
    from weighbridge.admit.people import Role, add_person, oidc_login, roster_of
    from weighbridge.attest.keys import LocalKey
    from weighbridge.cli.identity import key_path, make_key, own_key, own_name
    from weighbridge.cli.yard import OpenYard

    _plain(name)
    if oidc:
        issuer, _, subject = oidc.rpartition("#")
        logins = (*logins, oidc_login(issuer, subject))
    with OpenYard(home, output, {"identity.name": person}) as yard:
        ledger = yard.ledger(writing=True)
        first = not roster_of(ledger).people
        if first and "admin" not in roles:
            raise ConfigError("nobody is known here yet, and the first person is an admin", hint="Add --role admin.")
        if first and not key_file and not key_path(yard, name).exists():
            make_key(yard, name)
        public = _public(Path(key_file) if key_file else Path(f"{key_path(yard, name)}.pub"))
        admin = name if first else own_name(yard)
        if not admin:
            raise ConfigError(
                "no admin acts from this home", hint="Run this where an admin's key is, or name --person."
            )
        signer: LocalKey = own_key(yard, admin)
        found = add_person(
            ledger,
            name,
            public,
            roles=frozenset(Role(role) for role in roles),
            logins=logins or ((yard.login,) if first else ()),
            admin=(admin, signer),
        )
        output.line(f"{found.name}\t{', '.join(sorted(roles))}\t{found.key_id}")
        return 0


@people_command.command("remove", epilog="\b\nExamples:\n  weighbridge people remove bob")
@click.argument("name")
@click.option("--person", default=None, metavar="ADMIN", help="The admin who says so.")
@common
def remove_command(home: Home, output: Output, /, *, name: str, person: str | None) -> int:
    """End what NAME may do. Approvals of the past count no more; the name and key are never given again."""
    from weighbridge.admit.people import remove_person
    from weighbridge.cli.identity import own_key, own_name
    from weighbridge.cli.yard import OpenYard

    with OpenYard(home, output, {"identity.name": person}) as yard:
        admin = own_name(yard)
        if not admin:
            raise ConfigError(
                "no admin acts from this home", hint="Run this where an admin's key is, or name --person."
            )
        remove_person(yard.ledger(writing=True), name, admin=(admin, own_key(yard, admin)))
        output.say(f"removed {name}")
        return 0


def _plain(name: str) -> None:
    """The name becomes a file's name as well."""
    if not name or not all(letter.isalnum() or letter in "._@+-" for letter in name) or name[0] in ".-":
        raise ConfigError(f"'{name}' is no name for a person", hint="Use letters, digits and . _ @ + -")


def _public(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            return stream.read(MAX_KEY_BYTES)
    except OSError as error:
        raise ConfigError(
            f"the public key '{path}' cannot be read: {error.strerror}",
            hint="Name the person's .pub file with --key; `weighbridge people key NAME` makes one.",
        ) from error
