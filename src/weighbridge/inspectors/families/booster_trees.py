"""Follows the trees of XGBoost models and LightGBM texts: every child a node of its tree, reached once."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from weighbridge.formats.json_text import Json
from weighbridge.inspectors.notes import Notes, shown

_DELETED: Final = (1 << 31) - 1
_LEARNER_KEYS: Final = frozenset(
    (
        "attributes",
        "feature_names",
        "feature_types",
        "gradient_booster",
        "learner_model_param",
        "objective",
        "generic_param",
        "metrics",
        "learner_train_param",
        "cats",
    )
)
_XGBOOST_OBJECTIVES: Final = re.compile(
    r"(?:reg:(?:squarederror|squaredlogerror|linear|logistic|pseudohubererror|gamma|tweedie|absoluteerror|quantileerror"
    r"|expectileerror)|binary:(?:logistic|logitraw|hinge|logisticraw)|multi:soft(?:max|prob)|count:poisson"
    r"|rank:(?:pairwise|ndcg|map)|survival:(?:cox|aft)|gpu:reg:\w+|gpu:binary:\w+)\Z"
)
_LIGHTGBM_OBJECTIVES: Final = re.compile(
    r"(?:regression(?:_l[12])?|huber|fair|poisson|quantile|mape|gamma|tweedie|binary|multiclass(?:ova)?|cross_entropy"
    r"(?:_lambda)?|lambdarank|rank_xendcg|custom|none|l[12]|xentropy|xentlambda)(?:\s+[\w.]+:[\w.+-]+|\s+sqrt)*\Z"
)
_TREE_KEYS: Final = frozenset(
    (
        "base_weights",
        "categories",
        "categories_nodes",
        "categories_segments",
        "categories_sizes",
        "default_left",
        "id",
        "left_children",
        "loss_changes",
        "parents",
        "right_children",
        "split_conditions",
        "split_indices",
        "split_type",
        "sum_hessian",
        "tree_param",
        "leaf_weights",
        "leaf_child_counts",
    )
)


class _Broken(Exception):
    """The model is not as the library writes it."""


class XgboostModel:
    """Checks a model's, or a saved booster's, value."""

    def __init__(self, notes: Notes) -> None:
        self._notes = notes
        self._understood = True

    def check(self, value: Json) -> bool:
        """Whether all of it was understood."""
        try:
            top = _object(value, "the model")
            if "Model" in top:
                self._keys(top, frozenset(("Config", "Model")), "the booster")
                top = _object(top["Model"], "the booster's model")
            self._keys(top, frozenset(("learner", "version")), "the model")
            self._learner(_object(top.get("learner"), "the learner"))
        except _Broken as problem:
            self._notes.say("xgboost-broken", str(problem))
            return False
        return self._understood

    def _keys(self, value: dict[str, Json], known: frozenset[str], where: str) -> None:
        for key in sorted(value.keys() - known):
            self._notes.say("xgboost-unknown-field", f"{where} has {shown(key)}")
            self._understood = False

    def _learner(self, learner: dict[str, Json]) -> None:
        self._keys(learner, _LEARNER_KEYS, "the learner")
        objective = _object(learner.get("objective"), "the objective").get("name")
        if not isinstance(objective, str) or not _XGBOOST_OBJECTIVES.match(objective):
            self._notes.say("xgboost-unknown-objective", f"the objective is {shown(str(objective))}")
        features = _integer(
            _object(learner.get("learner_model_param"), "the parameters").get("num_feature"), "features"
        )
        booster = _object(learner.get("gradient_booster"), "the booster")
        name = booster.get("name")
        if name == "dart":
            booster = _object(booster.get("gbtree"), "the booster's trees")
            name = "gbtree"
        if name == "gblinear":
            return
        if name != "gbtree":
            self._notes.say("xgboost-unknown-objective", f"the booster is {shown(str(name))}")
            return
        model = _object(booster.get("model"), "the booster's model")
        trees = _list(model.get("trees"), "the trees")
        told = _integer(_object(model.get("gbtree_model_param"), "the trees' parameters").get("num_trees"), "trees")
        if told != len(trees) or len(_list(model.get("tree_info"), "the trees' groups")) != told:
            raise _Broken(f"the model says it has {told} trees and holds {len(trees)}")
        for number, tree in enumerate(trees):
            self._tree(_object(tree, "a tree"), features, f"tree {number}")

    def _tree(self, tree: dict[str, Json], features: int, where: str) -> None:
        self._keys(tree, _TREE_KEYS, where)
        nodes = _integer(_object(tree.get("tree_param"), "a tree's parameters").get("num_nodes"), "nodes")
        lists = {
            key: _integers(tree.get(key), f"{where}: {key}")
            for key in ("left_children", "right_children", "parents", "split_indices")
        }
        for key in ("split_conditions", "default_left"):
            lists[key] = [0] * len(_list(tree.get(key), f"{where}: {key}"))
        for key, values in lists.items():
            if len(values) != nodes:
                self._links(f"{where} has {nodes} nodes and {len(values)} {key}", where)
                return
        left, right = lists["left_children"], lists["right_children"]
        # A leaf keeps in its split index nothing that is followed.
        wide = [
            index for index, at in enumerate(lists["split_indices"])
            if left[index] != -1 and not (0 <= at < max(features, 1) or at == _DELETED)
        ]  # fmt: skip
        if wide and features:
            self._links(f"{where} splits on feature {lists['split_indices'][wide[0]]} of {features}", where)
        outputs = _integer(
            _object(tree.get("tree_param"), "a tree's parameters").get("size_leaf_vector", "1"), "outputs"
        )
        problem = _walk(left, right, nodes, vectors=outputs > 1)
        if problem:
            self._links(f"{where}: {problem}", where)
        self._categories(tree, where)

    def _categories(self, tree: dict[str, Json], where: str) -> None:
        count = len(_list(tree.get("categories", []), where))
        starts, sizes = (_integers(tree.get(f"categories_{key}", []), where) for key in ("segments", "sizes"))
        nodes = _integers(tree.get("categories_nodes", []), where)
        if not len(starts) == len(sizes) == len(nodes) or any(
            start < 0 or size < 0 or start + size > count for start, size in zip(starts, sizes, strict=False)
        ):
            self._links(f"{where}: its categories lead out of their list", where)

    def _links(self, message: str, where: str) -> None:
        self._notes.say("xgboost-tree-links", message, location=where)


def _walk(left: Sequence[int], right: Sequence[int], nodes: int, *, vectors: bool) -> str:
    """Why the links from the root do not make a tree; "" when they do.

    A leaf's left child is -1. Its right child is -1 as well, but where leaves are `vectors`: there it is which of them.
    """
    seen = bytearray(nodes)
    todo = [0] if nodes else []
    while todo:
        node = todo.pop()
        if seen[node]:
            return f"node {node} is reached twice"
        seen[node] = 1
        if left[node] == -1 and (right[node] == -1 or (vectors and 0 <= right[node] < nodes)):
            continue
        for child in (left[node], right[node]):
            if child == -1:
                return f"node {node} has one child"
            if not 0 <= child < nodes:
                return f"node {node} leads to node {child} of {nodes}"
            todo.append(child)
    return ""


def _object(value: Json, what: str) -> dict[str, Json]:
    if not isinstance(value, dict):
        raise _Broken(f"{what} is not an object")
    return value


def _list(value: Json, what: str) -> list[Json]:
    if not isinstance(value, list):
        raise _Broken(f"{what} is not a list")
    return value


def _integers(value: Json, what: str) -> list[int]:
    found = [one for one in _list(value, what) if isinstance(one, int)]
    if len(found) != len(_list(value, what)):
        raise _Broken(f"{what} does not hold integers")
    return found


def _integer(value: Json, what: str) -> int:
    if isinstance(value, str) and re.fullmatch(r"\d{1,12}", value):
        return int(value)
    if isinstance(value, int) and value >= 0:
        return value
    raise _Broken(f"the number of {what} is {shown(str(value))}")


# --- LightGBM ------------------------------------------------------------------------------------

_HEADER_LINES: Final = frozenset(
    (
        "version",
        "num_class",
        "num_tree_per_iteration",
        "label_index",
        "max_feature_idx",
        "objective",
        "average_output",
        "feature_names",
        "monotone_constraints",
        "feature_infos",
        "tree_sizes",
        "tree",
        "start_iteration",
    )
)
_TREE_LINES: Final = frozenset(
    (
        "num_leaves",
        "num_cat",
        "split_feature",
        "split_gain",
        "threshold",
        "decision_type",
        "left_child",
        "right_child",
        "leaf_value",
        "leaf_weight",
        "leaf_count",
        "internal_value",
        "internal_weight",
        "internal_count",
        "shrinkage",
        "cat_boundaries",
        "cat_threshold",
        "is_linear",
        "leaf_const",
        "num_features",
        "leaf_features",
        "leaf_coeff",
    )
)


class LightGbmText:
    """Checks the text of a model, line by line."""

    def __init__(self, notes: Notes) -> None:
        self._notes = notes
        self._features = -1

    def read(self, data: bytes) -> bool:
        """Whether all of it was understood."""
        head, *blocks = re.split(rb"\r?\nTree=\d+\r?\n", data)
        last = blocks[-1] if blocks else head
        body, ended, rest = last.partition(b"end of trees")
        if not ended and b"version=v2" in head and (older := re.search(rb"\nfeature[_ ]importances:\r?\n", last)):
            # The second version goes on with these at once.
            body, ended, rest = last[: older.start()], b"-", last[older.start() :]
        if not ended:
            self._notes.say("lightgbm-broken", "the trees do not end")
            return False
        if blocks:
            blocks[-1] = body
        else:
            head = body
        try:
            understood = self._header(_settings(head))
            for number, block in enumerate(blocks):
                understood = self._tree(_settings(block), f"tree {number}") and understood
        except _Broken as problem:
            self._notes.say("lightgbm-broken", str(problem))
            return False
        return understood and self._rest(rest)

    def _header(self, header: dict[str, str]) -> bool:
        if header.get("max_feature_idx", "").isdigit():
            self._features = int(header["max_feature_idx"]) + 1
        objective = header.get("objective", "none")
        if not _LIGHTGBM_OBJECTIVES.match(objective):
            self._notes.say("lightgbm-unknown-objective", f"the objective is {shown(objective)}")
        return self._known(header, _HEADER_LINES, "the header")

    def _known(self, lines: dict[str, str], known: frozenset[str], where: str) -> bool:
        unknown = sorted(lines.keys() - known)
        for key in unknown:
            self._notes.say("lightgbm-unknown-field", f"{where} has {shown(key)}", location=where)
        return not unknown

    def _tree(self, tree: dict[str, str], where: str) -> bool:
        leaves = _numbers(tree.get("num_leaves", ""), where)
        if len(leaves) != 1 or not 0 < leaves[0] < 1 << 24:
            raise _Broken(f"{where} does not say how many leaves it has")
        splits = leaves[0] - 1
        lists = {key: _numbers(tree.get(key, ""), where) for key in ("left_child", "right_child", "split_feature")}
        wrong = [key for key, values in lists.items() if len(values) != splits]
        if (wrong and splits) or len(tree.get("leaf_value", "").split()) != leaves[0]:
            self._links(f"{where} has {leaves[0]} leaves, and its lists other lengths", where)
            return True
        if splits:
            self._follow(lists, leaves[0], where)
        return self._known(tree, _TREE_LINES, where)

    def _follow(self, lists: dict[str, list[int]], leaves: int, where: str) -> None:
        splits, seen = leaves - 1, bytearray(leaves)
        if any(not 0 <= at < max(self._features, 1) for at in lists["split_feature"]):
            self._links(f"{where} splits on a feature that the model does not have", where)
        todo = [0]
        while todo:
            node = todo.pop()
            if seen[node]:
                self._links(f"{where}: node {node} is reached twice", where)
                return
            seen[node] = 1
            for child in (lists["left_child"][node], lists["right_child"][node]):
                if not -leaves <= child < splits:
                    self._links(f"{where}: node {node} leads to {child} of {splits} nodes and {leaves} leaves", where)
                    return
                if child >= 0:
                    todo.append(child)

    def _links(self, message: str, where: str) -> None:
        self._notes.say("lightgbm-tree-links", message, location=where)

    def _rest(self, rest: bytes) -> bool:
        """What follows the trees: importances, parameters, the categories that pandas had."""
        for line in rest.decode("utf-8", "backslashreplace").splitlines():
            known = not line.strip() or re.fullmatch(
                r"feature[_ ]importances:|parameters:|end of parameters|\[[\w ]+: ?[^\]]*\]|pandas_categorical:(?:null|\[.*\])|.+=\d+",
                line,
            )
            if not known:
                self._notes.say("lightgbm-unknown-field", f"{shown(line)} follows the trees")
                return False
        return True


def _settings(block: bytes) -> dict[str, str]:
    found: dict[str, str] = {}
    for line in block.decode("utf-8", "backslashreplace").splitlines():
        if not line.strip():
            continue
        key, equals, value = line.partition("=")
        if (not equals and key not in ("tree", "average_output")) or key in found:
            raise _Broken(f"{shown(line)} is no setting, or is there twice")
        found[key] = value
    return found


def _numbers(text: str, where: str) -> list[int]:
    words = text.split()
    if not all(re.fullmatch(r"-?\d{1,10}", word) for word in words):
        raise _Broken(f"{where} has {shown(text)} where integers belong")
    return [int(word) for word in words]
