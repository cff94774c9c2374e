"""The words of the catalog's pages: the template engine, and how sizes, times, digests and strangers' text are written."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Mapping
from datetime import datetime
from functools import cache, partial
from typing import Final
from urllib.parse import urlencode

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from weighbridge.core.counted import plural

_DIGEST: Final = re.compile(r"\b[0-9a-f]{40,64}\b")


@cache
def environment() -> Environment:
    """The template engine: everything is escaped, and what is missing is an error."""
    made = Environment(
        loader=PackageLoader("weighbridge.serve"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=visible,
    )
    made.filters.update(
        size=size,
        moment=moment,
        age=age,
        percent=percent,
        plural=partial(plural, form=","),
        query=query,
        tidy=tidy,
        brief=brief,
    )
    return made


def visible(value: object) -> object:
    """Text with characters that show nothing or turn text around written out, so that a name cannot look like another."""
    if not isinstance(value, str) or isinstance(value, Markup) or (value.isascii() and value.isprintable()):
        return value
    return "".join(_shown(character) for character in value)


def _shown(character: str) -> str:
    hidden = unicodedata.category(character) in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp") and character not in "\n\t"
    return f"\\u{ord(character):04x}" if hidden else character


def size(count: int) -> str:
    """Bytes in decimal units, as the command line, disks and the Hub count them."""
    value, unit = float(count), "B"
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if value < 1000 or unit == "TB":
            break
        value /= 1000
    return f"{count} B" if unit == "B" else f"{value:.1f} {unit}"


def moment(time: str) -> str:
    """A time to the minute, in UTC."""
    return time[:16].replace("T", " ") if time else ""


def age(time: str, now: str) -> str:
    """How long before another time one was, to the largest unit; a time that is none is said as it stands."""
    try:
        minutes = int((datetime.fromisoformat(now) - datetime.fromisoformat(time)).total_seconds() // 60)
    except (ValueError, TypeError):
        return moment(time)
    for each, word in ((24 * 60, "day"), (60, "hour"), (1, "minute")):
        if minutes >= each:
            return f"{plural(minutes // each, word)} ago"
    return "just now"


def percent(part: int, whole: int) -> str:
    """A share that is 100 % only when nothing is missing."""
    if part >= whole:
        return "100 %"
    return f"{min(99.9, part * 100 / whole):.1f} %"


def query(kept: Mapping[str, object], **more: object) -> str:
    """Words of an address, those that are empty left out."""
    return urlencode({name: str(value) for name, value in {**kept, **more}.items() if value})


def brief(text: str) -> str:
    """Text with its long digests cut to their first 12 digits."""
    return _DIGEST.sub(lambda found: f"{found[0][:12]}…", text)


def tidy(payload: object) -> str:
    """A record for the eye, bounded."""
    text = json.dumps(payload, indent=2, ensure_ascii=True, sort_keys=True, default=str)
    return text if len(text) <= 4_000 else text[:4_000] + "\n…"
