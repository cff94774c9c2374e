"""Writes honest files that no test has: `python -m benchmarks.unseen OUT`, in an environment with `corpus.txt`.

What is made is drawn from a seed that no test uses: estimators with other settings on other data, pipelines, modules of
torch with other sizes and in other combinations, state dicts of optimizers, data frames. What a library refuses to make
or to write is left out.
"""

# ruff: noqa: ARG005, PLW0108 (a table of makers reads best when every row has the same shape)

from __future__ import annotations

import io
import pickle
import random
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.cases import Case, write

SEED = 20261123
REFUSED = (TypeError, ValueError, RuntimeError, AttributeError, ImportError, NotImplementedError, pickle.PicklingError)


def dump(family: str, name: str, value: object, draw: random.Random) -> Iterator[Case]:
    """One value as a pickle of a drawn protocol, or as joblib writes it."""
    import joblib

    out = io.BytesIO()
    try:
        if draw.random() < 0.4:
            joblib.dump(value, out, compress=draw.choice((0, 3)))
        else:
            pickle.dump(value, out, protocol=draw.choice((2, 3, 4, 5)))
    except REFUSED:
        return
    yield Case(family, name, "benign", "model.joblib" if draw.random() < 0.5 else "model.pkl", out.getvalue())


def sklearn_estimators(draw: random.Random) -> Iterator[Case]:
    """Every estimator that fits ordinary numbers, and pipelines of two or three."""
    import numpy as np
    from sklearn.pipeline import make_pipeline
    from sklearn.utils import all_estimators

    numbers = np.random.default_rng(SEED)
    data = np.abs(numbers.normal(size=(40, 5))) + 0.1
    classes, values = np.arange(40) % 3, data @ numbers.normal(size=5)
    fitted: list[Any] = []
    for name, kind in all_estimators():
        try:
            estimator = kind()
            for setting, value in estimator.get_params(deep=False).items():
                if setting in ("verbose", "n_jobs"):
                    continue
                if isinstance(value, bool) or not isinstance(value, int) or draw.random() < 0.5:
                    continue
                estimator.set_params(**{setting: max(1, value // 2)})
            target = values if getattr(estimator, "_estimator_type", "") == "regressor" else classes
            estimator.fit(data, target)
        except REFUSED:
            continue
        fitted.append(estimator)
        yield from dump("unseen: sklearn", name, estimator, draw)
    movers = [one for one in fitted if hasattr(one, "transform") and not hasattr(one, "predict")]
    ends = [one for one in fitted if hasattr(one, "predict")]
    for number in range(20):
        parts = [*draw.sample(movers, draw.choice((1, 2))), draw.choice(ends)]
        yield from dump("unseen: sklearn", f"pipeline {number}", make_pipeline(*parts), draw)


def torch_modules(draw: random.Random) -> Iterator[Case]:
    """Stacks of layers, whole and as state dicts, with an optimizer's state beside."""
    import torch
    from torch import nn

    makers: tuple[Callable[[int], nn.Module], ...] = (
        lambda n: nn.Linear(n, n), lambda n: nn.Conv1d(n, n, 3), lambda n: nn.Conv2d(n, n, 1), lambda n: nn.LayerNorm(n),
        lambda n: nn.BatchNorm1d(n), lambda n: nn.GroupNorm(1, n), lambda n: nn.GELU(), lambda n: nn.SiLU(),
        lambda n: nn.Dropout(0.1), lambda n: nn.Embedding(n, n), lambda n: nn.LSTM(n, n), lambda n: nn.GRU(n, n),
        lambda n: nn.MultiheadAttention(n, 1), lambda n: nn.TransformerEncoderLayer(n, 1, 8), lambda n: nn.Softmax(-1),
        lambda n: nn.PReLU(), lambda n: nn.Bilinear(n, n, 2), lambda n: nn.Upsample(scale_factor=2), lambda n: nn.Flatten(),
        lambda n: nn.EmbeddingBag(n, n), lambda n: nn.RMSNorm(n), lambda n: nn.ConvTranspose2d(n, n, 2), lambda n: nn.Unfold(2),
    )  # fmt: skip
    for number in range(90):
        size = draw.randrange(2, 9)
        module = nn.Sequential(*(draw.choice(makers)(size) for _ in range(draw.randrange(1, 6))))
        if draw.random() < 0.3:
            module = nn.ModuleDict({"a": module, "b": nn.ModuleList([nn.Linear(size, 1)])})
        weights = [one for one in module.parameters() if one.requires_grad]
        held: object = module
        if number % 3 == 1:
            held = module.state_dict()
        elif number % 3 == 2 and weights:
            kind = draw.choice((torch.optim.AdamW, torch.optim.SGD, torch.optim.RMSprop, torch.optim.Adagrad))
            held = {"epoch": number, "model": module.state_dict(), "optimizer": kind(weights, lr=0.1).state_dict()}
        out = io.BytesIO()
        try:
            torch.save(held, out, _use_new_zipfile_serialization=draw.random() < 0.75)
        except REFUSED:
            continue
        yield Case(
            "unseen: torch",
            f"{('module', 'state', 'checkpoint')[number % 3]} {number}",
            "benign",
            "model.pt",
            out.getvalue(),
        )


def frames(draw: random.Random) -> Iterator[Case]:
    """Tables with columns of many kinds."""
    import numpy as np
    import pandas as pd

    columns: tuple[Callable[[], object], ...] = (
        lambda: np.arange(6), lambda: np.linspace(0, 1, 6), lambda: list("abcdef"), lambda: pd.Categorical(list("aabbcc")),
        lambda: pd.date_range("2020", periods=6), lambda: pd.array([1, None, 3, 4, 5, 6], dtype="Int64"),
        lambda: pd.timedelta_range("1D", periods=6), lambda: pd.period_range("2020", periods=6, freq="M"),
        lambda: [True, False] * 3,
    )  # fmt: skip
    for number in range(30):
        picked = draw.sample(columns, draw.randrange(1, 5))
        frame = pd.DataFrame({f"c{place}": make() for place, make in enumerate(picked)})
        value: object = frame if number % 2 else frame[frame.columns[0]]
        yield from dump("unseen: pandas", f"table {number}", value, draw)


def main() -> int:
    """Writes them all."""
    warnings.simplefilter("ignore")
    draw = random.Random(SEED)
    makers = (sklearn_estimators, torch_modules, frames)
    print(f"{write((case for make in makers for case in make(draw)), Path(sys.argv[1]))} cases")
    return 0


if __name__ == "__main__":
    sys.exit(main())
