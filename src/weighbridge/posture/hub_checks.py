"""Checks that several questions of the Hub route share: what the reference names, and what the Hub says of the repository."""

from __future__ import annotations

from typing import Final

from weighbridge.posture.judging import Check, some
from weighbridge.posture.report import Standing, Words

PARTLY, NOT_MET = Standing.PARTLY, Standing.NOT_MET

BRING_IN: Final = Words("Bring it in once and serve it from your side: weighbridge ingest hf://%(model)s@%(commit)s")
PIN: Final = Words("Name the commit wherever the model is named: %(model)s@%(pin)s")
LOOK: Final = Words("Look into it before it is loaded: weighbridge scan hf://%(model)s@%(commit)s")

DISABLED: Final = Check(
    NOT_MET,
    ("hub.disabled",),
    lambda view: view.flag("hub.disabled"),
    Words("The Hub has disabled the repository."),
    Words("Choose another model, or ask its owner."),
)
UNPINNED: Final = Check(
    NOT_MET,
    ("hub.revision.pinned",),
    lambda view: not view.flag("hub.revision.pinned"),
    Words(
        "The reference is a branch or tag, which its owner moves: what is loaded tomorrow is not what was looked at."
    ),
    PIN,
)
FLAGGED: Final = Check(
    NOT_MET,
    ("hub.scan.flagged",),
    lambda view: bool(view.items("hub.scan.flagged")),
    Words("The Hub's own scan warns of: %(paths)s."),
    LOOK,
    lambda view: {"paths": some(view.names("hub.scan.flagged"))},
)
TAKEN_OVER: Final = Check(
    NOT_MET,
    ("hub.owner.id_unchanged", "hub.repository.id_unchanged"),
    lambda view: (
        view.flag_or_none("hub.owner.id_unchanged") is False
        or view.flag_or_none("hub.repository.id_unchanged") is False
    ),
    Words("The name now stands for another account or repository than the one that your revision came from."),
    Words("Take nothing newer before you know who owns it now: weighbridge diff %(model)s hf://%(model)s"),
)
UNSAFE_FORMATS: Final = Check(
    NOT_MET,
    ("hub.formats.unsafe",),
    lambda view: bool(view.items("hub.formats.unsafe")),
    Words("Loading these formats can run code: %(paths)s."),
    Words("Convert them, with proof that the tensors are the same: weighbridge remediate %(model)s --to-safetensors"),
    lambda view: {"paths": some(view.names("hub.formats.unsafe"))},
)
