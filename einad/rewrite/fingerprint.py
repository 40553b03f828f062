"""Exact evaluation modulo a large prime on tiny sizes: what a graph computes, told apart without comparing floats.

Every axis shrinks to three to six entries, as many as 20,000 assignments of an einsum's labels allow; inputs are random
residues, and a pointwise function becomes a fixed random-looking polynomial. Two expressions that agree here agree, but
for a chance of about one in the prime, as formulas for any such function; an identity that needs to know the function
(``sin² + cos² = 1``) is not seen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any
from zlib import crc32

import numpy as np

from einad.ir.expr import Add, Einsum, Map, Node, Pointwise, Scalar, Structured
from einad.ir.walk import topological

PRIME = 2**31 - 1
MAX_ASSIGNMENTS = 20_000
NARROWING = 0  # the number of the pointwise function that a narrowing cast counts as

Residues = np.ndarray[Any, np.dtype[np.int64]]


def fingerprints(roots: Sequence[Node], known: Mapping[Node, Residues] | None = None) -> dict[Node, Residues] | None:
    """The residues of every node, or None where a structured operand or a complex number keeps sizes from shrinking.

    ``known`` gives the residues of some leaves, of tiny sizes.
    """
    found: dict[Node, Residues] = dict(known or {})
    order = topological(roots)
    tiny = _tiny(order)
    rows: dict[Pointwise, int] = {}
    for number, node in enumerate(order):
        if node in found:
            continue
        if isinstance(node, Structured) or node.dtype.kind == "c":
            return None
        args = [found[child] for child in node.children]
        if isinstance(node, Map):  # functions are told apart by their row: two of a user's may share a name
            found[node] = _pointwise(rows.setdefault(node.row, len(rows) + 1), args)
        else:
            found[node] = _residues(node, args, number, tiny)
    return found


def _tiny(order: Sequence[Node]) -> int:
    """How many entries of an axis are kept."""
    labels = max((len(node.sizes) for node in order if isinstance(node, Einsum)), default=0)
    return next((n for n in (6, 5, 4) if n**labels <= MAX_ASSIGNMENTS), 3)


def is_symmetric(residues: Residues, first: int, second: int) -> bool:
    """Whether exchanging two axes changes nothing."""
    return bool(np.array_equal(residues, residues.swapaxes(first, second)))


def _residues(node: Node, args: list[Residues], number: int, tiny: int) -> Residues:
    if isinstance(node, Einsum):
        exact = _einsum(node, args, tiny)
        narrowed = any(
            child.dtype.kind == "f" and child.dtype.itemsize > node.dtype.itemsize for child in node.children
        )
        return _pointwise(NARROWING, [exact]) if narrowed else exact
    if isinstance(node, Add):
        return np.asarray(sum(args) % PRIME)
    shape = tuple([min(n, tiny) for n in node.shape])
    return np.random.default_rng(number).integers(1, PRIME, shape)


def _einsum(node: Einsum, args: list[Residues], tiny: int) -> Residues:
    sizes = [min(n, tiny) for n in node.sizes]
    grid = np.indices((*sizes, 1))
    product = np.full((*sizes, 1), _residue(node.coefficient), np.int64)
    for labels, arg in zip(node.spec.inputs, args, strict=True):
        product = product * arg[..., None][tuple([grid[label] for label in (*labels, -1)])] % PRIME
    out = np.zeros((*[sizes[label] for label in node.spec.output], 1), np.int64)
    np.add.at(out, tuple([grid[label] for label in (*node.spec.output, -1)]), product)
    return np.asarray(out[..., 0] % PRIME)


def _residue(value: Scalar) -> int:
    """A float is a fraction; a fraction has a residue. Infinities and NaN count as some number."""
    if not isfinite(value.real):
        return crc32(repr(value.real).encode()) % PRIME
    numerator, denominator = value.real.as_integer_ratio()
    return numerator * pow(denominator, -1, PRIME) % PRIME


def _pointwise(number: int, args: list[Residues]) -> Residues:
    """``((..(key + x1)² + x2)² ..)² `` and so on: another polynomial for every function."""
    key = crc32(str(number).encode()) % PRIME
    value = np.full(args[0].shape, key, np.int64)
    for arg in args:
        value = (value + arg) % PRIME
        value = (value * value % PRIME * value + key) % PRIME
    return value
