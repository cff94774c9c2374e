"""`weighbridge channels root`, `trust`, `init`, `rotate-keys`, `sign-root`, `publish-root`: who may sign the index."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from weighbridge.cli.channeling import channels_of, index_reader, index_writer, lifetimes
from weighbridge.cli.console import Output, write_whole
from weighbridge.cli.options import common
from weighbridge.cli.settings import Home
from weighbridge.core.errors import ConfigError

if TYPE_CHECKING:
    from securesystemslib.signer import SSlibKey

    from weighbridge.cli.yard import OpenYard

_FILE = click.Path(path_type=Path)
_ROOT_KEY = click.option(
    "--root-key",
    "root_keys",
    multiple=True,
    type=_FILE,
    metavar="PUB",
    help="A key that may sign the root (repeat it).",
)
_THRESHOLD = click.option("--threshold", type=int, default=0, metavar="N", help="How many root keys must sign.")
_DRAFT = click.option(
    "--draft", type=_FILE, default="root-draft.json", metavar="FILE", help="Where the root waits for signatures."
)


@click.command("root", epilog="\b\nExamples:\n  weighbridge channels root > root.json")
@common
def root_command(home: Home, output: Output, /) -> int:
    """Write the newest root of the index to stdout: readers elsewhere are given it once, by a way they trust."""
    from weighbridge.cli.yard import OpenYard

    with OpenYard(home, output) as yard:
        click.echo(index_reader(yard).trusted.newest_root().decode("utf-8"))
    return 0


@click.command("trust", epilog="\b\nExamples:\n  weighbridge channels trust root.json")
@click.argument("file", type=_FILE)
@common
def trust_command(home: Home, output: Output, /, *, file: Path) -> int:
    """Believe the index of the approved store by this root from now on."""
    from weighbridge.cli.yard import OpenYard

    with OpenYard(home, output) as yard:
        index_reader(yard).trusted.trust_root(_read(file).rstrip(b"\r\n"))
        output.say(f"the index in {yard.approved().address} is trusted by this root")
    return 0


@click.command(
    "init",
    epilog="\b\nExamples:\n  weighbridge channels init\n"
    "  weighbridge channels init --root-key a.pub --root-key b.pub --root-key c.pub --threshold 2",
)
@_ROOT_KEY
@_THRESHOLD
@_DRAFT
@common
def init_index_command(
    home: Home, output: Output, /, *, root_keys: tuple[Path, ...], threshold: int, draft: Path
) -> int:
    """Make an empty index. Without root keys, this home's key signs everything (the first promotion does that by itself)."""
    from tuf.api.metadata import Metadata

    from weighbridge.admit.index import moment
    from weighbridge.admit.index_keys import encoded, new_root, tuf_key
    from weighbridge.cli.yard import OpenYard
    from weighbridge.store.ledger import now_rfc3339

    with OpenYard(home, output) as yard:
        own = tuf_key(yard.key.public_pem)
        people = _keys(root_keys) or [own]
        root = new_root(people, threshold or len(people), [own], lifetimes(yard).root(moment(now_rfc3339())))
        return _offer(yard, encoded(Metadata(root)), draft)


@click.command(
    "rotate-keys",
    epilog="\b\nExamples:\n  weighbridge channels rotate-keys --online-key new.pub\n"
    "  weighbridge channels rotate-keys --root-key new.pub --sign-with old.pem",
)
@_ROOT_KEY
@_THRESHOLD
@click.option(
    "--online-key",
    "online_keys",
    multiple=True,
    type=_FILE,
    metavar="PUB",
    help="A key that may sign the lists (repeat it; default: this home's key alone).",
)
@click.option(
    "--sign-with",
    multiple=True,
    type=_FILE,
    metavar="PEM",
    help="Another private root key that is at hand (repeat it).",
)
@_DRAFT
@common
def rotate_keys_command(
    home: Home,
    output: Output,
    /,
    *,
    root_keys: tuple[Path, ...],
    threshold: int,
    online_keys: tuple[Path, ...],
    sign_with: tuple[Path, ...],
    draft: Path,
) -> int:
    """Make the next root of the index: other keys, or the same for longer. Keys that are left out count no more."""
    from weighbridge.admit.index import moment
    from weighbridge.admit.index_keys import encoded, read_root, set_keys, sign_draft, tuf_key
    from weighbridge.attest.keys import LocalKey
    from weighbridge.cli.yard import OpenYard
    from weighbridge.store.ledger import now_rfc3339

    with OpenYard(home, output) as yard:
        now = moment(now_rfc3339())
        trusted = index_reader(yard).trusted
        trusted.load_root(now)
        metadata = read_root(trusted.newest_root())
        root, role = metadata.signed, metadata.signed.roles["root"]
        people = _keys(root_keys) or [_as_ours(root.keys[key_id].keyval["public"]) for key_id in role.keyids]
        fallback = min(role.threshold, len(people)) if not root_keys else len(people)
        online = _keys(online_keys) or [tuf_key(yard.key.public_pem)]
        set_keys(root, people, threshold or fallback, online)
        root.version += 1
        root.expires = lifetimes(yard).root(now)
        metadata.signatures.clear()
        data = encoded(metadata)
        for path in sign_with:
            data = sign_draft(data, LocalKey.load(path))
        return _offer(yard, data, draft)


