"""Which NumPy function means what: one row per function, by the name it has in NumPy.

A function of the table takes what the NumPy function takes, with nodes in place of traced tensors, and gives nodes (or
plain answers, such as a shape). Pointwise ufuncs need no row here: the pointwise table has them, SciPy's included.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

import numpy as np

from einad.front import indexing
from einad.front import numpy_choices as choices
from einad.front import numpy_contractions as contractions
from einad.front import numpy_elementwise as pointwise
from einad.front import numpy_fourier as fourier
from einad.front import numpy_joining as joining
from einad.front import numpy_moves as moves
from einad.front import numpy_norms as norms
from einad.front import numpy_queries as queries
from einad.front import numpy_reductions as reductions
from einad.front import numpy_shapes as shapes
from einad.front import numpy_sorting as sorting
from einad.front import numpy_windows as windows
from einad.ops.pointwise import POINTWISE

Function = Callable[..., Any]

UFUNCS: dict[str, Function] = {
    "add": pointwise.add,
    "subtract": pointwise.subtract,
    "multiply": pointwise.multiply,
    "divide": pointwise.divide,
    "negative": pointwise.negative,
    "positive": pointwise.positive,
    "power": pointwise.power,
    "square": pointwise.square,
    "conjugate": pointwise.conjugate_ufunc,
    "divmod": pointwise.divmod_,
    "ldexp": pointwise.ldexp,
    "deg2rad": pointwise.deg2rad,
    "radians": pointwise.deg2rad,
    "rad2deg": pointwise.rad2deg,
    "degrees": pointwise.rad2deg,
    "absolute": pointwise.elementwise(POINTWISE["abs"]),
    "matmul": contractions.matmul,
    "vecdot": contractions.vecdot,
    "matvec": contractions.matvec,
    "vecmat": contractions.vecmat,
}

NAMES: dict[str, Function] = {
    # contractions
    "einsum": contractions.einsum,
    "dot": contractions.dot,
    "vdot": contractions.vdot,
    "inner": contractions.inner,
    "outer": contractions.outer,
    "tensordot": contractions.tensordot,
    "kron": contractions.kron,
    "cross": contractions.cross,
    "linalg.multi_dot": contractions.multi_dot,
    "linalg.matrix_power": contractions.matrix_power,
    "linalg.matmul": contractions.matmul,
    "linalg.outer": contractions.outer,
    "linalg.tensordot": contractions.tensordot,
    "linalg.vecdot": contractions.vecdot,
    "linalg.cross": contractions.cross,
    "trace": reductions.trace,
    "linalg.trace": lambda x, /, *, offset=0, dtype=None: reductions.trace(x, offset, -2, -1, dtype),
    # shapes
    "reshape": shapes.reshape,
    "ravel": shapes.ravel,
    "transpose": shapes.transpose,
    "permute_dims": shapes.transpose,
    "matrix_transpose": shapes.matrix_transpose,
    "linalg.matrix_transpose": shapes.matrix_transpose,
    "swapaxes": shapes.swapaxes,
    "moveaxis": shapes.moveaxis,
    "rollaxis": shapes.rollaxis,
    "squeeze": shapes.squeeze,
    "expand_dims": shapes.expand_dims,
    "broadcast_to": shapes.broadcast_to,
    "broadcast_arrays": shapes.broadcast_arrays,
    "atleast_1d": shapes.atleast_1d,
    "atleast_2d": shapes.atleast_2d,
    "atleast_3d": shapes.atleast_3d,
    "diagonal": shapes.diagonal,
    "linalg.diagonal": lambda x, /, *, offset=0: shapes.diagonal(x, offset, -2, -1),
    "diag": shapes.diag,
    "diagflat": shapes.diagflat,
    "flip": moves.flip,
    "fliplr": moves.fliplr,
    "flipud": moves.flipud,
    "rot90": moves.rot90,
    "roll": moves.roll,
    "tile": moves.tile,
    "repeat": moves.repeat,
    "pad": moves.pad,
    "tril": moves.tril,
    "triu": moves.triu,
    "zeros_like": shapes.zeros_like,
    "ones_like": shapes.ones_like,
    "full_like": shapes.full_like,
    "empty_like": shapes.zeros_like,
    "copy": shapes.copy,
    "astype": pointwise.astype,
    "take": indexing.take,
    "take_along_axis": indexing.take_along_axis,
    "argsort": sorting.argsort,
    "sort": sorting.sort,
    "argpartition": sorting.argpartition,
    "partition": sorting.partition,
    "median": sorting.median,
    "compress": sorting.compress,
    "extract": sorting.extract,
    "choose": sorting.choose,
    # reductions
    "sum": reductions.sum_,
    "mean": reductions.mean,
    "average": reductions.average,
    "var": reductions.var,
    "std": reductions.std,
    "prod": reductions.prod,
    "max": reductions.max_,
    "amax": reductions.max_,
    "min": reductions.min_,
    "amin": reductions.min_,
    "ptp": reductions.ptp,
    "any": reductions.any_,
    "all": reductions.all_,
    "argmax": reductions.argmax,
    "argmin": reductions.argmin,
    "count_nonzero": reductions.count_nonzero,
    "cumsum": reductions.cumsum,
    "cumulative_sum": reductions.cumulative_sum,
    "linalg.norm": norms.norm,
    "linalg.vector_norm": norms.vector_norm,
    "linalg.matrix_norm": norms.matrix_norm,
    # joining and cutting
    "concatenate": joining.concatenate,
    "concat": joining.concatenate,
    "stack": joining.stack,
    "vstack": joining.vstack,
    "hstack": joining.hstack,
    "dstack": joining.dstack,
    "column_stack": joining.column_stack,
    "block": joining.block,
    "append": joining.append,
    "split": joining.split,
    "array_split": joining.array_split,
    "hsplit": joining.hsplit,
    "vsplit": joining.vsplit,
    "dsplit": joining.dsplit,
    "unstack": joining.unstack,
    "diff": joining.diff,
    "trapezoid": joining.trapezoid,
    # windows and neighbours
    "convolve": windows.convolve,
    "correlate": windows.correlate,
    "lib.stride_tricks.sliding_window_view": windows.sliding_window_view,
    "ediff1d": windows.ediff1d,
    "gradient": windows.gradient,
    "cumprod": windows.cumprod,
    "cumulative_prod": windows.cumulative_prod,
    # elementwise functions that are no ufuncs
    "where": choices.where,
    "select": choices.select,
    "clip": choices.clip,
    "round": choices.round_,
    "around": choices.round_,
    "real": pointwise.real,
    "imag": pointwise.imag,
    "angle": pointwise.angle,
    "nan_to_num": choices.nan_to_num,
    "isclose": choices.isclose,
    # Fourier transforms
    "fft.fft": fourier.fft,
    "fft.ifft": fourier.ifft,
    "fft.rfft": fourier.rfft,
    "fft.irfft": fourier.irfft,
    "fft.hfft": fourier.hfft,
    "fft.ihfft": fourier.ihfft,
    "fft.fft2": fourier.fft2,
    "fft.ifft2": fourier.ifft2,
    "fft.rfft2": fourier.rfft2,
    "fft.irfft2": fourier.irfft2,
    "fft.fftn": fourier.fftn,
    "fft.ifftn": fourier.ifftn,
    "fft.rfftn": fourier.rfftn,
    "fft.irfftn": fourier.irfftn,
    "fft.fftshift": fourier.fftshift,
    "fft.ifftshift": fourier.ifftshift,
    # queries
    "shape": queries.shape,
    "ndim": queries.ndim,
    "size": queries.size,
    "result_type": queries.result_type,
    "can_cast": queries.can_cast,
    "common_type": queries.common_type,
    "iscomplexobj": queries.iscomplexobj,
    "isrealobj": queries.isrealobj,
    "iscomplex": queries.iscomplex,
    "isreal": queries.isreal,
    "allclose": queries.allclose,
    "array_equal": queries.array_equal,
    "array_equiv": queries.array_equiv,
}

REDUCTIONS: dict[str, Function] = {
    "add": reductions.sum_,
    "multiply": reductions.prod,
    "maximum": reductions.max_,
    "minimum": reductions.min_,
    "logical_and": reductions.all_,
    "logical_or": reductions.any_,
}

HINTS: dict[str, str] = {
    "array": "einad.numpy.array",
    "fill_diagonal": "x - np.diag(np.diag(x)) + np.diag(v)",
    "copyto": "np.where(mask, new, old)",
    "put_along_axis": "np.where(np.arange(n) == indices, values, x)",
    "put": "np.where or np.concatenate",
    "putmask": "np.where(mask, new, old)",
    "insert": "np.concatenate of slices",
    "delete": "np.concatenate of slices",
    "nansum": "np.sum(np.where(np.isnan(x), 0, x))",
    "hypot.reduce": "np.linalg.norm(x)",
}


def _numpy_function(name: str) -> Any:
    """The NumPy function of a dotted name, None where this NumPy is too old to have it."""
    found: Any = np
    for part in name.split("."):
        found = getattr(found, part, None)
    return found


def _functions(names: Iterable[str]) -> dict[Any, Function]:
    return {function: NAMES[name] for name in names if (function := _numpy_function(name)) is not None}


FUNCTIONS = _functions([name for name in NAMES if not name.startswith("fft.")])


@cache
def _transforms() -> dict[Any, Function]:
    """The functions of ``np.fft``, which NumPy loads when it is first asked for."""
    return _functions([name for name in NAMES if name.startswith("fft.")])


def known_names() -> list[str]:
    """The names of all NumPy functions that einad knows, sorted.

    >>> {"einsum", "tanh", "linalg.norm"} <= set(known_names())
    True
    """
    ufuncs = [name for name in {*UFUNCS, *POINTWISE} if isinstance(getattr(np, name, None), np.ufunc)]
    return sorted({*ufuncs, *(name for name in NAMES if _numpy_function(name) is not None)})


def ufunc_meaning(ufunc: np.ufunc) -> Function:
    """The meaning of a ufunc, NumPy's or SciPy's."""
    name = ufunc.__name__
    if name in UFUNCS:
        return UFUNCS[name]
    if name in POINTWISE:
        return pointwise.elementwise(POINTWISE[name])
    raise unknown(name)


def function_meaning(function: Any) -> Function:
    """The meaning of a NumPy function."""
    found = FUNCTIONS.get(function) or _transforms().get(function)
    if found is None:
        raise unknown(f"{function.__module__.removeprefix('numpy').lstrip('.')}.{function.__name__}".lstrip("."))
    return found


def unknown(name: str) -> TypeError:
    """The error for a function that is not in the table."""
    hint = f"write {HINTS[name]}" if name in HINTS else "write it with np.einsum, np.where and functions einad knows"
    return TypeError(
        f"np.{name} is not known to einad, so it cannot take a traced tensor; {hint} "
        f"(einad.numpy.__all__ lists them), or, where no derivative is wanted, call it on "
        "np.asarray(ea.stop_gradient(x))"
    )
