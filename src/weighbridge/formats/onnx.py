"""Reads an ONNX model's graph, its external files and its tensors' sizes, without reading the tensors.

The schema is that of `onnx/onnx.proto` (IR version 14). Everything is kept that decides what a runtime would do with
the model: operators, functions, external locations, metadata; nothing of what only describes shapes.

Limits: the depth of `protobuf.Message`; `MAX_FIELDS` fields, `MAX_NODES` operators: seconds, and a hundred megabytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from types import MappingProxyType
from typing import Final

from weighbridge.core.dataclass import dataclass
from weighbridge.core.errors import LimitExceeded
from weighbridge.core.ports import RangeReader
from weighbridge.formats.proto_schema import Handler, Record, SchemaReader, Stray, schema_of
from weighbridge.formats.protobuf import Budget, Field, Message

MAX_FIELDS: Final = 1_500_000
MAX_NODES: Final = 200_000
MAX_INITIALIZERS: Final = 200_000

SCHEMA: Final = schema_of(
    """
AttributeProto: 1=name 21=ref_attr_name 13=doc_string 20=type/int 2=f/float 3=i/int 4=s/text 5=t/TensorProto
  6=g/GraphProto 22=sparse_tensor/SparseTensorProto 14=tp/TypeProto 7=floats/float* 8=ints/int* 9=strings/text*
  10=tensors/TensorProto 11=graphs/GraphProto 23=sparse_tensors/SparseTensorProto 15=type_protos/TypeProto
ValueInfoProto: 1=name 2=type/TypeProto 3=doc_string 4=metadata_props/StringStringEntryProto
NodeProto: 1=input/text* 2=output/text* 3=name 4=op_type 7=domain 8=overload 5=attribute/AttributeProto 6=doc_string
  9=metadata_props/StringStringEntryProto 10=device_configurations/NodeDeviceConfigurationProto
IntIntListEntryProto: 1=key/int 2=value/int
NodeDeviceConfigurationProto: 1=configuration_id 2=sharding_spec/ShardingSpecProto 3=pipeline_stage/int
ShardingSpecProto: 1=tensor_name 2=device/int 3=index_to_device_group_map/IntIntListEntryProto
  4=sharded_dim/ShardedDimProto
ShardedDimProto: 1=axis/int 2=simple_sharding/SimpleShardedDimProto
SimpleShardedDimProto: 1=dim_value/int 2=dim_param 3=num_shards/int
TrainingInfoProto: 1=initialization/GraphProto 2=algorithm/GraphProto
  3=initialization_binding/StringStringEntryProto 4=update_binding/StringStringEntryProto
ModelProto: 1=ir_version/int 8=opset_import/OperatorSetIdProto 2=producer_name 3=producer_version 4=domain
  5=model_version/int 6=doc_string 7=graph/GraphProto 14=metadata_props/StringStringEntryProto
  20=training_info/TrainingInfoProto 25=functions/FunctionProto 26=configuration/DeviceConfigurationProto
DeviceConfigurationProto: 1=name 2=num_devices/int 3=device
StringStringEntryProto: 1=key 2=value
TensorAnnotation: 1=tensor_name 2=quant_parameter_tensor_names/StringStringEntryProto
GraphProto: 1=node/NodeProto 2=name 5=initializer/TensorProto 15=sparse_initializer/SparseTensorProto 10=doc_string
  11=input/ValueInfoProto 12=output/ValueInfoProto 13=value_info/ValueInfoProto
  14=quantization_annotation/TensorAnnotation 16=metadata_props/StringStringEntryProto
TensorProto: 1=dims/int 2=data_type/int 3=segment/TensorProtoSegment 4=float_data/float* 5=int32_data/int*
  6=string_data/data 7=int64_data/int* 8=name 12=doc_string 9=raw_data/data 13=external_data/StringStringEntryProto
  14=data_location/int 10=double_data/double* 11=uint64_data/int* 16=metadata_props/StringStringEntryProto
