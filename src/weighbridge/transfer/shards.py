"""Checks an index of shards against the revision that holds it, before the weights are moved.

An index (`*.index.json`, as `transformers` and `diffusers` write it) maps tensors to shard files. A shard it names and the
revision lacks means that the model cannot be loaded, or will be loaded from somewhere else.
"""

from __future__ import annotations

import json
import posixpath
from collections.abc import Collection

from weighbridge.core.errors import MissingShard, UnsafePath
from weighbridge.core.names import check_path

MAX_INDEX_BYTES = 64 * 1024 * 1024


def is_index(path: str) -> bool:
    """Whether a path is that of an index of shards."""
    return path.endswith(".index.json")


def check_index(path: str, data: bytes, paths: Collection[str], *, of: str) -> None:
    """Returns when every shard that the index names is among `paths`. What is no index at all is left to inspectors.

    Raises:
        MissingShard: a shard is not there.
        UnsafePath: a shard's name leaves the repository.
    """
    try:
        index = json.loads(data)
    except (ValueError, RecursionError):
        return
    weight_map = index.get("weight_map") if isinstance(index, dict) else None
    if not isinstance(weight_map, dict):
        return
    folder = posixpath.dirname(path)
    named = sorted({shard for shard in weight_map.values() if isinstance(shard, str)})
    for shard in named:
        full = f"{folder}/{shard}" if folder else shard
        try:
            check_path(full, of=f"'{path}' of {of}")
        except UnsafePath as error:
            raise UnsafePath(f"'{path}' of {of} names a shard outside of the model: {shard!r}") from error
    missing = [shard for shard in named if (f"{folder}/{shard}" if folder else shard) not in paths]
    if missing:
        some = ", ".join(missing[:3]) + (" …" if len(missing) > 3 else "")
        raise MissingShard(
            f"'{path}' of {of} names {len(missing)} of {len(named)} shards that the revision does not hold: {some}",
            hint="The upload upstream is incomplete. Pin a complete commit, or leave the index out with --exclude.",
        )
