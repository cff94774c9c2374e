"""scikit-learn's compiled classes and containers; its estimators are in the list.

Trees, losses and metrics of compiled code are made from numbers and arrays whose types and sizes they check. A metric
over a Python function (`PyFuncDistance`) is left out. `FunctionTransformer` is an ordinary estimator: the function it
holds is a name, and names are judged one by one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from weighbridge.inspectors.pickles.checks import (
    ANY_DATA,
    NAME_ONLY,
    NO_ARGUMENTS,
    OBJECT,
    Allowed,
    a_tuple,
    args,
    global_in,
    integer,
    mapping_state,
    number,
    plain,
    under,
)

_LOSSES: Final = under(
    "sklearn._loss._loss",
    "CyAbsoluteError CyExponentialLoss CyHalfBinomialLoss CyHalfGammaLoss CyHalfMultinomialLoss CyHalfPoissonLoss"
    " CyHalfSquaredError CyHalfTweedieLoss CyHalfTweedieLossIdentity CyHuberLoss CyPinballLoss",
)
_SGD_LOSSES: Final = under(
    "sklearn.linear_model._sgd_fast",
    "EpsilonInsensitive Hinge ModifiedHuber SquaredEpsilonInsensitive SquaredHinge Log Huber SquaredLoss Classification"
    " Regression",
)
_METRIC_NAMES: Final = [
    "BrayCurtis",
    "Canberra",
    "Chebyshev",
    "Dice",
    "Euclidean",
    "Hamming",
    "Haversine",
    "Jaccard",
    "Kulsinski",
    "Mahalanobis",
    "Manhattan",
    "Matching",
    "Minkowski",
    "RogersTanimoto",
    "RussellRao",
    "SEuclidean",
    "SokalMichener",
    "SokalSneath",
    "WMinkowski",
]
_METRIC_HOMES: Final = (
    "sklearn.metrics._dist_metrics",
    "sklearn.neighbors._dist_metrics",
    "sklearn.neighbors.dist_metrics",
)
_METRICS: Final = tuple(
    f"{home}.{name}Distance{width}" for home in _METRIC_HOMES for name in _METRIC_NAMES for width in ("", "32", "64")
)
_TREE_HOMES: Final = tuple(f"sklearn.neighbors.{dash}{name}" for dash in ("_", "") for name in ("kd_tree", "ball_tree"))
_TREES: Final = tuple(
    f"{home}.{name}{width}" for home in _TREE_HOMES for name in ("KDTree", "BallTree") for width in ("", "32", "64")
)
_TUPLES: Final = (
    "sklearn.gaussian_process.kernels.Hyperparameter", "sklearn.impute._iterative._ImputerTriplet",
    "sklearn.utils._metadata_requests.MethodPair", "sklearn.utils._metadata_requests.RouterMappingPair",
    "sklearn.utils._encode.MissingValues",
)  # fmt: skip
_BUNCHES: Final = ("sklearn.utils._bunch.Bunch", "sklearn.utils.Bunch", "sklearn.datasets.base.Bunch")

REVIEWED: Final[Mapping[str, Allowed]] = {
    **dict.fromkeys((*_LOSSES, *_SGD_LOSSES), Allowed(args(rest=number), mapping_state)),
    **{
        f"sklearn.tree.{home}.Tree": Allowed(args(integer, plain, integer), mapping_state) for home in ("_tree", "tree")
    },
    **{
        loss.replace("_loss.Cy", "_loss.__pyx_unpickle_Cy"): Allowed(args(global_in((loss,)), integer, plain), plain)
        for loss in _LOSSES
    },
    **dict.fromkeys((*_METRICS, *_TREES), NAME_ONLY),
    **{f"{home}.newObj": Allowed(args(global_in(_METRICS)), a_tuple) for home in _METRIC_HOMES},
    **{f"{home}.newObj": Allowed(args(global_in(_TREES)), plain) for home in _TREE_HOMES},
    **dict.fromkeys(_BUNCHES, Allowed(state=mapping_state, fillable=True, new=NO_ARGUMENTS)),
    **dict.fromkeys(_TUPLES, Allowed(new=ANY_DATA)),
    "sklearn.preprocessing._function_transformer.FunctionTransformer": OBJECT,
    **dict.fromkeys(under("sklearn.cluster._kmeans", "_kmeans_single_lloyd _kmeans_single_elkan"), NAME_ONLY),
}
