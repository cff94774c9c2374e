"""A signing key that stays in an HSM or a smart card: named by a `pkcs11:` URI, asked for each signature.

- The URI is RFC 7512's: which token (`token`, `serial`, `manufacturer`, `model`, `slot-id`), which key (`object`, `id`), and after `?`
  the PKCS#11 library to load (`module-path`, an absolute path) and the file that holds the PIN (`pin-source`). Other
  attributes are refused, for what is not understood cannot be honoured.
- A PIN in the URI itself (`pin-value`) is refused: settings, process lists and this program's own output would show it.
- The public half is read from the token once; every signature is checked with it before it is believed.
- The library is native code of the HSM's maker, run in this process: name only one that you trust like this program.

Needs the extra `pkcs11`.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote_to_bytes

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from weighbridge.attest.public_keys import KeyElsewhere, check_own
from weighbridge.core.errors import ConfigError, SignerUnavailable
from weighbridge.wire.files import read_small

SCHEME = "pkcs11:"
MAX_URI_CHARACTERS = 4096
_TOKEN_ATTRIBUTES = ("token", "serial", "manufacturer", "model", "slot-id")
_KEY_ATTRIBUTES = ("object", "id", "type")
_QUERY_ATTRIBUTES = ("module-path", "pin-source")
_VALUE = re.compile(r"(?:[A-Za-z0-9\-._~:\[\]@!$'()*+,=&/?|]|%[0-9A-Fa-f]{2})*")
_CURVES: Final[Mapping[bytes, type[ec.EllipticCurve]]] = {
    bytes.fromhex("06082a8648ce3d030107"): ec.SECP256R1,
    bytes.fromhex("06052b81040022"): ec.SECP384R1,
    bytes.fromhex("06052b81040023"): ec.SECP521R1,
}
"""Curves by the DER of their object identifiers, as `CKA_EC_PARAMS` holds them."""


@dataclass(frozen=True, slots=True)
class Pkcs11Uri:
    """What a `pkcs11:` URI names; texts are "" and `key` is empty where it does not say."""

    token: str
    serial: str
    manufacturer: str
    model: str
    slot_id: int | None
    label: str
    key: bytes
    module_path: str
    pin_source: str

    @classmethod
    def parse(cls, text: str) -> Pkcs11Uri:
        """Reads a URI.

        Raises:
            ConfigError: it is not of RFC 7512's form, holds a PIN, or an attribute that is not understood.
        """
        if not text.startswith(SCHEME) or len(text) > MAX_URI_CHARACTERS:
            raise ConfigError("a PKCS#11 key is named by a URI that begins with 'pkcs11:'")
        path, _, query = text[len(SCHEME) :].partition("?")
        if "pin-value" in query or "pin-value" in path:
            raise ConfigError(
                "the PKCS#11 URI holds a PIN (pin-value), which everybody who sees the settings would know",
                hint="Put it in a file of its own: pin-source=/path in the URI, or signing.password_file.",
            )
        attributes = dict(_attributes(path, ";", (*_TOKEN_ATTRIBUTES, *_KEY_ATTRIBUTES)))
        asked = dict(_attributes(query, "&", _QUERY_ATTRIBUTES))
        slot = attributes.get("slot-id", b"")
        if slot and not re.fullmatch(rb"\d{1,9}", slot):
            raise ConfigError("'slot-id' of the PKCS#11 URI is not a number")
        if attributes.get("type", b"private") != b"private":
            raise ConfigError("the PKCS#11 URI names no private key (type=private)")
        if not attributes.get("object") and not attributes.get("id"):
            raise ConfigError("the PKCS#11 URI does not say which key (object=... or id=%01)")
        return cls(
            token=_text(attributes, "token"),
            serial=_text(attributes, "serial"),
            manufacturer=_text(attributes, "manufacturer"),
            model=_text(attributes, "model"),
            slot_id=int(slot) if slot else None,
            label=_text(attributes, "object"),
            key=attributes.get("id", b""),
            module_path=_text(asked, "module-path"),
            pin_source=_text(asked, "pin-source"),
        )

    def pin(self, password: str | None) -> str | None:
        """The PIN from the file that `pin-source` names, else the given password.

        Raises:
            ConfigError: the file cannot be read, or is named by anything but an absolute path or `file:`.
        """
        if not self.pin_source:
            return password
        path = Path(self.pin_source.removeprefix("file://").removeprefix("file:"))
        if not path.is_absolute():
            raise ConfigError("'pin-source' of the PKCS#11 URI is not an absolute path")
        try:
            return read_small(path, "the file of 'pin-source'").decode("utf-8").rstrip("\r\n")
        except UnicodeDecodeError as error:
            raise ConfigError("the file of 'pin-source' is not UTF-8") from error


def _attributes(text: str, separator: str, known: tuple[str, ...]) -> Iterator[tuple[str, bytes]]:
    seen: set[str] = set()
    for piece in text.split(separator) if text else ():
        name, equals, value = piece.partition("=")
        if name not in known or name in seen or not equals or not _VALUE.fullmatch(value):
            raise ConfigError(
                f"the PKCS#11 URI has an attribute that is not understood, repeated or badly spelt: {name[:40]!r}",
                hint=f"Understood are {', '.join(known)}; other characters are written as %20.",
            )
        seen.add(name)
        yield name, unquote_to_bytes(value)


def _text(attributes: Mapping[str, bytes], name: str) -> str:
    try:
        return attributes.get(name, b"").decode("utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(f"'{name}' of the PKCS#11 URI is not UTF-8") from error


class Pkcs11Key(KeyElsewhere):
    """A private key in a token; implements `core.ports.Signer`. Thread-safe: one signature at a time."""

    def __init__(self, text: str, password: str | None = None) -> None:
        """Opens the token, logs in and finds the key.

        Raises:
            ConfigError: the extra is missing, or library, token, PIN or key are not what the URI says.
        """
        self._uri = Pkcs11Uri.parse(text)
        # The query is left out: where a PIN's file is does not belong into what others read.
        place = text.partition("?")[0]
        pkcs11 = _library()
        self._lock = threading.Lock()
        with _translated(place, ConfigError):
            self._session = _logged_in(_token(pkcs11, self._uri, place), self._uri.pin(password))
            self._private = self._session.get_key(
                object_class=pkcs11.ObjectClass.PRIVATE_KEY, label=self._uri.label or None, id=self._uri.key or None
            )
            public = _public(pkcs11, self._session, self._private, place)
        super().__init__(public, place)

    def sign(self, data: bytes) -> bytes:
        """An ECDSA signature over `data`, ASN.1 DER. The token sees the digest alone.

        Raises:
            SignerUnavailable: the token is gone, or would not sign.
            SignatureInvalid: what it returned is no signature by this key.
        """
        from pkcs11 import Mechanism

        hasher = hashes.Hash(self._hash)
        hasher.update(data)
        with self._lock, _translated(self._place, SignerUnavailable):
            raw = bytes(self._private.sign(hasher.finalize(), mechanism=Mechanism.ECDSA))
        half = len(raw) // 2
        pair = int.from_bytes(raw[:half], "big"), int.from_bytes(raw[half:], "big")
        return check_own(self._public, data, encode_dss_signature(*pair), place=self._place)

    def __repr__(self) -> str:
        return f"Pkcs11Key({self.key_id})"

    def __reduce__(self) -> str:
        raise TypeError("a private key is not copied")


def _library() -> Any:
    try:
        import pkcs11
    except ImportError as error:
        raise ConfigError(
            "keys in an HSM need the 'pkcs11' extra, which is not installed", hint="pip install 'weighbridge[pkcs11]'"
        ) from error
    return pkcs11


@contextmanager
def _translated(place: str, kind: type[ConfigError | SignerUnavailable]) -> Iterator[None]:
    """The library's errors as ours; their names are PKCS#11's own return codes."""
    from pkcs11.exceptions import PinIncorrect, PinLenRange, PinLocked, PKCS11Error

    try:
        yield
    except (PinIncorrect, PinLenRange, PinLocked) as error:
        raise ConfigError(
            f"the token of '{place}' does not take the PIN ({type(error).__name__})",
            hint="Correct the file of pin-source or signing.password_file before it is tried again: tokens lock.",
        ) from error
    except PKCS11Error as error:
        raise kind(
            f"the key '{place}' cannot be used: {type(error).__name__}",
            hint="Check that the token is there, that this user may use it, and what the URI names (p11tool --list-all).",
        ) from error


def _logged_in(token: Any, pin: str | None) -> Any:
    from pkcs11.exceptions import UserAlreadyLoggedIn

    try:
        return token.open(user_pin=pin)
    except UserAlreadyLoggedIn:
        # Logging in counts for the whole process: another key of the same token is open.
        return token.open()


def _token(pkcs11: Any, uri: Pkcs11Uri, place: str) -> Any:
    if not uri.module_path or not Path(uri.module_path).is_absolute():
        raise ConfigError(
            f"'{place}' does not say which PKCS#11 library to load",
            hint="Add ?module-path=/usr/lib/softhsm/libsofthsm2.so, or that of your HSM's maker.",
        )
    if not Path(uri.module_path).is_file():
        raise ConfigError(f"there is no PKCS#11 library at '{uri.module_path}'", hint="Correct module-path.")
    wanted = {
        "label": uri.token,
        "serial": uri.serial.encode("utf-8"),
        "manufacturer_id": uri.manufacturer,
        "model": uri.model,
    }
    try:
        slots = pkcs11.lib(uri.module_path).get_slots(token_present=True)
    except RuntimeError as error:
        raise ConfigError(f"'{uri.module_path}' is no PKCS#11 library that loads: {error}") from error
    found = []
    for slot in slots:
        try:
            token = slot.get_token()
        except pkcs11.PKCS11Error:
            # Another token that is broken or was taken out just now does not keep ours from being found.
            continue
        there = pkcs11.TokenFlag.TOKEN_INITIALIZED in token.flags and uri.slot_id in (None, slot.slot_id)
        if there and all(not value or getattr(token, name) == value for name, value in wanted.items()):
            found.append(token)
    if len(found) != 1:
        raise ConfigError(
            f"{len(found) or 'no'} token{'s' * (len(found) > 1)} fit '{place}'",
            hint="Name one by token=... and serial=...; `pkcs11-tool --list-slots` shows them.",
        )
    return found[0]


def _public(pkcs11: Any, session: Any, private: Any, place: str) -> ec.EllipticCurvePublicKey:
    """The public half that the token keeps beside the private one, under the same id."""
    attribute = pkcs11.Attribute
    if private.key_type is not pkcs11.KeyType.EC:
        raise ConfigError(f"'{place}' is not an elliptic-curve key", hint="Use P-256, P-384 or P-521.")
    public = session.get_key(object_class=pkcs11.ObjectClass.PUBLIC_KEY, id=private[attribute.ID])
    curve = _CURVES.get(bytes(public[attribute.EC_PARAMS]))
    if curve is None:
        raise ConfigError(f"'{place}' is on a curve that is not supported", hint="Use P-256, P-384 or P-521.")
    point = bytes(public[attribute.EC_POINT])
    # PKCS#11 wraps the point in an octet string (2.40, 6.3.3); some makers forget it.
    length = 1 + 2 * ((curve().key_size + 7) // 8)
    try:
        return ec.EllipticCurvePublicKey.from_encoded_point(curve(), point[-length:])
    except ValueError as error:
        raise ConfigError(f"the token of '{place}' gives no public key that is on its curve") from error
