"""NumPy's names: ``import einad.numpy as enp``.

Every function is NumPy's own, which records an expression when it meets a traced tensor and computes at once on plain
arrays; ``__all__`` lists what einad can differentiate. Only `array` and `asarray` do more: they take nested lists
that hold traced tensors, where ``np.array`` would ask them for their values; and `take`, whose indices may be traced.

Examples
--------
>>> import einad.numpy as enp
>>> enp.sum(enp.array([1.0, 2.0]) ** 2)
np.float64(5.0)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from einad.front.indexing import take as _take
from einad.front.numpy_joining import array as _joined
from einad.front.numpy_table import known_names as _known_names
from einad.front.tensor import innermost_trace as _innermost_trace
from einad.front.tensor import record as _record

if TYPE_CHECKING:
    from numpy import *  # noqa: F403

_CREATION = ("arange", "empty", "eye", "full", "identity", "linspace", "logspace", "ones", "tri", "zeros")
_CONSTANTS = ("e", "euler_gamma", "inf", "nan", "newaxis", "pi")
_DTYPES = (
    "bool", "complex128", "complex64", "complexfloating", "dtype", "finfo", "float16", "float32", "float64", "floating",
    "generic", "iinfo", "inexact", "int16", "int32", "int64", "int8", "integer", "intp", "ndarray", "number",
    "signedinteger", "uint16", "uint32", "uint64", "uint8", "unsignedinteger",
)  # fmt: skip

_traceable = [name for name in _known_names() if "." not in name]
__all__ = sorted({*_traceable, *_CREATION, *_CONSTANTS, *_DTYPES, "array", "asarray", "fft", "linalg"})  # noqa: PLE0605  # the table knows


def array(object: Any, dtype: Any = None, **kwargs: Any) -> Any:  # type: ignore[no-redef]  # noqa: A002
    """``np.array``, whose nested lists may hold traced tensors.

    >>> import einad as ea
    >>> import einad.numpy as enp
    >>> ea.jacobian(lambda x: enp.array([x[1], 2 * x[0]]))(enp.array([1.0, 2.0]))
    array([[0., 1.],
           [2., 0.]])
    """
    if _innermost_trace(object) is None:
        return np.array(object, dtype, **kwargs)
    return _record(_joined, (object, dtype), kwargs)


def asarray(a: Any, dtype: Any = None, **kwargs: Any) -> Any:  # type: ignore[no-redef]
    """``np.asarray``, whose nested lists may hold traced tensors."""
    if _innermost_trace(a) is None:
        return np.asarray(a, dtype, **kwargs)
    return _record(_joined, (a, dtype), kwargs)


def take(a: Any, indices: Any, axis: int | None = None, **kwargs: Any) -> Any:  # type: ignore[no-redef]
    """``np.take``, whose indices may be traced where the array is not (NumPy asks such indices for their values)."""
    if _innermost_trace((a, indices)) is None:
        return np.take(a, indices, axis, **kwargs)
    return _record(_take, (a, indices, axis), kwargs)


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(f"module 'einad.numpy' has no attribute {name!r}")
    return getattr(np, name)


def __dir__() -> list[str]:
    return list(__all__)
