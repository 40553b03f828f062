"""Exact evaluation modulo a large prime on tiny sizes: what a graph computes, told apart without comparing floats.

Every axis shrinks to at most three entries, inputs are random residues, and a pointwise function becomes a fixed
random-looking polynomial. Two expressions that agree here agree, but for a chance of about one in the prime, as
formulas for any such function; an identity that needs to know the function (``sin² + cos² = 1``) is not seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from zlib import crc32

import numpy as np
import numpy.typing as npt

from einad.ir.expr import Add, Affine, Einsum, Map, Node, Scalar, Step
from einad.ir.walk import topological

PRIME = 2**31 - 1
TINY = 3

Residues = npt.NDArray[np.int64]


def fingerprints(roots: Sequence[Node]) -> dict[Node, Residues] | None:
    """The residues of every node, or None where a structured operand or a complex number keeps sizes from shrinking."""
    found: dict[Node, Residues] = {}
    for number, node in enumerate(topological(roots)):
        if isinstance(node, Affine | Step) or node.dtype.kind == "c":
            return None
        args = [found[child] for child in node.children]
        found[node] = _residues(node, args, number)
    return found


def is_symmetric(residues: Residues, first: int, second: int) -> bool:
    """Whether exchanging two axes changes nothing."""
    return bool(np.array_equal(residues, residues.swapaxes(first, second)))


def _residues(node: Node, args: list[Residues], number: int) -> Residues:
    if isinstance(node, Einsum):
        return _einsum(node, args)
    if isinstance(node, Add):
        return np.asarray(sum(args) % PRIME)
    if isinstance(node, Map):
        return _pointwise(crc32(node.row.name.encode()), args)
    shape = tuple([min(n, TINY) for n in node.shape])
    return np.random.default_rng(number).integers(1, PRIME, shape)


def _einsum(node: Einsum, args: list[Residues]) -> Residues:
    sizes = [min(n, TINY) for n in node.sizes]
    grid = np.indices((*sizes, 1))
    product = np.full((*sizes, 1), _residue(node.coefficient), np.int64)
    for labels, arg in zip(node.spec.inputs, args, strict=True):
        product = product * arg[..., None][tuple([grid[label] for label in (*labels, -1)])] % PRIME
    out = np.zeros((*[sizes[label] for label in node.spec.output], 1), np.int64)
    np.add.at(out, tuple([grid[label] for label in (*node.spec.output, -1)]), product)
    return np.asarray(out[..., 0] % PRIME)


def _residue(value: Scalar) -> int:
    """A float is a fraction; a fraction has a residue."""
    fraction = Fraction(value.real)
    return fraction.numerator * pow(fraction.denominator, -1, PRIME) % PRIME


def _pointwise(key: int, args: list[Residues]) -> Residues:
    """``((..(key + x1)² + x2)² ..)² `` and so on: another polynomial for every function."""
    value = np.full(args[0].shape, key % PRIME, np.int64)
    for arg in args:
        value = (value + arg) % PRIME
        value = (value * value % PRIME * value + key) % PRIME
    return value
