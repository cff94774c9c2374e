"""Writes honest files of libraries from other fields: `python -m benchmarks.unseen_fields OUT first|second [SEED]`.

Run it in an environment with the libraries of one set (`unseen_fields.txt`, `unseen_fields_second.txt`); those that are missing are named and left
out. Every library writes what its users keep: pickles and joblib files of fitted models, torch checkpoints, its own
formats, and a drawn sample of the data files that the installed packages bring along. What is drawn hangs on the seed.
"""

# ruff: noqa: PLW0108, E731, SIM905 (a table of makers reads best when every row has the same shape)

from __future__ import annotations

import io
import pickle
import random
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.cases import Case, write

SEED = 20261123
ENDINGS = frozenset(
    ".json .yaml .yml .md .txt .csv .tsv .parquet .npz .npy .ipynb .jinja .j2 .toml .cfg .safetensors .onnx .h5 .pkl .pt .pth"
    " .gz .zip .joblib .msgpack .xml .rst .png .svg .jpg .wav .feather .arrow .model .vocab .bin .db .nc .html".split()
)
"""What model repositories hold beside programs, which are judged by what they do."""
EACH, IN_ALL, LARGEST = 2, 120, 2_000_000
"""Of each package and ending at most so many data files; so many in all; of at most so many bytes."""
Made = tuple[str, object]
Maker = Callable[[random.Random], Iterator["Case | Made"]]


def kept(family: str, name: str, value: object, draw: random.Random) -> Iterator[Case]:
    """One value as its user keeps it: pickled by a drawn protocol, by joblib, or by cloudpickle."""
    import cloudpickle
    import joblib

    out, way, ending = io.BytesIO(), draw.random(), draw.choice(("model.pkl", "model.joblib"))
    try:
        if way < 0.45:
            joblib.dump(value, out, compress=draw.choice((0, 3)))
        elif way < 0.9:
            pickle.dump(value, out, protocol=draw.choice((2, 3, 4, 5)))
        else:
            out.write(cloudpickle.dumps(value))
    except Exception as refused:  # noqa: BLE001 (whatever a library raises when it will not be written)
        print(f"not written: {family} {name}: {refused!r:.100}", file=sys.stderr)
        return
    yield Case(family, name, "benign", ending, out.getvalue())


def made(family: str, rows: Iterable[tuple[str, Callable[[], object]]], draw: random.Random) -> Iterator[Case]:
    """What each row makes, kept. What a library refuses to make is named and left out."""
    for name, make in rows:
        try:
            value = make()
        except Exception as refused:  # noqa: BLE001
            print(f"not made: {family} {name}: {refused!r:.100}", file=sys.stderr)
            continue
        yield from kept(family, name, value, draw)


