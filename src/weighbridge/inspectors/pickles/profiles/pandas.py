"""pandas: frames, series, indexes, arrays, types, offsets; built from blocks of numpy arrays.

Texts are arrays of Arrow where pyarrow is installed. pyarrow restores one from numbers and buffers and does not check what
the numbers say of the buffers, no more than it does for a file of Arrow's own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from weighbridge.inspectors.pickles.checks import (
    ANY_DATA,
    NAME_ONLY,
    NO_ARGUMENTS,
    Allowed,
    a_dict,
    a_list,
    a_tuple,
    args,
    data_bytes,
    either,
    global_in,
    integer,
    made_by,
    mapping_state,
    nothing,
    plain,
    text,
    under,
)

_INDEXES: Final = (
    *under("pandas", "Index RangeIndex MultiIndex CategoricalIndex DatetimeIndex TimedeltaIndex PeriodIndex"
           " IntervalIndex Int64Index Float64Index UInt64Index"),
    *(f"pandas.core.indexes.{name}" for name in (
        "base.Index", "range.RangeIndex", "multi.MultiIndex", "category.CategoricalIndex", "datetimes.DatetimeIndex",
        "timedeltas.TimedeltaIndex", "period.PeriodIndex", "interval.IntervalIndex", "numeric.Int64Index",
        "numeric.Float64Index", "numeric.UInt64Index", "frozen.FrozenList",
    )),
)  # fmt: skip
_ARRAY_NAMES: Final = """
    IntegerArray FloatingArray BooleanArray StringArray DatetimeArray TimedeltaArray PeriodArray IntervalArray
    SparseArray Categorical NumpyExtensionArray PandasArray
