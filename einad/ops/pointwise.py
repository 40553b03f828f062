"""The table of pointwise functions: name, NumPy function, derivatives, domain of smoothness.

Each derivative is written in the arguments and the value ``y``, and stays inside the table, so that every row
differentiates to any order. ``None`` stands for a derivative that is zero wherever it exists.
Kinks: ``abs`` has slope 0 at 0, ties of ``maximum`` and ``minimum`` share the slope equally. ``sqrt`` has slope inf at
0, so the gradient of ``sqrt(sum(x*x))`` at 0 is nan, as in JAX; ``np.linalg.norm`` has gradient 0 there.
"""

from __future__ import annotations

from collections.abc import Callable
from math import log
from typing import Any

import numpy as np

from einad.errors import DerivativeError
from einad.ir.expr import Map, Pointwise, Scalar
from einad.ops.calculus import RECIPROCAL, Term, as_number, constant, number

INF = np.inf


def fn(name: str, *args: Term) -> Term:
    """Apply a row of the table to terms."""
    return Term(Map(POINTWISE[name], *[arg.node for arg in args]))


def power(x: Term, exponent: Scalar) -> Term:
    """``x ** exponent`` for a number, by the simplest row that computes it."""
    if exponent in (0, 1):
        return x if exponent == 1 else constant(1, x)
    simple: dict[Scalar, str] = {2: "square", -1: "reciprocal", 0.5: "sqrt"}
    return fn(simple[exponent], x) if exponent in simple else fn("power", x, constant(exponent, x))


def _power_by_base(x: Term, c: Term, y: Term) -> Term:
    exponent = number(c)
    if exponent is not None:
        return constant(0, x) if exponent == 0 else exponent * power(x, exponent - 1)
    lowered = fn("where", fn("equal", c, constant(0, c)), constant(1, c), c - 1)
    return c * fn("power", x, lowered)


def _power_by_exponent(x: Term, c: Term, y: Term) -> Term:
    positive = fn("where", fn("equal", x, constant(0, x)), constant(1, x), x)
    return fn("log", positive) * y


def _abs_slope(x: Term, y: Term) -> Term:
    if x.node.dtype.kind == "c":
        return fn("conj", x) * fn("reciprocal_or_zero", y)
    return fn("sign", x)


def _sign_slope(x: Term, y: Term) -> Term:
    if x.node.dtype.kind == "c":
        raise DerivativeError("np.sign of complex numbers has no complex derivative; write z / abs(z) instead")
    return constant(0, x)


def _share(winner: str) -> Callable[[Term, Term, Term], Term]:
    """The slope of max(x, y) by the argument for which ``winner`` holds; ties get one half."""

    def slope(x: Term, z: Term, y: Term) -> Term:
        tie = as_number(fn("equal", x, z), y)
        return as_number(fn(winner, x, z), y) + 0.5 * tie

    return slope


def _reciprocal_or_zero(x: Any) -> Any:
    x = np.asarray(x)
    return np.divide(1, x, out=np.zeros_like(x), where=x != 0)


def _sqrt_slope(x: Term, y: Term) -> Term:
    return 0.5 / y


# fmt: off
_SMOOTH: list[Pointwise] = [
    RECIPROCAL,
    Pointwise("square", np.square, (lambda x, y: 2 * x,)),
    Pointwise("sqrt", np.sqrt, (_sqrt_slope,), (0.1, INF)),
    Pointwise("cbrt", np.cbrt, (lambda x, y: (1 / 3) / (y * y),), (0.1, INF)),
    Pointwise("exp", np.exp, (lambda x, y: y,)),
    Pointwise("exp2", np.exp2, (lambda x, y: log(2) * y,)),
    Pointwise("expm1", np.expm1, (lambda x, y: y + 1,)),
    Pointwise("log", np.log, (lambda x, y: 1 / x,), (0.1, INF)),
    Pointwise("log2", np.log2, (lambda x, y: (1 / log(2)) / x,), (0.1, INF)),
    Pointwise("log10", np.log10, (lambda x, y: (1 / log(10)) / x,), (0.1, INF)),
    Pointwise("log1p", np.log1p, (lambda x, y: 1 / (1 + x),), (-0.9, INF)),
    Pointwise("sin", np.sin, (lambda x, y: fn("cos", x),)),
    Pointwise("cos", np.cos, (lambda x, y: -fn("sin", x),)),
    Pointwise("tan", np.tan, (lambda x, y: 1 + y * y,), (-1.2, 1.2)),
    Pointwise("arcsin", np.arcsin, (lambda x, y: 1 / fn("sqrt", 1 - x * x),), (-0.9, 0.9)),
    Pointwise("arccos", np.arccos, (lambda x, y: -1 / fn("sqrt", 1 - x * x),), (-0.9, 0.9)),
    Pointwise("arctan", np.arctan, (lambda x, y: 1 / (1 + x * x),)),
    Pointwise("sinh", np.sinh, (lambda x, y: fn("cosh", x),)),
    Pointwise("cosh", np.cosh, (lambda x, y: fn("sinh", x),)),
    Pointwise("tanh", np.tanh, (lambda x, y: 1 - y * y,)),
    Pointwise("arcsinh", np.arcsinh, (lambda x, y: 1 / fn("sqrt", 1 + x * x),)),
    Pointwise("arccosh", np.arccosh, (lambda x, y: 1 / (fn("sqrt", x - 1) * fn("sqrt", x + 1)),), (1.1, INF)),
    Pointwise("arctanh", np.arctanh, (lambda x, y: 1 / (1 - x * x),), (-0.9, 0.9)),
    Pointwise("abs", np.abs, (_abs_slope,), (0.1, INF)),
    Pointwise("fabs", np.fabs, (_abs_slope,), (0.1, INF)),
    Pointwise("sqrt_or_zero", np.sqrt, (lambda x, y: 0.5 * fn("reciprocal_or_zero", y),), (0.1, INF)),
    Pointwise("reciprocal_or_zero", _reciprocal_or_zero, (lambda x, y: -(y * y),), (0.1, INF), memory="new"),
]