TensorProtoSegment: 1=begin/int 2=end/int
SparseTensorProto: 1=values/TensorProto 2=indices/TensorProto 3=dims/int
TensorShapeProto: 1=dim/TensorShapeProtoDimension
TensorShapeProtoDimension: 1=dim_value/int 2=dim_param 3=denotation
TypeProto: 1=tensor_type/TypeProtoTensor 4=sequence_type/TypeProtoSequence 5=map_type/TypeProtoMap
  9=optional_type/TypeProtoOptional 8=sparse_tensor_type/TypeProtoSparseTensor 7=opaque_type/TypeProtoOpaque
  6=denotation
TypeProtoTensor: 1=elem_type/int 2=shape/TensorShapeProto
TypeProtoSequence: 1=elem_type/TypeProto
TypeProtoMap: 1=key_type/int 2=value_type/TypeProto
TypeProtoOptional: 1=elem_type/TypeProto
TypeProtoSparseTensor: 1=elem_type/int 2=shape/TensorShapeProto
TypeProtoOpaque: 1=domain 2=name
OperatorSetIdProto: 1=domain 2=version/int
FunctionProto: 1=name 4=input 5=output 6=attribute 11=attribute_proto/AttributeProto 7=node/NodeProto 8=doc_string
  9=opset_import/OperatorSetIdProto 10=domain 13=overload 12=value_info/ValueInfoProto
  14=metadata_props/StringStringEntryProto
"""
)
STRING: Final = 8
EXTERNAL: Final = 1
_BITS: Final[Mapping[int, int]] = MappingProxyType(
    {
        **dict.fromkeys((2, 3, 9, 17, 18, 19, 20, 24), 8),
        **dict.fromkeys((4, 5, 10, 16), 16),
        **dict.fromkeys((1, 6, 12), 32),
        **dict.fromkeys((7, 11, 13, 14), 64),
        15: 128,
        **dict.fromkeys((21, 22, 23), 4),
        **dict.fromkeys((25, 26), 2),
    }
)
"""Bits of an element, by TensorProto.DataType."""


@dataclass(frozen=True, slots=True)
class Operator:
    """A node: what is called, with the text attributes it carries."""

    domain: str
    op_type: str
    name: str
    at: int
    texts: Mapping[str, str]
    numbers: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor: what it says of itself, and where its bytes are."""

    name: str
    at: int
    dims: tuple[int, ...]
    data_type: int
    raw_bytes: int
    """Bytes of raw data; -1 when it has none."""
    is_external: bool
    external: tuple[tuple[str, str], ...]

    @property
    def expected_bytes(self) -> int | None:
        """What shape and type come to, as raw data; None when the type has no size or a dimension is negative."""
        bits, count = _BITS.get(self.data_type), 1
        if bits is None or any(dim < 0 for dim in self.dims):
            return None
        for dim in self.dims:
            count *= dim
        return (count * bits + 7) // 8


@dataclass(frozen=True, slots=True)
class Function:
    """A function that the model defines."""

    domain: str
    name: str
    at: int


@dataclass(slots=True)
class Model:
    """What a model holds."""

    operators: list[Operator] = field(default_factory=list)
    functions: list[Function] = field(default_factory=list)
    tensors: list[Tensor] = field(default_factory=list)
    """Those that are external, or whose raw data does not come to what shape and type say."""
    opsets: list[tuple[str, int]] = field(default_factory=list)
    metadata: list[tuple[str, str]] = field(default_factory=list)
    texts: list[tuple[str, str]] = field(default_factory=list)
    """Producer, domain, documentation: what people wrote, by field."""
    has_graph: bool = False
    has_training: bool = False
    repeated: tuple[str, ...] = ()
    """Single fields of the model that it has more than once: readers merge them, and people see the last."""
    strays: list[Stray] = field(default_factory=list)
    stray_bytes: int = 0
    data_spans: list[tuple[int, int]] = field(default_factory=list)


def read_model(reader: RangeReader, budget: Budget | None = None, *, root: str = "ModelProto") -> Model:
    """The model that the whole artifact is; a single tensor, with nothing else, where `root` is `TensorProto`.

    Raises:
        ProtobufProblem: it is no protocol buffer; ProtobufLimit, LimitExceeded: it is larger or deeper than is read.
        Truncated: the reader returned less than was promised.
    """
    model = Model()
    message = Message.of(reader, budget or Budget(MAX_FIELDS))
    schema = SchemaReader(SCHEMA, _Reading(model, message).handlers())
    schema.read(message, root)
    model.strays, model.stray_bytes, model.data_spans = schema.strays, schema.stray_bytes, schema.data_spans
    return model


