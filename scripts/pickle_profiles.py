# ruff: noqa: SIM905, BLE001 - lists of words read better as words; a library may raise anything when imported
"""Writes the name lists of the pickle profiles from the installed libraries.

Run it with an interpreter that has scikit-learn, scipy, pandas, torch, transformers, accelerate, xgboost, lightgbm and
`COMPANIONS`:
`python scripts/pickle_profiles.py src/weighbridge/inspectors/pickles/profiles`. What it writes is committed and is all
that inspectors read; they never look at an installed library.

A class is listed as `object` when making one without arguments and giving it a dictionary does no more than keep the
dictionary: a plain Python class whose whole order of resolution has no `__new__`, `__setstate__`, `__getattr__`,
`__getattribute__`, `__del__` or `__hash__` of its own but those named in `REVIEWED`, each of which was read.
"""

from __future__ import annotations

import enum
import importlib
import inspect
import pkgutil
import sys
import types
import warnings
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

SKIPPED = frozenset(
    "tests conftest testing _testing __main__ setup externals datasets _build_utils parallel onnx distributed dask spark tracker"
    " federated callback cli datapipes _dynamo _inductor deepspeed megatron_lm".split()
)
WATCHED = ("__setstate__", "__getattr__", "__getattribute__", "__del__", "__new__", "__hash__")
REVIEWED = frozenset(
    # Each of these was read: it copies the state, fills in what older versions lack, or computes with arrays.
    """
    sklearn.base.BaseEstimator.__setstate__ sklearn.isotonic.IsotonicRegression.__setstate__
    sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor.__setstate__
    sklearn.frozen._frozen.FrozenEstimator.__getattr__ sklearn.utils._metadata_requests.MetadataRequest.__getattr__
    sklearn.linear_model._passive_aggressive.PassiveAggressiveClassifier.__new__
    sklearn.linear_model._passive_aggressive.PassiveAggressiveRegressor.__new__
    torch.nn.modules.module.Module.__setstate__ torch.nn.modules.module.Module.__getattr__
    torch.nn.modules.conv._ConvNd.__setstate__ torch.nn.modules.rnn.RNNBase.__setstate__
    torch.nn.modules.upsampling.Upsample.__setstate__ torch.nn.modules.activation.LogSoftmax.__setstate__
    torch.nn.modules.activation.MultiheadAttention.__setstate__ torch.nn.modules.activation.Softmax.__setstate__
    torch.nn.modules.activation.Softmin.__setstate__ torch.nn.modules.pooling.AvgPool3d.__setstate__
    torch.nn.modules.transformer.TransformerDecoderLayer.__setstate__
    torch.nn.modules.transformer.TransformerEncoderLayer.__setstate__ torch.nn.modules.module._WrappedHook.__setstate__
    torch.nn.modules.container.Container.__new__ torch.nn.modules.loss.NLLLoss2d.__new__
    torch.optim.optimizer.Optimizer.__setstate__ torch.optim._adafactor.Adafactor.__setstate__
    torch.optim._muon.Muon.__setstate__ torch.optim.Adafactor.__setstate__ torch.optim.Muon.__setstate__
    torch.optim.asgd.ASGD.__setstate__ torch.optim.adadelta.Adadelta.__setstate__
    torch.optim.adagrad.Adagrad.__setstate__ torch.optim.adam.Adam.__setstate__ torch.optim.adamw.AdamW.__setstate__
    torch.optim.adamax.Adamax.__setstate__ torch.optim.nadam.NAdam.__setstate__ torch.optim.radam.RAdam.__setstate__
    torch.optim.rmsprop.RMSprop.__setstate__ torch.optim.rprop.Rprop.__setstate__ torch.optim.sgd.SGD.__setstate__
    transformers.configuration_utils.PreTrainedConfig.__getattribute__
    transformers.configuration_utils.PretrainedConfig.__getattribute__
    transformers.integrations.heterogeneity.configuration_utils.HeterogeneousConfigMixin.__getattribute__
    accelerate.state.PartialState.__getattr__
    """.split()
)
REFUSED = frozenset(
    # A plain state is enough to make these run something when they are used, or they exist to run something.
    """
    sklearn.utils.parallel._FuncWrapper sklearn.utils.fixes.MetadataRequest torch.nn.cpp.ModuleWrapper
    torch.nn.cpp.OrderedDictWrapper torch.nn.parallel.distributed.DistributedDataParallel
    torch.nn.modules.lazy.LazyModuleMixin sklearn.utils._joblib sklearn.utils._show_versions
    """.split()
)
COMPANIONS = ("imblearn", "category_encoders", "feature_engine", "hmmlearn", "mlxtend", "networkx.classes")
"""Libraries whose estimators go with scikit-learn's, and keep arrays, tables and settings."""
FUNCTION_MODULES = (
    "sklearn.metrics", "sklearn.feature_selection", "sklearn.preprocessing", "sklearn.feature_extraction.text",
    "sklearn.neural_network._base", "sklearn.utils.extmath", "sklearn.gaussian_process", "sklearn.covariance",
    "sklearn.decomposition._fastica", "sklearn.inspection",
)  # fmt: skip
CALLERS = frozenset(
    "make_scorer get_scorer check_scoring pairwise_kernels pairwise_distances_chunked _parallel_pairwise".split()
)
"""Functions that call what they are given."""


