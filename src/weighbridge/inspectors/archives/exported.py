"""Which members of a `torch.export` archive (.pt2) are the raw bytes of tensors, by the archive's own lists.

`data/weights/model_weights_config.json` and `data/constants/model_constants_config.json` name every tensor's member and
say whether it is a pickle. Only what is no pickle by the list, lies beside the list, is stored as it is, has a plain name
and begins as no program, archive or serialised object is taken for numbers. Source: torch/export/pt2_archive.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from weighbridge.core.later import later
from weighbridge.core.ports import RangeReader
from weighbridge.formats.bounded import read_whole
from weighbridge.formats.json_text import MAX_TEXT_BYTES, JsonProblem, parse
from weighbridge.formats.kinds import kind_of, read_head
from weighbridge.formats.zips import STORED, ZipMember

_LIST: Final = later(r"((?:[\w.-]{1,100}/)?data/(?:weights|constants)/)\w{1,100}_(?:weights|constants)_config\.json")
_TENSOR: Final = later(r"(?:weight|tensor)_\d{1,9}")
_NEVER: Final = frozenset(("serialised", "executable", "archive"))
MAX_LISTS: Final = 100


def listed_tensors(members: Sequence[ZipMember], open_member: Callable[[int], RangeReader | None]) -> frozenset[str]:
    """The names of the members that are raw tensors by their lists; a list that cannot be read names none.

    Raises:
        Truncated: the reader returned less than the artifact's size promises.
    """
    found: set[str] = set()
    lists = [(number, named) for number, one in enumerate(members) if (named := _LIST.fullmatch(one.name))]
    for number, named in lists[:MAX_LISTS]:
        content = open_member(number)
        if content is None or content.size_bytes > MAX_TEXT_BYTES:
            continue
        try:
            value = parse(read_whole(content, MAX_TEXT_BYTES)).value
        except JsonProblem:
            continue
        tensors = value.get("config") if isinstance(value, dict) else None
        for one in tensors.values() if isinstance(tensors, dict) else ():
            name = one.get("path_name") if isinstance(one, dict) else None
            raw = isinstance(one, dict) and one.get("use_pickle") is False
            if raw and isinstance(name, str) and _TENSOR.fullmatch(name):
                found.add(named.group(1) + name)
    return frozenset(found)


def is_raw(member: ZipMember, content: RangeReader) -> bool:
    """Whether a listed member may be taken for numbers."""
    plain = member.method == STORED and not member.encrypted and member.size_bytes == member.packed_bytes
    return plain and kind_of(member.name, read_head(content), content.size_bytes).family not in _NEVER
