"""Options of the commands of an inference node, and the node they open: by a trust file, or by the home."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, ParamSpec, TypeVar

import click

from weighbridge.cli.console import Output
from weighbridge.cli.settings import Home
from weighbridge.core.dataclass import dataclass
from weighbridge.core.errors import ConfigError

if TYPE_CHECKING:
    from weighbridge.cli.yard import OpenYard
    from weighbridge.serve.loading.node import Node
    from weighbridge.serve.loading.trust import Trust

Rest = ParamSpec("Rest")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class NodeOptions:
    """What the command line said of the node."""

    trust: Path | None
    trust_sha256: str
    store: str
    state: Path | None


def node_options(command: Callable[Rest, Result]) -> Callable[..., Result]:
    """Adds --trust, --trust-sha256, --store and --state; the command gets them as `node`."""

    @click.option(
        "--trust",
        type=click.Path(path_type=Path, readable=False),
        default=None,
        metavar="FILE",
        help="What to trust (default: WEIGHBRIDGE_TRUST, else this home).",
    )
    @click.option(
        "--trust-sha256",
        default="",
        metavar="HEX",
        help="The digest that the trust file must have (WEIGHBRIDGE_TRUST_SHA256).",
    )
    @click.option(
        "--store", default="", metavar="STORE", help="The approved store (default: WEIGHBRIDGE_STORE, else as trusted)."
    )
    @click.option(
        "--state",
        type=click.Path(path_type=Path),
        default=None,
        metavar="DIR",
        help="Where what was seen of the index is kept between starts (WEIGHBRIDGE_STATE).",
    )
    @functools.wraps(command)
    def with_node(*args: Rest.args, **kwargs: Rest.kwargs) -> Result:
        chosen = {name: kwargs.pop(name) for name in ("trust", "trust_sha256", "store", "state")}
        kwargs["node"] = NodeOptions(**chosen)  # type: ignore[arg-type]
        return command(*args, **kwargs)

    return with_node


@contextmanager
def opened_node(home: Home, output: Output, options: NodeOptions) -> Iterator[Node]:
    """The approved store as a node sees it: by a trust file when one is named, else by what this home trusts.

    Raises:
        ConfigError: neither is there, or a setting is wrong.
        StatementMismatch: the trust file is not the pinned one.
    """
    from weighbridge.serve.loading.node import Node, NodeSettings, open_node

    settings = NodeSettings(options.trust, options.trust_sha256, options.store, options.state).over(os.environ)
    if settings.trust is not None:
        with open_node(settings) as node:
            if not node.remembers:
                output.say(
                    "nothing is remembered of the index between starts: name a folder that can be written to, --state DIR"
                )
            yield node
        return
    if settings.trust_sha256 or settings.store:
        raise ConfigError("a store or a digest was given, and no trust file", hint="Name it: --trust FILE")
    from weighbridge.cli.channeling import index_reader
    from weighbridge.cli.yard import OpenYard
    from weighbridge.serve.approved import Approved

    with OpenYard(home, output) as yard:
        reader = index_reader(yard)
        if not reader.trusted.has_root:
            raise ConfigError(
                "no trust file was named, and this home trusts no index",
                hint="Get one from where models are promoted (weighbridge trust export FILE) and name it: --trust FILE",
            )
        yield Node(Approved(yard.approved(), reader, yard.trusted))


def trust_of(yard: OpenYard, *, store: str = "") -> Trust:
    """What this home trusts, for nodes elsewhere; `store` is how they reach the approved store, if not as here.

    Raises:
        ConfigError: no root is trusted here. TrustError, StoreError: the index cannot be believed or read.
    """
    from weighbridge.cli.channeling import index_reader
    from weighbridge.core.names import Address
    from weighbridge.serve.loading.trust import Trust

    reader, settings = index_reader(yard), yard.config.store
    version = reader.current().version
    address = str(Address.parse(store)) if store else yard.approved().address
    on_s3 = address.startswith("s3://")
    return Trust.of(
        yard.trusted,
        reader.trusted.newest_root(),
        address,
        index_version=version,
        endpoint=settings.s3_endpoint if on_s3 else "",
        region=settings.s3_region if on_s3 else "",
    )
