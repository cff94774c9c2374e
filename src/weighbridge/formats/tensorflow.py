"""Reads TensorFlow's graphs (SavedModel, MetaGraph, GraphDef): the operations, their texts, and what feeds them.

Everything is kept that decides what running the graph would do; tensors' bytes are never read. Limits: those of
`protobuf.Message`, `MAX_NODES`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Final

from weighbridge.core.dataclass import dataclass
from weighbridge.core.errors import LimitExceeded
from weighbridge.core.ports import RangeReader
from weighbridge.formats.proto_schema import Handler, Record, SchemaReader, Stray
from weighbridge.formats.protobuf import Budget, Field, Message
from weighbridge.formats.tensorflow_schema import SCHEMA

MAX_NODES: Final = 2_000_000
MAX_METADATA_BYTES: Final = 64 * 1024 * 1024
_TEXTS_KEPT: Final = 8

ROOTS: Final[Mapping[str, str]] = {
    "saved-model": "SavedModel",
    "meta-graph": "MetaGraphDef",
    "graph-def": "GraphDef",
    "keras-metadata": "KerasSavedMetadata",
    "fingerprint": "FingerprintDef",
}


@dataclass(frozen=True, slots=True)
class Attribute:
    """What an attribute says in texts: its strings, the strings of its tensor, the functions it names."""

    texts: tuple[str, ...]
    functions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Node:
    """One operation of a graph or of a function's body."""

    name: str
    op: str
    inputs: tuple[str, ...]
    attributes: Mapping[str, Attribute]
    at: int


@dataclass(frozen=True, slots=True)
class Scope:
    """A graph (name "") or a function's body: names are looked up in it."""

    name: str
    nodes: tuple[Node, ...]
    at: int


@dataclass(slots=True)
class Graphs:
    """What an artifact holds."""

    scopes: list[Scope] = field(default_factory=list)
    assets: list[tuple[str, str]] = field(default_factory=list)
    """File name and the tensor that is fed with its path."""
    keras: list[tuple[int, int]] = field(default_factory=list)
    """Where Keras' description of a layer lies."""
    strays: list[Stray] = field(default_factory=list)
    stray_bytes: int = 0
    data_spans: list[tuple[int, int]] = field(default_factory=list)
    meta_graphs: int = 0


def read_graphs(reader: RangeReader, root: str, budget: Budget | None = None) -> Graphs:
    """The graphs of an artifact that is the message `root`, a key of `ROOTS`.

    Raises:
        ProtobufProblem: it is no such message; ProtobufLimit, LimitExceeded: it is larger or deeper than is read.
        Truncated: the reader returned less than was promised.
    """
    graphs = Graphs()
    schema = SchemaReader(SCHEMA, _Reading(graphs).handlers())
    schema.read(Message.of(reader, budget), ROOTS[root])
    graphs.strays, graphs.stray_bytes, graphs.data_spans = schema.strays, schema.stray_bytes, schema.data_spans
    return graphs


class _Reading:
    """Folds records into graphs."""

    def __init__(self, graphs: Graphs) -> None:
        self._graphs = graphs
        self._nodes = 0

    def handlers(self) -> Mapping[str, Handler]:
        """By message."""
        return {
            "NodeDef": self._node,
            "NodeDefAttrEntry": _entry,
            "AttrValue": _attribute,
            "AttrValueListValue": _attribute,
            "TensorProto": lambda record: tuple(record.texts("string_val")[:_TEXTS_KEPT]),
            "NameAttrList": lambda record: record.text("name"),
            "OpDef": lambda record: record.text("name"),
            "FunctionDef": self._function,
            "GraphDef": self._graph,
            "AssetFileDef": self._asset,
            "TensorInfo": lambda record: record.text("name"),
            "SavedUserObject": self._keras,
            "KerasSavedObject": self._keras,
            "MetaGraphDef": self._meta_graph,
        }

    def _node(self, record: Record) -> Node:
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise LimitExceeded(f"the graph has more than {MAX_NODES} operations")
        attributes = {}
        for one in record.values.get("attr", ()):
            if isinstance(one, tuple) and isinstance(one[1], Attribute):
                attributes[str(one[0])] = one[1]
        inputs = tuple(record.texts("input"))
        return Node(record.text("name"), record.text("op"), inputs, attributes, record.start)

    def _function(self, record: Record) -> None:
        nodes = tuple(one for one in record.values.get("node_def", ()) if isinstance(one, Node))
        self._graphs.scopes.append(Scope(record.text("signature") or "?", nodes, record.start))

    def _graph(self, record: Record) -> None:
        nodes = tuple(one for one in record.values.get("node", ()) if isinstance(one, Node))
        self._graphs.scopes.append(Scope("", nodes, record.start))

    def _asset(self, record: Record) -> None:
        self._graphs.assets.append((record.text("filename"), record.text("tensor_info").partition(":")[0]))

    def _keras(self, record: Record) -> None:
        self._graphs.keras += [one.span for one in record.values.get("metadata", ()) if isinstance(one, Field)]

    def _meta_graph(self, record: Record) -> None:
        self._graphs.meta_graphs += 1


def _entry(record: Record) -> tuple[str, object]:
    said = record.values.get("value", ())
    return record.text("key"), said[-1] if said else None


def _attribute(record: Record) -> Attribute | None:
    """An attribute or a list of them; None when it says nothing in texts."""
    texts = record.texts("s")[:_TEXTS_KEPT]
    functions = record.texts("func")
    for one in (*record.values.get("tensor", ()), *record.values.get("list", ())):
        if isinstance(one, Attribute):
            texts += one.texts
            functions += one.functions
        elif isinstance(one, tuple):
            texts += [str(text) for text in one]
    if not texts and not functions:
        return None
    return Attribute(tuple(texts[:_TEXTS_KEPT]), tuple(functions))
