"""Makes tokens in a real SoftHSM: keys that this process can use and never see.

Debian's package `softhsm2` is installed once where it is missing and this user may; otherwise what needs it is skipped, and
says why. The library reads its settings and looks for tokens when it is first loaded, so one process makes all that it will need
before, in one folder.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import shutil
import subprocess
import tempfile
import uuid
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.support.debian import install

LIBRARIES = (
    Path("/usr/lib/softhsm/libsofthsm2.so"),
    Path("/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so"),
    Path("/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so"),
    Path("/usr/lib64/libsofthsm2.so"),
    Path("/opt/homebrew/lib/softhsm/libsofthsm2.so"),
)
PIN = "4321-pin"
TOKENS = 8
"""How many a process may ask for."""


@dataclass(frozen=True)
class Token:
    """A token with one key pair, `seal`, and the file that holds its PIN."""

    label: str
    library: Path
    pin_file: Path
    folder: Path

    @property
    def path(self) -> str:
        """The URI of the key without its query."""
        return f"pkcs11:token={self.label};object=seal;id=%01"

    @property
    def uri(self) -> str:
        """The whole URI of the key."""
        return f"{self.path}?module-path={self.library}&pin-source={self.pin_file}"

    @property
    def environment(self) -> dict[str, str]:
        """What another process needs to see the token."""
        return {"SOFTHSM2_CONF": os.environ["SOFTHSM2_CONF"]}

    def remove(self) -> None:
        """Takes the token out, as by hand."""
        for folder in self.folder.iterdir():
            if self.label.encode() in (folder / "token.object").read_bytes():
                shutil.rmtree(folder)


@cache
def _library() -> Path:
    for attempt in ("look", "install"):
        if attempt == "install":
            install("softhsm2", is_there=lambda: shutil.which("softhsm2-util") is not None)
        found = next((path for path in LIBRARIES if path.exists()), None)
        if found is not None and shutil.which("softhsm2-util"):
            return found
    pytest.skip("SOFTHSM IS MISSING, so keys in an HSM are not tested: apt-get install softhsm2")


@dataclass(frozen=True)
class _Drawer:
    """The tokens of this process, and those of them that nobody has asked for yet."""

    home: Path
    unused: list[str]


@cache
def _drawer() -> _Drawer:
    home = Path(tempfile.mkdtemp(prefix="wb-softhsm-"))
    (home / "tokens").mkdir()
    (home / "softhsm2.conf").write_text(
        f"directories.tokendir = {home / 'tokens'}\nobjectstore.backend = file\nlog.level = ERROR\n"
    )
    os.environ["SOFTHSM2_CONF"] = str(home / "softhsm2.conf")
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    labels = [f"wb-{uuid.uuid4().hex[:8]}" for _ in range(TOKENS)]
    for label in labels:
        command = ["softhsm2-util", "--init-token", "--free", "--label", label, "--so-pin", "so-pin-1234", "--pin", PIN]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=60)
    return _Drawer(home, labels)


def _found(library: Any, label: str) -> Any:
    import pkcs11

    for slot in library.get_slots(token_present=True):
        # Slots of tokens that a test has taken out are still listed.
        with contextlib.suppress(pkcs11.PKCS11Error):
            if slot.get_token().label == label:
                return slot.get_token()
    raise AssertionError(f"SoftHSM does not show the token {label}")


def token(curve: str = "secp256r1") -> Token:
    """A token with a new key pair, made by the token itself."""
    library, drawer = _library(), _drawer()
    import pkcs11

    label = drawer.unused.pop()
    pin_file = drawer.home / f"{label}.pin"
    pin_file.write_text(f"{PIN}\n")
    with _found(pkcs11.lib(str(library)), label).open(rw=True, user_pin=PIN) as session:
        named = pkcs11.util.ec.encode_named_curve_parameters(curve)
        parameters = session.create_domain_parameters(
            pkcs11.KeyType.EC, {pkcs11.Attribute.EC_PARAMS: named}, local=True
        )
        parameters.generate_keypair(store=True, label="seal", id=b"\x01")
    return Token(label, library, pin_file, drawer.home / "tokens")
