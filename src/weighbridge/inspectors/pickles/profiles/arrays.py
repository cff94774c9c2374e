"""numpy and scipy: arrays' kinds, seeds, polynomials, functions that are stored by name; sparse matrices and splines.

Left out on purpose: scipy's distributions, whose `__setstate__` executes a text of the state; scipy's KD-trees, whose
`__setstate__` follows offsets of the state as pointers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from weighbridge.inspectors.pickles.checks import (
    NAME_ONLY,
    NO_ARGUMENTS,
    OBJECT,
    Allowed,
    a_tuple,
    args,
    data_bytes,
    either,
    global_in,
    integer,
    made_by,
    nothing,
    one_of,
    plain,
    slotted_state,
    text,
    under,
)

_FUNCTIONS: Final = """
    mean median sum std var min max amin amax prod average nanmean nanmedian nanstd nanvar nansum nanmin nanmax ptp
    percentile quantile argmax argmin argsort sort unique concatenate stack hstack vstack squeeze ravel reshape
    transpose dot inner outer cumsum cumprod diff clip round around nan_to_num real imag angle cov corrcoef histogram
    count_nonzero any all zeros ones empty full zeros_like ones_like asarray array interp linspace arange where isin
    atleast_1d atleast_2d expand_dims repeat tile flip roll trapz
"""
_UFUNCS: Final = """
    abs absolute add arccos arccosh arcsin arcsinh arctan arctan2 arctanh bitwise_and bitwise_or cbrt ceil conj
    conjugate copysign cos cosh deg2rad degrees divide equal exp exp2 expm1 fabs floor floor_divide fmax fmin fmod
    greater greater_equal hypot invert isfinite isinf isnan less less_equal log log10 log1p log2 logaddexp logical_and
    logical_not logical_or maximum minimum mod multiply negative not_equal positive power rad2deg radians reciprocal
    remainder rint sign signbit sin sinh sqrt square subtract tan tanh true_divide trunc
"""
_TYPES: Final = """
    float16 float32 float64 float128 longdouble int8 int16 int32 int64 uint8 uint16 uint32 uint64 bool bool_ complex64
    complex128 complex256 clongdouble str_ bytes_ object_ void datetime64 timedelta64 intc uintc intp uintp longlong
    ulonglong long ulong half single double generic number integer floating dtype record ndarray recarray matrix
    float_ int_ complex_ unicode_ string_
