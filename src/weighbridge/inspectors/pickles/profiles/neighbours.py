"""Classes of other fields that are more than a dictionary: spaces of gymnasium, trials of optuna, CatBoost, molecules, sequences.

Read one by one. Spaces copy their state and fill in what older versions lack (`MultiDiscrete` makes an array of the size
that its state says, and is left out). CatBoost, RDKit and shapely give bytes to a parser of native code and keep the
rest, as boosters do. Plain classes of more libraries are in the list, which `scripts/pickle_neighbours.py` writes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from weighbridge.inspectors.pickles.checks import (
    NO_ARGUMENTS,
    OBJECT,
    Allowed,
    args,
    data_bytes,
    integer,
    mapping_state,
    slotted_state,
    under,
)

_KEEPERS: Final = (
    *under("gymnasium.spaces.box", "Box"),
    *under("gymnasium.spaces.discrete", "Discrete"),
    *under("gymnasium.spaces.multi_binary", "MultiBinary"),
    *under("optuna.distributions", "FloatDistribution IntDistribution CategoricalDistribution"),
    *under("optuna.trial._frozen", "FrozenTrial"),
    *under("catboost.core", "CatBoost CatBoostClassifier CatBoostRegressor CatBoostRanker"),
    *under("Bio.SeqRecord", "SeqRecord"),
)
_PARSED: Final = (
    *under("rdkit.Chem.rdchem", "Mol"),
    *under("rdkit.DataStructs.cDataStructs", "ExplicitBitVect"),
    *under("shapely.io", "from_wkb"),
)

REVIEWED: Final[Mapping[str, Allowed]] = {
    **dict.fromkeys(_KEEPERS, OBJECT),
    **dict.fromkeys(_PARSED, Allowed(args(data_bytes), args(mapping_state))),
    "optuna.trial._state.TrialState": Allowed(args(integer)),
    "Bio.Seq.Seq": Allowed(state=slotted_state, new=NO_ARGUMENTS),
    # A dictionary that compares lengths when an item is put into it.
    "Bio.SeqRecord._RestrictedDict": Allowed(state=mapping_state, fillable=True, new=NO_ARGUMENTS),
}