def written(family: str, name: str, save: Callable[[Path], object]) -> Iterator[Case]:
    """The files that a library writes below a path of its own choosing the name."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / name
        try:
            save(place)
        except Exception as refused:  # noqa: BLE001
            print(f"not written: {family} {name}: {refused!r:.100}", file=sys.stderr)
            return
        for path in sorted(Path(folder).rglob("*")):
            if path.is_file():
                yield Case(family, f"{name} {path.name}", "benign", path.name, path.read_bytes())


def numbers(draw: random.Random, rows: int = 60) -> tuple[Any, Any, Any]:
    """A matrix, classes and values that a library can fit."""
    import numpy as np

    source = np.random.default_rng(draw.randrange(1 << 30))
    data = np.abs(source.normal(size=(rows, 4))) + 0.1
    return data, np.arange(rows) % 2, data @ source.normal(size=4) + source.normal(size=rows) * 0.1


def shipped(draw: random.Random) -> Iterator[Case]:
    """Data files that the installed packages bring along, drawn."""
    (home,) = Path(sys.prefix).glob("lib/python*/site-packages")
    found: dict[tuple[str, str], list[Path]] = {}
    for path in sorted(home.rglob("*")):
        if path.suffix in ENDINGS and path.is_file() and 0 < path.stat().st_size <= LARGEST:
            found.setdefault((path.relative_to(home).parts[0], path.suffix), []).append(path)
    picked = [path for paths in found.values() for path in draw.sample(paths, min(EACH, len(paths)))]
    for path in draw.sample(picked, min(IN_ALL, len(picked))):
        yield Case("shipped data", str(path.relative_to(home)), "benign", path.name, path.read_bytes())


def river(draw: random.Random) -> Iterator[Case]:
    """Models that learn from one example after another."""
    from river import (
        anomaly,
        cluster,
        compose,
        drift,
        ensemble,
        linear_model,
        naive_bayes,
        neighbors,
        preprocessing,
        stats,
        tree,
    )

    data, classes, values = numbers(draw)

    def learned(model: Any, target: Any) -> Any:
        for row, answer in zip(data, target, strict=True):
            model.learn_one({f"x{place}": float(one) for place, one in enumerate(row)}, answer.item())
        return model

    yes = classes.astype(bool)
    yield from made("river", (
        ("LogisticRegression", lambda: learned(linear_model.LogisticRegression(), yes)),
        ("pipeline", lambda: learned(preprocessing.StandardScaler() | linear_model.LogisticRegression(), yes)),
        ("LinearRegression", lambda: learned(compose.Pipeline(preprocessing.MinMaxScaler(), linear_model.LinearRegression()), values)),
        ("HoeffdingTreeClassifier", lambda: learned(tree.HoeffdingTreeClassifier(grace_period=10), yes)),
        ("HoeffdingTreeRegressor", lambda: learned(tree.HoeffdingTreeRegressor(grace_period=10), values)),
        ("GaussianNB", lambda: learned(naive_bayes.GaussianNB(), yes)),
        ("KNNClassifier", lambda: learned(neighbors.KNNClassifier(), yes)),
        ("ADWINBagging", lambda: learned(ensemble.ADWINBaggingClassifier(linear_model.LogisticRegression(), n_models=3), yes)),
        ("ADWIN", lambda: drift.ADWIN()), ("Mean", lambda: stats.Mean()),
        ("HalfSpaceTrees", lambda: anomaly.HalfSpaceTrees(seed=1)), ("KMeans", lambda: cluster.KMeans(n_clusters=3)),
    ), draw)  # fmt: skip


def pyod(draw: random.Random) -> Iterator[Case]:
    """Detectors of outliers."""
    from importlib import import_module

    data, _, _ = numbers(draw)
    names = "abod:ABOD cblof:CBLOF copod:COPOD ecod:ECOD hbos:HBOS iforest:IForest knn:KNN lof:LOF mcd:MCD ocsvm:OCSVM pca:PCA kde:KDE gmm:GMM loda:LODA"
    rows = []
    for pair in names.split():
        module, _, name = pair.partition(":")
        rows.append(
            (name, lambda module=module, name=name: getattr(import_module(f"pyod.models.{module}"), name)().fit(data))
        )
    yield from made("pyod", rows, draw)


def survival(draw: random.Random) -> Iterator[Case]:
    """Times until something happens."""
    import lifelines
    import numpy as np
    import pandas as pd
    from sksurv import ensemble, linear_model, tree
    from sksurv.util import Surv

    data, classes, values = numbers(draw)
    times = np.abs(values) + 0.1
    table = pd.DataFrame(data, columns=list("abcd")).assign(T=times, E=classes)
    yield from made("lifelines", (
        *((name, lambda name=name: getattr(lifelines, name)().fit(times, classes)) for name in
          ("KaplanMeierFitter", "NelsonAalenFitter", "WeibullFitter", "ExponentialFitter", "LogNormalFitter")),
        *((name, lambda name=name: getattr(lifelines, name)().fit(table, "T", "E")) for name in
          ("CoxPHFitter", "WeibullAFTFitter", "AalenAdditiveFitter")),
    ), draw)  # fmt: skip
    answers = Surv.from_arrays(classes.astype(bool), times)
    yield from made("scikit-survival", (
        *((kind.__name__, lambda kind=kind: kind().fit(data, answers)) for kind in
          (linear_model.CoxPHSurvivalAnalysis, linear_model.CoxnetSurvivalAnalysis, linear_model.IPCRidge, tree.SurvivalTree)),
        *((kind.__name__, lambda kind=kind: kind(n_estimators=3).fit(data, answers)) for kind in
          (ensemble.RandomSurvivalForest, ensemble.GradientBoostingSurvivalAnalysis)),
    ), draw)  # fmt: skip


def series(draw: random.Random) -> Iterator[Case]:
    """Series in time."""
    import numpy as np
    import pandas as pd
    import pmdarima
    from sktime.forecasting.exp_smoothing import ExponentialSmoothing
    from sktime.forecasting.naive import NaiveForecaster
    from sktime.forecasting.theta import ThetaForecaster
    from sktime.forecasting.trend import PolynomialTrendForecaster, TrendForecaster
    from sktime.transformations.series.detrend import Detrender
    from tslearn.clustering import KernelKMeans, TimeSeriesKMeans
    from tslearn.neighbors import KNeighborsTimeSeriesClassifier
    from tslearn.preprocessing import TimeSeriesScalerMeanVariance

    _, classes, values = numbers(draw)
    line = pd.Series(np.abs(values) + 1, index=pd.period_range("2015-01", periods=60, freq="M"))
    many = np.random.default_rng(1).normal(size=(12, 20, 1))
    yield from made("sktime", (
        (kind.__name__, lambda kind=kind: kind().fit(line)) for kind in
        (NaiveForecaster, ThetaForecaster, PolynomialTrendForecaster, TrendForecaster, ExponentialSmoothing, Detrender)
    ), draw)  # fmt: skip
    yield from made("tslearn", (
        ("TimeSeriesKMeans", lambda: TimeSeriesKMeans(3, max_iter=2).fit(many)),
        ("KernelKMeans", lambda: KernelKMeans(2, max_iter=2).fit(many)),
        ("KNeighborsTimeSeriesClassifier", lambda: KNeighborsTimeSeriesClassifier(1).fit(many, classes[:12])),
        ("TimeSeriesScalerMeanVariance", lambda: TimeSeriesScalerMeanVariance().fit(many)),
    ), draw)  # fmt: skip
    yield from made("pmdarima", (("ARIMA", lambda: pmdarima.ARIMA((1, 0, 0)).fit(line.to_numpy())),), draw)


def manifolds(draw: random.Random) -> Iterator[Case]:
    """Fewer dimensions, and clusters."""
    import hdbscan
    import umap

    data, _, _ = numbers(draw)
    yield from made("umap", (("UMAP", lambda: umap.UMAP(n_neighbors=5, n_epochs=5).fit(data)),), draw)
    yield from made("hdbscan", (
        ("HDBSCAN", lambda: hdbscan.HDBSCAN(min_cluster_size=3).fit(data)),
        ("RobustSingleLinkage", lambda: hdbscan.RobustSingleLinkage().fit(data)),
    ), draw)  # fmt: skip


def trees(draw: random.Random) -> Iterator[Case]:
    """Boosted trees that bring formats of their own, and glass boxes."""
    import catboost
    import shap
    from interpret.glassbox import ExplainableBoostingClassifier, LinearRegression
    from ngboost import NGBClassifier, NGBRegressor
    from sklearn.ensemble import RandomForestRegressor

    data, classes, values = numbers(draw)
    settings = {"iterations": 3, "depth": 2, "verbose": False, "allow_writing_files": False}
    cat = catboost.CatBoostClassifier(**settings).fit(data, classes)
    other = catboost.CatBoostRegressor(**settings).fit(data, values)
    yield from made("catboost", (("CatBoostClassifier", lambda: cat), ("CatBoostRegressor", lambda: other)), draw)
    for ending, form in (("cbm", "cbm"), ("json", "json"), ("onnx", "onnx")):
        yield from written(
            "catboost", f"model.{ending}", lambda path, form=form: cat.save_model(str(path), format=form)
        )
        yield from written(
            "catboost", f"other.{ending}", lambda path, form=form: other.save_model(str(path), format=form)
        )
    yield from made("ngboost", (
        ("NGBRegressor", lambda: NGBRegressor(n_estimators=3, verbose=False).fit(data, values)),
        ("NGBClassifier", lambda: NGBClassifier(n_estimators=3, verbose=False).fit(data, classes)),
    ), draw)  # fmt: skip
    yield from made("interpret", (
        ("ExplainableBoostingClassifier", lambda: ExplainableBoostingClassifier(max_rounds=3, n_jobs=1).fit(data, classes)),
        ("LinearRegression", lambda: LinearRegression().fit(data, values)),
    ), draw)  # fmt: skip
    forest = RandomForestRegressor(3).fit(data, values)
    yield from made("shap", (
        ("TreeExplainer", lambda: shap.TreeExplainer(forest)), ("Explanation", lambda: shap.TreeExplainer(forest)(data)),
    ), draw)  # fmt: skip


def words(draw: random.Random) -> Iterator[Case]:
    """Pipelines of spaCy on disk, in bytes and pickled; models of sentence-transformers as folders."""
    import spacy
    from sentence_transformers import SentenceTransformer, models

    for language in draw.sample(("en", "de", "fr", "es", "it", "nl"), 2):
        nlp = spacy.blank(language)
        nlp.add_pipe("sentencizer")
        nlp.add_pipe("entity_ruler").add_patterns([{"label": "ORG", "pattern": "Weighbridge"}])  # type: ignore[attr-defined]
        yield from written("spacy", language, nlp.to_disk)
        doc = nlp("Weighbridge weighs. It stands.")
        yield from written("spacy", f"{language}.spacy", spacy.tokens.DocBin(docs=[doc]).to_disk)
        yield from made(
            "spacy", ((f"{language} doc", lambda doc=doc: doc), (f"{language} pipeline", lambda nlp=nlp: nlp)), draw
        )
    text = spacy.blank("en")
    cats = text.add_pipe("textcat")
    cats.add_label("A")  # type: ignore[attr-defined]
    cats.add_label("B")  # type: ignore[attr-defined]
    text.initialize()
    yield from written("spacy", "textcat", text.to_disk)

    def folder(path: Path) -> None:
        import transformers

        path.mkdir()
        names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefgh"]
        (path / "vocab.txt").write_text("\n".join(names))
        transformers.BertTokenizerFast(str(path / "vocab.txt")).save_pretrained(path)
        config = transformers.BertConfig(
            vocab_size=len(names), hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8
        )
        transformers.BertModel(config).save_pretrained(path)
        body = models.Transformer(str(path))
        SentenceTransformer(modules=[body, models.Pooling(8), models.Dense(8, 4), models.Normalize()]).save(
            str(path.parent / "whole")
        )

    yield from written("sentence-transformers", "model", folder)


def networks(draw: random.Random) -> Iterator[Case]:
    """Checkpoints of trainers, and networks of timm whole and as state."""
    import lightning
    import timm
    import torch

    class Net(lightning.LightningModule):
        def __init__(self, width: int = 4) -> None:
            super().__init__()
            self.save_hyperparameters()
            self.layer = torch.nn.Linear(width, 1)

        def training_step(self, batch: Any, _: int) -> Any:
            return self.layer(batch[0]).mean()

        def configure_optimizers(self) -> Any:
            return torch.optim.AdamW(self.parameters(), lr=0.01)

    rows = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(torch.randn(8, 4)), batch_size=4)

    def trained(path: Path) -> None:
        from lightning.pytorch.callbacks import ModelCheckpoint

        best = ModelCheckpoint(dirpath=path.parent, monitor=None, save_last=True)
        trainer = lightning.Trainer(
            max_epochs=1, accelerator="cpu", logger=lightning.pytorch.loggers.CSVLogger(path.parent), enable_progress_bar=False,
            enable_model_summary=False, callbacks=[best],
        )  # fmt: skip
        trainer.fit(Net(), rows)

    yield from written("lightning", "run", trained)
    for name in draw.sample(
        ("resnet18", "mobilenetv3_small_050", "vit_tiny_patch16_224", "efficientnet_lite0", "convnext_atto"), 3
    ):
        model = timm.create_model(name, pretrained=False, num_classes=2)
        if sum(one.numel() for one in model.parameters()) < 12_000_000:
            yield from written("timm", f"{name}.pth", lambda path, model=model: torch.save(model, path))
            state = {"state_dict": model.state_dict(), "arch": name, "epoch": 1, "metric": 0.5}
            yield from written("timm", f"{name}-state.pth.tar", lambda path, state=state: torch.save(state, path))


def games(draw: random.Random) -> Iterator[Case]:
    """Agents of stable-baselines3 as their `save` writes them, replay buffers, and studies of optuna."""
    import gymnasium
    import optuna
    import stable_baselines3
    from stable_baselines3.common.buffers import ReplayBuffer
    from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

    for name in ("PPO", "A2C", "DQN", "SAC", "TD3"):
        game = "Pendulum-v1" if name in ("SAC", "TD3") else "CartPole-v1"
        extra = {"buffer_size": 100} if name in ("DQN", "SAC", "TD3") else {}
        agent = getattr(stable_baselines3, name)("MlpPolicy", game, policy_kwargs={"net_arch": [8]}, **extra)
        yield from written("stable-baselines3", f"{name}.zip", lambda path, agent=agent: agent.save(str(path)))
        yield from written(
            "stable-baselines3", f"{name}-policy.pth", lambda path, agent=agent: agent.policy.save(str(path))
        )
    yard = gymnasium.make("CartPole-v1")
    yield from made("stable-baselines3", (
        ("ReplayBuffer", lambda: ReplayBuffer(10, yard.observation_space, yard.action_space)),
        ("VecNormalize", lambda: VecNormalize(DummyVecEnv([lambda: gymnasium.make("CartPole-v1")]))),
    ), draw)  # fmt: skip
    yield from made("gymnasium", (
        ("spaces", lambda: (yard.observation_space, yard.action_space)),
        ("Dict", lambda: gymnasium.spaces.Dict({"a": gymnasium.spaces.Discrete(3), "b": gymnasium.spaces.MultiBinary(2)})),
    ), draw)  # fmt: skip
    optuna.logging.disable_default_handler()

    def studied(storage: str | None = None) -> Any:
        study = optuna.create_study(study_name="s", storage=storage)
        study.optimize(
            lambda trial: trial.suggest_float("x", 0, 1) + trial.suggest_categorical("k", (1, 2)), n_trials=4
        )
        return study

    yield from made(
        "optuna",
        (("study", studied), ("sampler", lambda: studied().sampler), ("frozen", lambda: studied().best_trial)),
        draw,
    )
    yield from written("optuna", "study.db", lambda path: studied(f"sqlite:///{path}"))


def sciences(draw: random.Random) -> Iterator[Case]:
    """Molecules, sequences, maps, grids."""
    import geopandas
    import numpy as np
    import xarray
    from Bio import Phylo, SeqIO
    from Bio.Seq import Seq
    from Bio.SeqRecord import SeqRecord
    from rdkit import Chem
    from rdkit.Chem import AllChem
    from shapely.geometry import Point, Polygon

    drug = Chem.MolFromSmiles("CC(=O)OC1=CC=CC=C1C(=O)O")
    print_of = AllChem.GetMorganFingerprintAsBitVect(drug, 2, 64)
    yield from made(
        "rdkit", (("Mol", lambda: drug), ("fingerprint", lambda: print_of), ("list", lambda: [drug, {"id": 1}])), draw
    )
    yield from written("rdkit", "drug.sdf", lambda path: Chem.SDWriter(str(path)).write(drug))
    yield from written("rdkit", "drug.mol", lambda path: path.write_text(Chem.MolToMolBlock(drug)))
    records = [
        SeqRecord(Seq("".join(draw.choices("ACGT", k=200))), id=f"s{n}", annotations={"molecule_type": "DNA"})
        for n in range(4)
    ]
    yield from made("biopython", (("record", lambda: records[0]), ("records", lambda: records)), draw)
    for ending, form in (("fasta", "fasta"), ("gb", "genbank"), ("xml", "seqxml"), ("nex", "nexus"), ("embl", "embl")):
        yield from written("biopython", f"s.{ending}", lambda path, form=form: SeqIO.write(records, str(path), form))
    tree = Phylo.read(io.StringIO("((A:1,B:1):1,C:2);"), "newick")
    for ending, form in (("nwk", "newick"), ("phyloxml.xml", "phyloxml")):
        yield from written("biopython", f"t.{ending}", lambda path, form=form: Phylo.write(tree, str(path), form))
    places = geopandas.GeoDataFrame(
        {"n": [1, 2]}, geometry=[Point(1, 2), Polygon([(0, 0), (1, 0), (1, 1)])], crs="EPSG:4326"
    )
    yield from made("geopandas", (("GeoDataFrame", lambda: places), ("shapes", lambda: list(places.geometry))), draw)
    for ending in ("geojson", "gpkg", "parquet", "feather"):
        way = {"parquet": places.to_parquet, "feather": places.to_feather}.get(ending, places.to_file)
        yield from written("geopandas", f"p.{ending}", lambda path, way=way: way(str(path)))
    grid = xarray.Dataset({"t": (("x", "y"), np.ones((3, 4)))}, coords={"x": [1, 2, 3]}, attrs={"title": "a grid"})
    yield from made("xarray", (("Dataset", lambda: grid), ("DataArray", lambda: grid.t)), draw)
    for form in ("NETCDF4", "NETCDF3_CLASSIC"):
        yield from written("xarray", f"{form}.nc", lambda path, form=form: grid.to_netcdf(path, format=form))


def tables(draw: random.Random) -> Iterator[Case]:
    """Columns on disk, recommendations, and scikit-learn as ONNX."""
    import numpy as np
    import pandas as pd
    import scipy.sparse
    import skl2onnx
    import xgboost
    from implicit.als import AlternatingLeastSquares
    from implicit.bpr import BayesianPersonalizedRanking
    from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    data, classes, _ = numbers(draw)
    seen = scipy.sparse.csr_matrix(np.random.default_rng(2).integers(0, 2, (20, 10)).astype("f4"))
    for kind in (AlternatingLeastSquares, BayesianPersonalizedRanking):
        model = kind(factors=4, iterations=1)
        model.fit(seen, show_progress=False)
        yield from written("implicit", f"{kind.__name__}.npz", lambda path, model=model: model.save(str(path)))
        yield from made("implicit", ((kind.__name__, lambda model=model: model),), draw)
    table = pd.DataFrame(
        {"a": [1, 2, 3], "b": ["x", "y", None], "c": pd.Categorical(list("aab")), "d": pd.date_range("2020", periods=3)}
    )
    for engine in ("pyarrow", "fastparquet"):
        for packing in ("snappy", "gzip", "zstd", None):
            way = lambda path, engine=engine, packing=packing: table.to_parquet(
                path, engine=engine, compression=packing
            )
            yield from written("parquet", f"{engine}-{packing}.parquet", way)
    yield from written("tables", "t.json", lambda path: table.to_json(path, orient="table"))
    yield from written("tables", "t.csv.gz", lambda path: table.to_csv(path))
    for model in (
        RandomForestClassifier(3),
        GradientBoostingClassifier(n_estimators=2),
        make_pipeline(StandardScaler(), LogisticRegression()),
    ):
        graph = skl2onnx.to_onnx(model.fit(data, classes), data[:1].astype("f4"))
        yield from written(
            "skl2onnx",
            f"{type(model).__name__}.onnx",
            lambda path, graph=graph: path.write_bytes(graph.SerializeToString()),
        )
    booster = xgboost.train({"max_depth": 2}, xgboost.DMatrix(data, classes), 2)
    for ending in ("json", "ubj"):
        yield from written("xgboost", f"b.{ending}", lambda path: booster.save_model(str(path)))


def estimators(draw: random.Random) -> Iterator[Case]:
    """Small libraries of estimators beside scikit-learn."""
    import kmodes.kmodes
    import minisom
    from gplearn.genetic import SymbolicRegressor
    from sklearn.linear_model import LogisticRegression
    from sklearn_crfsuite import CRF

    data, classes, values = numbers(draw)
    yield from made(
        "kmodes", (("KModes", lambda: kmodes.kmodes.KModes(2, n_init=1).fit((data * 3).astype(int))),), draw
    )

    def mapped() -> Any:
        found = minisom.MiniSom(3, 3, 4, random_seed=1)
        found.train(data, 10)
        return found

    yield from made("minisom", (("MiniSom", mapped),), draw)
    yield from made(
        "gplearn",
        (("SymbolicRegressor", lambda: SymbolicRegressor(population_size=20, generations=2).fit(data, values)),),
        draw,
    )
    yield from made("sklearn-crfsuite", (("CRF", lambda: CRF(max_iterations=2).fit([[{"a": "1"}]], [["B"]])),), draw)
    yield from written(
        "sklearn", "plain.joblib", lambda path: __import__("joblib").dump(LogisticRegression().fit(data, classes), path)
    )


def stored(draw: random.Random) -> Iterator[Case]:
    """Indexes, tables, tokenizers, pictures, sky charts."""
    import nibabel
    import numpy as np
    import polars
    import tokenizers
    from astropy.table import Table

    data, _, _ = numbers(draw)
    import faiss

    index = faiss.IndexFlatL2(4)
    index.add(data.astype("f4"))
    yield from written("faiss", "flat.index", lambda path: faiss.write_index(index, str(path)))
    table = polars.DataFrame({"a": [1, 2], "b": ["x", None], "c": [0.5, 1.5]})
    for ending in ("parquet", "csv", "json", "ndjson", "ipc", "avro"):
        yield from written("polars", f"t.{ending}", lambda path, ending=ending: getattr(table, f"write_{ending}")(path))
    yield from made("polars", (("DataFrame", lambda: table),), draw)
    stars = Table({"a": [1, 2], "b": [0.5, 1.5]})
    for ending in ("fits", "ecsv", "vot"):
        form = {"ecsv": "ascii.ecsv", "vot": "votable"}.get(ending, ending)
        yield from written("astropy", f"t.{ending}", lambda path, form=form: stars.write(path, format=form))
    yield from made("astropy", (("Table", lambda: stars),), draw)
    yield from written(
        "nibabel",
        "scan.nii.gz",
        lambda path: nibabel.save(nibabel.Nifti1Image(np.zeros((3, 3, 3), "i2"), np.eye(4)), path),
    )
    for kind in (tokenizers.models.BPE, tokenizers.models.WordPiece, tokenizers.models.Unigram):
        name = kind.__name__
        yield from written(
            "tokenizers", f"{name}-tokenizer.json", lambda path, kind=kind: tokenizers.Tokenizer(kind()).save(str(path))
        )
    yield from written("numpy", "all.npz", lambda path: np.savez_compressed(path, a=data, b=np.arange(3)))


def adapters(_: random.Random) -> Iterator[Case]:
    """Adapters of peft, schedulers and small networks of diffusers, metrics and graphs of torch's neighbours."""
    import diffusers
    import peft
    import torch
    import torchmetrics
    import transformers
    from torch_geometric.data import Data
    from torch_geometric.nn import GCNConv

    config = transformers.GPT2Config(vocab_size=16, n_embd=8, n_layer=1, n_head=1, n_positions=8)
    lora = peft.get_peft_model(transformers.GPT2LMHeadModel(config), peft.LoraConfig(r=2, target_modules=["c_attn"]))
    yield from written("peft", "adapter", lambda path: lora.save_pretrained(path))
    for name in ("DDPMScheduler", "DDIMScheduler", "EulerDiscreteScheduler", "PNDMScheduler"):
        yield from written("diffusers", name, lambda path, name=name: getattr(diffusers, name)().save_pretrained(path))
    small = diffusers.AutoencoderKL(block_out_channels=(4,), norm_num_groups=1)
    yield from written("diffusers", "vae", lambda path: small.save_pretrained(path))
    graph = Data(x=torch.ones(3, 2), edge_index=torch.tensor([[0, 1], [1, 2]]))
    yield from written("torch-geometric", "graph.pt", lambda path: torch.save(graph, path))
    net = GCNConv(2, 2)
    yield from written("torch-geometric", "layer.pt", lambda path: torch.save(net, path))
    yield from written(
        "torch-geometric", "state.pt", lambda path: torch.save({"model": net.state_dict(), "epoch": 3}, path)
    )
    metric = torchmetrics.MeanMetric()
    metric.update(3.0)
    yield from written("torchmetrics", "mean.pt", lambda path: torch.save(metric, path))
    yield from written("torchmetrics", "state.pt", lambda path: torch.save(metric.state_dict(), path))


FIRST: tuple[Maker, ...] = (  # type: ignore[assignment]
    river, pyod, survival, series, manifolds, trees, words, networks, games, sciences, tables, shipped,
)  # fmt: skip
SECOND: tuple[Maker, ...] = (estimators, stored, adapters, shipped)  # type: ignore[assignment]
SETS: dict[str, tuple[Maker, ...]] = {"first": FIRST, "second": SECOND}


def cases(makers: Iterable[Maker], draw: random.Random) -> Iterator[Case]:
    """What all of them make; a maker whose libraries are missing is named and left out."""
    for make in makers:
        try:
            yield from make(draw)  # type: ignore[misc]
        except Exception as missing:  # noqa: BLE001
            print(f"left out: {make.__name__}: {missing!r:.200}", file=sys.stderr)


def main() -> int:
    """Writes them all."""
    warnings.simplefilter("ignore")
    draw = random.Random(int(sys.argv[3]) if len(sys.argv) > 3 else SEED)
    print(f"{write(cases(SETS[sys.argv[2]], draw), Path(sys.argv[1]))} cases")
    return 0


if __name__ == "__main__":
    sys.exit(main())
