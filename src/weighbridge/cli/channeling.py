"""Opens the channels of a home: the signed index in its approved store, for reading and for writing."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from weighbridge.admit.channels import Channels
    from weighbridge.admit.index_keys import Lifetimes
    from weighbridge.admit.index_reader import IndexReader
    from weighbridge.admit.index_writer import IndexWriter
    from weighbridge.cli.yard import OpenYard


def lifetimes(yard: OpenYard) -> Lifetimes:
    """How long what this home signs in the index is good."""
    from weighbridge.admit.index_keys import Lifetimes

    settings = yard.config.channels
    return Lifetimes(lists_days=settings.expires_days, timestamp_hours=settings.timestamp_expires_hours)


def index_writer(yard: OpenYard) -> IndexWriter:
    """Writes the index of the approved store with this home's key."""
    from weighbridge.admit.index_state import trust_folder
    from weighbridge.admit.index_writer import IndexWriter

    store = yard.approved()
    return IndexWriter(store, yard.key, trust_folder(yard.home.index_trust, store), lifetimes=lifetimes(yard))


def index_reader(yard: OpenYard) -> IndexReader:
    """Reads the index of the approved store by what this home trusts of it."""
    from weighbridge.admit.index_reader import IndexReader
    from weighbridge.admit.index_state import trust_folder

    store = yard.approved()
    return IndexReader(store, trust_folder(yard.home.index_trust, store))


def channels_of(yard: OpenYard) -> Channels:
    """The channels as this home's ledger and index have them."""
    from weighbridge.admit.channels import Channels

    return Channels(yard.ledger(writing=True), index_writer(yard), actor=yard.actor)