def modules(root: str) -> Iterator[types.ModuleType]:
    """A package and all modules in it that can be imported."""
    try:
        package = importlib.import_module(root)
    except BaseException:
        return
    yield package
    for found in pkgutil.iter_modules(getattr(package, "__path__", []), root + "."):
        last = found.name.rpartition(".")[2]
        if last not in SKIPPED and not last.startswith(("test", "_test")):
            yield from modules(found.name)


def is_plain(kind: type) -> bool:
    """Whether making one without arguments and giving it a dictionary keeps the dictionary and does nothing else."""
    if not kind.__flags__ & 1 << 9 or f"{kind.__module__}.{kind.__qualname__}" in REFUSED:
        return False
    for base in kind.__mro__[:-1]:
        if not base.__flags__ & 1 << 9 and base.__module__ != "typing":
            return False
        for name in WATCHED:
            own = vars(base).get(name)
            if (
                own is not None
                and base is not object
                and f"{base.__module__}.{base.__qualname__}.{name}" not in REVIEWED | GENERIC
            ):
                return False
        if "__slots__" in vars(base) and vars(base)["__slots__"]:
            return False
    return not issubclass(kind, (enum.Enum, BaseException, type))


GENERIC = frozenset(("typing.Generic.__class_getitem__", "typing.Protocol.__init_subclass__"))


def is_value_enum(kind: type) -> bool:
    """An enumeration whose members are looked up by value, with no `_missing_` that does more."""
    return issubclass(kind, enum.Enum) and bool(len(kind)) and kind.__reduce_ex__ is enum.Enum.__reduce_ex__


def listed(root: str) -> dict[str, dict[str, set[str]]]:
    """By role and module, the names of a library."""
    found: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for module in modules(root):
        for name, value in sorted(vars(module).items(), key=lambda item: item[0]):
            home = getattr(value, "__module__", None)
            if isinstance(value, type) and home == module.__name__ and value.__qualname__ == name:
                if is_value_enum(value):
                    found["enum"][home].add(name)
                elif is_plain(value):
                    found["object"][home].add(name)
            elif isinstance(value, types.FunctionType) and home == module.__name__ and _is_function(home, name):
                found["function"][home].add(name)
    return found


def _is_function(home: str, name: str) -> bool:
    return home.startswith(FUNCTION_MODULES) and name not in CALLERS and not name.startswith("_")