"""
_KINDS: Final = (
    "numpy.ndarray", "numpy.matrix", "numpy.recarray", "numpy.rec.recarray", "numpy.core.records.recarray",
    "numpy.matrixlib.defmatrix.matrix", "numpy.chararray", "numpy.char.chararray",
)  # fmt: skip
_MASKED: Final = ("numpy.ma.MaskedArray", "numpy.ma.core.MaskedArray")
_DTYPE: Final = made_by("numpy.dtype")
_RECONSTRUCT: Final = Allowed(
    args(global_in(_KINDS), a_tuple, data_bytes),
    args(integer, a_tuple, _DTYPE, integer, plain),
)
_SEED: Final = "numpy.random.bit_generator.SeedSequence"
_SEED_STATE: Final = args(plain, plain, plain, plain, plain)
_UFUNC: Final = Allowed(
    args(one_of("numpy", "numpy.core._multiarray_umath", "numpy._core._multiarray_umath"), one_of(*_UFUNCS.split()))
)
_POLYNOMIALS: Final = ("polynomial.Polynomial", "chebyshev.Chebyshev", "legendre.Legendre", "laguerre.Laguerre",
                       "hermite.Hermite", "hermite_e.HermiteE")  # fmt: skip
_INTERPOLATORS: Final = (
    "_cubic.CubicSpline", "_cubic.PchipInterpolator", "_cubic.Akima1DInterpolator", "_cubic.CubicHermiteSpline",
    "_interpolate.PPoly", "_interpolate.BPoly", "_interpolate.interp1d", "_polyint.BarycentricInterpolator",
    "_polyint.KroghInterpolator", "interpolate.interp1d", "interpolate.PPoly",
)  # fmt: skip
_SPARSE: Final = ("csr.csr", "csc.csc", "coo.coo", "bsr.bsr", "dia.dia", "lil.lil", "dok.dok")

_RECORDS: Final = ("numpy.record", "numpy.core.records.record", "numpy._core.records.record", "numpy.rec.record")

REVIEWED: Final[Mapping[str, Allowed]] = {
    **dict.fromkeys(_RECORDS, NAME_ONLY),
    **dict.fromkeys((*under("numpy", _FUNCTIONS), *under("numpy", _UFUNCS), *under("numpy", _TYPES)), NAME_ONLY),
    **dict.fromkeys((*_KINDS, *_MASKED, _SEED), NAME_ONLY),
    "numpy.dtype": Allowed(args(either(text, global_in(_RECORDS)), integer, integer, optional=2), plain),
    **{f"numpy.{core}.multiarray._reconstruct": _RECONSTRUCT for core in ("core", "_core")},
    **{f"numpy.{core}._ufunc_reconstruct": _UFUNC for core in ("core", "_core")},
    "numpy.ma.core._mareconstruct": Allowed(
        args(global_in(_MASKED), global_in(_KINDS), a_tuple, plain),
        args(integer, a_tuple, _DTYPE, integer, plain, plain, plain),
    ),
    _SEED: Allowed(state=plain, new=NO_ARGUMENTS),
    "numpy.random.bit_generator.__pyx_unpickle_SeedSequence": Allowed(
        args(global_in((_SEED,)), integer, either(nothing, _SEED_STATE)), _SEED_STATE
    ),
    "numpy.random._bit_generator.__pyx_unpickle_SeedSequence": Allowed(
        args(global_in((_SEED, "numpy.random._bit_generator.SeedSequence")), integer, either(nothing, _SEED_STATE)),
        _SEED_STATE,
    ),
    **{f"numpy.polynomial.{name}": OBJECT for name in _POLYNOMIALS},
    **{f"scipy.interpolate.{name}": Allowed(state=slotted_state, new=NO_ARGUMENTS) for name in _INTERPOLATORS},
    **{
        f"scipy.interpolate.{home}.interp1d.{name}": NAME_ONLY
        for home in ("_interpolate", "interpolate")
        for name in ("_call_linear_np", "_call_linear", "_call_nearest", "_call_previousnext", "_call_spline",
                     "_call_nan_spline")
    },
    **{
        f"scipy.sparse.{dash}{name}_{kind}": OBJECT
        for dash in ("", "_")
        for name in _SPARSE
        for kind in ("matrix", "array")
    },
    **dict.fromkeys(
        under("scipy.sparse._dok", "dok_matrix dok_array") + under("scipy.sparse.dok", "dok_matrix"),
        Allowed(state=slotted_state, fillable=True, new=NO_ARGUMENTS),
    ),
    # Keeps nine values and, with neighbours, a KD-tree, which is refused where it is made.
    "scipy.interpolate._rbfinterp.RBFInterpolator": Allowed(state=a_tuple, new=NO_ARGUMENTS),
    "scipy.spatial.transform._rotation.Rotation": Allowed(state=plain, new=NO_ARGUMENTS),
    **dict.fromkeys(
        ("joblib.numpy_pickle.NumpyArrayWrapper", "sklearn.externals.joblib.numpy_pickle.NumpyArrayWrapper"), OBJECT
    ),
    **dict.fromkeys(
        ("scipy._lib.array_api_compat.numpy._aliases.asarray", "scipy.special._ufuncs.expit",
         "scipy.special._ufuncs.logit", "scipy.special.expit", "scipy.special.logit",
         "scipy.special._logsumexp.softmax", "scipy.special._logsumexp.logsumexp"),
        NAME_ONLY,
    ),
}  # fmt: skip
