"""Files that hold keys: written whole or not at all, never in place of another."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from weighbridge.core.errors import ConfigError

PUBLIC_SUFFIX = ".pub"


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
