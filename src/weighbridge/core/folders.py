"""Where this program keeps what is its user's: the platform's folders for data, for what is derived, and for state.

On Linux by the XDG base directory specification (0.8), by hand: what the library `platformdirs` imports takes longer than
finding a folder. Elsewhere by that library.
"""

from __future__ import annotations

import os
import sys
from typing import Final

_NAME: Final = "weighbridge"


def data_folder() -> str:
    """For settings, keys and stores; it need not exist."""
    return _folder("XDG_DATA_HOME", "~/.local/share", "user_data_dir")


def cache_folder() -> str:
    """For what can be made again; it need not exist."""
    return _folder("XDG_CACHE_HOME", "~/.cache", "user_cache_dir")


def state_folder() -> str:
    """For what is remembered between commands; it need not exist."""
    return _folder("XDG_STATE_HOME", "~/.local/state", "user_state_dir")


def _folder(variable: str, otherwise: str, elsewhere: str) -> str:
    if sys.platform != "linux":
        import platformdirs

        return str(getattr(platformdirs, elsewhere)(_NAME))
    chosen = os.environ.get(variable, "")
    # The specification has relative ones ignored. Who has no home gets a relative place, where nothing is to be kept.
    return f"{chosen if chosen.startswith('/') else os.path.expanduser(otherwise)}/{_NAME}"  # noqa: PTH111 - for `core`
