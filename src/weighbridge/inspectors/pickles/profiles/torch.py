"""torch beyond tensors of the plain kinds: newer rebuilders, uninitialised parameters, hooks' handles, TorchScript."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from weighbridge.formats.pickle_values import Sort
from weighbridge.inspectors.pickles.checks import (
    ANY_DATA,
    NAME_ONLY,
    NO_ARGUMENTS,
    OBJECT,
    Allowed,
    Check,
    a_list,
    a_tuple,
    args,
    either,
    integer,
    made_by,
    mapping_state,
    nothing,
    plain,
    under,
)

_STORAGE: Final[Check] = lambda value: value is Sort.PERSISTENT  # noqa: E731
_ANY: Final[Check] = lambda value: value is not Sort.UNKNOWN  # noqa: E731
_SHAPE: Final = either(a_tuple, made_by("torch.Size"))
_HOOKS: Final = either(made_by("collections.OrderedDict"), nothing)
_LAYOUTS: Final = under("torch", "strided sparse_coo sparse_csr sparse_csc sparse_bsr sparse_bsc jagged")
_FORMATS: Final = under("torch", "contiguous_format channels_last channels_last_3d preserve_format")

SCRIPTED: Final = Allowed(state=plain, new=NO_ARGUMENTS)
"""A class of TorchScript."""

REVIEWED: Final[Mapping[str, Allowed]] = {
    **dict.fromkeys((*_LAYOUTS, *_FORMATS, "torch.per_channel_affine_float_qparams"), NAME_ONLY),
    "torch._utils._rebuild_tensor_v3": Allowed(
        args(_STORAGE, integer, _SHAPE, _SHAPE, integer, _HOOKS, _ANY, mapping_state, optional=1), mapping_state
    ),
    "torch._utils._rebuild_qtensor": Allowed(
        args(_STORAGE, integer, _SHAPE, _SHAPE, _ANY, integer, _HOOKS), mapping_state
    ),
    "torch._utils._rebuild_nested_tensor": Allowed(args(plain, plain, plain, plain)),
    "torch._utils._rebuild_sparse_tensor": Allowed(args(_ANY, a_tuple)),
    "torch._utils._rebuild_sparse_csr_tensor": Allowed(args(_ANY, a_tuple)),
    "torch._utils._rebuild_meta_tensor_no_storage": Allowed(args(_ANY, _SHAPE, _SHAPE, integer)),
    "torch._utils._rebuild_device_tensor_from_numpy": Allowed(args(plain, _ANY, plain, integer)),
    **dict.fromkeys(
        under("torch.nn.parameter", "UninitializedParameter UninitializedBuffer"), Allowed(ANY_DATA, mapping_state)
    ),
    "torch.nn.parameter.Buffer": NAME_ONLY,
    "torch.nn.parallel.data_parallel.DataParallel": OBJECT,
    "torch.utils.hooks.RemovableHandle": Allowed(state=args(plain, integer, a_tuple, optional=1), new=NO_ARGUMENTS),
    **dict.fromkeys(
        under("torch.jit._pickle", "build_intlist build_doublelist build_boollist build_tensorlist"),
        Allowed(args(a_list)),
    ),
    "torch.jit._pickle.restore_type_tag": Allowed(args(plain, plain)),
    "torch.jit._pickle.build_tensor_from_id": Allowed(args(integer)),
    "torch.torch_version.TorchVersion": Allowed(ANY_DATA, mapping_state),
}
