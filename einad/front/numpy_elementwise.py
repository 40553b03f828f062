"""NumPy's elementwise functions: sums and products are einsums, everything else is a row of the pointwise table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from math import pi
from typing import Any

import numpy as np

from einad.front.lifting import (
    aligned_labels,
    as_node,
    broadcast_shape,
    fit,
    is_number,
    lift,
    number_like,
    ufunc_dtype,
    weak_dtype,
)
from einad.ir import build
from einad.ir.expr import Map, Node, Pointwise, Scalar
from einad.ops.pointwise import POINTWISE

_keeps_dtypes = frozenset(
    ("equal", "not_equal", "less", "less_equal", "greater", "greater_equal", "logical_and", "logical_or", "logical_xor")
)


@lru_cache(1024)
def elementwise(row: Pointwise) -> Callable[..., Node]:
    """The NumPy function of a row of the pointwise table: operands are broadcast and promoted first."""

    def apply(*operands: Any) -> Node:
        if len(operands) != row.arity:
            raise TypeError(f"np.{row.name} takes {row.arity} arguments, got {len(operands)}")
        if row.name in _keeps_dtypes:
            return Map(row, *_lift_for_comparison(operands))
        nodes = lift(*operands)
        return Map(row, *(build.promoted(nodes) if row.arity > 1 else nodes))

    apply.__name__ = row.name
    return apply


def _lift_for_comparison(operands: Sequence[Any]) -> list[Node]:
    try:
        return lift(*operands)
    except OverflowError:  # NumPy compares an array with any integer, whether it fits or not
        return lift(*[np.asarray(x) if is_number(x) else x for x in operands])


def row(name: str, *operands: Any) -> Node:
    """Apply the row of that name."""
    return elementwise(POINTWISE[name])(*operands)


def add(x1: Any, x2: Any) -> Node:
    """``x1 + x2``."""
    return build.add(*_terms(np.add, x1, x2))


def subtract(x1: Any, x2: Any) -> Node:
    """``x1 - x2``: a sum with a coefficient -1."""
    a, b = _terms(np.subtract, x1, x2)
    return build.add(a, _minus(b))


def _terms(ufunc: np.ufunc, *operands: Any) -> list[Node]:
    dtype = ufunc_dtype(ufunc, *operands)
    strong = [as_node(x) for x in operands if not is_number(x)]
    shape = broadcast_shape(*[node.shape for node in strong])
    nodes = iter(strong)
    return [number_like(x, dtype, shape) if is_number(x) else fit(next(nodes), shape, dtype) for x in operands]


def _minus(x: Node) -> Node:
    """``-x``; for unsigned integers, which wrap around, the coefficient is -1 modulo their range."""
    minus_one = int(np.iinfo(x.dtype).max) if x.dtype.kind == "u" else -1
    labels = tuple(range(x.ndim))
    return build.einsum([labels], labels, [x], None, minus_one, x.dtype)


def negative(x: Any) -> Node:
    """``-x``."""
    node = as_node(x)
    ufunc_dtype(np.negative, node)
    return _minus(node)


def positive(x: Any) -> Node:
    """``+x``."""
    node = as_node(x)
    ufunc_dtype(np.positive, node)
    return node


def multiply(x1: Any, x2: Any) -> Node:
    """``x1 * x2``: one einsum; a Python number is its coefficient."""
    if is_number(x2):
        return scaled(as_node(x1), x2)
    if is_number(x1):
        return scaled(as_node(x2), x1)
    a, b = as_node(x1), as_node(x2)
    shape = broadcast_shape(a.shape, b.shape)
    inputs = [aligned_labels(a.shape, shape), aligned_labels(b.shape, shape)]
    return build.einsum(inputs, range(len(shape)), [a, b], dict(enumerate(shape)))


def scaled(x: Node, coefficient: Scalar) -> Node:
    """``coefficient * x``, promoted as NumPy promotes a Python number."""
    dtype = weak_dtype(coefficient, x.dtype)
    value = int(coefficient) if isinstance(coefficient, bool) else coefficient
    if value == 1:
        return build.cast(x, dtype)
    labels = tuple(range(x.ndim))
    return build.einsum([labels], labels, [x], None, value, dtype)


def divide(x1: Any, x2: Any) -> Node:
    """``x1 / x2``: a product with the reciprocal; the coefficient ``1 / x2`` where that is a Python number."""
    dtype = ufunc_dtype(np.true_divide, x1, x2)
    if is_number(x2):
        inverse = _inverse(x2)
        if inverse is not None:
            return scaled(build.cast(as_node(x1), dtype), inverse)
    below = number_like(x2, dtype) if is_number(x2) else build.cast(as_node(x2), dtype)
    inverted = Map(POINTWISE["reciprocal"], below)
    return multiply(x1 if is_number(x1) else build.cast(as_node(x1), dtype), inverted)


def _inverse(x: Scalar) -> Scalar | None:
    """``1 / x`` where neither is zero, infinite or lost to underflow."""
    try:
        inverse = 1 / x
    except (ZeroDivisionError, OverflowError):
        return None
    return inverse if inverse != 0 and np.isfinite(inverse) else None


def power(x1: Any, x2: Any) -> Node:
    """``x1 ** x2``; small constant exponents have rows of their own."""
    exponent = x2.item() if isinstance(x2, np.generic) else x2
    if is_number(exponent) and not is_number(x1):
        base = as_node(x1)
        dtype = (np.ones(1, base.dtype) ** x2).dtype
        simple = _simple_power(build.cast(base, dtype), exponent)
        if simple is not None:
            return simple
    return row("power", x1, x2)


def _simple_power(x: Node, exponent: Scalar) -> Node | None:
    names: dict[Scalar, str] = {2: "square", 0.5: "sqrt", -1: "reciprocal"}
    if exponent == 1:
        return x
    if exponent not in names or (exponent != 2 and x.dtype.kind not in "fc"):
        return None
    return Map(POINTWISE[names[exponent]], x)


def square(x: Any) -> Node:
    """``x * x``."""
    return Map(POINTWISE["square"], as_node(x))


def conjugate(x: Any) -> Node:
    """The complex conjugate; real tensors as they are."""
    node = as_node(x)
    return Map(POINTWISE["conj"], node) if node.dtype.kind == "c" else node


def conjugate_ufunc(x: Any) -> Node:
    """``np.conjugate``, which makes integers of bool."""
    node = conjugate(x)
    return build.cast(node, ufunc_dtype(np.conjugate, node))


def real(val: Any) -> Node:
    """The real part."""
    node = as_node(val)
    return Map(POINTWISE["real"], node) if node.dtype.kind == "c" else node


def imag(val: Any) -> Node:
    """The imaginary part."""
    node = as_node(val)
    return Map(POINTWISE["imag"], node) if node.dtype.kind == "c" else build.zeros(node.shape, node.dtype)


def angle(z: Any, deg: bool = False) -> Node:
    """The argument of complex numbers."""
    node = as_node(z)
    if node.dtype.kind in "biu":
        node = build.cast(node, float)
    found = row("arctan2", imag(node), real(node))
    return rad2deg(found) if deg else found


def deg2rad(x: Any) -> Node:
    """Degrees to radians: a coefficient."""
    node = as_node(x)
    return scaled(build.cast(node, ufunc_dtype(np.deg2rad, node)), pi / 180)


def rad2deg(x: Any) -> Node:
    """Radians to degrees: a coefficient."""
    node = as_node(x)
    return scaled(build.cast(node, ufunc_dtype(np.rad2deg, node)), 180 / pi)


def ldexp(x1: Any, x2: Any) -> Node:
    """``x1 * 2**x2``."""
    dtype = ufunc_dtype(np.ldexp, x1, x2)
    return multiply(build.cast(as_node(x1), dtype), row("exp2", build.cast(as_node(x2), dtype)))


def divmod_(x1: Any, x2: Any) -> tuple[Node, Node]:
    """``(x1 // x2, x1 % x2)``."""
    return row("floor_divide", x1, x2), row("remainder", x1, x2)


def truth(x: Any) -> Node:
    """``x != 0`` as bool."""
    node = as_node(x)
    return node if node.dtype.kind == "b" else row("not_equal", node, 0)


def refuse_out(name: str, out: Any) -> None:
    """Refuse to write into an array that the user owns."""
    if out is not None:
        raise TypeError(f"np.{name} with out= cannot be traced; use the value that np.{name} returns instead")


def cast(x: Any, dtype: Any, name: str = "astype") -> Node:
    """The values in another dtype; complex to real is refused."""
    node, dtype = as_node(x), np.dtype(dtype)
    if node.dtype.kind == "c" and dtype.kind != "c":
        if dtype.kind == "b":
            return truth(node)
        raise TypeError(
            f"{name} from {node.dtype} to {dtype} drops the imaginary part; write x.real or np.real(x) first"
        )
    return build.cast(node, dtype)


def astype(x: Any, dtype: Any, /, *, copy: bool = True, device: None = None) -> Node:
    """The values in another dtype."""
    return cast(x, dtype)