_COMPLEX: list[Pointwise] = [
    Pointwise("conj", np.conjugate, (lambda x, y: constant(1, x),), antilinear=True),
    Pointwise("real", np.real, (lambda x, y: constant(1, x),), memory="view"),
    Pointwise("imag", np.imag, (lambda x, y: constant(-1j, x),), memory="view"),
]

_TWO_ARGUMENTS: list[Pointwise] = [
    Pointwise("power", np.power, (_power_by_base, _power_by_exponent), (0.1, INF)),
    Pointwise("float_power", np.float_power, (_power_by_base, _power_by_exponent), (0.1, INF)),
    Pointwise("arctan2", np.arctan2, (lambda x, z, y: z / (x * x + z * z), lambda x, z, y: -x / (x * x + z * z)),
              (0.1, INF)),
    Pointwise("hypot", np.hypot, (lambda x, z, y: x * fn("reciprocal_or_zero", y),
                                  lambda x, z, y: z * fn("reciprocal_or_zero", y)), (0.1, INF)),
    Pointwise("logaddexp", np.logaddexp, (lambda x, z, y: fn("exp", x - y), lambda x, z, y: fn("exp", z - y))),
    Pointwise("logaddexp2", np.logaddexp2, (lambda x, z, y: fn("exp2", x - y), lambda x, z, y: fn("exp2", z - y))),
    Pointwise("maximum", np.maximum, (_share("greater"), _share("less"))),
    Pointwise("minimum", np.minimum, (_share("less"), _share("greater"))),
    Pointwise("fmax", np.fmax, (_share("greater"), _share("less"))),
    Pointwise("fmin", np.fmin, (_share("less"), _share("greater"))),
    Pointwise("copysign", np.copysign, (lambda x, z, y: fn("sign", x) * fn("copysign", constant(1, z), z), None)),
    Pointwise("remainder", np.remainder,
              (lambda x, z, y: constant(1, y), lambda x, z, y: -fn("floor", x / z)), (0.1, INF)),
    Pointwise("fmod", np.fmod, (lambda x, z, y: constant(1, y), lambda x, z, y: -fn("trunc", x / z)), (0.1, INF)),
    Pointwise("where", np.where,
              (None, lambda c, x, z, y: as_number(c, y), lambda c, x, z, y: as_number(fn("logical_not", c), y)),
              memory="new"),
]

_FLAT: list[Pointwise] = [
    Pointwise("sign", np.sign, (_sign_slope,)),
    Pointwise("stop_gradient", np.positive, (None,)),
    *[Pointwise(f.__name__, f, (None,)) for f in (
        np.floor, np.ceil, np.rint, np.trunc, np.isfinite, np.isinf, np.isnan, np.signbit, np.logical_not,
        np.invert, np.spacing)],
    *[Pointwise(f.__name__, f, (None, None)) for f in (
        np.heaviside, np.floor_divide, np.equal, np.not_equal, np.less, np.less_equal, np.greater,
        np.greater_equal, np.logical_and, np.logical_or, np.logical_xor, np.bitwise_and, np.bitwise_or,
        np.bitwise_xor, np.left_shift, np.right_shift, np.gcd, np.lcm, np.nextafter)],
]
# fmt: on

POINTWISE: dict[str, Pointwise] = {row.name: row for row in (*_SMOOTH, *_COMPLEX, *_TWO_ARGUMENTS, *_FLAT)}