@click.command("sign-root", epilog="\b\nExamples:\n  weighbridge channels sign-root root-draft.json --key alice.pem")
@click.argument("file", type=_FILE)
@click.option("--key", required=True, type=_FILE, metavar="PEM", help="Your private root key.")
@click.option("--password-file", type=_FILE, default=None, metavar="FILE", help="File with the key's password.")
@common
def sign_root_command(_home: Home, output: Output, /, *, file: Path, key: Path, password_file: Path | None) -> int:
    """Add your signature to the draft of a root. Needs no network and no store."""
    from weighbridge.admit.index_keys import read_root, sign_draft
    from weighbridge.attest.keys import LocalKey

    password = _read(password_file).decode("utf-8").rstrip("\r\n") if password_file else None
    signer, data = LocalKey.load(key, password), _read(file)
    root = read_root(data).signed
    write_whole(file, sign_draft(data, signer))
    if signer.key_id not in root.roles["root"].keyids:
        output.say("this root does not name your key; your signature counts only if the one before it does")
    for key_id in root.roles["root"].keyids:
        output.say(f"root key {key_id[:16]}… ({root.roles['root'].threshold} must sign)")
    output.line(str(file))
    return 0


@click.command("publish-root", epilog="\b\nExamples:\n  weighbridge channels publish-root root-draft.json")
@click.argument("file", type=_FILE)
@common
def publish_root_command(home: Home, output: Output, /, *, file: Path) -> int:
    """Put a root into effect that enough people have signed, and sign the lists by it."""
    from weighbridge.cli.yard import OpenYard

    with OpenYard(home, output) as yard:
        return _publish(yard, _read(file))


def _offer(yard: OpenYard, data: bytes, draft: Path) -> int:
    """Signs a draft with this home's key if it asks for it; publishes it when that is enough, else leaves it for others."""
    from weighbridge.admit.index_keys import missing_signatures, read_root, sign_draft

    trusted = index_reader(yard).trusted
    before = read_root(trusted.newest_root()).signed if trusted.has_root else None
    wanted = set(read_root(data).signed.roles["root"].keyids) | set(before.roles["root"].keyids if before else ())
    if yard.key.key_id in wanted:
        data = sign_draft(data, yard.key)
    missing = missing_signatures(read_root(data), before)
    if not missing:
        return _publish(yard, data)
    write_whole(draft, data)
    yard.output.line(str(draft))
    yard.output.say(f"{missing} more signatures are needed: weighbridge channels sign-root {draft} --key KEY.pem")
    yard.output.say(f"then: weighbridge channels publish-root {draft}")
    return 0


def _publish(yard: OpenYard, data: bytes) -> int:
    from weighbridge.admit.index_keys import read_root

    version = read_root(data).signed.version
    if version == 1:
        if not index_writer(yard).create(data):
            raise ConfigError(
                f"there is an index in {yard.approved().address} already", hint="weighbridge channels rotate-keys"
            )
    else:
        channels_of(yard).rebuild(root=data)
    if yard.output.as_json:
        yard.output.document({"store": yard.approved().address, "root_version": version})
        return 0
    yard.output.line(f"root {version}")
    yard.output.say("give it to readers, by a way they trust: weighbridge channels root > root.json")
    return 0


def _keys(paths: tuple[Path, ...]) -> list[SSlibKey]:
    from weighbridge.admit.index_keys import tuf_key

    return [tuf_key(_read(path), what=f"'{path}'") for path in paths]


def _as_ours(pem: object) -> SSlibKey:
    from weighbridge.admit.index_keys import tuf_key

    return tuf_key(str(pem).encode("utf-8"))


def _read(path: Path) -> bytes:
    from weighbridge.admit.index_keys import MAX_ROOT_BYTES

    try:
        with path.open("rb") as file:
            return file.read(MAX_ROOT_BYTES + 2)
    except OSError as error:
        raise ConfigError(f"'{path}' cannot be read: {error.strerror}") from error