class _Reading:
    """Folds records into a model."""

    def __init__(self, model: Model, message: Message) -> None:
        self._model = model
        self.message = message

    def handlers(self) -> Mapping[str, Handler]:
        """By message."""
        return {
            "ModelProto": self._take_model,
            "GraphProto": self._take_graph,
            "NodeProto": self._take_node,
            "AttributeProto": self._take_attribute,
            "TensorProto": self._take_tensor,
            "FunctionProto": self._take_function,
            "OperatorSetIdProto": self._take_opset,
            "StringStringEntryProto": self._take_pair,
            "TrainingInfoProto": self._take_training,
        }

    def _take_model(self, record: Record) -> None:
        model = self._model
        model.has_graph = "graph" in record
        for name in ("producer_name", "producer_version", "domain", "doc_string"):
            model.texts += [(name, text) for text in record.texts(name)]
        model.metadata += _pairs(record, "metadata_props")
        single = ("graph", "ir_version", "producer_name", "producer_version", "domain", "model_version", "doc_string")
        model.repeated = tuple(name for name in single if len(record.values.get(name, ())) > 1)

    def _take_graph(self, record: Record) -> bool:
        self._model.texts += [("graph doc_string", text) for text in record.texts("doc_string")]
        self._model.metadata += _pairs(record, "metadata_props")
        return True

    def _take_node(self, record: Record) -> None:
        if len(self._model.operators) >= MAX_NODES:
            raise LimitExceeded(f"the model has more than {MAX_NODES} operators")
        texts, numbers = {}, {}
        for one in record.values.get("attribute", ()):
            if isinstance(one, _Attribute):
                texts[one.name] = one.text
                numbers[one.name] = one.number
        self._model.operators.append(
            Operator(record.text("domain"), record.text("op_type"), record.text("name"), record.start, texts, numbers)
        )

    def _take_attribute(self, record: Record) -> _Attribute | None:
        if "s" not in record and "i" not in record:
            return None
        return _Attribute(record.text("name"), record.text("s"), record.integer("i", -1))

    def _take_tensor(self, record: Record) -> None:
        dims: list[int] = []
        for said in record.values.get("dims", ()):
            dims += [said] if isinstance(said, int) else self._packed(said)
        raw = record.spans("raw_data")
        tensor = Tensor(
            name=record.text("name"),
            at=record.start,
            dims=tuple(dims),
            data_type=record.integer("data_type"),
            raw_bytes=raw[-1][1] - raw[-1][0] if raw else -1,
            is_external=record.integer("data_location") == EXTERNAL or "external_data" in record,
            external=tuple(_pairs(record, "external_data")),
        )
        if len(raw) > 1 or tensor.is_external or (raw and tensor.expected_bytes != tensor.raw_bytes):
            if len(self._model.tensors) >= MAX_INITIALIZERS:
                raise LimitExceeded(f"the model has more than {MAX_INITIALIZERS} tensors to be judged")
            self._model.tensors.append(tensor)

    def _packed(self, said: object) -> list[int]:
        return self.message.numbers(said) if isinstance(said, Field) and said.is_bytes else []

    def _take_function(self, record: Record) -> None:
        self._model.functions.append(Function(record.text("domain"), record.text("name"), record.start))
        self._model.metadata += _pairs(record, "metadata_props")

    def _take_opset(self, record: Record) -> None:
        self._model.opsets.append((record.text("domain"), record.integer("version")))

    def _take_pair(self, record: Record) -> tuple[str, str]:
        return record.text("key"), record.text("value")

    def _take_training(self, record: Record) -> None:
        self._model.has_training = True


@dataclass(frozen=True, slots=True)
class _Attribute:
    name: str
    text: str
    number: int


def _pairs(record: Record, name: str) -> list[tuple[str, str]]:
    return [(str(one[0]), str(one[1])) for one in record.values.get(name, ()) if isinstance(one, tuple)]
