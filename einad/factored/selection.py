"""Blocks of a factored tensor: rows and columns are taken from the factors, deltas become small matrices."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from einad.factored.terms import Term
from einad.ir import build
from einad.ir.expr import Array, Literal, Node, Shape


class Chosen(NamedTuple):
    """Positions taken along each axis, and the shape of the block (axes indexed by an int are dropped)."""

    positions: tuple[Array, ...]
    shape: Shape


def normalise_index(index: Any, shape: Shape) -> Chosen:
    """Ints, slices and one ``...`` as positions per axis; NumPy's IndexError where they do not fit."""
    entries = list(index) if isinstance(index, tuple) else [index]
    dots = [place for place, entry in enumerate(entries) if entry is Ellipsis]
    if len(dots) > 1:
        raise IndexError("a block is taken with only one ellipsis ('...')")
    for at in dots:
        entries[at : at + 1] = [slice(None)] * (len(shape) - len(entries) + 1)
    entries += [slice(None)] * (len(shape) - len(entries))
    if len(entries) > len(shape):
        raise IndexError(f"too many indices: the tensor has {len(shape)} axes, {len(entries)} were indexed")
    positions, kept = [], []
    for entry, n in zip(entries, shape, strict=True):
        if not isinstance(entry, int | np.integer | slice) or isinstance(entry, bool):
            raise IndexError(f"a block is taken by ints, slices and ..., got {type(entry).__name__}")
        taken = np.atleast_1d(np.arange(n)[entry])
        positions.append(taken)
        if isinstance(entry, slice):
            kept.append(len(taken))
    return Chosen(tuple(positions), tuple(kept))


def select(term: Term, chosen: Chosen, dtype: Any) -> Node:
    """The block of one term, as an expression over literals."""
    axes: dict[int, list[int]] = {}
    for axis, label in enumerate(term.output):
        axes.setdefault(label, []).append(axis)
    inputs: list[tuple[int, ...]] = []
    operands: list[Node] = []
    for factor in term.factors:
        takes = np.ix_(*[chosen.positions[axes[label][0]] for label in factor.labels])
        inputs.append(tuple([axes[label][0] for label in factor.labels]))
        operands.append(Literal(factor.array[takes] if factor.labels else factor.array))
    for first, *others in axes.values():
        for other in others:
            equal = chosen.positions[first][:, None] == chosen.positions[other]
            inputs.append((first, other))
            operands.append(Literal(equal))
    sizes = {axis: len(taken) for axis, taken in enumerate(chosen.positions)}
    return build.einsum(inputs, range(len(sizes)), operands, sizes, term.coefficient, dtype)
