"""The code of small programs: numbers that `einad.backends.tiny_kernel` interprets.

Memory is one flat array of elements; code is one flat array of integers. A short instruction, for one row, is

    [opcode, o, a, b, n, so, sa, sb, c, sc]

the places of the result ``o`` and of the arguments ``a``, ``b``, ``c``, how many elements there are, and strides.
A long one, whose opcode is raised by `LONG`, goes on with three axes around the row:

    [n0, o0, a0, b0, c0, n1, o1, a1, b1, c1, n2, o2, a2, b2, c2]

Some opcodes do more than one element at a time. ``dot``: ``o[i] = sum of a[i,k] * b[k]`` and ``axpy``: ``o[j] = sum of
a[k] * b[k,j]`` have as ``c`` how many products are summed, as ``sc`` and ``sb`` the strides of ``a`` and ``b`` along
these; ``axpy`` walks over neighbours in ``o`` and ``b``. ``sum``, ``max`` and
``min`` make one element of a row of ``a``.
"""

from __future__ import annotations

SHORT, MORE = 10, 15
LONG = 64
FIRST_OF_TWO = 20

_ROWS = (
    "copy",
    "square",
    "negative",
    "reciprocal",
    "reciprocal_or_zero",
    "abs",
    "sign",
    "sqrt",
    "exp",
    "expm1",
    "log",
    "log1p",
    "sin",
    "cos",
    "tanh",
    "arctan",
    "logical_not",
)
_OF_TWO = (
    "add",
    "subtract",
    "multiply",
    "divide",
    "maximum",
    "minimum",
    "greater",
    "greater_equal",
    "equal",
    "not_equal",
    "power",
    "where",
)
OPCODES = {
    **{name: n for n, name in enumerate(_ROWS)},
    **{name: FIRST_OF_TWO + n for n, name in enumerate(_OF_TWO)},
    **{name: 48 + n for n, name in enumerate(("dot", "axpy", "sum", "max", "min"))},
}

LEAST_CALLS = 4
CALL = 12.0  # nanoseconds for one instruction
EXPENSIVE = {  # nanoseconds for one element, where it is more than for a sum
    **dict.fromkeys(("exp", "expm1", "log", "tanh"), 1.2),
    **dict.fromkeys(("log1p", "sin", "cos", "arctan"), 10.0),
    **dict.fromkeys(("divide", "reciprocal"), 0.4),
    **dict.fromkeys(("reciprocal_or_zero", "sqrt"), 1.0),
    **dict.fromkeys(("maximum", "minimum", "greater", "greater_equal", "equal", "not_equal", "where"), 1.0),
    **dict.fromkeys(("abs", "sign", "logical_not"), 1.0),
    "power": 20.0,
}


class UnsupportedError(Exception):
    """A program that the interpreter does not run."""