def with_old_homes(found: dict[str, dict[str, set[str]]], root: str) -> None:
    """Adds the modules' names of before they were made private: `linear_model.logistic` for `linear_model._logistic`."""
    for role, homes in found.items():
        for home in list(homes):
            head, _, last = home.rpartition(".")
            if role != "enum" and head.startswith(root) and last.startswith("_") and not last.startswith("__"):
                homes[f"{head}.{last[1:]}"] |= homes[home]


def torch_functions() -> dict[str, set[str]]:
    """Functions of torch that take tensors and numbers only, as activations and losses are stored."""
    import torch
    from torch.nn import functional

    names = {
        name
        for name, value in vars(functional).items()
        if isinstance(value, types.FunctionType | types.BuiltinFunctionType)
        and not name.startswith("_")
        and value.__module__ in ("torch.nn.functional", "torch._C._nn", "torch", None)
        and name not in ("boolean_dispatch", "has_torch_function", "handle_torch_function", "has_torch_function_unary",
                         "has_torch_function_variadic", "assert_int_or_pair")
    }  # fmt: skip
    native = {name for name in dir(torch._C._nn) if name in names or name in ("gelu", "softplus", "elu_")}
    plain = "relu relu_ tanh sigmoid softmax log_softmax exp log sin cos abs sqrt square selu celu erf add mul sum mean".split()
    return {"torch.nn.functional": names, "torch._C._nn": native, "torch": set(plain)}


def write(path: Path, *groups: dict[str, dict[str, set[str]]]) -> None:
    """One line for each role and module: the role, the module, the names."""
    lines = {
        f"{role} {module} {' '.join(sorted(names))}"
        for group in groups
        for role, homes in group.items()
        for module, names in homes.items()
        if names
    }
    path.write_text("\n".join(sorted(lines)) + "\n", encoding="ascii")
    print(path.name, len(lines), "lines", path.stat().st_size, "bytes")


def main() -> None:
    """Writes all lists."""
    folder = Path(sys.argv[1])
    warnings.simplefilter("ignore")
    sklearn = listed("sklearn")
    with_old_homes(sklearn, "sklearn")
    write(folder / "sklearn.txt", sklearn)
    nn = [listed(root) for root in ("torch.nn.modules", "torch.nn.utils.parametrizations", "torch.optim",
                                    "torch.nn.parallel.data_parallel", "torch.ao.nn", "torch.distributions")]  # fmt: skip
    write(folder / "torch.txt", *nn, {"function": torch_functions()})
    write(folder / "scipy.txt", *(listed(f"scipy.{name}") for name in ("interpolate", "sparse")))
    write(folder / "boosters.txt", *(listed(name) for name in ("xgboost.sklearn", "lightgbm.sklearn")))
    write(folder / "companions.txt", *(listed(name) for name in COMPANIONS))
    wanted = ("transformers.training_args", "transformers.training_args_seq2seq", "transformers.trainer_utils",
              "transformers.trainer_callback", "transformers.trainer_pt_utils", "transformers.debug_utils",
              "transformers.utils.generic", "transformers.configuration_utils", "transformers.generation.configuration_utils",
              "accelerate.utils.dataclasses", "accelerate.state", "transformers.utils.quantization_config")  # fmt: skip
    configs = [found for module in _configurations() for found in (listed(module),)]
    write(folder / "transformers.txt", *(listed(name) for name in wanted), *configs)
    write(
        folder / "pandas.txt",
        *(listed(f"pandas.core.{name}") for name in ("dtypes.dtypes", "arrays", "indexes", "internals")),
    )


def _configurations() -> Iterator[str]:
    import transformers.models

    for folder in pkgutil.iter_modules(transformers.models.__path__, "transformers.models."):
        base = folder.name.rpartition(".")[2]
        yield f"{folder.name}.configuration_{base}"


if __name__ == "__main__":
    assert inspect.isfunction(main)
    main()
