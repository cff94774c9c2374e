"""Follows the pickle of a torch checkpoint and says which tensors it describes, or refuses it.

`formats.pickle_machine` follows any pickle to see what it would do. This machine is its opposite: it keeps every value,
and knows only what a checkpoint of weights is made of: containers, numbers, texts, storages, and the few functions of
`torch._utils` that make a tensor of a storage. Everything else is an error that names it. Nothing is imported.

Sources: `torch/_utils.py`, `torch/_tensor.py` and `torch/serialization.py` (the functions and the persistent ids),
`torch/_weights_only_unpickler.py` (what torch itself holds to be enough for weights).

Limits: `MAX_PICKLE_BYTES`, `MAX_OPCODES` and `MAX_TABLES` for a file, texts of `MAX_TEXT` characters (longer ones can be no names and
are `Opaque`), `MAX_DIMENSIONS`, numbers below 2**63. Time is linear in the opcodes, without recursion.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from weighbridge.core.errors import Ambiguous, LimitExceeded, Malformed
from weighbridge.core.ports import RangeReader
from weighbridge.formats.pickle import STOP, Argument, Blob, Lexer, LongText
from weighbridge.formats.pickle_values import Global
from weighbridge.formats.pickle_window import Budget, StreamBroken, StreamLimit
from weighbridge.formats.torch_values import (
    STORAGES,
    Opaque,
    PickleValue,
    Storage,
    Table,
    TensorView,
    described,
    dtype_of,
    shown,
    storage_dtype,
)

MAX_PICKLE_BYTES: Final = 128 * 1024 * 1024
MAX_OPCODES: Final = 3_000_000
"""A tensor takes some forty; all pickles of a file together."""
MAX_TABLES: Final = 300_000
"""Dictionaries, which take the most memory for an opcode; torch writes one for each tensor."""
MAX_DIMENSIONS: Final = 64
MAX_NUMBER: Final = (1 << 63) - 1
_MAX_CHARACTERS = 32 * 1024 * 1024

_TENSOR_TYPES: Final = frozenset((Global("torch", "Tensor"), Global("torch.nn.parameter", "Parameter")))
_OLD_TENSOR_TYPES: Final = frozenset(Global("torch", name.replace("Storage", "Tensor")) for name in STORAGES)
"""What the tar form says of a tensor beside its storage; torch does not read it."""

HINT: Final = (
    "Only plain weights are converted: a dictionary of dense tensors as torch.save writes a state_dict. Ask the publisher"
    " for safetensors, leave the file out with --exclude when ingesting if nothing needs it, or convert it where running"
    " its code is acceptable and ingest the result as a revision."
)


PersistentLoad = Callable[[PickleValue], PickleValue]


class CheckpointPickle:
    """Reads the pickles of one file, one after the other, under one budget. `position` is where the last one ended.

    `persistent` answers for the objects that a pickle names by an id.
    """

    def __init__(self, reader: RangeReader, *, path: str = "") -> None:
        self._reader = reader
        self._path = path or reader.path
        self._budget = Budget(MAX_PICKLE_BYTES, MAX_OPCODES)
        self._characters = 0
        self._tables = 0
        self._stack: list[PickleValue] = []
        self._marks: list[int] = []
        self._memo: dict[int, PickleValue] = {}
        self._persistent: PersistentLoad = self._no_persistent
        self._place = 0
        self.position = 0

    def read(self, start: int, end: int, persistent: PersistentLoad | None = None) -> PickleValue:
        """The value of the pickle that starts at `start`.

        Raises:
            Malformed: it is cut short, or holds something that a checkpoint of weights does not.
            Ambiguous: a key is set twice.
            LimitExceeded: it needs more than any honest one.
            Truncated: the reader returned less than the artifact's size promises.
        """
        self._stack, self._marks, self._memo = [], [], {}
        self._persistent = persistent or self._no_persistent
        lexer = Lexer(self._reader, start, end, self._budget)
        try:
            while True:
                opcode = lexer.advance()
                self._place = lexer.offset
                self._budget.opcodes -= 1
                if self._budget.opcodes < 0:
                    raise LimitExceeded(f"'{self._path}': its pickles have more than {MAX_OPCODES} opcodes", hint=HINT)
                if opcode is STOP:
                    break
                step = _STEPS.get(opcode.name)
                if step is None:
                    raise self.refused(f"the opcode {opcode.name} is not one that a checkpoint of weights needs")
                step(self, lexer.argument)
        except StreamBroken as problem:
            raise Malformed(f"'{self._path}', offset {problem.offset}: {problem.message}", hint=HINT) from problem
        except StreamLimit as problem:
            raise LimitExceeded(f"'{self._path}', offset {problem.offset}: {problem.message}", hint=HINT) from problem
        self.position = lexer.window.position
        value = self._pop()
        if self._stack or self._marks:
            raise self.refused("the pickle ends with more than one value")
        return value

    def refused(self, what: str) -> Malformed:
        """The error that says what, in this file, at the opcode being read."""
        return Malformed(f"'{self._path}', offset {self._place}: {what}", hint=HINT)

    def _no_persistent(self, identity: PickleValue) -> PickleValue:
        raise self.refused("an object is named by an id where none is expected")

    # --- the stack -------------------------------------------------------------------------------

    def _pop(self) -> PickleValue:
        if len(self._stack) <= (self._marks[-1] if self._marks else 0):
            raise self.refused("the stack holds too little")
        return self._stack.pop()

    def _top(self) -> PickleValue:
        if len(self._stack) <= (self._marks[-1] if self._marks else 0):
            raise self.refused("the stack holds too little")
        return self._stack[-1]

    def _to_mark(self) -> list[PickleValue]:
        if not self._marks:
            raise self.refused("there is no mark")
        place = self._marks.pop()
        values = self._stack[place:]
        del self._stack[place:]
        return values

    # --- opcodes ---------------------------------------------------------------------------------

    def protocol(self, argument: Argument) -> None:
        """PROTO."""
        if argument not in (2, 3, 4, 5):
            raise self.refused(f"the pickle is of the protocol {argument!a}")

    def passed(self, argument: Argument) -> None:
        """FRAME: of no meaning to a reader that reads in blocks anyway."""

    def push(self, value: PickleValue) -> None:
        """Puts a value on the stack."""
        self._stack.append(value)

    def text(self, argument: Argument) -> None:
        """BINUNICODE and its like."""
        if isinstance(argument, LongText):
            self._stack.append(Opaque("a long text"))
            return
        if not isinstance(argument, str):
            raise self.refused("a text is not UTF-8")
        self._characters += len(argument)
        if self._characters > _MAX_CHARACTERS:
            raise LimitExceeded(f"'{self._path}': its texts are longer than {_MAX_CHARACTERS} characters", hint=HINT)
        self._stack.append(argument)

    def old_text(self, argument: Argument) -> None:
        """BINSTRING: a text of Python 2, of which only ASCII means the same to every reader."""
        if isinstance(argument, str) and not argument.isascii():
            raise self.refused("a text of Python 2 is not ASCII: readers differ in what it means")
        self.text(argument)

    def number(self, argument: Argument) -> None:
        """Integers and floating-point numbers."""
        if isinstance(argument, Blob):
            self._stack.append(Opaque("a long number"))
        elif isinstance(argument, int | float):
            self._stack.append(argument)
        else:
            raise self.refused("a number cannot be read")

    def blob(self, argument: Argument) -> None:
        """BINBYTES: a checkpoint keeps no weights there."""
        self._stack.append(Opaque("bytes"))

    def empty_dict(self, argument: Argument) -> None:
        """EMPTY_DICT."""
        self._stack.append(self._table())

    def _table(self, *, ordered: bool = False) -> Table:
        self._tables += 1
        if self._tables > MAX_TABLES:
            raise LimitExceeded(f"'{self._path}': it has more than {MAX_TABLES} dictionaries", hint=HINT)
        return Table(ordered=ordered)

    def mark(self, argument: Argument) -> None:
        """MARK."""
        self._marks.append(len(self._stack))

    def drop(self, argument: Argument) -> None:
        """POP."""
        self._pop()

    def short_tuple(self, length: int) -> None:
        """TUPLE1, TUPLE2, TUPLE3."""
        self._stack.append(tuple([self._pop() for _ in range(length)][::-1]))

    def long_tuple(self, argument: Argument) -> None:
        """TUPLE."""
        self._stack.append(tuple(self._to_mark()))

    def append(self, values: list[PickleValue]) -> None:
        """APPEND, APPENDS."""
        target = self._top()
        if not isinstance(target, list):
            raise self.refused("something is appended to what is no list")
        target.extend(values)

    def set_items(self, values: list[PickleValue]) -> None:
        """SETITEM, SETITEMS."""
        target = self._top()
        if not isinstance(target, Table) or len(values) % 2:
            raise self.refused("items are set on what is no dictionary")
        for key, value in zip(values[::2], values[1::2], strict=True):
            self._set(target, key, value)

    def _set(self, table: Table, key: PickleValue, value: PickleValue) -> None:
        if not isinstance(key, str | int):
            raise self.refused(f"a key of a dictionary is {described(key)}")
        if key in table.items:
            raise Ambiguous(f"'{self._path}', offset {self._place}: the key {shown(key)} is set twice", hint=HINT)
        table.items[key] = value

    def put(self, argument: Argument) -> None:
        """BINPUT, LONG_BINPUT."""
        assert isinstance(argument, int)
        self._memo[argument] = self._top()

    def memoize(self, argument: Argument) -> None:
        """MEMOIZE."""
        self._memo[len(self._memo)] = self._top()

    def get(self, argument: Argument) -> None:
        """BINGET, LONG_BINGET."""
        assert isinstance(argument, int)
        if argument not in self._memo:
            raise self.refused(f"the memo has no entry {argument}")
        self._stack.append(self._memo[argument])

    def named(self, argument: Argument) -> None:
        """GLOBAL."""
        if not isinstance(argument, tuple):
            raise self.refused("a name cannot be read")
        self._name(*argument)

    def stack_named(self, argument: Argument) -> None:
        """STACK_GLOBAL."""
        name, module = self._pop(), self._pop()
        if not isinstance(module, str) or not isinstance(name, str):
            raise self.refused("a name is no text")
        self._name(module, name)

    def _name(self, module: str, name: str) -> None:
        known = Global(module, name)
        harmless = (module, name) in _CALLS or known in _TENSOR_TYPES | _OLD_TENSOR_TYPES
        if not harmless and dtype_of(known) is None and storage_dtype(known) is None:
            raise self.refused(f"it names {shown(known.full_name)}, which plain weights do not need")
        self._stack.append(known)

    def persistent(self, argument: Argument) -> None:
        """BINPERSID."""
        self._stack.append(self._persistent(self._pop()))

    def reduce(self, argument: Argument) -> None:
        """REDUCE."""
        arguments, called = self._pop(), self._pop()
        self._stack.append(self._call(called, arguments))

    def _call(self, called: PickleValue, arguments: PickleValue) -> PickleValue:
        if not isinstance(called, Global) or not isinstance(arguments, tuple):
            raise self.refused(f"it calls {described(called)}")
        function = _CALLS.get((called.module, called.name))
        if function is None:
            raise self.refused(f"it calls {shown(called.full_name)}, which makes no tensor")
        return function(self, arguments)

    def build(self, argument: Argument) -> None:
        """BUILD: a state_dict keeps the versions of its modules beside its items."""
        state, target = self._pop(), self._top()
        if not isinstance(target, Table) or not target.ordered or not isinstance(state, Table) or target.attributes:
            raise self.refused(f"it gives attributes to {described(target)}")
        target.attributes = state.items

    # --- what may be called ----------------------------------------------------------------------

    def ordered_dict(self, arguments: tuple[PickleValue, ...]) -> PickleValue:
        """`collections.OrderedDict()`, or of a list of pairs, as Python 2 writes it."""
        table = self._table(ordered=True)
        if not arguments:
            return table
        (pairs,) = self._exactly(arguments, 1)
        if not isinstance(pairs, list):
            raise self.refused("an OrderedDict is made of what is no list of pairs")
        for pair in pairs:
            if not isinstance(pair, list | tuple) or len(pair) != 2:
                raise self.refused("an OrderedDict is made of what is no list of pairs")
            self._set(table, pair[0], pair[1])
        return table

    def size(self, arguments: tuple[PickleValue, ...]) -> PickleValue:
        """`torch.Size`."""
        (dimensions,) = self._exactly(arguments, 1)
        return self._integers(dimensions if isinstance(dimensions, tuple | list) else ())

    def tensor(self, arguments: tuple[PickleValue, ...]) -> PickleValue:
        """`_rebuild_tensor(storage, offset, size, stride)`."""
        storage, offset, shape, strides = self._exactly(arguments, 4)
        if not isinstance(storage, Storage):
            raise self.refused("a tensor is made of what is no storage")
        return self.view(storage, storage.dtype, offset, (shape, strides))

    def tensor_v2(self, arguments: tuple[PickleValue, ...]) -> PickleValue:
        """`_rebuild_tensor_v2(..., requires_grad, backward_hooks, metadata=None)`."""
        *first, gradient, hooks = self._exactly(arguments[:6], 6)
        self._no_hooks(gradient, hooks)
        self._no_metadata(arguments[6:])
        return self.tensor(tuple(first))

    def tensor_v3(self, arguments: tuple[PickleValue, ...]) -> PickleValue:
        """`_rebuild_tensor_v3(..., requires_grad, backward_hooks, dtype, metadata=None)`, for newer element types."""
        storage, offset, shape, strides, gradient, hooks, named = self._exactly(arguments[:7], 7)
        self._no_hooks(gradient, hooks)
        self._no_metadata(arguments[7:])
        dtype = dtype_of(named)
        if not isinstance(storage, Storage) or dtype is None or not (storage.untyped or storage.dtype == dtype):
            raise self.refused(f"a tensor of {described(named)} is made of {described(storage)}")
        return self.view(storage, dtype, offset, (shape, strides))

    def parameter(self, arguments: tuple[PickleValue, ...]) -> PickleValue:
        """`_rebuild_parameter(data, requires_grad, backward_hooks)`."""
        data, gradient, hooks = self._exactly(arguments, 3)
        self._no_hooks(gradient, hooks)
        return self._same_tensor(data)

    def parameter_with_state(self, arguments: tuple[PickleValue, ...]) -> PickleValue:
        """`_rebuild_parameter_with_state(data, requires_grad, backward_hooks, state)`."""
        data, gradient, hooks, state = self._exactly(arguments, 4)
        self._no_hooks(gradient, hooks)
        self._nothing(state, "attributes of its own")
        return self._same_tensor(data)

    def from_type(self, arguments: tuple[PickleValue, ...]) -> PickleValue:
        """`_rebuild_from_type_v2(func, type, args, state)`, for tensors of a type or with attributes of their own."""
        function, kind, inner, state = self._exactly(arguments, 4)
        if kind not in _TENSOR_TYPES or function == Global("torch._tensor", "_rebuild_from_type_v2"):
            raise self.refused(f"a tensor is of the type {described(kind)}")
        parts = state if isinstance(state, tuple) else (state,)
        for part in parts:
            self._nothing(part, "attributes of its own")
        return self._same_tensor(self._call(function, inner))

    def view(
        self, storage: Storage, dtype: str, offset: PickleValue, size: tuple[PickleValue, PickleValue]
    ) -> TensorView:
        """A view of a storage, its numbers checked for what they are; whether they fit is for who knows the storage.

        Raises:
            Malformed: an offset, a size or a stride is no ordinary number.
        """
        shape, strides = self._integers(size[0]), self._integers(size[1])
        (start,) = self._integers((offset,))
        if len(shape) != len(strides):
            raise self.refused(f"a tensor has {len(shape)} dimensions and {len(strides)} strides")
        return TensorView(storage, dtype, start, shape, strides)

    def _same_tensor(self, data: PickleValue) -> TensorView:
        if not isinstance(data, TensorView):
            raise self.refused(f"a parameter is made of {described(data)}")
        return data

    def _exactly(self, arguments: tuple[PickleValue, ...], count: int) -> tuple[PickleValue, ...]:
        if len(arguments) != count:
            raise self.refused(f"a call has {len(arguments)} arguments where {count} are needed")
        return arguments

    def _no_hooks(self, gradient: PickleValue, hooks: PickleValue) -> None:
        if not isinstance(gradient, bool):
            raise self.refused(f"whether a tensor requires a gradient is {described(gradient)}")
        self._nothing(hooks, "backward hooks")

    def _nothing(self, value: PickleValue, what: str) -> None:
        if value is not None and not (isinstance(value, Table) and not value.items and not value.attributes):
            raise self.refused(f"a tensor has {what}")

    def _no_metadata(self, rest: tuple[PickleValue, ...]) -> None:
        """A conjugated or negated view says so there: its values are not those of its bytes."""
        if len(rest) > 1:
            raise self.refused("a tensor is made with arguments that are not known")
        for metadata in rest:
            self._nothing(metadata, "metadata (a conjugated or negated view?): its values are not those of its bytes")

    def _integers(self, values: PickleValue) -> tuple[int, ...]:
        if not isinstance(values, tuple | list) or len(values) > MAX_DIMENSIONS:
            raise self.refused(f"a size is no list of at most {MAX_DIMENSIONS} numbers")
        numbers: list[int] = []
        for value in values:
            if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= MAX_NUMBER:
                raise self.refused(f"a size, stride or offset is {described(value)}")
            numbers.append(value)
        return tuple(numbers)


_Step = Callable[[CheckpointPickle, Argument], None]


def _constant(make: Callable[[], PickleValue]) -> _Step:
    return lambda machine, _: machine.push(make())


_STEPS: Final[Mapping[str, _Step]] = {
    "PROTO": CheckpointPickle.protocol,
    "FRAME": CheckpointPickle.passed,
    "NONE": _constant(lambda: None),
    "NEWTRUE": _constant(lambda: True),
    "NEWFALSE": _constant(lambda: False),
    "EMPTY_DICT": CheckpointPickle.empty_dict,
    "EMPTY_LIST": _constant(list),
    "EMPTY_TUPLE": _constant(tuple),
    **dict.fromkeys(("BININT", "BININT1", "BININT2", "LONG1", "LONG4", "BINFLOAT"), CheckpointPickle.number),
    **dict.fromkeys(("BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"), CheckpointPickle.text),
    **dict.fromkeys(("BINSTRING", "SHORT_BINSTRING"), CheckpointPickle.old_text),
    **dict.fromkeys(("BINBYTES", "SHORT_BINBYTES", "BINBYTES8"), CheckpointPickle.blob),
    "MARK": CheckpointPickle.mark,
    "POP": CheckpointPickle.drop,
    "TUPLE": CheckpointPickle.long_tuple,
    "TUPLE1": lambda machine, _: machine.short_tuple(1),
    "TUPLE2": lambda machine, _: machine.short_tuple(2),
    "TUPLE3": lambda machine, _: machine.short_tuple(3),
    "APPEND": lambda machine, _: machine.append([machine._pop()]),
    "APPENDS": lambda machine, _: machine.append(machine._to_mark()),
    "SETITEM": lambda machine, _: machine.set_items([machine._pop(), machine._pop()][::-1]),
    "SETITEMS": lambda machine, _: machine.set_items(machine._to_mark()),
    **dict.fromkeys(("BINPUT", "LONG_BINPUT"), CheckpointPickle.put),
    "MEMOIZE": CheckpointPickle.memoize,
    **dict.fromkeys(("BINGET", "LONG_BINGET"), CheckpointPickle.get),
    "GLOBAL": CheckpointPickle.named,
    "STACK_GLOBAL": CheckpointPickle.stack_named,
    "BINPERSID": CheckpointPickle.persistent,
    "REDUCE": CheckpointPickle.reduce,
    "BUILD": CheckpointPickle.build,
}
_CALLS: Final[Mapping[tuple[str, str], Callable[[CheckpointPickle, tuple[PickleValue, ...]], PickleValue]]] = {
    ("collections", "OrderedDict"): CheckpointPickle.ordered_dict,
    ("torch", "Size"): CheckpointPickle.size,
    ("torch._utils", "_rebuild_tensor"): CheckpointPickle.tensor,
    ("torch._utils", "_rebuild_tensor_v2"): CheckpointPickle.tensor_v2,
    ("torch._utils", "_rebuild_tensor_v3"): CheckpointPickle.tensor_v3,
    ("torch._utils", "_rebuild_parameter"): CheckpointPickle.parameter,
    ("torch._utils", "_rebuild_parameter_with_state"): CheckpointPickle.parameter_with_state,
    ("torch._tensor", "_rebuild_from_type_v2"): CheckpointPickle.from_type,
}
