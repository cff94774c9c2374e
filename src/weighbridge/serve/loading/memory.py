"""Memory that a tensor is read into, and that is handed over, not copied, by DLPack.

DLPack (https://dmlc.github.io/dlpack/latest/) lends memory by a struct with a `deleter` that the borrower calls when it is
done: at any time, on any thread, also while an exception unwinds or the interpreter ends. No Python function may run then.
So struct and data lie in one allocation of the C library, and its `free` is the deleter. It follows that memory is handed
over once: whoever takes a tensor owns it from then on, and another taker is given a copy or asks the loader again.
"""

from __future__ import annotations

import ctypes
import sys
import weakref
from collections.abc import Mapping
from typing import Any, Final

ALIGNMENT: Final = 256
"""What DLPack asks of `data`; enough for every vector instruction."""
CPU: Final = (1, 0)
"""`kDLCPU` and the number of the device."""
HUGE_BYTES: Final = 2 * 1024 * 1024
_MADV_HUGEPAGE = 14
_WRITABLE = 0x200
"""`PyBUF_WRITE`."""

CODES: Final[Mapping[str, tuple[int, int, int]]] = {
    "BOOL": (6, 8, 1),
    "U8": (1, 8, 1),
    "U16": (1, 16, 1),
    "U32": (1, 32, 1),
    "U64": (1, 64, 1),
    "I8": (0, 8, 1),
    "I16": (0, 16, 1),
    "I32": (0, 32, 1),
    "I64": (0, 64, 1),
    "F16": (2, 16, 1),
    "F32": (2, 32, 1),
    "F64": (2, 64, 1),
    "BF16": (4, 16, 1),
    "C64": (5, 64, 1),
    "F8_E4M3": (10, 8, 1),
    "F8_E4M3FNUZ": (11, 8, 1),
    "F8_E5M2": (12, 8, 1),
    "F8_E5M2FNUZ": (13, 8, 1),
    "F8_E8M0": (14, 8, 1),
    "F6_E2M3": (15, 6, 1),
    "F6_E3M2": (16, 6, 1),
    "F4": (17, 4, 2),
}
"""DLPack's code, bits and lanes for each type of safetensors (dlpack.h, `DLDataTypeCode`, DLPack 1.1). Two F4 share a byte and
are one element of two lanes, as torch has them."""


class _Tensor(ctypes.Structure):
    """`DLTensor`."""

    _fields_ = (
        ("data", ctypes.c_void_p),
        ("device_type", ctypes.c_int32),
        ("device_id", ctypes.c_int32),
        ("ndim", ctypes.c_int32),
        ("code", ctypes.c_uint8),
        ("bits", ctypes.c_uint8),
        ("lanes", ctypes.c_uint16),
        ("shape", ctypes.c_void_p),
        ("strides", ctypes.c_void_p),
        ("byte_offset", ctypes.c_uint64),
    )


class _Managed(ctypes.Structure):
    """`DLManagedTensor`, before version 1."""

    _fields_ = (("tensor", _Tensor), ("context", ctypes.c_void_p), ("deleter", ctypes.c_void_p))


class _Versioned(ctypes.Structure):
    """`DLManagedTensorVersioned`, version 1."""

    _fields_ = (
        ("major", ctypes.c_uint32),
        ("minor", ctypes.c_uint32),
        ("context", ctypes.c_void_p),
        ("deleter", ctypes.c_void_p),
        ("flags", ctypes.c_uint64),
        ("tensor", _Tensor),
    )


def _library() -> ctypes.CDLL:
    library = ctypes.CDLL(None)
    library.malloc.restype = ctypes.c_void_p
    library.malloc.argtypes = (ctypes.c_size_t,)
    library.free.restype = None
    library.free.argtypes = (ctypes.c_void_p,)
    library.madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    return library


_C = _library()
_FREE = ctypes.cast(_C.free, ctypes.c_void_p).value
_PLAIN, _VERSIONED = ctypes.create_string_buffer(b"dltensor"), ctypes.create_string_buffer(b"dltensor_versioned")
"""Capsules point at their names, so these must outlive them."""


def _capsule_functions() -> tuple[Any, Any, Any]:
    """`PyCapsule_New`, `PyCapsule_GetName`, `PyMemoryView_FromMemory`."""
    new, name, view = (
        getattr(ctypes.pythonapi, one) for one in ("PyCapsule_New", "PyCapsule_GetName", "PyMemoryView_FromMemory")
    )
    new.restype, new.argtypes = ctypes.py_object, (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)
    name.restype, name.argtypes = ctypes.c_char_p, (ctypes.py_object,)
    view.restype, view.argtypes = ctypes.py_object, (ctypes.c_void_p, ctypes.c_ssize_t, ctypes.c_int)
    return new, name, view


_new_capsule, _name_of, _view_of = _capsule_functions()
_orphans: list[tuple[object, int]] = []
"""Capsules that outlived their memory's owner and were not taken yet, and what is to be freed if they never are."""


