"""Settings that trainers store beside weights: OmegaConf's containers, and what pyannote.audio says of its tasks.

All of them keep the dictionary that they are given; OmegaConf's containers also write a type into their own metadata.
What an interpolation in a setting reads (`${oc.env:...}`) is read when somebody asks for the setting.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from weighbridge.inspectors.pickles.checks import NAME_ONLY, OBJECT, Allowed, args, either, integer, text, under

_CLASSES: Final = (
    *under("omegaconf.base", "Metadata ContainerMetadata UnionNode"),
    *under("omegaconf.listconfig", "ListConfig"),
    *under("omegaconf.dictconfig", "DictConfig"),
    *under(
        "omegaconf.nodes",
        "AnyNode StringNode IntegerNode FloatNode BooleanNode BytesNode EnumNode NoneNode LiteralNode",
    ),
    *under("pyannote.audio.core.model", "Introspection"),
    *under("pyannote.audio.core.task", "Specifications"),
)
_ENUMS: Final = under("pyannote.audio.core.task", "Problem Resolution Scope")

REVIEWED: Final[Mapping[str, Allowed]] = {
    **dict.fromkeys(_CLASSES, OBJECT),
    **dict.fromkeys(_ENUMS, Allowed(either(args(text), args(integer)))),
    "typing.Any": NAME_ONLY,
}
