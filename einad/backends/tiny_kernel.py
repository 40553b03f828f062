"""The interpreter of small programs, compiled with Numba: one function for each dtype, the same for all programs.

Loading this module loads Numba, so that is done by name, on the compiler's thread. What the code means:
`einad.backends.tiny_code`. All places and strides are counted in elements and unsigned, modulo 2**64: an unsigned index
never counts from the end, which Numba would have to check, and LLVM could not vectorise; a step back is the addition
of 2**64 - step. Elementwise loops round as NumPy's; only sums of products may be reordered, and contracted to fused
multiply-adds.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np

from einad.backends import tiny_code, tiny_math
from einad.backends.tiny_math import njit

U0, U1, U2, U3, U4 = (np.uint64(n) for n in range(5))
FLAGS = {"reassoc", "contract", "nsz"}
Loop = Callable[..., None]

ADD, SUBTRACT, MULTIPLY, DIVIDE = (tiny_code.OPCODES[name] for name in ("add", "subtract", "multiply", "divide"))
MAXIMUM, MINIMUM, POWER, WHERE = (tiny_code.OPCODES[name] for name in ("maximum", "minimum", "power", "where"))
GREATER, GREATER_EQUAL, EQUAL = (tiny_code.OPCODES[name] for name in ("greater", "greater_equal", "equal"))
NOT_EQUAL, LOGICAL_NOT = (tiny_code.OPCODES[name] for name in ("not_equal", "logical_not"))
COPY, SQUARE, NEGATIVE, RECIPROCAL = (tiny_code.OPCODES[name] for name in ("copy", "square", "negative", "reciprocal"))
RECIPROCAL_OR_ZERO, ABS, SIGN, SQRT = (
    tiny_code.OPCODES[name] for name in ("reciprocal_or_zero", "abs", "sign", "sqrt")
)
EXP, EXPM1, LOG, LOG1P = (tiny_code.OPCODES[name] for name in ("exp", "expm1", "log", "log1p"))
SIN, COS, TANH, ARCTAN = (tiny_code.OPCODES[name] for name in ("sin", "cos", "tanh", "arctan"))
DOT, AXPY, SUM, MAX = (tiny_code.OPCODES[name] for name in ("dot", "axpy", "sum", "max"))


def _unary(f: Any) -> Loop:
    g = f if hasattr(f, "py_func") else njit()(f)

    @njit()
    def loop(m: Any, n: Any, o: Any, so: Any, a: Any, sa: Any) -> None:
        if so == U1 and sa == U1:
            for i in range(n):
                m[o + i] = g(m[a + i])
        else:
            for i in range(n):
                m[o + i * so] = g(m[a + i * sa])

    return loop


def _binary(f: Any) -> Loop:
    g = njit()(f)

    @njit()
    def loop(m: Any, n: Any, o: Any, so: Any, a: Any, sa: Any, b: Any, sb: Any) -> None:
        if so == U1 and sa == U1 and sb == U1:
            for i in range(n):
                m[o + i] = g(m[a + i], m[b + i])
        elif so == U1 and sa == U1 and sb == U0:
            y = m[b]
            for i in range(n):
                m[o + i] = g(m[a + i], y)
        elif so == U1 and sa == U0 and sb == U1:
            x = m[a]
            for i in range(n):
                m[o + i] = g(x, m[b + i])
        else:
            for i in range(n):
                m[o + i * so] = g(m[a + i * sa], m[b + i * sb])

    return loop


_add = _binary(lambda x, y: x + y)
_subtract = _binary(lambda x, y: x - y)
_multiply = _binary(lambda x, y: x * y)
_divide = _binary(lambda x, y: x / y)
_copy = _unary(lambda x: x)
_square = _unary(lambda x: x * x)
_negative = _unary(lambda x: -x)
_reciprocal = _unary(lambda x: 1 / x)
_exp, _expm1, _log, _tanh = (_unary(f) for f in (tiny_math.exp, tiny_math.expm1, tiny_math.log, tiny_math.tanh))


@njit()
def _one(op: Any, m: Any, n: Any, o: Any, so: Any, a: Any, sa: Any) -> None:
    """Functions of one argument that are not worth a loop of their own, element by element."""
    one = m.dtype.type(1)
    zero = m.dtype.type(0)
    for i in range(n):
        x = m[a + i * sa]
        if op == RECIPROCAL_OR_ZERO:
            y = zero if x == zero else one / x
        elif op == ABS:
            y = abs(x)
        elif op == SIGN:
            y = one if x > zero else (-one if x < zero else x)
        elif op == SQRT:
            y = np.sqrt(x)
        elif op == LOG1P:
            y = np.log1p(x)
        elif op == SIN:
            y = math.sin(x)
        elif op == COS:
            y = math.cos(x)
        elif op == ARCTAN:
            y = math.atan(x)
        else:  # logical_not
            y = one if x == zero else zero
        m[o + i * so] = y


@njit()
def _two(op: Any, m: Any, n: Any, o: Any, so: Any, a: Any, sa: Any, b: Any, sb: Any) -> None:
    """Functions of two arguments that are not worth a loop of their own, element by element."""
    one = m.dtype.type(1)
    zero = m.dtype.type(0)
    for i in range(n):
        x = m[a + i * sa]
        y = m[b + i * sb]
        if op == MAXIMUM:
            z = x if x >= y or x != x else y
        elif op == MINIMUM:
            z = x if x <= y or x != x else y
        elif op == GREATER:
            z = one if x > y else zero
        elif op == GREATER_EQUAL:
            z = one if x >= y else zero
        elif op == EQUAL:
            z = one if x == y else zero
        elif op == NOT_EQUAL:
            z = one if x != y else zero
        else:
            z = x**y
        m[o + i * so] = z


@njit()
def _where(m: Any, n: Any, o: Any, so: Any, a: Any, sa: Any, b: Any, sb: Any, c: Any, sc: Any) -> None:
    for i in range(n):
        m[o + i * so] = m[b + i * sb] if m[a + i * sa] != 0 else m[c + i * sc]


@njit(fastmath=FLAGS)
def _dots(m: Any, rows: Any, depth: Any, o: Any, so: Any, a: Any, sai: Any, sak: Any, b: Any, sbk: Any) -> None:
    """``o[i] = sum of a[i,k] * b[k]``, by dots of the rows, four at a time."""
    zero = m.dtype.type(0)
    i = U0
    if sak == U1 and sbk == U1:
        while i + U4 <= rows:
            a0, a1, a2, a3 = a + i * sai, a + (i + U1) * sai, a + (i + U2) * sai, a + (i + U3) * sai
            s0 = s1 = s2 = s3 = zero
            for k in range(depth):
                x = m[b + k]
                s0 += m[a0 + k] * x
                s1 += m[a1 + k] * x
                s2 += m[a2 + k] * x
                s3 += m[a3 + k] * x
            m[o + i * so], m[o + (i + U1) * so] = s0, s1
            m[o + (i + U2) * so], m[o + (i + U3) * so] = s2, s3
            i += U4
        while i < rows:
            a0 = a + i * sai
            s0 = zero
            for k in range(depth):
                s0 += m[a0 + k] * m[b + k]
            m[o + i * so] = s0
            i += U1
    else:
        while i < rows:
            s0 = zero
            for k in range(depth):
                s0 += m[a + i * sai + k * sak] * m[b + k * sbk]
            m[o + i * so] = s0
            i += U1


@njit(fastmath=FLAGS)
def _rows(m: Any, columns: Any, depth: Any, o: Any, a: Any, sak: Any, b: Any, sbk: Any) -> None:
    """``o[j] = sum of a[k] * b[k,j]``, where the elements of ``o`` and of the rows of ``b`` are neighbours."""
    for j in range(columns):
        m[o + j] = 0
    k = U0
    while k + U4 <= depth:
        x0, x1 = m[a + k * sak], m[a + (k + U1) * sak]
        x2, x3 = m[a + (k + U2) * sak], m[a + (k + U3) * sak]
        b0, b1, b2, b3 = b + k * sbk, b + (k + U1) * sbk, b + (k + U2) * sbk, b + (k + U3) * sbk
        for j in range(columns):
            m[o + j] += x0 * m[b0 + j] + x1 * m[b1 + j] + x2 * m[b2 + j] + x3 * m[b3 + j]
        k += U4
    while k < depth:
        x0 = m[a + k * sak]
        for j in range(columns):
            m[o + j] += x0 * m[b + k * sbk + j]
        k += U1


@njit(fastmath=FLAGS)
def _four_rows(m: Any, columns: Any, depth: Any, o: Any, so: Any, a: Any, sa: Any, sak: Any, b: Any, sbk: Any) -> None:
    """`_rows` for four rows of ``o`` and ``a`` at once: what is loaded of ``b`` is used four times."""
    o0, o1, o2, o3 = o, o + so, o + U2 * so, o + U3 * so
    a0, a1, a2, a3 = a, a + sa, a + U2 * sa, a + U3 * sa
    for j in range(columns):
        m[o0 + j] = 0
        m[o1 + j] = 0
        m[o2 + j] = 0
        m[o3 + j] = 0
    k = U0
    while k + U2 <= depth:
        p, q = k * sak, (k + U1) * sak
        p0, p1, p2, p3 = m[a0 + p], m[a1 + p], m[a2 + p], m[a3 + p]
        q0, q1, q2, q3 = m[a0 + q], m[a1 + q], m[a2 + q], m[a3 + q]
        b0, b1 = b + k * sbk, b + (k + U1) * sbk
        for j in range(columns):
            y, z = m[b0 + j], m[b1 + j]
            m[o0 + j] += p0 * y + q0 * z
            m[o1 + j] += p1 * y + q1 * z
            m[o2 + j] += p2 * y + q2 * z
            m[o3 + j] += p3 * y + q3 * z
        k += U2
    if k < depth:
        p = k * sak
        p0, p1, p2, p3 = m[a0 + p], m[a1 + p], m[a2 + p], m[a3 + p]
        for j in range(columns):
            y = m[b + k * sbk + j]
            m[o0 + j] += p0 * y
            m[o1 + j] += p1 * y
            m[o2 + j] += p2 * y
            m[o3 + j] += p3 * y


@njit(fastmath=FLAGS)
def _sum(m: Any, n: Any, a: Any, sa: Any) -> Any:
    total = m.dtype.type(0)
    if sa == U1:
        for i in range(n):
            total += m[a + i]
    else:
        for i in range(n):
            total += m[a + i * sa]
    return total


@njit()
def _extreme(is_max: Any, m: Any, n: Any, a: Any, sa: Any) -> Any:
    """The largest or smallest element of a row, or nan where there is one."""
    best = m[a]
    for i in range(n):
        x = m[a + i * sa]
        if x != x or (x > best if is_max else x < best):
            best = x
    return best


def compiled(dtype: np.dtype[Any]) -> Callable[..., None]:
    """The interpreter for one dtype, compiled now or loaded from Numba's cache on disk."""
    numba = import_module("numba")
    run = _interpreter(_version())
    memory = numba.types.Array(numba.from_dtype(dtype), 1, "C")
    code = numba.types.Array(numba.int64, 1, "C", readonly=True)
    run.compile(numba.types.void(memory, code))
    made: Callable[..., None] = run
    return made


