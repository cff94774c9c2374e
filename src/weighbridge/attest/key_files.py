"""Files that hold keys: read with a bound, written whole or not at all, never in place of another."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from weighbridge.core.errors import ConfigError

MAX_KEY_FILE_BYTES = 64 * 1024
PUBLIC_SUFFIX = ".pub"


def read_small(path: Path, what: str) -> bytes:
    """The bytes of a small file; `what` names it in errors.

    Raises:
        ConfigError: it cannot be read, or is larger than any such file is.
    """
    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_KEY_FILE_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{what} cannot be read: {error.strerror}") from error
    if len(data) > MAX_KEY_FILE_BYTES:
        raise ConfigError(f"{what} is larger than {MAX_KEY_FILE_BYTES} bytes")
    return data


def in_the_way(path: Path) -> ConfigError:
    """What to say when a file is where a new one should be."""
    return ConfigError(f"'{path}' exists already; keys are never overwritten", hint="Choose another name.")


def write_new(path: Path, data: bytes, *, mode: int) -> None:
    """Writes a file that appears whole under its name or not at all, and never in place of another.

    Raises:
        ConfigError: the name is taken, or the folder cannot be written to.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.new")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        try:
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
            # A link, unlike a rename, fails when the name is taken.
            os.link(temporary, path)
        finally:
            temporary.unlink()
    except FileExistsError as error:
        raise in_the_way(path) from error
    except OSError as error:
        raise ConfigError(f"'{path}' cannot be written: {error.strerror}") from error
