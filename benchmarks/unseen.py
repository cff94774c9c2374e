"""Writes honest files that no test has: `python -m benchmarks.unseen OUT [SEED]`, in an environment with `corpus.txt`.

What is made is drawn from a seed that no test uses: estimators with other settings on other data, pipelines, modules of
torch with other sizes and in other combinations, state dicts of optimizers, data frames, boosters, statistical models,
word vectors. What a library refuses to make or to write is left out.
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

SEED = 20261124
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

    numbers = np.random.default_rng(draw.randrange(1 << 30))
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


def boosters(draw: random.Random) -> Iterator[Case]:
    """XGBoost and LightGBM: what they fit, as pickles and as their own files."""
    import lightgbm
    import numpy as np
    import xgboost

    numbers = np.random.default_rng(draw.randrange(1 << 30))
    data, classes = numbers.normal(size=(60, 4)), np.arange(60) % 3
    kinds = (
        xgboost.XGBClassifier, xgboost.XGBRegressor, xgboost.XGBRFRegressor, xgboost.XGBRanker,
        lightgbm.LGBMClassifier, lightgbm.LGBMRegressor, lightgbm.LGBMRanker,
    )  # fmt: skip
    for number in range(28):
        kind = kinds[number % len(kinds)]
        model: Any = kind(n_estimators=draw.randrange(1, 6), max_depth=draw.randrange(1, 5))
        boosting = ("gbtree", "dart", "gblinear") if "XGB" in kind.__name__ else ("gbdt", "dart")
        chosen = draw.choice(boosting)
        model.set_params(**{"booster" if "XGB" in kind.__name__ else "boosting_type": chosen})
        ranked = {"group": [20, 20, 20]} if "Rank" in kind.__name__ else {}
        try:
            model.fit(data, classes, **ranked)
        except REFUSED:
            continue
        yield from dump("unseen: boosters", f"{kind.__name__} {chosen} {number}", model, draw)
        if "XGB" in kind.__name__:
            ending = draw.choice(("json", "ubj"))
            raw = bytes(model.get_booster().save_raw(ending))
            yield Case("unseen: boosters", f"{kind.__name__} {chosen} {number} {ending}", "benign", f"m.{ending}", raw)
        else:
            text = model.booster_.model_to_string().encode()
            yield Case("unseen: boosters", f"{kind.__name__} {chosen} {number} text", "benign", "model.txt", text)


def statistics(draw: random.Random) -> Iterator[Case]:
    """Models and results of statsmodels."""
    import numpy as np
    import statsmodels.api as sm

    numbers = np.random.default_rng(draw.randrange(1 << 30))
    data = sm.add_constant(numbers.normal(size=(80, 3)))
    values = data @ numbers.normal(size=4) + numbers.normal(size=80)
    makers: tuple[Callable[[], Any], ...] = (
        lambda: sm.OLS(values, data).fit(), lambda: sm.WLS(values, data).fit(), lambda: sm.GLS(values, data).fit(),
        lambda: sm.GLM(np.abs(values), data).fit(), lambda: sm.RLM(values, data).fit(),
        lambda: sm.Logit(values > 0, data).fit(disp=0), lambda: sm.Probit(values > 0, data).fit(disp=0),
        lambda: sm.Poisson(np.abs(values).astype(int), data).fit(disp=0), lambda: sm.QuantReg(values, data).fit(),
        lambda: sm.tsa.AutoReg(values, 2).fit(), lambda: sm.tsa.ARIMA(values, order=(1, 0, 0)).fit(),
        lambda: sm.tsa.ExponentialSmoothing(values).fit(), lambda: sm.tsa.SimpleExpSmoothing(values).fit(),
        lambda: sm.nonparametric.KDEUnivariate(values), lambda: sm.MNLogit(np.arange(80) % 3, data).fit(disp=0),
    )  # fmt: skip
    for number, make in enumerate(makers):
        try:
            fitted = make()
        except REFUSED:
            continue
        yield from dump("unseen: statsmodels", f"{type(fitted).__name__} {number}", fitted, draw)


def words(draw: random.Random) -> Iterator[Case]:
    """Models of gensim, as its own `save` writes them into one file, and its word vectors."""
    import tempfile

    from gensim import corpora, models

    texts = [[draw.choice("abcdefghijkl") * draw.randrange(1, 4) for _ in range(12)] for _ in range(30)]
    names = corpora.Dictionary(texts)
    bags = [names.doc2bow(text) for text in texts]
    makers: tuple[Callable[[], Any], ...] = (
        lambda: models.Word2Vec(texts, vector_size=8, min_count=1, epochs=1), lambda: models.TfidfModel(bags),
        lambda: models.FastText(texts, vector_size=8, min_count=1, epochs=1, bucket=50), lambda: names,
        lambda: models.LsiModel(bags, id2word=names, num_topics=3), lambda: models.Phrases(texts, min_count=1),
        lambda: models.LdaModel(bags, id2word=names, num_topics=3), lambda: models.HdpModel(bags, names),
        lambda: models.Doc2Vec([models.doc2vec.TaggedDocument(text, [n]) for n, text in enumerate(texts)], vector_size=8),
        lambda: models.Word2Vec(texts, vector_size=8, min_count=1, epochs=1).wv,
        lambda: models.LogEntropyModel(bags), lambda: models.RpModel(bags, num_topics=3),
    )  # fmt: skip
    for number, make in enumerate(makers):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "words.model"
            try:
                made = make()
                made.save(str(path))
            except REFUSED:
                continue
            yield Case("unseen: gensim", f"{type(made).__name__} {number}", "benign", path.name, path.read_bytes())


def main() -> int:
    """Writes them all."""
    warnings.simplefilter("ignore")
    draw = random.Random(int(sys.argv[2]) if len(sys.argv) > 2 else SEED)
    makers = (sklearn_estimators, torch_modules, frames, boosters, statistics, words)
    print(f"{write((case for make in makers for case in make(draw)), Path(sys.argv[1]))} cases")
    return 0


if __name__ == "__main__":
    sys.exit(main())
