"""compose: an Einsum of Einsums is one Einsum.

The labels of an operand's output are unified with the labels the consumer gives it. A label repeated in the
operand's output (a Kronecker delta) so unifies labels of the consumer: delta elimination is nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain

from einad.ir import build
from einad.ir.expr import DType, Einsum, Node, Scalar, promote
from einad.ir.spec import canonical

Labels = tuple[int, ...]


@dataclass(slots=True)
class Product:
    """An Einsum taken apart: operands with their labels, the output's labels, sizes and coefficient."""

    inputs: list[Labels]
    operands: list[Node]
    output: Labels
    sizes: dict[int, int]
    coefficient: Scalar
    dtype: DType

    @property
    def contracted(self) -> set[int]:
        """The labels summed over."""
        return set(chain(*self.inputs)).difference(self.output)

    def build(self) -> Node:
        """The Einsum again; its operand itself where it changes nothing; zeros where the coefficient is 0."""
        if self.coefficient == 0:
            return build.zeros(tuple([self.sizes[label] for label in self.output]), self.dtype)
        self.coefficient = tidy(self.coefficient)
        if len(self.operands) == 1 and self.coefficient == 1:
            (only,) = self.operands
            if self.inputs[0] == self.output and len(set(self.output)) == only.ndim and only.dtype == self.dtype:
                return only
        spec, labels = canonical(self.inputs, self.output)
        sizes = tuple([self.sizes[label] for label in labels])
        return Einsum(spec, tuple(self.operands), sizes, self.coefficient, self.dtype)

    def over(self, inputs: list[Labels], operands: list[Node]) -> Product:
        """The same product of other operands."""
        return Product(inputs, operands, self.output, self.sizes, self.coefficient, self.dtype)


def compose(node: Einsum, children: Sequence[Node], inlined: Callable[[Node], bool]) -> Product:
    """``einsum(.., einsum(..), ..) -> einsum(..)`` for the operands that ``inlined`` chooses.

    A label that stands on no operand and not in the output after unification (a summed broadcast) becomes a factor
    of its size. Ends: every application removes a node. Value: exact in exact arithmetic, for any choice.
    """
    chosen = [isinstance(child, Einsum) and inlined(child) for child in children]
    if not any(chosen):
        return _apart(node, children)
    sizes = list(node.sizes)
    parent = list(range(len(sizes)))
    inputs: list[Labels] = []
    operands: list[Node] = []
    coefficient = node.coefficient

    def find(label: int) -> int:
        while parent[label] != label:
            label = parent[label]
        return label

    for labels, child, opened in zip(node.spec.inputs, children, chosen, strict=True):
        if not (opened and isinstance(child, Einsum)):
            inputs.append(labels)
            operands.append(child)
            continue
        offset = len(sizes)
        sizes += child.sizes
        parent += range(offset, len(sizes))
        for outer, inner in zip(labels, child.spec.output, strict=True):
            parent[find(inner + offset)] = find(outer)
        inputs += [tuple([label + offset for label in inner]) for inner in child.spec.inputs]
        operands += child.children
        coefficient = coefficient * child.coefficient

    inputs = [tuple([find(label) for label in labels]) for labels in inputs]
    output = tuple([find(label) for label in node.spec.output])
    used = set(chain(*inputs, output))
    for label in range(len(sizes)):
        if parent[label] == label and label not in used:
            coefficient = coefficient * sizes[label]
    return Product(inputs, operands, output, {label: sizes[label] for label in used}, coefficient, node.dtype)


def _apart(node: Einsum, children: Sequence[Node]) -> Product:
    """An Einsum over other operands, taken apart; every label of its spec stands somewhere."""
    sizes = dict(enumerate(node.sizes))
    return Product(list(node.spec.inputs), list(children), node.spec.output, sizes, node.coefficient, node.dtype)


def keeps_value(inner: Einsum) -> bool:
    """Whether an operand may be inlined without changing how it rounds or wraps: no narrowing cast, no boolean sum,
    no whole number that could overflow before it meets a wider dtype.
    """
    if inner.dtype.kind == "b":
        return len(inner.children) <= 1 and not inner.spec.contracted
    if inner.dtype.kind in "iu":
        exact = inner.coefficient == 1 and not inner.spec.contracted
        return exact and len(inner.children) <= 1 and all(child.dtype == inner.dtype for child in inner.children)
    promoted = promote(inner.children, inner.coefficient) if inner.children else inner.dtype
    return promote((inner,)) == promoted or promoted.kind in "biu" or promoted.itemsize < inner.dtype.itemsize


def tidy(coefficient: Scalar) -> Scalar:
    """An integral float as an int, so that 1.0 and 1 are the same coefficient.

    >>> tidy(2.0), tidy(0.5), tidy(1 + 0j)
    (2, 0.5, (1+0j))
    """
    if isinstance(coefficient, float) and coefficient.is_integer() and abs(coefficient) < 2**53:
        return int(coefficient)
    return coefficient
