"""Exponentials and logarithms as plain arithmetic, so that LLVM computes several at once.

All work in float64; errors are below one unit in the last place, and about two for expm1 and tanh. The C library's
functions, which Numba would call, take one number at a time: 10 ns for a tanh.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from math import factorial
from typing import Any, TypeVar

import numpy as np

F = TypeVar("F", bound=Callable[..., Any])


def njit(fastmath: bool | set[str] = False, cache: bool = False) -> Callable[[F], F]:
    """Numba's decorator. Loading this module loads Numba; where it is missing nobody calls what stays undecorated."""
    if find_spec("numba") is None:
        return lambda f: f
    made: Callable[[F], F] = import_module("numba").njit(
        nogil=True, error_model="numpy", fastmath=fastmath, cache=cache
    )
    return made


LOG2_E, LN2_HIGH, LN2_LOW = 1.4426950408889634, 6.93147180369123816490e-01, 1.90821492927058770002e-10
MAGIC = 6755399441055744.0  # 1.5 * 2**52: added to a number it leaves the nearest integer in the lowest bits
HUGE, LOWEST = 709.782712893384, 745.2
C2, C3, C4, C5, C6, C7, C8, C9, C10, C11, C12, C13 = (1 / factorial(n) for n in range(2, 14))
SQRT_HALF = 0.70710678118654752
L1, L2, L3, L4 = 0.6666666666666735130, 0.3999999999940941908, 0.2857142874366239149, 0.2222219843214978396
L5, L6, L7 = 0.1818357216161805012, 0.1531383769920937332, 0.1479819860511658591


@njit()
def _reduced(x: Any) -> Any:
    """The bits of the nearest integer n to ``x / log(2)``, and ``expm1(x - n*log(2))``."""
    shifted = x * LOG2_E + MAGIC
    n = shifted - MAGIC
    r = (x - n * LN2_HIGH) - n * LN2_LOW
    s = r * r
    low = C2 + r * C3 + s * (C4 + r * C5)
    middle = C6 + r * C7 + s * (C8 + r * C9)
    high = C10 + r * C11 + s * (C12 + r * C13)
    t = s * s
    return np.float64(shifted).view(np.int64), r + s * (low + t * (middle + t * high))


@njit()
def _power_of_two(n: Any) -> Any:
    """``2.0**n`` for the lowest bits of an integer."""
    return np.int64((n << 52) + (1023 << 52)).view(np.float64)


@njit()
def _at_most(x: Any, most: Any) -> Any:
    """``x`` or, if that is less, ``most``; nan stays."""
    if x > most:
        return most
    return x


@njit()
def exp(x: Any) -> Any:
    """The exponential, by halves of its exponent so that neither overflows."""
    y = -_at_most(-_at_most(x, 710.0), LOWEST)
    n, p = _reduced(y)
    whole = (n << 12) >> 12
    half = whole >> 1
    return (1.0 + p) * _power_of_two(half) * _power_of_two(whole - half)


@njit()
def expm1(x: Any) -> Any:
    """``exp(x) - 1`` without cancellation."""
    y = -_at_most(-_at_most(x, HUGE), 50.0)
    n, p = _reduced(y)
    scale = _power_of_two(n - 1)
    z = 2.0 * (scale * p + (scale - 0.5))
    z = x if abs(x) < 1e-17 else z
    return np.inf if x > HUGE else z


@njit()
def tanh(x: Any) -> Any:
    """``e / (e + 2)`` with ``e = expm1(2*x)`` for positive ``x``."""
    y = _at_most(abs(x), 20.0)
    e = expm1(y + y)
    return np.copysign(e / (e + 2.0), x)


@njit()
def log(x: Any) -> Any:
    """``log(2**n * (1 + f))`` with a polynomial in ``f / (2 + f)``, after fdlibm's e_log.c."""
    small = x < 2.2250738585072014e-308
    y = x * 18014398509481984.0 if small else x
    bits = np.float64(y).view(np.int64)
    raised = bits - np.float64(SQRT_HALF).view(np.int64)
    n = raised >> 52
    f = np.int64(bits - (n << 52)).view(np.float64) - 1.0
    k: Any = np.int64(n + np.float64(MAGIC).view(np.int64)).view(np.float64) - MAGIC - (54.0 if small else 0.0)
    s = f / (2.0 + f)
    z = s * s
    w = z * z
    r = z * (L1 + w * (L3 + w * (L5 + w * L7))) + w * (L2 + w * (L4 + w * L6))
    h = 0.5 * f * f
    value: Any = k * LN2_HIGH - ((h - (s * (h + r) + k * LN2_LOW)) - f)
    value = value if x < np.inf else x
    nothing = -np.inf if x == 0.0 else np.nan
    return value if x > 0.0 else nothing
