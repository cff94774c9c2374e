"""Builders of hostile graphs: protocol buffers by field number, ONNX and TensorFlow on top, and the stored real files."""

from __future__ import annotations

import lzma
from functools import cache
from pathlib import Path

DATA = Path(__file__).parents[1] / "data" / "graphs"


@cache
def stored(name: str) -> bytes:
    """A file that a real library wrote."""
    return lzma.decompress((DATA / f"{name}.xz").read_bytes())


def varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def f(number: int, value: bytes | str | int) -> bytes:
    """One field: texts and bytes are length-delimited, numbers varints."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


# --- ONNX ----------------------------------------------------------------------------------------


def attribute(name: str, *fields: bytes) -> bytes:
    return f(5, f(1, name) + b"".join(fields))


def node(op: str = "Relu", *attributes: bytes, domain: str = "") -> bytes:
    """A NodeProto as field 1 of a graph."""
    said = f(1, "x") + f(2, "y") + f(4, op) + b"".join(attributes)
    return f(1, said + (f(7, domain) if domain else b""))


def external(*pairs: tuple[str, str], more: bytes = b"", dims: int = 4) -> bytes:
    """An initializer (field 5 of a graph) of `dims` floats that lie elsewhere."""
    entries = b"".join(f(13, f(1, key) + f(2, value)) for key, value in pairs)
    return f(5, f(1, dims) + f(2, 1) + f(8, "w") + entries + f(14, 1) + more)


def tensor(raw: bytes, *dims: int, data_type: int = 1) -> bytes:
    return f(5, b"".join(f(1, dim) for dim in dims) + f(2, data_type) + f(8, "w") + f(9, raw))


def onnx_model(*graph: bytes, more: bytes = b"", front: bytes = f(1, 9)) -> bytes:
    body = b"".join(graph) or node()
    return front + f(2, "test") + f(7, body + f(2, "g")) + f(8, f(1, "") + f(2, 17)) + more


# --- TensorFlow ------------------------------------------------------------------------------------


def tf_attr(key: str, value: bytes) -> bytes:
    return f(5, f(1, key) + f(2, value))


def tf_node(name: str, op: str, *inputs: str, attrs: bytes = b"", number: int = 1) -> bytes:
    return f(number, f(1, name) + f(2, op) + b"".join(f(3, one) for one in inputs) + attrs)


def tf_text(name: str, text: str, number: int = 1) -> bytes:
    """A constant text."""
    value = f(8, f(1, 7) + f(2, b"") + f(8, text))
    return tf_node(name, "Const", attrs=tf_attr("dtype", f(6, 7)) + tf_attr("value", value), number=number)


def tf_function(name: str, *nodes: bytes) -> bytes:
    """A function of a library; its nodes are built with `number=3`."""
    return f(1, f(1, f(1, name)) + b"".join(nodes))


def graph_def(*nodes: bytes, library: bytes = b"") -> bytes:
    return b"".join(nodes) + (f(2, library) if library else b"") + f(4, f(1, 1000))


def saved_model(*nodes: bytes, library: bytes = b"", more: bytes = b"", meta: bytes = b"") -> bytes:
    info = f(1, f(4, "serve") + f(5, "2.21.0"))
    return f(1, 1) + f(2, info + f(2, graph_def(*nodes, library=library)) + meta) + more


def keras_metadata(*configurations: str) -> bytes:
    return b"".join(
        f(1, f(2, i) + f(3, "root" if not i else f"root.layer-{i}") + f(4, "_tf_keras_layer") + f(5, text))
        for i, text in enumerate(configurations)
    )
