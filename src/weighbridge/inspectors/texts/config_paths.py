"""Does a text that names a file or a place stay inside the repository it stands in?

Absolute paths of somebody's home or scratch disk are left in honest files by the thousand (`name_or_path`,
`tokenizer_file`) and mean nothing elsewhere. What leads to another file of the machine that loads, or out to the net, is
another matter.
"""

from __future__ import annotations

import re
from typing import Final

_SCHEME = re.compile(r"(?i)([a-z][a-z0-9+.-]{1,20}):/{1,3}")
_SENSITIVE = re.compile(
    r"(?i)(?:^|/)(?:etc|proc|sys|dev|boot|run/secrets|var/run|var/lib|var/log)/"
    r"|^~|(?:^|/)\.(?:ssh|aws|azure|gnupg|kube|docker|netrc|npmrc|pypirc|git-credentials|bash_history|env|config)(?:/|$)"
    r"|(?:^|[\\/])(?:windows[\\/]system32|authorized_keys|id_rsa|id_ed25519|shadow|passwd)(?:[\\/]|$)"
    r"|\$\{?\w|%\w+%"
)
_PICKLE_ENDINGS: Final = (".pkl", ".pickle", ".joblib", ".dill", ".p", ".pkl.gz")


def escape(text: str) -> str:
    """Why the path leads out of the repository to something that matters; "" when it does not.

    An absolute path alone is no reason; `is_absolute` tells those.
    """
    if "\x00" in text:
        return "holds a NUL character"
    flat = text.replace("\\", "/")
    if text.startswith(("\\\\", "//")):
        return "names a network share"
    scheme = _SCHEME.match(text)
    if scheme:
        return f"is a URL ({scheme.group(1).lower()})"
    if ".." in flat.split("/"):
        return "climbs out of its folder"
    return "names a file of the system or of its user" if _SENSITIVE.search(flat) else ""


def is_absolute(text: str) -> bool:
    """Whether it is an absolute path on some system."""
    return text.startswith(("/", "\\", "~")) or re.match(r"[A-Za-z]:[\\/]", text) is not None


def is_pickle_name(text: str) -> bool:
    """Whether a loader would unpickle a file of that name."""
    return text.lower().endswith(_PICKLE_ENDINGS)
