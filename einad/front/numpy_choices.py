"""NumPy's elementwise functions that are no ufuncs: choices, limits, rounding, closeness."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from einad.front.lifting import as_node, broadcast_shape, common_dtype, fit, is_number, number_like
from einad.front.numpy_elementwise import add, divide, imag, multiply, real, refuse_out, row, scaled, subtract, truth
from einad.ir import build
from einad.ir.expr import Map, Node
from einad.ops.pointwise import POINTWISE


def where(condition: Any, x: Any = None, y: Any = None) -> Node:
    """``x`` where the condition holds, else ``y``."""
    if x is None or y is None:
        raise TypeError(
            "np.where with one argument has a result whose size depends on values; write np.where(condition, x, y), or "
            "np.nonzero(np.asarray(condition))"
        )
    dtype = common_dtype([x, y])
    nodes = [truth(condition), *[number_like(v, dtype) if is_number(v) else as_node(v) for v in (x, y)]]
    shape = broadcast_shape(*[node.shape for node in nodes])
    choices = [fit(node, shape, dtype) for node in nodes[1:]]
    return Map(POINTWISE["where"], fit(nodes[0], shape), *choices)


def select(condlist: Sequence[Any], choicelist: Sequence[Any], default: Any = 0) -> Node:
    """The first choice whose condition holds, else the default."""
    if len(condlist) != len(choicelist) or not condlist:
        raise ValueError(
            f"np.select needs as many choices as conditions, at least one; got {len(condlist)} conditions, "
            f"{len(choicelist)} choices"
        )
    dtype = common_dtype([*choicelist, default])
    result: Any = default
    for condition, choice in zip(reversed(condlist), reversed(choicelist), strict=True):
        result = where(condition, choice, result)
    return build.cast(result, dtype)


def clip(
    a: Any,
    a_min: Any = None,
    a_max: Any = None,
    out: None = None,
    *,
    min: Any = None,  # noqa: A002
    max: Any = None,  # noqa: A002
) -> Node:
    """``minimum(maximum(a, a_min), a_max)``."""
    refuse_out("clip", out)
    low, high = a_min if min is None else min, a_max if max is None else max
    result = as_node(a)
    if low is not None:
        result = row("maximum", result, low)
    return result if high is None else row("minimum", result, high)


def round_(a: Any, decimals: int = 0, out: None = None) -> Node:
    """Round to the given number of decimals; the derivative is zero."""
    refuse_out("round", out)
    node = as_node(a)
    if node.dtype.kind == "b":
        return build.cast(node, np.float16)
    if node.dtype.kind in "iu" and decimals >= 0:
        return node
    if node.dtype.kind == "c":
        return add(round_(real(node), decimals), scaled(round_(imag(node), decimals), 1j))
    rounded = _round_real(build.cast(node, np.result_type(node.dtype, 1.0)), decimals)
    return rounded if node.dtype.kind == "f" else build.cast(rounded, node.dtype)


def _round_real(x: Node, decimals: int) -> Node:
    if decimals == 0:
        return row("rint", x)
    factor = 10.0 ** abs(decimals)
    if decimals > 0:
        return divide(row("rint", scaled(x, factor)), factor)
    return scaled(row("rint", divide(x, factor)), factor)


def nan_to_num(x: Any, copy: bool = True, nan: Any = 0.0, posinf: Any = None, neginf: Any = None) -> Node:
    """Replace nan and infinities by numbers."""
    node = as_node(x)
    if node.dtype.kind == "c":
        parts = [nan_to_num(part, copy, nan, posinf, neginf) for part in (real(node), imag(node))]
        return add(parts[0], scaled(parts[1], 1j))
    if node.dtype.kind != "f":
        return node
    limits = np.finfo(node.dtype)
    high = float(limits.max) if posinf is None else posinf
    low = float(limits.min) if neginf is None else neginf
    result = where(row("isnan", node), nan, node)
    result = where(row("equal", node, np.inf), high, result)
    return where(row("equal", node, -np.inf), low, result)


def isclose(a: Any, b: Any, rtol: Any = 1e-5, atol: Any = 1e-8, equal_nan: bool = False) -> Node:
    """Whether ``|a - b| <= atol + rtol |b|``, elementwise."""
    b = build.cast(as_node(b), common_dtype([b, 1.0]))
    size = row("abs", subtract(a, b))
    near = row("less_equal", size, add(multiply(row("abs", b), rtol), atol))
    found = row("logical_or", row("logical_and", near, row("isfinite", b)), row("equal", a, b))
    if equal_nan:
        found = row("logical_or", found, row("logical_and", row("not_equal", a, a), row("not_equal", b, b)))
    return found
