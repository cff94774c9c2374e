"""Whether there is nothing to be said of a large JSON text, found out without building it.

Records, indexes and vocabularies of a million values need a hundred times their size as objects. Their parts are judged by
the same judges as whole texts are. Where a part has a key that a judge looks at, or anything is to be said, the text is
read whole: what is reported never depends on how it was read.
"""

from __future__ import annotations

from typing import Final

from weighbridge.core.ports import RangeReader
from weighbridge.formats.json_parts import Part, Unordinary, parts_of
from weighbridge.formats.json_text import MAX_DEPTH, Json, is_deeper
from weighbridge.inspectors.texts.config_keys import judge_of
from weighbridge.inspectors.texts.config_walk import TEMPLATE_KEY, judge, templates

FROM_BYTES: Final = 1024 * 1024
"""Smaller texts are read whole."""

_OF_THE_WHOLE: Final = frozenset(("weight_map", "_class_name"))


def says_nothing(reader: RangeReader, *, strict: bool, max_values: int) -> bool:
    """True when the text is one JSON value in which no key is judged, none is there twice, and nothing is to be said."""
    count = 0
    try:
        for part in parts_of(reader):
            count += len(part.value)
            if count > max_values or not _is_plain(part, strict):
                return False
    except Unordinary:
        return False
    return True


def _is_plain(part: Part, strict: bool) -> bool:
    value: Json = part.value
    if is_deeper(value, MAX_DEPTH - part.level) or _is_judged(part.key):
        return False
    if not value:
        return True
    if isinstance(value, dict):
        if any(map(_is_judged, value)):
            return False
    elif part.level == 1 and isinstance(value, list) and isinstance(value[0], dict) and "type" in value[0]:
        # Perhaps a list of modules, which is judged as one.
        return False
    else:
        value = {part.key: value}
    return not judge(value, strict=strict) and next(templates(value), None) is None


def _is_judged(key: str) -> bool:
    return key in _OF_THE_WHOLE or judge_of(key) is not None or TEMPLATE_KEY.fullmatch(key) is not None