def _interpreter(version: int) -> Any:
    """The interpreter; its ``version`` tells the cache on disk, which looks at this file only, when others changed.

    All is in one function, with one place for each loop: LLVM works through a function again in each of its callers.
    """

    def run(m: Any, code: Any) -> None:
        u = np.uint64
        p = 0
        end = len(code) if version >= 0 else 0
        while p < end:
            op = code[p]
            o, a, b, n, so = u(code[p + 1]), u(code[p + 2]), u(code[p + 3]), u(code[p + 4]), u(code[p + 5])
            sa, sb, c, sc = u(code[p + 6]), u(code[p + 7]), u(code[p + 8]), u(code[p + 9])
            n0 = n1 = n2 = U1
            o0 = o1 = o2 = a0 = a1 = a2 = b0 = b1 = b2 = c0 = c1 = c2 = U0
            p += tiny_code.SHORT
            if op >= tiny_code.LONG:
                op -= tiny_code.LONG
                n0, o0, a0, b0, c0 = u(code[p]), u(code[p + 1]), u(code[p + 2]), u(code[p + 3]), u(code[p + 4])
                n1, o1, a1, b1, c1 = u(code[p + 5]), u(code[p + 6]), u(code[p + 7]), u(code[p + 8]), u(code[p + 9])
                n2, o2, a2, b2, c2 = u(code[p + 10]), u(code[p + 11]), u(code[p + 12]), u(code[p + 13]), u(code[p + 14])
                p += tiny_code.MORE
            for _ in range(n0):
                for i1 in range(n1):
                    x, y, z, w = o + i1 * o1, a + i1 * a1, b + i1 * b1, c + i1 * c1
                    left = n2
                    while left > U0:
                        done = U1
                        if op == ADD:
                            _add(m, n, x, so, y, sa, z, sb)
                        elif op == MULTIPLY:
                            _multiply(m, n, x, so, y, sa, z, sb)
                        elif op == DOT:
                            _dots(m, n, w, x, so, y, sa, sc, z, sb)
                        elif op == AXPY:
                            if left >= U4 and b2 == U0:
                                _four_rows(m, n, w, x, o2, y, a2, sc, z, sb)
                                done = U4
                            else:
                                _rows(m, n, w, x, y, sc, z, sb)
                        elif op == TANH:
                            _tanh(m, n, x, so, y, sa)
                        elif op == SUBTRACT:
                            _subtract(m, n, x, so, y, sa, z, sb)
                        elif op == COPY:
                            _copy(m, n, x, so, y, sa)
                        elif op == DIVIDE:
                            _divide(m, n, x, so, y, sa, z, sb)
                        elif op == SQUARE:
                            _square(m, n, x, so, y, sa)
                        elif op == NEGATIVE:
                            _negative(m, n, x, so, y, sa)
                        elif op == RECIPROCAL:
                            _reciprocal(m, n, x, so, y, sa)
                        elif op == EXP:
                            _exp(m, n, x, so, y, sa)
                        elif op == LOG:
                            _log(m, n, x, so, y, sa)
                        elif op == EXPM1:
                            _expm1(m, n, x, so, y, sa)
                        elif op == SUM:
                            m[x] = _sum(m, n, y, sa)
                        elif op == WHERE:
                            _where(m, n, x, so, y, sa, z, sb, w, sc)
                        elif op > SUM:
                            m[x] = _extreme(op == MAX, m, n, y, sa)
                        elif op >= tiny_code.FIRST_OF_TWO:
                            _two(op, m, n, x, so, y, sa, z, sb)
                        else:
                            _one(op, m, n, x, so, y, sa)
                        x, y, z, w = x + done * o2, y + done * a2, z + done * b2, w + done * c2
                        left -= done
                o, a, b, c = o + o0, a + a0, b + b0, c + c0

    try:
        return njit(cache=True)(run)
    except RuntimeError:  # there is no place for a cache
        return njit()(run)


def _version() -> int:
    return crc32(b"".join([Path(str(module.__file__)).read_bytes() for module in (tiny_code, tiny_math)]))
