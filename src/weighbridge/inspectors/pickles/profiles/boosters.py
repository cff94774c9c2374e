"""xgboost's and lightgbm's models: their state holds the library's own model format, which its native code parses.

That parser is the one that reads their model files; what holds for those holds here. Given a file name by a call, a
booster would open the file, so a call passes with no argument.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from weighbridge.inspectors.pickles.checks import OBJECT, Allowed

REVIEWED: Final[Mapping[str, Allowed]] = {
    "xgboost.core.Booster": OBJECT,
    "lightgbm.basic.Booster": OBJECT,
}
