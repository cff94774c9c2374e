"""Classes of other fields that are more than a dictionary: spaces of gymnasium, trials of optuna, CatBoost, molecules, sequences.

Read one by one. Spaces copy their state and fill in what older versions lack (`MultiDiscrete` makes an array of the size
that its state says, and is left out). CatBoost, RDKit and shapely give bytes to a parser of native code and keep the
rest, as boosters do. Plain classes of more libraries are in the list, which `scripts/pickle_neighbours.py` writes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from weighbridge.inspectors.pickles.checks import (
    NAME_ONLY,
    NO_ARGUMENTS,
    OBJECT,
    Allowed,
    args,
    data_bytes,
    integer,
    made_by,
    mapping_state,
    slotted_state,
    under,
)

_KEEPERS: Final = (
    *under("gymnasium.spaces.box", "Box"),
    *under("gymnasium.spaces.discrete", "Discrete"),
    *under("gymnasium.spaces.multi_binary", "MultiBinary"),
    *under("gymnasium.spaces.dict", "Dict"),
    *under("gymnasium.spaces.tuple", "Tuple"),
    *under("river.preprocessing.scale", "StandardScaler MinMaxScaler MaxAbsScaler"),
    *under("stable_baselines3.common.vec_env.vec_normalize", "VecNormalize"),
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
_SLOTTED: Final = (
    *under("Bio.Seq", "Seq"),
    *under("xarray.core.dataset", "Dataset"),
    *under("xarray.core.dataarray", "DataArray"),
    *under("xarray.core.variable", "Variable IndexVariable"),
    *under("xarray.core.indexes", "PandasIndex"),
    *under("xarray.core.indexing", "PandasIndexingAdapter"),
)

REVIEWED: Final[Mapping[str, Allowed]] = {
    **dict.fromkeys(_KEEPERS, OBJECT),
    **dict.fromkeys(_PARSED, Allowed(args(data_bytes), args(mapping_state))),
    "optuna.trial._state.TrialState": Allowed(args(integer)),
    **dict.fromkeys(_SLOTTED, Allowed(state=slotted_state, new=NO_ARGUMENTS)),
    "stable_baselines3.common.type_aliases.TrainFreq": Allowed(
        args(integer, made_by("stable_baselines3.common.type_aliases.TrainFrequencyUnit"))
    ),
    # Given as the schedule of a policy that is only asked for its answers.
    "stable_baselines3.common.policies.BasePolicy._dummy_schedule": NAME_ONLY,
    # A dictionary that compares lengths when an item is put into it.
    "Bio.SeqRecord._RestrictedDict": Allowed(state=mapping_state, fillable=True, new=NO_ARGUMENTS),
}
