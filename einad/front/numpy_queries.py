"""NumPy's functions that ask about shapes, dtypes and equality."""

from __future__ import annotations

from typing import Any

import numpy as np

from einad.errors import ShapeError
from einad.front.lifting import as_node, axis_index, broadcast_shape
from einad.front.numpy_choices import isclose
from einad.front.numpy_elementwise import imag, row
from einad.front.numpy_reductions import all_
from einad.ir.expr import DType, Node, Shape


def shape(a: Any) -> Shape:
    """The sizes of the axes."""
    return as_node(a).shape


def ndim(a: Any) -> int:
    """The number of axes."""
    return as_node(a).ndim


def size(a: Any, axis: int | None = None) -> int:
    """The number of entries, or the size of an axis."""
    node = as_node(a)
    return node.size if axis is None else node.shape[axis_index(axis, node.ndim)]


def result_type(*arrays_and_dtypes: Any) -> DType:
    """The dtype NumPy's promotion gives."""
    return np.result_type(*[x.dtype if isinstance(x, Node) else x for x in arrays_and_dtypes])


def can_cast(from_: Any, to: Any, casting: Any = "safe") -> bool:
    """Whether a cast keeps values by the given rule."""
    return np.can_cast(from_.dtype if isinstance(from_, Node) else from_, to, casting)


def common_type(*arrays: Any) -> Any:
    """The floating-point type common to the arrays."""
    return np.common_type(*[np.empty(0, as_node(a).dtype) for a in arrays])


def iscomplexobj(x: Any) -> bool:
    """Whether the dtype is complex."""
    return as_node(x).dtype.kind == "c"


def isrealobj(x: Any) -> bool:
    """Whether the dtype is not complex."""
    return not iscomplexobj(x)


def iscomplex(x: Any) -> Node:
    """Where the imaginary part is not zero."""
    return row("not_equal", imag(x), 0)


def isreal(x: Any) -> Node:
    """Where the imaginary part is zero."""
    return row("equal", imag(x), 0)


def allclose(a: Any, b: Any, rtol: Any = 1e-5, atol: Any = 1e-8, equal_nan: bool = False) -> Node:
    """Whether all entries are close."""
    return all_(isclose(a, b, rtol, atol, equal_nan))


def array_equal(a1: Any, a2: Any, equal_nan: bool = False) -> Node | bool:
    """Whether shapes and all entries are equal."""
    a, b = as_node(a1), as_node(a2)
    if a.shape != b.shape:
        return False
    same = row("equal", a, b)
    if equal_nan:
        same = row("logical_or", same, row("logical_and", row("not_equal", a, a), row("not_equal", b, b)))
    return all_(same)


def array_equiv(a1: Any, a2: Any) -> Node | bool:
    """Whether all entries are equal after broadcasting."""
    a, b = as_node(a1), as_node(a2)
    try:
        broadcast_shape(a.shape, b.shape)
    except ShapeError:
        return False
    return all_(row("equal", a, b))
