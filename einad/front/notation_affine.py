"""Affine indices: ``2*p + r - 1``, held as canonical text beside plain names.

An index is a name, or a sum of whole multiples of names and a whole number. Its canonical text, ``2*p+r-1``, is what
records hold; ``p+0`` is the affine index that reads the same places as ``p`` but does not say how long ``p`` is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from re import findall
from typing import NamedTuple

from einad.ir.expr import Affine

MAX_COEFFICIENT = 2**31


class Linear(NamedTuple):
    """``sum of coefficient * name + offset``; no coefficient is zero, no name stands twice."""

    terms: tuple[tuple[str, int], ...]
    offset: int = 0

    @property
    def names(self) -> tuple[str, ...]:
        """The names, in order."""
        return tuple([name for name, _ in self.terms])

    def bounds(self, sizes: Mapping[str, int]) -> tuple[int, int]:
        """The least and the largest value; the range of every name begins at 0 and is not empty."""
        ends = [c * (sizes[name] - 1) for name, c in self.terms]
        return self.offset + sum(min(end, 0) for end in ends), self.offset + sum(max(end, 0) for end in ends)


def linear(index: str) -> Linear:
    """What the canonical text of an index says.

    >>> linear("2*p-r+1")
    Linear(terms=(('p', 2), ('r', -1)), offset=1)
    >>> linear("p"), linear("p+0")
    (Linear(terms=(('p', 1),), offset=0), Linear(terms=(('p', 1),), offset=0))
    """
    return Linear(((index, 1),)) if is_plain(index) else _parsed(index)


@lru_cache(4096)
def _parsed(index: str) -> Linear:
    terms: list[tuple[str, int]] = []
    offset = 0
    for sign, number, name in findall(r"([+-]?)(?:(\d+)(?![\w])\*?)?([^\W\d]\w*)?", index):
        value = int(number or 1) * (-1 if sign == "-" else 1)
        if name:
            terms.append((name, value))
        elif number:
            offset += value
    return Linear(tuple(terms), offset)


def is_plain(index: str) -> bool:
    """Whether an index is a name.

    >>> is_plain("p"), is_plain("p+1")
    (True, False)
    """
    return index.isidentifier()


def names_in(index: str) -> tuple[str, ...]:
    """The names in an index.

    >>> names_in("p"), names_in("2*p+r-1")
    (('p',), ('p', 'r'))
    """
    return (index,) if is_plain(index) else linear(index).names


def names_of(indices: Iterable[str]) -> tuple[str, ...]:
    """The distinct names in some indices, in order of first appearance."""
    return tuple(dict.fromkeys(name for index in indices for name in names_in(index)))


def affine_text(found: Linear) -> str:
    """The canonical text of an affine index; what is positive first.

    >>> affine_text(Linear((("r", -1), ("p", 2)), -1)), affine_text(Linear((("p", 1),)))
    ('2*p-r-1', 'p+0')
    """
    ordered = sorted(found.terms, key=lambda term: term[1] < 0)
    text = "".join(f"{'-' if c < 0 else '+'}{'' if abs(c) == 1 else f'{abs(c)}*'}{name}" for name, c in ordered)
    if ordered[0][1] < 0 < found.offset:
        return f"{found.offset}{text}"
    if found.offset or text.removeprefix("+").isidentifier():
        text += f"{found.offset:+d}"
    return text.removeprefix("+")


def index_text(found: Linear) -> str:
    """The text of an index that need not say that it is affine: a name where it is one."""
    ((name, c), *rest) = found.terms
    return name if c == 1 and not rest and not found.offset else affine_text(found)


def merged(terms: Iterable[tuple[str, int]], offset: int = 0) -> Linear:
    """The sum of terms in which names may stand several times.

    >>> merged([("p", 1), ("r", 2), ("p", 1), ("r", -2)], 3)
    Linear(terms=(('p', 2),), offset=3)
    """
    totals: dict[str, int] = {}
    for name, c in terms:
        totals[name] = totals.get(name, 0) + c
    return Linear(tuple([(name, c) for name, c in totals.items() if c]), offset)


def equation(index: str, other: str) -> Linear:
    """``index - other``, which is 0 where the two are equal.

    >>> equation("h", "2*p+r")
    Linear(terms=(('h', 1), ('p', -2), ('r', -1)), offset=0)
    """
    left, right = linear(index), linear(other)
    return merged([*left.terms, *[(name, -c) for name, c in right.terms]], left.offset - right.offset)


def window(found: Linear, sizes: Mapping[str, int], size: int) -> Affine:
    """The structured operand ``[found == k]`` over k, of the given size, and then the names."""
    shape = (size, *[sizes[name] for name in found.names])
    return Affine(shape, (-1, *[c for _, c in found.terms]), found.offset)
