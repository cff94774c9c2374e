"""Honest pickles, written by the libraries themselves: what an inspector must let pass.

`controls(part)` yields the name, the file name and the bytes of each. Everything is small and made with fixed seeds, so
that two runs give the same objects; another `seed` gives other parameters and data. Only these libraries are asked for:
numpy, scipy, pandas, scikit-learn, joblib (with lz4), xgboost, lightgbm, torch, transformers.
"""

from __future__ import annotations

import collections
import contextlib
import datetime
import decimal
import enum
import fractions
import inspect
import io
import pathlib
import pickle
import random
import tempfile
import types
import uuid
import warnings
from collections.abc import Callable, Iterator

import numpy as np

from tests.support.benign_pack import Control

PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)
COMPRESSORS = ("zlib", "gzip", "bz2", "xz", "lzma", "lz4")


def controls(*parts: str, seed: int = 0) -> Iterator[Control]:
    """The controls of some parts, or all."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for part in parts or tuple(PARTS):
            yield from PARTS[part](seed)


def _pickles(name: str, value: object, protocols: range | tuple[int, ...] = PROTOCOLS) -> Iterator[Control]:
    subject = name.split(" ")[0]
    for protocol in protocols:
        yield Control(f"{name} by protocol {protocol}", "model.pkl", pickle.dumps(value, protocol), subject)


def _joblib(name: str, value: object, compress: object = 0, protocol: int | None = None) -> Control:
    import joblib

    out = io.BytesIO()
    joblib.dump(value, out, compress=compress, protocol=protocol)  # type: ignore[arg-type]
    return Control(f"{name} by joblib {compress} {protocol}", "model.joblib", out.getvalue(), name.split(" ")[0])


def _torch(name: str, value: object, *, legacy: bool = False, protocol: int = 2) -> Control:
    import torch

    out = io.BytesIO()
    torch.save(value, out, _use_new_zipfile_serialization=not legacy, pickle_protocol=protocol)
    return Control(f"{name}{' legacy' * legacy}", "model.pt", out.getvalue(), name.split(" ")[0])


# --- the standard library, numpy, scipy, pandas ---------------------------------------------------


def _standard(seed: int) -> Iterator[Control]:
    zone = datetime.timezone(datetime.timedelta(hours=2), "there")
    values: dict[str, object] = {
        "containers": {"a": [1, -5, 2.5, None, True, "text", b"bytes", (1, (2, 3)), {"b": [[], {}, ()]}]},
        "sets": [{1, 2}, frozenset((3,)), set(), frozenset(), {"a", ("b", 1)}],
        "numbers": [seed, 1 << 70, -(1 << 2000), complex(1, 2), range(1, 9, 2), slice(1, 2), 1e300, float("inf")],
        "bytes": [b"", b"\x80\x04", bytearray(b"abc"), bytes(5000), "x" * 5000, "\ud800", "ä" * 3000],
        "collections": [collections.Counter("abca"), collections.deque([1, 2], 5), collections.OrderedDict(a=1)],
        "defaults": [collections.defaultdict(f) for f in (list, dict, set, int, float, str, collections.OrderedDict)],
        "dates": [datetime.datetime(2026, 1, 2, 3, tzinfo=zone), datetime.date(2026, 1, 2), datetime.timedelta(3)],
        "times": [datetime.time(1, 2, 3), datetime.UTC, datetime.datetime(2020, 1, 1)],
        "decimals": [decimal.Decimal("1.5"), decimal.Decimal("NaN"), fractions.Fraction(1, 3)],
        "uuids": [uuid.UUID(int=5), uuid.UUID(int=6)],
        "paths": [pathlib.PurePosixPath("/a/b"), pathlib.PureWindowsPath("c:/x"), pathlib.Path("a")],
        "spaces": [types.SimpleNamespace(a=1), types.MappingProxyType],
        "types": [int, str, float, list, dict, tuple, bool, bytes, complex, object, type(None)],
        "words": ["os.system", b"import subprocess", "eval(input())", "c", "class\nname\n", "(see\nbelow)"],
        "shared": [[x := [1], x, {"x": x}], x],
        "random": random.Random(seed).getstate(),
        "deep": _deep(80),
        "large": [list(range(3000)), {str(i): i / 7 for i in range(2000)}, tuple(map(str, range(500)))],
        "exceptions": [ValueError("x"), KeyError("y")],
    }  # fmt: skip
    values["spaces"] = types.SimpleNamespace(a=1, b=[2])
    for name, value in values.items():
        yield from _pickles(f"standard-{name}", value)


def _deep(levels: int) -> object:
    value: object = 1
    for level in range(levels):
        value = [value] if level % 2 else {"v": value}
    return value


_DTYPES = "?bBhHiIlLqQefdgFDG"


def _numpy(seed: int) -> Iterator[Control]:
    rng = np.random.default_rng(seed)
    values: dict[str, object] = {
        **{f"array-{code}": np.arange(12).reshape(3, 4).astype(code) for code in _DTYPES},
        **{f"scalar-{code}": [np.dtype(code).type(1), np.dtype(code)] for code in _DTYPES if code not in "gG"},
        "fortran": np.asfortranarray(rng.normal(size=(5, 3))),
        "strided": rng.normal(size=(10, 10))[::2, ::3],
        "big-endian": np.arange(5, dtype=">i4"),
        "empty": [np.empty(0), np.empty((0, 3)), np.array(5.0)],
        "objects": np.array(["a", None, {"b": 1}, [1, 2]], dtype=object),
        "texts": np.array(["a", "bcd"]),
        "bytes": np.array([b"a", b"bcd"]),
        "dates": [np.array(["2020-01-01"], dtype="M8[D]"), np.datetime64("2020-01-01"), np.timedelta64(3, "h")],
        "structured": np.zeros(3, dtype=[("a", "i4"), ("b", "f8", (2,)), ("c", "U5")]),
        "aligned": np.zeros(3, dtype=np.dtype([("a", "i1"), ("b", "f8")], align=True)),
        "masked": np.ma.masked_array([1.0, 2.0, 3.0], mask=[0, 1, 0]),
        "record": np.rec.array([(1, 2.0), (3, 4.0)], dtype=[("x", "i4"), ("y", "f8")]),
        "matrix": np.matrix([[1, 2], [3, 4]]),
        "polynomial": np.polynomial.Polynomial([1, 2, 3]),
        "random-state": np.random.RandomState(seed),
        **{
            f"generator-{kind.__name__}": np.random.Generator(kind(seed))
            for kind in (np.random.PCG64, np.random.MT19937, np.random.Philox, np.random.SFC64, np.random.PCG64DXSM)
        },
        "bits": np.random.PCG64(seed),
        "seed": np.random.SeedSequence(seed),
        "types": [np.float32, np.int64, np.bool_, np.ndarray, np.dtype("f4").type],
        "functions": [np.mean, np.median, np.log1p, np.expm1, np.sqrt, np.exp],
        "state": np.random.RandomState(seed).get_state(),
    }
    for name, value in values.items():
        yield from _pickles(f"numpy-{name}", value)
    for name in ("array-f", "array-i", "fortran", "objects", "texts", "structured", "big-endian", "empty"):
        yield _joblib(f"numpy-{name}", {"x": values[name], "y": [values[name], "after"]})
        yield _npy(f"numpy-{name}", values[name])


def _npy(name: str, value: object) -> Control:
    out = io.BytesIO()
    first = value[0] if isinstance(value, list) else value
    np.save(out, np.asarray(first), allow_pickle=True)
    return Control(f"{name} by numpy", "array.npy", out.getvalue(), name)


def _scipy(seed: int) -> Iterator[Control]:
    import scipy.interpolate
    import scipy.sparse
    import scipy.spatial
    import scipy.stats

    rng = np.random.default_rng(seed)
    dense = rng.normal(size=(6, 5)) * (rng.random((6, 5)) > 0.5)
    formats = ("csr", "csc", "coo", "bsr", "dia", "lil", "dok")
    for name in formats:
        yield from _pickles(f"scipy-{name}-matrix", scipy.sparse.coo_matrix(dense).asformat(name), (2, 4, 5))
        yield from _pickles(f"scipy-{name}-array", scipy.sparse.coo_array(dense).asformat(name), (2, 4, 5))
    yield _joblib("scipy-csr-matrix", scipy.sparse.csr_matrix(dense))
    points = np.sort(rng.random(8))
    values = {
        "spline": scipy.interpolate.CubicSpline(points, rng.random(8)),
        "interp1d": scipy.interpolate.interp1d(points, rng.random(8)),
        "bspline": scipy.interpolate.make_interp_spline(points, rng.random(8)),
        "rbf": scipy.interpolate.RBFInterpolator(rng.random((6, 2)), rng.random(6)),
        "kdtree": scipy.spatial.cKDTree(rng.random((6, 2))),
        "rotation": scipy.spatial.transform.Rotation.from_euler("z", 1.0),
    }
    for name, value in values.items():
        yield from _pickles(f"scipy-{name}", value, (2, 4, 5))


def _pandas(seed: int) -> Iterator[Control]:
    import pandas as pd

    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({"a": rng.normal(size=4), "b": [1, 2, 3, 4], "c": list("wxyz"), "d": [True, False] * 2})
    columns: dict[str, object] = {
        "category": pd.Series(["a", "b", "a"], dtype="category"),
        "Int64": pd.Series([1, None, 3], dtype="Int64"),
        "Float32": pd.Series([1, None, 3], dtype="Float32"),
        "boolean": pd.Series([True, None], dtype="boolean"),
        "string": pd.Series(["a", None], dtype="string"),
        "object": pd.Series(["a", 1, None], dtype=object),
        "dates": pd.Series(pd.date_range("2020-01-01", periods=3)),
        "zoned": pd.Series(pd.date_range("2020-01-01", periods=3, tz="UTC")),
        "deltas": pd.Series(pd.to_timedelta([1, 2], unit="h")),
        "periods": pd.Series(pd.period_range("2020-01", periods=3, freq="M")),
        "intervals": pd.Series(pd.interval_range(0, 3)),
        "sparse": pd.Series([0, 0, 1], dtype=pd.SparseDtype("int64", 0)),
        "frame": frame,
        "indexed": frame.set_index("c"),
        "multi": frame.set_index(["b", "c"]),
        "empty": pd.DataFrame(),
        "grouped": frame.groupby("d").mean(numeric_only=True),
        "range": pd.RangeIndex(5),
        "index": [pd.Index([1, 2]), pd.Index(["a", "b"]), pd.Index([1.5])],
        "index-dates": [pd.date_range("2020-01-01", periods=2, freq="D"), pd.timedelta_range("1h", periods=2)],
        "index-multi": pd.MultiIndex.from_product([[1, 2], ["a", "b"]]),
        "index-category": pd.CategoricalIndex(["a", "b"]),
        "index-interval": pd.interval_range(0, 3),
        "index-period": pd.period_range("2020-01", periods=3, freq="M"),
        "stamps": [pd.Timestamp("2020-01-01"), pd.Timedelta("1h"), pd.Period("2020-01", "M"), pd.NaT, pd.NA],
        "dtypes": [frame.dtypes, pd.CategoricalDtype(["a"]), pd.Int64Dtype(), pd.StringDtype("python")],
        "offsets": [pd.offsets.Day(2), pd.offsets.MonthEnd(), pd.offsets.BusinessDay()],
    }
    for name, value in columns.items():
        yield from _pickles(f"pandas-{name}", value, (2, 4, 5))
    yield _joblib("pandas-frame", frame)


# --- scikit-learn and the boosters ----------------------------------------------------------------


def _data(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = np.abs(rng.normal(size=(40, 4))) + 0.1
    y = (x[:, 0] + x[:, 1] > 1.8).astype(int)
    y[:2] = (0, 1)
    return x, y, np.abs(x @ np.array([1.0, 2.0, 0.5, 0.1])) + 0.1


_SMALLER = {
    "n_estimators": 3, "max_iter": 20, "n_components": 2, "n_init": 1, "max_depth": 3, "n_clusters": 2, "cv": 2,
    "n_iter": 2, "n_quantiles": 10, "max_no_improvement": 2, "n_neighbors": 3, "min_samples": 3, "n_splits": 2,
    "batch_size": 20, "hidden_layer_sizes": (4,), "n_resampling": 2, "min_cluster_size": 4,
}  # fmt: skip


def _estimators() -> Iterator[tuple[str, type]]:
    import sklearn.utils

    yield from sklearn.utils.all_estimators()


def _fitted(kind: type, seed: int) -> object | None:
    """An estimator with small parameters, fitted to whatever data it takes; None for those that take none of it."""
    from sklearn.utils._test_common.instance_generator import _construct_instances

    try:
        model = next(iter(_construct_instances(kind)))
    except (Exception, StopIteration):
        return None
    wanted = {name: value for name, value in _SMALLER.items() if name in model.get_params(deep=False)}
    if "random_state" in model.get_params(deep=False):
        wanted["random_state"] = seed
    plain = {name: value for name, value in model.get_params(deep=False).items() if name in wanted}
    with contextlib.suppress(Exception):
        model.set_params(**{name: value for name, value in wanted.items() if plain[name] != "prefit"})
    x, y, target = _data(seed)
    texts = ["a few words", "more words here", "nothing else"] * 3
    for arguments in ((x, y), (x, target), (x,), (x, np.stack([y, 1 - y], 1)), (texts,), (x, x), (target, y), (y,),
                      ([{"a": 1.0, "b": 2.0}] * 4,)):  # fmt: skip
        try:
            return model.fit(*arguments)
        except Exception:
            continue
    return None


def _sklearn(seed: int) -> Iterator[Control]:
    for number, (name, kind) in enumerate(_estimators()):
        model = _fitted(kind, seed)
        if model is None:
            continue
        yield from _pickles(name, model, (4, number % 6) if number % 6 != 4 else (4,))
        if number % 3 == 0:
            yield _joblib(name, model)
        elif number % 3 == 1:
            yield _joblib(name, model, (COMPRESSORS[number % 6], 3))
    yield from _composed(seed)


def _composed(seed: int) -> Iterator[Control]:
    from sklearn import (
        compose,
        ensemble,
        feature_selection,
        linear_model,
        metrics,
        model_selection,
        pipeline,
        preprocessing,
        svm,
        tree,
    )
    from sklearn.feature_extraction import text as words

    x, y, _ = _data(seed)
    texts, labels = ["good film", "bad film", "so good", "so bad"] * 5, [1, 0, 1, 0] * 5
    columns = compose.ColumnTransformer(
        [("a", preprocessing.StandardScaler(), [0, 1]), ("b", preprocessing.MinMaxScaler(), slice(2, 4))]
    )
    models: dict[str, object] = {
        "pipeline": pipeline.make_pipeline(preprocessing.StandardScaler(), linear_model.LogisticRegression()),
        "columns": pipeline.make_pipeline(columns, ensemble.RandomForestClassifier(3)),
        "union": pipeline.make_union(preprocessing.StandardScaler(), preprocessing.PolynomialFeatures(2)),
        "grid": model_selection.GridSearchCV(svm.SVC(), {"C": [0.1, 1]}, cv=2),
        "random-search": model_selection.RandomizedSearchCV(tree.DecisionTreeClassifier(), {"max_depth": [2, 3]}, n_iter=2, cv=2),
        "scored": model_selection.GridSearchCV(svm.SVC(), {"C": [1]}, cv=2, scoring=metrics.make_scorer(metrics.f1_score)),
        "selected": pipeline.make_pipeline(feature_selection.SelectKBest(feature_selection.f_classif, k=2), svm.SVC()),
        "logged": pipeline.make_pipeline(preprocessing.FunctionTransformer(np.log1p), linear_model.Ridge()),
    }  # fmt: skip
    for name, model in models.items():
        fitted = model.fit(x, y)  # type: ignore[attr-defined]
        yield from _pickles(f"sklearn-{name}", fitted)
        yield _joblib(f"sklearn-{name}", fitted)
    small = {words.HashingVectorizer: {"n_features": 64}}
    for kind in (words.CountVectorizer, words.TfidfVectorizer, words.HashingVectorizer):
        model = pipeline.make_pipeline(kind(**small.get(kind, {})), linear_model.LogisticRegression()).fit(
            texts, labels
        )
        yield from _pickles(f"sklearn-text-{kind.__name__}", model)
    for compress in COMPRESSORS:
        yield _joblib(f"sklearn-compressed-{compress}", models["columns"], (compress, 3))
    for protocol in PROTOCOLS:
        yield _joblib(f"sklearn-forest-{protocol}", models["columns"], 0, protocol)


def _boosters(seed: int) -> Iterator[Control]:
    import lightgbm
    import xgboost

    x, y, target = _data(seed)
    small: dict[str, object] = {"n_estimators": 2, "n_jobs": 1, "random_state": seed}
    models = {
        "xgboost-classifier": xgboost.XGBClassifier(**small).fit(x, y),
        "xgboost-regressor": xgboost.XGBRegressor(**small).fit(x, target),
        "xgboost-forest": xgboost.XGBRFClassifier(**small).fit(x, y),
        "xgboost-ranker": xgboost.XGBRanker(**small).fit(x, y, group=[20, 20]),
        "lightgbm-classifier": lightgbm.LGBMClassifier(verbose=-1, **small).fit(x, y),
        "lightgbm-regressor": lightgbm.LGBMRegressor(verbose=-1, **small).fit(x, target),
        "lightgbm-ranker": lightgbm.LGBMRanker(verbose=-1, **small).fit(x, y, group=[20, 20]),
    }
    models["xgboost-booster"] = models["xgboost-classifier"].get_booster()
    models["lightgbm-booster"] = models["lightgbm-classifier"].booster_
    for name, model in models.items():
        yield from _pickles(name, model)
        yield _joblib(name, model)


# --- torch ------------------------------------------------------------------------------------------


def _tensors(seed: int) -> Iterator[Control]:
    import torch

    torch.manual_seed(seed)
    plain = [torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int8, torch.int16, torch.int32,
             torch.int64, torch.uint8, torch.bool, torch.complex64, torch.complex128]  # fmt: skip
    small = [getattr(torch, name) for name in ("uint16", "uint32", "uint64", "float8_e4m3fn", "float8_e5m2")]
    values: dict[str, object] = {str(kind)[6:]: torch.ones(2, 3).to(kind) for kind in (*plain, *small)}
    base = torch.randn(4, 6)
    quantised = torch.quantize_per_tensor(base, 0.1, 2, torch.qint8)
    channels = torch.quantize_per_channel(base, torch.ones(4), torch.zeros(4, dtype=torch.int64), 0, torch.quint8)
    values |= {
        "views": [base[1:], base.t(), base[:, ::2]],
        "parameter": torch.nn.Parameter(base),
        "shared": {"a": base, "b": base.view(-1)},
        "sparse-coo": base.to_sparse(),
        "sparse-csr": base.to_sparse_csr(),
        "sparse-csc": base.to_sparse_csc(),
        "sparse-bsr": base.to_sparse_bsr((2, 2)),
        "quantised": quantised,
        "quantised-channels": channels,
        "nested": torch.nested.nested_tensor([torch.ones(2), torch.ones(3)]),
        "size": [base.shape, base.dtype, base.device, torch.strided],
        "meta": torch.empty(3, device="meta"),
        "generator": torch.get_rng_state(),
        "conjugate": torch.ones(2, dtype=torch.complex64).conj(),
        "requires-grad": torch.ones(2, requires_grad=True),
        "untyped": base.untyped_storage(),
        "typed": base.storage(),
        "empty": [torch.empty(0), torch.tensor(1.0)],
    }
    for name, value in values.items():
        yield _torch(f"tensor-{name}", value)
        if name not in ("float8_e4m3fn", "float8_e5m2", "uint16", "uint32", "uint64", "nested", "untyped"):
            with contextlib.suppress(NotImplementedError, RuntimeError, pickle.PicklingError):
                yield _torch(f"tensor-{name}", value, legacy=True)


def _module(kind: type) -> object | None:
    """A module of torch.nn with small arguments, guessed from the names that its constructor asks for."""
    sizes = {"embed_dim": 4, "num_heads": 2, "d_model": 4, "nhead": 2, "dim_feedforward": 8, "num_layers": 1,
             "kernel_size": 1, "normalized_shape": 4, "num_groups": 2, "num_channels": 4, "n_classes": 20,
             "cutoffs": [4, 8], "p": 2, "output_size": 2, "scale_factor": 2, "upscale_factor": 2,
             "downscale_factor": 2, "num_embeddings": 4, "padding": 1, "lower": 0.1, "upper": 0.3, "output_ratio": 0.5,
             "value": 1.0, "threshold": 0.1, "dim": 0, "unflattened_size": (2, 2), "encoder_layer": None,
             "groups": 2, "min_val": -1.0, "max_val": 1.0}  # fmt: skip
    arguments: dict[str, object] = {}
    for name, parameter in list(inspect.signature(kind.__init__).parameters.items())[1:]:  # type: ignore[misc]
        if parameter.default is inspect.Parameter.empty and parameter.kind not in (
            inspect.Parameter.VAR_POSITIONAL,
            inspect.Parameter.VAR_KEYWORD,
        ):
            arguments[name] = sizes.get(name, 4)
    try:
        return kind(**arguments)
    except Exception:
        return None


def _modules(seed: int) -> Iterator[Control]:
    import torch

    torch.manual_seed(seed)
    for name in sorted(dir(torch.nn)):
        kind = getattr(torch.nn, name)
        if not isinstance(kind, type) or not issubclass(kind, torch.nn.Module) or name == "Container":
            continue
        module = _module(kind)
        if module is not None:
            yield _torch(f"nn.{name}", module)
            if len(name) % 4 == 0:
                yield _torch(f"nn.{name}", module, legacy=True)
    encoder = torch.nn.TransformerEncoderLayer(4, 2, 8)
    nets: dict[str, object] = {
        "mlp": torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Dropout(0.1), torch.nn.Linear(8, 2)),
        "conv": torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.ReLU(), torch.nn.Flatten()),
        "encoder": torch.nn.TransformerEncoder(encoder, 1),
        "encoder-gelu": torch.nn.TransformerEncoderLayer(4, 2, 8, activation=torch.nn.functional.gelu),
        "list": torch.nn.ModuleList([torch.nn.Linear(2, 2), torch.nn.ModuleDict({"a": torch.nn.Tanh()})]),
        "parameters": torch.nn.ParameterList([torch.nn.Parameter(torch.ones(2))]),
        "parameter-dict": torch.nn.ParameterDict({"a": torch.nn.Parameter(torch.ones(2))}),
    }  # fmt: skip
    for name, net in nets.items():
        yield _torch(f"net-{name}", net)
        yield _torch(f"net-{name}", net, legacy=True)
        yield _torch(f"net-{name}-state", net.state_dict())  # type: ignore[attr-defined]
    for protocol in (3, 4, 5):
        yield _torch(f"net-mlp protocol {protocol}", nets["mlp"], protocol=protocol)


def _states(seed: int) -> Iterator[Control]:
    import torch

    torch.manual_seed(seed)
    architectures: dict[str, torch.nn.Module] = {
        "linear": torch.nn.Linear(4, 2), "lstm": torch.nn.LSTM(4, 3), "gru": torch.nn.GRU(4, 3, bidirectional=True),
        "conv": torch.nn.Conv2d(3, 4, 3), "norm": torch.nn.BatchNorm2d(4), "embedding": torch.nn.Embedding(5, 3),
        "attention": torch.nn.MultiheadAttention(4, 2), "transformer": torch.nn.Transformer(4, 2, 1, 1, 8),
        "bilinear": torch.nn.Bilinear(2, 3, 4), "group": torch.nn.GroupNorm(2, 4),
    }  # fmt: skip
    for name, model in architectures.items():
        for kind in (torch.float32, torch.bfloat16, torch.float16):
            yield _torch(f"state-{name} {kind}", model.to(kind).state_dict(), legacy=kind is torch.float16)
    optimizers = (n for n in sorted(dir(torch.optim)) if n[0].isupper() and n not in ("Optimizer", "Muon"))
    for name in optimizers:
        kind = getattr(torch.optim, name)
        model = torch.nn.Linear(3, 2)
        sparse = name == "SparseAdam"
        optimizer = kind(model.parameters(), lr=0.1) if name != "LBFGS" else kind(model.parameters())
        if not sparse:
            loss = model(torch.ones(1, 3)).sum()
            loss.backward()
            optimizer.step(lambda loss=loss: loss)
        yield _torch(f"optim.{name}-state", optimizer.state_dict())
        yield _torch(f"optim.{name}", optimizer)
    yield from _schedulers()
    for legacy in (False, True):
        yield _torch("checkpoint-lightning", _lightning(), legacy=legacy)
    scripted = torch.jit.script(torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.ReLU()))
    out = io.BytesIO()
    torch.jit.save(scripted, out)
    yield Control("torchscript", "model.pt", out.getvalue(), "torchscript")


def _schedulers() -> Iterator[Control]:
    import torch

    made: dict[str, Callable[[torch.optim.Optimizer], object]] = {
        "StepLR": lambda o: torch.optim.lr_scheduler.StepLR(o, 3),
        "MultiStepLR": lambda o: torch.optim.lr_scheduler.MultiStepLR(o, [3, 5]),
        "CosineAnnealingLR": lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, 3),
        "ExponentialLR": lambda o: torch.optim.lr_scheduler.ExponentialLR(o, 0.9),
        "OneCycleLR": lambda o: torch.optim.lr_scheduler.OneCycleLR(o, 0.1, 10),
        "CyclicLR": lambda o: torch.optim.lr_scheduler.CyclicLR(o, 0.1, 0.2, cycle_momentum=False),
        "ReduceLROnPlateau": torch.optim.lr_scheduler.ReduceLROnPlateau,
        "LinearLR": torch.optim.lr_scheduler.LinearLR,
        "PolynomialLR": torch.optim.lr_scheduler.PolynomialLR,
        "CosineAnnealingWarmRestarts": lambda o: torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(o, 3),
    }
    for name, make in made.items():
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(2))], lr=0.1, momentum=0.9)
        yield _torch(f"scheduler.{name}-state", make(optimizer).state_dict())  # type: ignore[attr-defined]


def _lightning() -> dict[str, object]:
    import torch

    model = torch.nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(model.parameters())
    return {
        "epoch": 3, "global_step": 120, "pytorch-lightning_version": "2.4.0", "state_dict": model.state_dict(),
        "loops": {"fit_loop": {"state_dict": {}, "epoch_progress": {"total": {"ready": 1}}}},
        "callbacks": {"ModelCheckpoint{'monitor': None}": {"best_model_score": torch.tensor(0.5), "dirpath": "/x"}},
        "optimizer_states": [optimizer.state_dict()], "lr_schedulers": [],
        "hparams_name": "kwargs", "hyper_parameters": {"lr": 0.1, "sizes": [1, 2], "where": pathlib.PurePosixPath("a")},
    }  # fmt: skip


def _trainer(seed: int) -> Iterator[Control]:
    import torch
    import transformers

    with tempfile.TemporaryDirectory() as folder:
        chosen = transformers.TrainingArguments(output_dir=folder, report_to=[], use_cpu=True, seed=seed)
        yield _torch("trainer-training_args", chosen)
    rng = {
        "python": random.Random(seed).getstate(),
        "numpy": np.random.RandomState(seed).get_state(),
        "cpu": torch.random.get_rng_state(),
    }
    yield _torch("trainer-rng_state", rng)
    model = torch.nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(model.parameters())
    scheduler = transformers.get_linear_schedule_with_warmup(optimizer, 2, 10)
    yield _torch("trainer-optimizer", optimizer.state_dict())
    yield _torch("trainer-scheduler", scheduler.state_dict())
    config = transformers.BertConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8,
                                     vocab_size=20)  # fmt: skip
    yield from _pickles("transformers-config", config, (2, 4))
    yield _torch("transformers-bert-state", transformers.BertModel(config).state_dict())
    yield _torch("transformers-bert-state", transformers.BertModel(config).state_dict(), legacy=True)


class Colour(enum.Enum):
    """An enumeration of the tests: of no library, so its pickles are unknown."""

    RED = 1


PARTS: dict[str, Callable[[int], Iterator[Control]]] = {
    "standard": _standard,
    "numpy": _numpy,
    "scipy": _scipy,
    "pandas": _pandas,
    "sklearn": _sklearn,
    "boosters": _boosters,
    "tensors": _tensors,
    "modules": _modules,
    "states": _states,
    "trainer": _trainer,
}
