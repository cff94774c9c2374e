"""Chooses the object store that fits an address."""

from __future__ import annotations

from pathlib import Path

from weighbridge.core.config import StoreSettings
from weighbridge.core.errors import ConfigError
from weighbridge.core.names import Address
from weighbridge.core.ports import ObjectStore
from weighbridge.wire.http import Http


def open_store(address: Address, settings: StoreSettings, http: Http) -> ObjectStore:
    """The store behind an address; nothing is asked of it yet.

    Raises:
        ConfigError: the address is no store's, or an extra is not installed.
    """
    if address.scheme == "folder":
        from weighbridge.store.folder import FolderStore

        return FolderStore(Path(address.location).expanduser().absolute())
    if address.scheme == "s3":
        from weighbridge.store.s3 import S3Store

        return S3Store(address, http=http, settings=settings)
    if address.scheme in ("gs", "az"):
        from weighbridge.store.cloud import CloudStore

        return CloudStore(address)
    raise ConfigError(f"{address} cannot be a store", hint="Use a folder, s3://bucket/prefix, gs:// or az://.")