class Memory:
    """Room for `size_bytes` of one tensor of `dtype` and `shape`, not initialised. To be used from one thread at a time,
    but for `writable`.

    Raises:
        MemoryError: there is not that much.
    """

    __slots__ = ("__weakref__", "_address", "_capsule", "_data", "_dtype", "_shape", "_shown", "size_bytes")

    def __init__(self, dtype: str, shape: tuple[int, ...], size_bytes: int) -> None:
        self._address = 0
        self._capsule: object = None
        self._shown: weakref.ref[Any] | None = None
        self._dtype, self._shape, self.size_bytes = dtype, shape, size_bytes
        head = ctypes.sizeof(_Versioned) + 16 * len(shape)
        # Large pages cost less to touch for the first time, and need data that begin where such a page does. Not by
        # `aligned_alloc`: glibc before 2.38 finds no room for it in what was freed of the same size, and takes new memory.
        boundary = HUGE_BYTES if size_bytes >= 2 * HUGE_BYTES else ALIGNMENT
        self._address = _C.malloc(head + boundary + size_bytes) or 0
        if not self._address:
            raise MemoryError(f"there is no memory for a tensor of {size_bytes} bytes")
        self._data = _round_up(self._address + head, boundary)
        if boundary == HUGE_BYTES:
            _C.madvise(self._data, size_bytes // HUGE_BYTES * HUGE_BYTES, _MADV_HUGEPAGE)  # only advice: may fail

    def writable(self) -> memoryview:
        """Its bytes, to be filled; not to be used once the memory was handed out."""
        view: memoryview = _view_of(self._data, self.size_bytes, _WRITABLE)
        return view

    @property
    def is_taken(self) -> bool:
        """Whether somebody else owns it now."""
        return self._capsule is not None and _name_of(self._capsule).startswith(b"used")

    def view(self) -> memoryview:
        """Its bytes. While the view is in use, the memory is not handed over.

        Raises:
            BufferError: it was handed over.
        """
        self._reclaim()
        array = self._shown() if self._shown is not None else None
        if array is None:
            array = (ctypes.c_ubyte * self.size_bytes).from_address(self._data)
            setattr(array, "memory", self)  # noqa: B010 (the view keeps the memory, and this is not declared)
            self._shown = weakref.ref(array)
        return memoryview(array).cast("B")

    def hand_over(self, *, versioned: bool, copy: bool | None) -> object:
        """A capsule that whoever takes it owns this memory by; a copy's with `copy`, or when a view is in use.

        Raises:
            BufferError: it was handed over before, or a copy is needed and `copy` is False.
            MemoryError: there is none for a copy.
        """
        _free_orphans()
        self._reclaim()
        in_use = self._shown is not None and self._shown() is not None
        if in_use and copy is False:
            raise BufferError("a view of this tensor is in use; it can only be copied")
        if copy or in_use:
            other = Memory(self._dtype, self._shape, self.size_bytes)
            ctypes.memmove(other._data, self._data, self.size_bytes)
            return other._capsule_of(versioned=versioned)
        return self._capsule_of(versioned=versioned)

    def _reclaim(self) -> None:
        """Makes sure that the memory is still ours, and that nobody is about to take it."""
        if self._capsule is None:
            return
        if self.is_taken:
            raise BufferError("this tensor was handed over before; ask the loader for it again")
        if sys.getrefcount(self._capsule) > 2:
            raise BufferError("this tensor is being handed over")
        self._capsule = None

    def _capsule_of(self, *, versioned: bool) -> object:
        kind = _Versioned if versioned else _Managed
        managed: Any = kind.from_address(self._address)
        ctypes.memset(self._address, 0, ctypes.sizeof(kind))
        managed.deleter = _FREE
        if versioned:
            managed.major, managed.minor = 1, 1
        _describe(managed.tensor, self._address + ctypes.sizeof(_Versioned), self._data, self._dtype, self._shape)
        name = _VERSIONED if versioned else _PLAIN
        self._capsule = _new_capsule(self._address, ctypes.addressof(name), None)
        return self._capsule

    def __del__(self, free: Any = _C.free, name_of: Any = _name_of) -> None:
        # The functions are arguments: when the interpreter ends, the module's own names may be gone before its objects.
        if not self._address or (self._capsule is not None and name_of(self._capsule).startswith(b"used")):
            return
        if self._capsule is not None and sys.getrefcount(self._capsule) > 2:
            _orphans.append((self._capsule, self._address))
        else:
            free(self._address)


def _describe(tensor: _Tensor, numbers: int, data: int, dtype: str, shape: tuple[int, ...]) -> None:
    """Fills a `DLTensor` in; `numbers` is where its shape and strides lie."""
    code, bits, lanes = CODES[dtype]
    if lanes > 1 and shape:
        shape = (*shape[:-1], shape[-1] // lanes)
    sizes = (ctypes.c_int64 * (2 * len(shape))).from_address(numbers)
    stride = 1
    for axis in range(len(shape) - 1, -1, -1):
        sizes[axis], sizes[len(shape) + axis] = shape[axis], stride
        stride *= max(1, shape[axis])
    tensor.data, (tensor.device_type, tensor.device_id) = data, CPU
    tensor.ndim, tensor.code, tensor.bits, tensor.lanes = len(shape), code, bits, lanes
    tensor.shape, tensor.strides = numbers, numbers + 8 * len(shape)


def _free_orphans() -> None:
    """Frees what was offered in a capsule that nobody took."""
    waiting = [_orphans.pop() for _ in range(len(_orphans))]
    while waiting:
        capsule, address = waiting.pop()
        if _name_of(capsule).startswith(b"used"):
            continue
        if sys.getrefcount(capsule) > 2:
            _orphans.append((capsule, address))
        else:
            _C.free(address)


def _round_up(number: int, multiple: int) -> int:
    return -(-number // multiple) * multiple
