"""Follows a pickle on abstract values: what it names, what it calls with what, and nothing of it happens.

Every opcode of protocols 0 to 5 does to the stack, the marks and the memo what CPython's `Modules/_pickle.c` does. The
machine goes on where a loader might, and ends where none can. It judges nothing: it yields events.

Limits: `MAX_OPCODES` for a stream, `MAX_STACK` values, `MAX_MARKS`, `MAX_MEMO` entries; values deep in the stack and
memo entries beyond `ROOM` bytes are remembered by their sort only. Time is linear in the opcodes, without recursion.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final

from weighbridge.core.ports import RangeReader
from weighbridge.formats.joblib_arrays import is_wrapper
from weighbridge.formats.pickle import OPCODES, UNREADABLE, Argument, Blob, Lexer, LongText, looks_like_stream
from weighbridge.formats.pickle_quick import MAX_MARKS, MAX_MEMO, QUICK, TAIL_BYTES, Registers
from weighbridge.formats.pickle_values import (
    EMPTY,
    Ending,
    Event,
    EventKind,
    Global,
    Instance,
    Items,
    Outcome,
    Sort,
    Value,
    blurred,
    tuple_of,
    weight_of,
)
from weighbridge.formats.pickle_window import Budget, StreamBroken, StreamLimit

MAX_OPCODES = 5_000_000
MAX_STACK = 1_000_000
MAX_SPARSE_MEMO = 100_000
MAX_MEMO_KEY = 16_000_000
ROOM = 12 * 1024 * 1024

_DEEP = 2100
_SURFACE = 20
_STREAM_STARTS: Final = frozenset("\x80(ci")
_HIGHEST_PROTOCOL = 5
_SPECIAL: Final[Mapping[tuple[str, str], str]] = {
    ("builtins", "getattr"): "getattr",
    ("__builtin__", "getattr"): "getattr",
    ("copyreg", "_reconstructor"): "class",
    ("copy_reg", "_reconstructor"): "class",
    ("copyreg", "__newobj__"): "class",
    ("copy_reg", "__newobj__"): "class",
    ("numpy", "dtype"): "dtype",
    ("builtins", "type"): "type",
    ("__builtin__", "type"): "type",
}
"""Calls whose result is known better than by what was called."""
_COUNTED: Final = ("getattr", "type")
_HOOKS: Final = ("__setstate__", "__class__")
"""Attributes of an object that decide what the next BUILD does to it."""
_FILLABLE: Final[Mapping[str, tuple[Sort, ...]]] = {
    "APPEND": (Sort.LIST,),
    "APPENDS": (Sort.LIST,),
    "SETITEM": (Sort.DICT, Sort.LIST),
    "SETITEMS": (Sort.DICT, Sort.LIST),
    "ADDITEMS": (Sort.SET,),
}


class Machine(Registers):
    """One run over the stream that starts at `start` of an artifact. `outcome` is set when `run` is exhausted.

    With `joblib`, the arrays that joblib writes between the opcodes are passed over, as its loader does; without, their
    bytes are opcodes, as any other loader takes them. `arrays` says from where to where those lie that were passed.
    """

    def __init__(self, reader: RangeReader, start: int, end: int, budget: Budget, *, joblib: bool = True) -> None:
        self._reader = reader
        self._lexer = Lexer(reader, start, end, budget)
        self._budget = budget
        super().__init__(ROOM)
        self._globals: dict[tuple[str, str], tuple[Global, Instance]] = {}
        self._opcode = ""
        self._protocol = 0
        self._joblib = joblib
        self._end = end
        self._events: list[Event] = []
        self.arrays: dict[int, int] = {}
        self.outcome = Outcome(Ending.BROKEN, start, 0)

    def run(self) -> Iterator[Event]:
        """Follows the stream to its end, however it ends.

        Raises:
            Truncated: the reader returned less than the artifact's size promises.
        """
        lexer, stack, events, count = self._lexer, self._stack, self._events, 0
        ending, message, result = Ending.STOPPED, "", None
        allowed = min(MAX_OPCODES, self._budget.opcodes)
        try:
            while True:
                count += self._quickly(allowed - count)
                opcode = lexer.advance()
                count += 1
                if count > allowed:
                    raise StreamLimit(f"the stream has more than {allowed} opcodes", lexer.offset)
                self._opcode = opcode.name
                if opcode.name == "STOP":
                    result = self._pop()
                    break
                _STEPS[opcode.code](self, lexer.argument)
                if events:
                    yield from events
                    events.clear()
                if len(stack) > _DEEP:
                    self._blur()
        except StreamBroken as problem:
            ending, message = Ending.BROKEN, problem.message
        except StreamLimit as problem:
            ending, message = Ending.LIMIT, problem.message
        yield from events
        events.clear()
        self._budget.opcodes -= min(count, self._budget.opcodes)
        end = lexer.window.position if ending is Ending.STOPPED else lexer.offset
        self.outcome = Outcome(ending, end, count, result, message)

    def _quickly(self, allowed: int) -> int:
        """Takes the ordinary opcodes that come next in this block, and says how many they were."""
        window, stack, count = self._lexer.window, self._stack, 0
        data, at = window.block()
        last = len(data) - TAIL_BYTES
        while at < last and count < allowed and len(stack) <= _DEEP:
            step = QUICK[data[at]]
            after = step(self, data, at) if step is not None else -1
            if after < 0:
                break
            at = after
            count += 1
        window.move_to(at)
        count, self._run = count + self._run, 0
        return count

    # --- the stack -------------------------------------------------------------------------------

    def _blur(self) -> None:
        stack = self._stack
        if len(stack) > MAX_STACK:
            raise StreamLimit(f"more than {MAX_STACK} values lie on the stack", self._lexer.offset)
        stack[-_SURFACE] = blurred(stack[-_SURFACE])

    def _broken(self, message: str) -> StreamBroken:
        return StreamBroken(f"{self._opcode}: {message}", self._lexer.offset)

    def _pop(self) -> Value:
        if len(self._stack) <= (self._marks[-1] if self._marks else 0):
            raise self._broken("the stack holds too little")
        return self._stack.pop()

    def _top(self) -> Value:
        if len(self._stack) <= (self._marks[-1] if self._marks else 0):
            raise self._broken("the stack holds too little")
        return self._stack[-1]

    def _to_mark(self) -> list[Value]:
        if not self._marks:
            raise self._broken("there is no mark")
        place = self._marks.pop()
        values = self._stack[place:]
        del self._stack[place:]
        return values

    def _tell(self, kind: EventKind, subject: Value = None, argument: Value = None, message: str = "") -> None:
        self._events.append(Event(kind, self._lexer.offset, self._opcode, subject, argument, message))

    # --- constants and containers ----------------------------------------------------------------

    def push(self, value: Value) -> None:
        """Puts a value on the stack."""
        self._stack.append(value)

    def constant(self, argument: Argument, otherwise: Sort) -> None:
        """Pushes an argument, or its sort when it could not be read."""
        if argument is UNREADABLE:
            self._tell(EventKind.ODD, message=f"the argument of {self._opcode} is no {otherwise.value}")
            self._stack.append(otherwise)
            return
        assert not isinstance(argument, tuple)
        value: Value = argument
        if isinstance(value, Blob | LongText):
            head = value.head if isinstance(value, Blob) else value.head.encode("latin-1", "replace")
            if looks_like_stream(head):
                self._tell(EventKind.CONSTANT, value)
        elif (
            isinstance(value, str)
            and value[:1] in _STREAM_STARTS
            and looks_like_stream(value[:64].encode("latin-1", "replace"))
        ):
            self._tell(EventKind.CONSTANT, value)
        self._stack.append(value)

    def integer(self, argument: Argument) -> None:
        """Pushes an integer; a long one by its sort."""
        self.constant(Sort.INT if isinstance(argument, Blob) else argument, Sort.INT)  # type: ignore[arg-type]

    def bytearray(self, argument: Argument) -> None:
        """Pushes a bytearray."""
        self.constant(argument, Sort.BYTEARRAY)

    def mark(self) -> None:
        """MARK."""
        if len(self._marks) >= MAX_MARKS:
            raise StreamLimit(f"more than {MAX_MARKS} marks are open", self._lexer.offset)
        self._marks.append(len(self._stack))

    def pop(self) -> None:
        """POP takes a value, or the mark that lies above it."""
        if self._marks and self._marks[-1] == len(self._stack):
            self._marks.pop()
        else:
            self._pop()

    def drop(self) -> None:
        """POP_MARK: what lies above the mark goes, and the mark."""
        self._to_mark()

    def collect(self, sort: Sort) -> None:
        """LIST, DICT, FROZENSET: what lies above the mark becomes one value."""
        values = self._to_mark()
        if sort is Sort.DICT:
            self._hold(values)
        self._stack.append(sort)

    def collect_tuple(self) -> None:
        """TUPLE."""
        self._stack.append(tuple_of(self._to_mark()))

    def short_tuple(self, length: int) -> None:
        """TUPLE1, TUPLE2, TUPLE3."""
        values = [self._pop() for _ in range(length)]
        self._stack.append(tuple_of(values[::-1]))

    def fill(self, count: int | None) -> None:
        """APPEND(S), SETITEM(S), ADDITEMS: `count` values, or those above the mark, go into the one below."""
        if count is None:
            values = self._to_mark()
        else:
            values = [self._pop() for _ in range(count)][::-1]
        target = self._top()
        if self._wrapped.wanted and target is Sort.DICT:
            self._wrapped.collect(values)
        if target not in _FILLABLE[self._opcode]:
            self._tell(EventKind.FILLED, target)
        elif target is Sort.DICT:
            self._hold(values)

    def _hold(self, values: list[Value]) -> None:
        """Looks at what a dictionary is given: types' fields, and callables that BUILD would call or set as a class."""
        if not self._globals:
            return
        keys = values[::2]
        for name in _HOOKS:
            if name in keys and any(key == name and _acts(held) for key, held in zip(keys, values[1::2], strict=False)):
                self._tell(EventKind.FILLED, Sort.DICT, name)
        if self._wrapped.any_types:
            self._wrapped.fields(values[1::2])

    def readonly(self) -> None:
        """READONLY_BUFFER looks at the top and leaves it."""
        self._top()

    # --- memo ------------------------------------------------------------------------------------

    def put(self, key: Argument) -> None:
        """PUT, BINPUT, LONG_BINPUT."""
        if not isinstance(key, int) or key < 0:
            self._tell(EventKind.ODD, message=f"{self._opcode} has the key {key!r:.80}")
            return
        if key > MAX_MEMO_KEY:
            self._tell(EventKind.EXCESS, message=f"{self._opcode} has the key {key}, and loaders make room for so many")
        value = self._kept(self._top())
        memo, sparse = self._memo, self._sparse
        if key < len(memo):
            memo[key] = value
        elif key == len(memo):
            memo.append(value)
            if sparse:
                sparse.pop(key, None)
        else:
            sparse[key] = value
        if len(memo) > MAX_MEMO or len(sparse) > MAX_SPARSE_MEMO:
            raise StreamLimit("the memo has too many entries", self._lexer.offset)

    def memoize(self) -> None:
        """MEMOIZE: the key is the number of entries."""
        self.put(len(self._memo) + len(self._sparse))

    def get(self, key: Argument) -> None:
        """GET, BINGET, LONG_BINGET."""
        if isinstance(key, int) and 0 <= key < len(self._memo):
            self.again(self._memo[key])
        elif isinstance(key, int) and key in self._sparse:
            self.again(self._sparse[key])
        else:
            raise self._broken(f"the memo has no entry {key!r:.80}")

    def again(self, value: Value) -> None:
        """Pushes a value once more; a name that passes only when it is called counts each time."""
        self._stack.append(value)
        if isinstance(value, Global) and _SPECIAL.get((value.module, value.name)) in _COUNTED:
            self._tell(EventKind.RESOLVED, value, self._protocol)

    def _kept(self, value: Value) -> Value:
        if value is None or isinstance(value, Sort | Global | Instance | bool):
            return value
        self._room -= 64 * weight_of(value)
        return value if self._room >= 0 else blurred(value)

    # --- names and calls -------------------------------------------------------------------------

    def _intern(self, module: str, name: str) -> tuple[Global, Instance]:
        known = self._globals.get((module, name))
        if known is None:
            self._room -= 512 + 4 * (len(module) + len(name))
            if self._room < 0:
                raise StreamLimit("the stream names too many globals", self._lexer.offset)
            found = Global(module, name)
            known = self._globals[module, name] = found, Instance(found)
        return known

    def _resolve(self, module: Value, name: Value) -> Value:
        if isinstance(module, str) and isinstance(name, str):
            found = self._intern(module, name)[0]
            self._tell(EventKind.RESOLVED, found, self._protocol)
            return found
        self._tell(EventKind.DYNAMIC, argument=Items((module, name)))
        return Sort.UNKNOWN

    def _call(self, subject: Value, argument: Value) -> None:
        self._tell(EventKind.CALLED, subject, argument)
        self._stack.append(self._made(subject, argument) if isinstance(subject, Global) else Sort.UNKNOWN)

    def _made(self, subject: Global, argument: Value) -> Value:
        """What a call makes, as far as it matters which: an attribute of a global is a global again."""
        items = argument.items if isinstance(argument, Items) else ()
        special = _SPECIAL.get((subject.module, subject.name))
        if special == "getattr" and len(items) == 2 and isinstance(items[0], Global) and isinstance(items[1], str):
            return self._resolve(items[0].module, f"{items[0].name}.{items[1]}")
        if special == "class" and items and isinstance(items[0], Global):
            subject = items[0]
        made = self._intern(subject.module, subject.name)[1]
        if special == "dtype":
            return self._wrapped.dtype(made, items)
        if is_wrapper(subject):
            self._wrapped.begin()
        return made

    def global_(self, names: Argument) -> None:
        """GLOBAL."""
        pair = names if isinstance(names, tuple) else (Sort.UNKNOWN, Sort.UNKNOWN)
        self._stack.append(self._resolve(*pair))

    def stack_global(self) -> None:
        """STACK_GLOBAL."""
        name, module = self._pop(), self._pop()
        self._stack.append(self._resolve(module, name))

    def inst(self, names: Argument) -> None:
        """INST: a class named in the stream, called with what lies above the mark."""
        arguments = tuple_of(self._to_mark())
        pair = names if isinstance(names, tuple) else (Sort.UNKNOWN, Sort.UNKNOWN)
        self._call(self._resolve(*pair), arguments)

    def obj(self) -> None:
        """OBJ: the first value above the mark, called with the others."""
        values = self._to_mark()
        if not values:
            raise self._broken("nothing lies above the mark")
        self._call(values[0], tuple_of(values[1:]))

    def reduce(self) -> None:
        """REDUCE and NEWOBJ: a callable, and a tuple of arguments."""
        argument, subject = self._pop(), self._pop()
        self._call(subject, argument)

    def newobj_ex(self) -> None:
        """NEWOBJ_EX: with keyword arguments, which nobody looks into."""
        keywords, arguments, subject = self._pop(), self._pop(), self._pop()
        self._call(subject, Items((arguments, keywords)))

    def build(self) -> None:
        """BUILD. After that of joblib's wrapper, the array itself lies in the stream."""
        state = self._pop()
        target = self._top()
        message = self._wrapped.describe(target, state) if isinstance(target, Instance) and target.serial else ""
        self._tell(EventKind.BUILT, target, state, message)
        if isinstance(target, Instance) and self._joblib and self._wrapped.wanted and is_wrapper(target.of):
            self._pass_array()

    def _pass_array(self) -> None:
        window = self._lexer.window
        start = window.position
        if self._wrapped.holds_objects():
            inner = Machine(self._reader, start, self._end, self._budget, joblib=False)
            self._events.extend(inner.run())
            if inner.outcome.ending is not Ending.STOPPED:
                raise StreamBroken(f"an array's own pickle: {inner.outcome.message}", inner.outcome.end)
            window.skip(inner.outcome.end - start)
        else:
            window.skip(self._wrapped.length(window))
            self._events.append(Event(EventKind.DATA, window.position, self._opcode, argument=start))
        self.arrays[start] = window.position
        self._wrapped.finish()

    def extension(self, code: Argument) -> None:
        """EXT1, EXT2, EXT4: a global by a number that only the loading process knows."""
        self._tell(EventKind.EXTENSION, argument=code if isinstance(code, int) else Sort.INT)
        self._stack.append(Sort.UNKNOWN)

    def persistent(self, key: Value) -> None:
        """PERSID, BINPERSID. torch's old format hands over classes so: `("module", class, file, source)`."""
        self._tell(EventKind.PERSISTENT, argument=key)
        named = isinstance(key, Items) and len(key.items) == 4 and key.items[0] == "module"
        found = key.items[1] if named else None  # type: ignore[union-attr]
        self._stack.append(found if isinstance(found, Global) else Sort.PERSISTENT)

    def protocol(self, number: Argument) -> None:
        """PROTO; a loader refuses those it does not know."""
        if isinstance(number, int):
            self._protocol = number
        if isinstance(number, int) and number > _HIGHEST_PROTOCOL:
            self._tell(EventKind.ODD, message=f"the protocol {number} does not exist")

    def frame(self, length: Argument) -> None:
        """FRAME is a hint; one that reaches beyond the artifact is refused by loaders."""
        assert isinstance(length, int)
        if length > self._lexer.window.remaining:
            self._tell(EventKind.ODD, message=f"a frame of {length} bytes reaches beyond the end")


