"""Chooses the source that fits an address."""

from __future__ import annotations

from weighbridge.core.config import Config
from weighbridge.core.names import Address, ModelName
from weighbridge.core.ports import Source
from weighbridge.wire.http import Http


def open_source(address: Address, config: Config, http: Http, *, as_name: ModelName | None = None) -> Source:
    """The source behind an address; nothing is asked of it yet.

    Raises:
        ConfigError: the address or a setting is wrong, or an extra is not installed.
    """
    if address.scheme == "hf":
        from weighbridge.source.hub import HubSource

        return HubSource(
            address,
            http=http,
            endpoint=config.hub.endpoint,
            allow_pull_requests=config.hub.allow_pull_requests,
            as_name=as_name,
        )
    if address.scheme == "folder":
        from weighbridge.source.folder import FolderSource

        return FolderSource(address, as_name=as_name)
    if address.scheme == "s3":
        from weighbridge.source.bucket import S3Source

        return S3Source(address, http=http, settings=config.store, as_name=as_name)
    from weighbridge.source.cloud import CloudSource

    return CloudSource(address, as_name=as_name)
