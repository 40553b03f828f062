"""Products with derivatives among their factors: the other factors seed the sweeps, so that little is ever formed.

``d(Y[i], x[j]) * v[j]`` is a forward sweep with the tangent ``v``, ``u[i] * d(Y[i], x[j])`` a reverse sweep with the
cotangent ``u``. What nothing is contracted with is seeded with a Kronecker delta and carried as leading axes. Where
both directions carry axes, both are derived, and the one that is estimated to be cheaper is kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from typing import NamedTuple

import numpy as np

from einad import pipeline
from einad.diff.jacobian import jacobian, modes
from einad.diff.sweep import jvp, vjp
from einad.front.notation_derivatives import Contraction, Operand, Partial, unmark
from einad.ir import build
from einad.ir.expr import Node
from einad.plan.cost import product

MAX_CANDIDATES = 8

Names = frozenset[str]
Operands = tuple[Operand, ...]


class Seed(NamedTuple):
    """What a sweep starts from: a node over ``extra`` axes and those of the seeded tensor; what is left beside it."""

    node: Node
    extra: tuple[str, ...]
    rest: Operands


class Level(NamedTuple):
    """``∂output/∂variable`` in a product with ``others``; the indices in ``outside`` are needed afterwards."""

    output: Operand
    variable: Operand
    others: Operands
    outside: Names
    sizes: Mapping[str, int]

    def options(self) -> list[Operands]:
        """The operands of the product afterwards, the derivative first: in one direction, or both."""
        if not self._is_real():
            output, variable = self.output, self.variable
            labels = output.labels + variable.labels
            found = [jacobian(output.node, [variable.node], mode) for mode in modes(output.node, [variable.node])]
            return [(Operand(node, labels), *self.others) for (node,) in found]
        back, ahead = self._seed(self.output, self.variable), self._seed(self.variable, self.output)
        if self._size(back.extra) == 1:
            return [self._reverse(back)]
        if self._size(ahead.extra) == 1:
            return [self._forward(ahead)]
        return [self._reverse(back), self._forward(ahead)]

    def _reverse(self, seed: Seed) -> Operands:
        (pulled,) = vjp([self.output.node], [seed.node], [self.variable.node])
        return Operand(pulled, seed.extra + self.variable.labels), *seed.rest

    def _forward(self, seed: Seed) -> Operands:
        extra = tuple([self.sizes[label] for label in seed.extra])
        (pushed,) = jvp([self.output.node], {self.variable.node: seed.node}, extra)
        return Operand(pushed, seed.extra + self.output.labels), *seed.rest

    def _seed(self, own: Operand, other: Operand) -> Seed:
        """A seed for ``own``: the operands contracted with it, where that leaves fewer axes; else a delta."""
        outside = self.outside | set(other.labels)
        absorbed, rest = self._connected(set(own.labels) - outside, outside)
        extra = _needed(own, absorbed, outside.union(*[operand.labels for operand in rest]))
        plain = _needed(own, (), outside.union(*[operand.labels for operand in self.others]))
        fits = all(np.result_type(x.node.dtype, own.node.dtype) == own.node.dtype for x in absorbed)
        grows = not set(extra).intersection(other.labels) <= set(own.labels)
        if not fits or grows or self._size(extra) >= self._size(plain):
            absorbed, rest, extra = (), self.others, plain
        dtype = own.node.dtype
        nodes = [build.cast(operand.node, dtype) for operand in absorbed]
        inputs = [operand.labels for operand in absorbed]
        node = build.einsum(inputs, (*extra, *own.labels), nodes, dict(self.sizes), 1, dtype)
        return Seed(node, extra, rest)

    def _connected(self, summed: set[str], outside: Names) -> tuple[Operands, Operands]:
        """The operands that share summed indices with the seeded tensor, directly or through others; and the rest."""
        rest, absorbed = list(self.others), []
        while found := next((operand for operand in rest if not summed.isdisjoint(operand.labels)), None):
            rest.remove(found)
            absorbed.append(found)
            summed = summed | (set(found.labels) - outside)
        return tuple(absorbed), tuple(rest)

    def _size(self, labels: Iterable[str]) -> int:
        return product([self.sizes[label] for label in labels])

    def _is_real(self) -> bool:
        return self.output.node.dtype.kind == self.variable.node.dtype.kind == "f"


def _needed(own: Operand, absorbed: Operands, outside: Names) -> tuple[str, ...]:
    labels = [label for operand in (own, *absorbed) for label in operand.labels if label in outside]
    return tuple(dict.fromkeys(labels))


def contract(contraction: Contraction) -> Node:
    """The node of a product with derivatives among its factors: the cheapest of the candidates."""
    found = list(dict.fromkeys(contraction.multiply(operands) for operands in _candidates(contraction)))
    if len(found) == 1:
        return found[0]
    plain = unmark(found)
    best = pipeline.cheapest({f"candidate {n}": partial(list, [node]) for n, node in enumerate(plain)})
    return found[plain.index(best.roots[0])]


def _candidates(contraction: Contraction) -> list[Operands]:
    """The operands of the product once every derivative is derived, in up to eight ways."""
    found = [tuple(contraction.operands)]
    for n, factor in enumerate(contraction.partials):
        later = frozenset(contraction.output).union(*[other.labels for other in contraction.partials[n + 1 :]])
        found = [way for operands in found for way in _derived(factor, operands, later, contraction.sizes)]
        found = found[:MAX_CANDIDATES]
    return found


def _derived(factor: Partial, operands: Operands, later: Names, sizes: Mapping[str, int]) -> list[Operands]:
    """The ways to derive one factor, level by level; the derivative so far is the first operand."""
    found: list[Operands] = [(factor.of, *operands)]
    for n, variable in enumerate(factor.by):
        outside = later.union(*[other.labels for other in factor.by[n + 1 :]])
        levels = [Level(first, variable, tuple(others), outside, sizes) for first, *others in found]
        found = [way for level in levels for way in level.options()][:MAX_CANDIDATES]
    return found