"""
_ARRAYS: Final = (
    *under("pandas.arrays", _ARRAY_NAMES),
    "pandas.Categorical",
    *(f"pandas.core.arrays.{name}" for name in (
        "integer.IntegerArray", "floating.FloatingArray", "boolean.BooleanArray", "string_.StringArray",
        "datetimes.DatetimeArray", "timedeltas.TimedeltaArray", "period.PeriodArray", "interval.IntervalArray",
        "sparse.array.SparseArray", "categorical.Categorical", "numpy_.PandasArray",
        "numpy_.NumpyExtensionArray",
    )),
)  # fmt: skip
_NUMBERS: Final = "Int8 Int16 Int32 Int64 UInt8 UInt16 UInt32 UInt64"
_DTYPES: Final = (
    *(f"pandas.{name}Dtype" for name in f"{_NUMBERS} Float32 Float64 Boolean Categorical DatetimeTZ Period Interval"
      " Sparse".split()),
    *(f"pandas.core.arrays.integer.{name}Dtype" for name in _NUMBERS.split()),
    *(f"pandas.core.arrays.floating.{name}Dtype" for name in ("Float32", "Float64")),
    "pandas.core.arrays.boolean.BooleanDtype", "pandas.core.arrays.sparse.dtype.SparseDtype",
    *(f"pandas.core.dtypes.dtypes.{name}Dtype" for name in ("Categorical", "DatetimeTZ", "Period", "Interval", "Sparse",
                                                           "Pandas", "NumpyEA")),
)  # fmt: skip
_FRAMES: Final = ("pandas.DataFrame", "pandas.Series", "pandas.core.frame.DataFrame", "pandas.core.series.Series")
_OFFSETS: Final = under(
    "pandas._libs.tslibs.offsets",
    "Day Hour Minute Second Milli Micro Nano BusinessDay BDay BusinessHour MonthEnd MonthBegin BusinessMonthEnd"
    " BusinessMonthBegin SemiMonthEnd SemiMonthBegin Week WeekOfMonth LastWeekOfMonth QuarterEnd QuarterBegin BQuarterEnd"
    " BQuarterBegin YearEnd YearBegin BYearEnd BYearBegin HalfYearEnd HalfYearBegin FY5253 FY5253Quarter Easter",
)
_MANAGERS: Final = under("pandas.core.internals.managers", "BlockManager SingleBlockManager")
_NA: Final = ("pandas.NA", "pandas._libs.missing.NA", "pandas.NaT")
_INDEX_MAKERS: Final = (
    "pandas.core.indexes.base._new_Index", "pandas.core.indexes.datetimes._new_DatetimeIndex",
    "pandas.core.indexes.period._new_PeriodIndex", "pandas.core.indexes.interval._new_IntervalIndex",
    "pandas.core.indexes.timedeltas._new_TimedeltaIndex",
)  # fmt: skip

_ARROW: Final[Mapping[str, Allowed]] = {
    "pandas.arrays.ArrowStringArray": Allowed(state=mapping_state, new=NO_ARGUMENTS),
    "pandas.arrays.ArrowExtensionArray": Allowed(state=mapping_state, new=NO_ARGUMENTS),
    "pyarrow.lib.type_for_alias": Allowed(args(text)),
    "pyarrow.lib.py_buffer": Allowed(args(either(data_bytes, made_by("builtins.bytearray")))),
    "pyarrow.lib._restore_array": Allowed(args(a_tuple)),
    "pyarrow.lib.chunked_array": Allowed(args(a_list, made_by("pyarrow.lib.type_for_alias"), optional=1)),
}
REVIEWED: Final[Mapping[str, Allowed]] = {
    **_ARROW,
    **dict.fromkeys(_INDEXES, Allowed(state=plain, new=NO_ARGUMENTS)),
    **dict.fromkeys(_ARRAYS, Allowed(state=plain, new=NO_ARGUMENTS)),
    **dict.fromkeys(_DTYPES, Allowed(ANY_DATA, plain)),
    **dict.fromkeys(_FRAMES, Allowed(state=mapping_state, new=NO_ARGUMENTS)),
    **dict.fromkeys(_MANAGERS, Allowed(ANY_DATA, plain)),
    **dict.fromkeys(_OFFSETS, Allowed(ANY_DATA, mapping_state)),
    **dict.fromkeys(_INDEX_MAKERS, Allowed(args(global_in(_INDEXES), a_dict))),
    **dict.fromkeys(
        ("pandas.StringDtype", "pandas.core.arrays.string_.StringDtype"),
        Allowed(args(plain, either(plain, global_in(_NA)), optional=2), mapping_state),
    ),
    **dict.fromkeys(_NA, NAME_ONLY),
    **dict.fromkeys(
        ("pandas.Period", "pandas.Timestamp", "pandas.Timedelta", "pandas.Interval"), Allowed(ANY_DATA, plain)
    ),
    "pandas._libs.arrays.__pyx_unpickle_NDArrayBacked": Allowed(
        args(global_in(_ARRAYS), integer, either(nothing, plain)), plain
    ),
    "pandas._libs.interval.__pyx_unpickle_IntervalMixin": Allowed(
        args(global_in(_ARRAYS), integer, either(nothing, plain)), plain
    ),
    "pandas._libs.interval.Interval": Allowed(ANY_DATA),
    "pandas._libs.internals._unpickle_block": Allowed(args(plain, plain, integer)),
    "pandas._libs.internals.BlockPlacement": Allowed(ANY_DATA),
    "pandas._libs.sparse.IntIndex": Allowed(ANY_DATA),
    "pandas._libs.sparse.BlockIndex": Allowed(ANY_DATA),
    "pandas._libs.tslibs.timestamps._unpickle_timestamp": Allowed(ANY_DATA),
    "pandas._libs.tslibs.timestamps.Timestamp": Allowed(ANY_DATA),
    "pandas._libs.tslibs.timedeltas._timedelta_unpickle": Allowed(ANY_DATA),
    "pandas._libs.tslibs.timedeltas.Timedelta": Allowed(ANY_DATA),
    "pandas._libs.tslibs.period.Period": Allowed(ANY_DATA, plain),
    "pandas._libs.tslibs.period.PeriodDtypeBase": NAME_ONLY,
    "pandas._libs.tslibs.nattype._nat_unpickle": Allowed(ANY_DATA),
    "pandas._libs.tslibs.nattype.__nat_unpickle": Allowed(ANY_DATA),
    "pandas.core.flags.Flags": Allowed(state=mapping_state, new=NO_ARGUMENTS),
    "pandas.core.indexes.frozen.FrozenList": Allowed(args(plain), fillable=True, new=NO_ARGUMENTS),
}
