"""A running gateway and the keys of its home: what a key sealed is served while the key is trusted, and no longer."""

from __future__ import annotations

import contextlib
import http.client
import json
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import Command
from tests.support.gateway import CARD, CHUNK, CONFIG, Answer, GatewayProcess, Shelf, large, running
from tests.support.waiting import PATIENCE_SECONDS, eventually

"""How long is waited for what takes half a second, on a busy machine."""


def exchange(shelf: Shelf) -> str:
    """Has another key sign, for the index as well; returns the old one's id."""
    old = str(shelf.command("keys", "rotate", "--json").json["before"])
    keys = shelf.command.home / "keys"
    retired = str(keys / "retired" / f"{old[:16]}.pem")
    shelf.command("channels", "rotate-keys", "--root-key", str(keys / "signing.pem.pub"), "--sign-with", retired)
    return old


@pytest.fixture(scope="module")
def two_keys(tmp_path_factory: pytest.TempPathFactory) -> tuple[Shelf, str]:
    """A home with `acme/old`, sealed by a key that was exchanged since, and `acme/new`; and the old key's id."""
    base = tmp_path_factory.mktemp("keys")
    shelf = Shelf(Command(base / "home"))
    shelf.ingest("old", large(base / "old", seed=1, chunks=1.1))
    shelf.approve("old")
    old = exchange(shelf)
    folder = base / "new"
    folder.mkdir()
    (folder / "README.md").write_text(CARD)
    (folder / "config.json").write_text(json.dumps(CONFIG))
    shelf.ingest("new", folder)
    shelf.approve("new")
    return shelf, old


@pytest.fixture(scope="module")
def gateway(two_keys: tuple[Shelf, str]) -> Iterator[GatewayProcess]:
    with running(two_keys[0].command) as process:
        yield process


def soon(ask: Callable[[], Answer], status: int) -> Answer:
    """The first answer with that status."""
    return eventually(lambda: answer if (answer := ask()).status == status else None)  # type: ignore[return-value]


def test_keys_that_are_taken_in_forgotten_and_revoked_count_at_once(
    two_keys: tuple[Shelf, str], gateway: GatewayProcess, tmp_path: Path
) -> None:
    shelf, old = two_keys
    command, card = shelf.command, "/acme/{}/resolve/main/README.md"

    def both() -> list[int]:
        return [gateway.ask(card.format(name)).status for name in ("old", "new")]

    assert both() == [200, 200]

    # Forgotten: nobody knows whose the seal is, so nothing can be proven; trusted again, it is served again.
    known = command.home / "keys" / "trusted" / f"{old[:16]}.pub"
    aside = known.rename(tmp_path / "old.pub")
    soon(lambda: gateway.ask(card.format("old")), 503)
    assert both() == [503, 200]
    command("keys", "trust", str(aside))
    soon(lambda: gateway.ask(card.format("old")), 200)

    # Revoked, by whatever name it is asked for; a client is told that there is no such revision, and why.
    command("keys", "revoke", old, "--reason", "laptop stolen")
    answer = soon(lambda: gateway.ask(card.format("old")), 410)
    assert answer.headers["x-error-code"] == "RevisionNotFound"
    assert "laptop stolen" in answer.headers["x-error-message"]
    assert gateway.ask(f"/api/models/acme/old/revision/{shelf.revisions['old']}").status == 410
    assert both() == [410, 200]
    for query in ("", "?full=true", "?filter=transformers"):
        assert "acme/new" in [one["id"] for one in gateway.ask(f"/api/models{query}").json]

    # Sealed again by today's key, it is served again.
    command("keys", "reseal", "--all")
    soon(lambda: gateway.ask(card.format("old")), 200)


def test_a_key_that_cannot_be_read_may_be_the_revoked_one(two_keys: tuple[Shelf, str], gateway: GatewayProcess) -> None:
    spoilt = two_keys[0].command.home / "keys" / "trusted" / "spoilt.pub"
    spoilt.write_text("-----BEGIN PUBLIC KEY-----\nnot one\n")
    try:
        answer = soon(lambda: gateway.ask("/api/models/acme/new"), 503)
        assert "cannot tell what is approved" in answer.headers["x-error-message"]
        assert gateway.ask("/readyz").status == 503
    finally:
        spoilt.unlink()
    soon(lambda: gateway.ask("/api/models/acme/new"), 200)


def test_a_download_ends_when_the_key_that_sealed_it_is_revoked_by_any_home_on_the_ledger(tmp_path: Path) -> None:
    shelf = Shelf(Command(tmp_path / "home"))
    shelf.ingest("long", large(tmp_path / "long", seed=3, chunks=4.2))
    shelf.approve("long")
    old = exchange(shelf)
    with (
        running(shelf.command) as gateway,
        contextlib.closing(http.client.HTTPConnection(*gateway.address, timeout=PATIENCE_SECONDS)) as connection,
    ):
        connection.request("GET", "/acme/long/resolve/main/model.safetensors")
        response = connection.getresponse()
        got = len(response.read(CHUNK // 2))
        shelf.command("keys", "revoke", old, "--reason", "stolen")
        # As if it had been revoked from another home: here the ledger alone tells of it.
        shutil.rmtree(shelf.command.home / "keys" / "trusted" / "revoked")
        time.sleep(1.2)  # What was known before may be believed for half a second.
        soon(lambda: gateway.ask("/api/models/acme/long"), 410)
        with contextlib.suppress(http.client.IncompleteRead, ConnectionError):
            while part := response.read1(1 << 20):
                got += len(part)
        assert got < int(response.headers["content-length"])
        assert "stolen" in gateway.ask("/api/models/acme/long").headers["x-error-message"]
    # What the gateway recorded at its end is signed by the key of now: the ledger holds, and tells of the download.
    assert "gateway.downloads" in shelf.command("audit", "log", "--json").out
    shelf.command("audit", "verify")
