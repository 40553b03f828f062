"""Arithmetic of a chain compiled into single loops with Numba, where that is installed (``pip install einad[fused]``).

Only what rounds in one known way is compiled: additions, products, quotients, square roots, comparisons, casts of
booleans and floats, in exactly the order and precision in which NumPy does them. Exponentials and the like stay
calls of NumPy, which has them vectorised, as Numba has not. So compiled and interpreted chains agree bit for bit, and
it does not matter when the compiled one takes over.

``EINAD_FUSED=0`` in the environment switches it off. When and how kernels are compiled: `einad.backends.compiler`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from einad.lower.chains import Chain, Link, simple_name
from einad.lower.program import Constant

FORMULAS = {
    "add": "{0} + {1}",
    "subtract": "{0} - {1}",
    "multiply": "{0} * {1}",
    "divide": "{0} / {1}",
    "negative": "-{0}",
    "square": "{0} * {0}",
    "reciprocal": "one / {0}",
    "sqrt": "sqrt({0})",
    "abs": "abs({0})",
    "fabs": "abs({0})",
    "greater": "{0} > {1}",
    "greater_equal": "{0} >= {1}",
    "less": "{0} < {1}",
    "less_equal": "{0} <= {1}",
    "equal": "{0} == {1}",
    "not_equal": "{0} != {1}",
    "logical_not": "not {0}",
    "astype": "cast({0})",
}
_DTYPES = frozenset({"float32", "float64", "bool"})


class Kernel(NamedTuple):
    """Some calls of a chain as one loop: its text, its constants, and the places of the arrays it takes.

    ``types`` holds for each array its dtype, whether it is written, and whether it has every element of a block.
    """

    text: str
    constants: tuple[tuple[str, Any], ...]
    places: tuple[int, ...]
    types: tuple[tuple[str, bool, bool], ...]
    ndim: int

    @property
    def key(self) -> tuple[object, ...]:
        """What kernels have in common that do the same; 0.0 and -0.0, or 1 in two precisions, are not the same."""
        constants = [(name, repr(value), getattr(value, "dtype", None)) for name, value in self.constants]
        return self.text, tuple(constants), self.types


def formula(link: Link) -> str | None:
    """A call as an expression of its arguments, or None where it is not compiled."""
    return FORMULAS.get(simple_name(link.op))


def runs(chain: Chain) -> list[tuple[int, int]]:
    """The stretches of a chain's links, each from a first to behind a last one, that become one loop each."""
    found: list[tuple[int, int]] = []
    start = None
    for n, link in enumerate([*chain.links, None]):
        if link is not None and _is_plain(link, chain):
            start = n if start is None else start
        elif start is not None:
            if n - start > 1:
                found.append((start, n))
            start = None
    return found


def _is_plain(link: Link, chain: Chain) -> bool:
    given = [arg.dtype if isinstance(arg, Constant) else chain.dtype(arg) for arg in link.args]
    names = {dtype.name for dtype in [*given, chain.dtype(link.out)]}
    if formula(link) is None or not names <= _DTYPES:
        return False
    floats = {dtype for dtype in given if dtype.kind == "f"}
    arithmetic = link.op.function != "astype" and link.op.options is None
    return len(floats) <= 1 and not (arithmetic and any(dtype.kind == "b" for dtype in given))


def kernel(chain: Chain, start: int, stop: int) -> Kernel:
    """The loop that does the links from ``start`` to before ``stop``."""
    return _Loop(chain, start, stop).kernel()


class _Loop:
    """A loop over all elements of a block: values are loaded first, computed, and stored where they are read later."""

    def __init__(self, chain: Chain, start: int, stop: int) -> None:
        self.chain, self.start, self.stop = chain, start, stop
        self.loads: dict[int, str] = {}
        self.values: dict[int, str] = {}
        self.constants: dict[tuple[Any, ...], tuple[str, Any]] = {}
        self.lines = [self._line(n, chain.links[n]) for n in range(start, stop)]

    def kernel(self) -> Kernel:
        """The text and what it needs."""
        stored = [place for place in self.values if place >= 0 or self._is_read_later(place)]
        places = tuple(dict.fromkeys([*stored, *self.loads]))
        names = {place: f"x{n}" for n, place in enumerate(places)}
        ndim = len(self.chain.walk.block)
        size = [f"range({names[stored[0]]}.shape[{axis}])" for axis in range(ndim)]
        loops = [f"{'    ' * (axis + 1)}for i{axis} in {each}:" for axis, each in enumerate(size)]
        indent = "    " * (ndim + 1)
        body = [
            *[f"{name} = {names[place]}[{self._index(place)}]" for place, name in self.loads.items()],
            *self.lines,
            *[f"{names[place]}[{self._index(place)}] = {self.values[place]}" for place in stored],
        ]
        text = [f"def kernel({', '.join(names.values())}):", *loops, *[indent + line for line in body], ""]
        types = tuple([(self.chain.dtype(p).name, p in stored, p < 0 or self.chain.ordered[p]) for p in places])
        return Kernel("\n".join(text), tuple(self.constants.values()), places, types, ndim)

    def _line(self, n: int, link: Link) -> str:
        expression = formula(link)
        assert expression is not None
        dtype = self.chain.dtype(link.out)
        text = expression.format(*[self._value(arg) for arg in link.args])
        text = text.replace("one", self._constant(dtype.type(1))) if link.op.function == "row" else text
        text = text.replace("sqrt", self._constant(np.sqrt)).replace("cast", self._constant(dtype.type))
        self.values[link.out] = f"v{n}"
        return f"v{n} = {text}"

    def _value(self, arg: int | Constant) -> str:
        if isinstance(arg, Constant):
            return self._constant(np.asarray(arg.value).astype(arg.dtype)[()])
        if arg in self.values:
            return self.values[arg]
        return self.loads.setdefault(arg, f"u{len(self.loads)}")

    def _constant(self, value: Any) -> str:
        key = (type(value), value.tobytes() if isinstance(value, np.generic) else value)
        return self.constants.setdefault(key, (f"k{len(self.constants)}", value))[0]

    def _index(self, place: int) -> str:
        here = self.chain.patterns[place] if place >= 0 else (True,) * len(self.chain.walk.axes)
        return ", ".join([f"i{n}" if there else "0" for n, there in enumerate(here[self.chain.walk.axis :])])

    def _is_read_later(self, place: int) -> bool:
        for link in self.chain.links[self.stop :]:
            if place in link.args:
                return True
            if link.out == place:
                return False
        return False
