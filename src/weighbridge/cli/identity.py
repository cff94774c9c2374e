"""Who acts from this home, and with which key."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from weighbridge.cli.yard import OpenYard, user_name
from weighbridge.core.errors import ConfigError

if TYPE_CHECKING:
    from weighbridge.attest.keys import LocalKey


def key_path(yard: OpenYard, name: str) -> Path:
    """Where the private key of a person is kept in this home."""
    return yard.home.people / f"{name}.pem"


def own_name(yard: OpenYard) -> str:
    """The person who acts: by the settings, else the only one whose private key is here; "" when there is none.

    Raises:
        ConfigError: there are several and none was chosen.
    """
    if yard.config.identity.name:
        return yard.config.identity.name
    folder = yard.home.people
    names = sorted(path.stem for path in folder.glob("*.pem")) if folder.is_dir() else []
    if len(names) > 1:
        raise ConfigError(
            f"several people act from this home: {', '.join(names)}",
            hint="Say who acts: --person NAME, or WEIGHBRIDGE_IDENTITY_NAME.",
        )
    return names[0] if names else ""


def own_key(yard: OpenYard, name: str) -> LocalKey:
    """The private key of a person.

    Raises:
        ConfigError: it is not here, or others can read it.
    """
    from weighbridge.attest.keys import LocalKey

    path = key_path(yard, name)
    if not path.exists():
        raise ConfigError(
            f"the key of '{name}' is not in this home",
            hint=f"It belongs at {path}; `weighbridge people key {name}` makes one.",
        )
    return LocalKey.load(path)


def make_key(yard: OpenYard, name: str) -> LocalKey:
    """A new key for a person, kept in this home.

    Raises:
        ConfigError: the name has a key here already.
    """
    from weighbridge.attest.keys import LocalKey

    yard.home.people.mkdir(parents=True, exist_ok=True, mode=0o700)
    return LocalKey.create(key_path(yard, name))


def acting(yard: OpenYard) -> tuple[str, LocalKey]:
    """The person who acts from this home and the key; where nobody is known at all, whoever runs this becomes the first.

    Raises:
        ConfigError: nobody is chosen, or the key is not here.
    """
    from weighbridge.admit.people import Role, add_person, roster_of

    name = own_name(yard)
    if not name and not roster_of(yard.ledger()).people:
        name = "".join(letter if letter.isalnum() or letter in "._-" else "_" for letter in user_name()).strip("._-")
        name = name or "first"
        key = make_key(yard, name)
        add_person(
            yard.ledger(writing=True),
            name,
            key.public_pem,
            roles=frozenset((Role.ADMIN,)),
            logins=(yard.login,),
            admin=(name, key),
        )
        yard.output.say(f"'{name}' is the first person here, an admin; the key is {key_path(yard, name)}")
        return name, key
    if not name:
        raise ConfigError(
            "nobody acts from this home",
            hint="Make a key (weighbridge people key NAME) and have an admin admit you (weighbridge people add).",
        )
    return name, own_key(yard, name)
