"""Einsums of Einsums as one product: labels are unified, so a Kronecker delta met by its consumer disappears."""

from __future__ import annotations

from collections.abc import Collection

from einad.front.notation_sizes import Union
from einad.ir.expr import Einsum, Node, Scalar

Labels = tuple[int, ...]


class Flat:
    """``coefficient * sum over contracted labels of the product of factors``, with a label for each axis of the result.

    ``factors`` pairs nodes that are no open Einsums with their labels. Axes of the result that have one label
    are equal: a delta. A contracted label may stand on no factor; it then counts its range.
    """

    def __init__(self, node: Node, axes: Labels, closed: Collection[Node]) -> None:
        self._union = Union()
        self._next = 1 + max(axes, default=-1)
        self._sizes: dict[int, int] = dict(zip(axes, node.shape, strict=True))
        self._factors: list[tuple[Node, Labels]] = []
        self._axes = axes
        self.coefficient: Scalar = 1
        self._absorb(node, axes, closed)

    def _absorb(self, node: Node, axes: Labels, closed: Collection[Node]) -> None:
        stack = [(node, axes)]
        while stack:
            node, axes = stack.pop()
            if not isinstance(node, Einsum) or node in closed:
                self._factors.append((node, axes))
                continue
            first, self._next = self._next, self._next + len(node.sizes)
            self._sizes.update(enumerate(node.sizes, first))
            for axis, label in zip(axes, node.spec.output, strict=True):
                self._union.join(axis, first + label)
            self.coefficient = self.coefficient * node.coefficient
            below = [
                (child, tuple([first + label for label in labels]))
                for child, labels in zip(node.children, node.spec.inputs, strict=True)
            ]
            stack.extend(reversed(below))

    def _find(self, label: int) -> int:
        found = self._union.find(label)
        assert isinstance(found, int)
        return found

    @property
    def axes(self) -> Labels:
        """The label of each axis of the result."""
        return tuple([self._find(axis) for axis in self._axes])

    @property
    def factors(self) -> list[tuple[Node, Labels]]:
        """The factors with their labels."""
        return [(node, tuple([self._find(label) for label in labels])) for node, labels in self._factors]

    @property
    def contracted(self) -> dict[int, int]:
        """The labels summed over with their sizes, in order of first appearance."""
        kept = set(self.axes)
        carried = [label for _, labels in self.factors for label in labels]
        every = dict.fromkeys([*carried, *[self._find(label) for label in self._sizes]])
        sizes = {self._find(label): n for label, n in self._sizes.items()}
        return {label: sizes[label] for label in every if label not in kept}