Step = Callable[[Machine, Argument], None]


def _acts(value: Value) -> bool:
    """Whether it may be called, or be a class."""
    return isinstance(value, Global | Instance) or value is Sort.UNKNOWN


def _named(text: Argument) -> Value:
    return text if isinstance(text, str) else Sort.TEXT


_BY_NAME: Final[Mapping[str, Step]] = {
    "MARK": lambda m, _: m.mark(),
    "STOP": lambda _m, _a: None,
    "POP": lambda m, _: m.pop(),
    "POP_MARK": lambda m, _: m.drop(),
    "DUP": lambda m, _: m.again(m._top()),
    "NONE": lambda m, _: m.push(None),
    "NEWTRUE": lambda m, _: m.push(value=True),
    "NEWFALSE": lambda m, _: m.push(value=False),
    "EMPTY_LIST": lambda m, _: m.push(Sort.LIST),
    "EMPTY_DICT": lambda m, _: m.push(Sort.DICT),
    "EMPTY_SET": lambda m, _: m.push(Sort.SET),
    "EMPTY_TUPLE": lambda m, _: m.push(EMPTY),
    "NEXT_BUFFER": lambda m, _: m.push(Sort.BUFFER),
    "READONLY_BUFFER": lambda m, _: m.readonly(),
    "LIST": lambda m, _: m.collect(Sort.LIST),
    "DICT": lambda m, _: m.collect(Sort.DICT),
    "FROZENSET": lambda m, _: m.collect(Sort.FROZENSET),
    "TUPLE": lambda m, _: m.collect_tuple(),
    "TUPLE1": lambda m, _: m.short_tuple(1),
    "TUPLE2": lambda m, _: m.short_tuple(2),
    "TUPLE3": lambda m, _: m.short_tuple(3),
    "APPEND": lambda m, _: m.fill(1),
    "SETITEM": lambda m, _: m.fill(2),
    **dict.fromkeys(("APPENDS", "SETITEMS", "ADDITEMS"), lambda m, _: m.fill(None)),
    **dict.fromkeys(("INT", "LONG", "BININT", "BININT1", "BININT2", "LONG1", "LONG4"), Machine.integer),
    **dict.fromkeys(("FLOAT", "BINFLOAT"), lambda m, a: m.constant(a, Sort.FLOAT)),
    **dict.fromkeys(("STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE"), lambda m, a: m.constant(a, Sort.TEXT)),
    **dict.fromkeys(("BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"), lambda m, a: m.constant(a, Sort.TEXT)),
    **dict.fromkeys(("BINBYTES", "SHORT_BINBYTES", "BINBYTES8"), lambda m, a: m.constant(a, Sort.BYTES)),
    "BYTEARRAY8": Machine.bytearray,
    **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT"), Machine.put),
    "MEMOIZE": lambda m, _: m.memoize(),
    **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), Machine.get),
    "GLOBAL": Machine.global_,
    "STACK_GLOBAL": lambda m, _: m.stack_global(),
    "INST": Machine.inst,
    "OBJ": lambda m, _: m.obj(),
    "REDUCE": lambda m, _: m.reduce(),
    "NEWOBJ": lambda m, _: m.reduce(),
    "NEWOBJ_EX": lambda m, _: m.newobj_ex(),
    "BUILD": lambda m, _: m.build(),
    **dict.fromkeys(("EXT1", "EXT2", "EXT4"), Machine.extension),
    "PERSID": lambda m, a: m.persistent(_named(a)),
    "BINPERSID": lambda m, _: m.persistent(m._pop()),
    "PROTO": Machine.protocol,
    "FRAME": Machine.frame,
}
_STEPS: Final[Mapping[int, Step]] = {opcode.code: _BY_NAME[opcode.name] for opcode in OPCODES}
