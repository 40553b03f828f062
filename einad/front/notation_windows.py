"""Windows to records: a structured operand is an affine index on a tensor, or a delta such as ``δ[h,2*p+r]``.

The window of an affine index in the text is written as that index where its tensor still stands there; the label of
the axis then needs no name. All others are written as deltas, which say nothing of sizes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from einad.front.notation_affine import Linear, affine_text, index_text, merged
from einad.front.notation_flatten import Flat, Labels
from einad.front.notation_records import DELTA, Factor
from einad.ir.expr import Affine, Node

Equation = tuple[dict[int, int], int]


class Place(NamedTuple):
    """``label = steps · labels + offset``, the index on an axis; padded where it may leave the axis."""

    steps: dict[int, int]
    offset: int
    padded: bool


class Windows:
    """The windows of a product: ``places`` are the labels that became indices on tensors."""

    def __init__(self, flat: Flat, is_named: Callable[[Node], bool], known: Mapping[Affine, bool]) -> None:
        self.factors = [(node, labels) for node, labels in flat.factors if not isinstance(node, Affine)]
        self._solved: dict[int, Place] = {}
        self._kept: list[Equation] = []
        self.is_zero = False
        self._summed = flat.contracted
        self._is_named = is_named
        windows = [(node, labels) for node, labels in flat.factors if isinstance(node, Affine)]
        counts: dict[int, int] = {}
        for _, labels in windows:
            for label in set(labels):
                counts[label] = counts.get(label, 0) + 1
        for node, labels in windows:
            self._add(node, labels, counts[labels[0]] == 1, known.get(node))

    def _add(self, node: Affine, labels: Labels, once: bool, padded: bool | None) -> None:
        steps, offset = _collected(node, labels)
        if not steps:
            self.is_zero = self.is_zero or offset != 0
            return
        pivot = labels[0]
        if padded is None or not once or len(steps) == 1 or steps.get(pivot) != -1 or not self._may_leave(pivot):
            self._kept.append((steps, offset))
            return
        del steps[pivot]
        self._solved[pivot] = Place(steps, offset, padded)

    def _may_leave(self, label: int) -> bool:
        """Whether a label is summed and stands once, on a tensor with a name."""
        standing = [(node, labels) for node, labels in self.factors if label in labels]
        if label not in self._summed or len(standing) != 1:
            return False
        ((node, labels),) = standing
        return labels.count(label) == 1 and self._is_named(node)

    @property
    def places(self) -> frozenset[int]:
        """The labels that need no name."""
        return frozenset(self._solved)

    def tensor(self, name: str, labels: Labels, called: Mapping[int, str]) -> Factor:
        """A tensor with affine indices."""
        found = [self._solved.get(label) for label in labels]
        indices = [
            called[label] if place is None else affine_text(_named(place.steps, place.offset, called))
            for label, place in zip(labels, found, strict=True)
        ]
        return Factor(name, tuple(indices), padded=any(place is not None and place.padded for place in found))

    def deltas(self, called: Mapping[int, str]) -> list[Factor]:
        """The windows that are no index on a tensor: positive terms on the left, negative ones on the right."""
        return [_delta(_named(steps, offset, called)) for steps, offset in self._kept]


def _collected(node: Affine, labels: Labels) -> Equation:
    """The coefficient of each label; those of axes of size 1 stay, since a size is known only with the call."""
    steps: dict[int, int] = {}
    for label, c in zip(labels, node.coefficients, strict=True):
        steps[label] = steps.get(label, 0) + c
    return {label: c for label, c in steps.items() if c}, node.offset


def _named(steps: Mapping[int, int], offset: int, called: Mapping[int, str]) -> Linear:
    return merged([(called[label], c) for label, c in steps.items()], offset)


def _delta(found: Linear) -> Factor:
    """``[h - 2*p - r == 0]`` as ``δ[h,2*p+r]``; ``[i == 3]`` as ``δ[2*i,i+3]``, both sides with a name."""
    head = next((term for term in found.terms if abs(term[1]) == 1), found.terms[0])
    sign = 1 if head[1] > 0 else -1
    rest = merged([(name, -c * sign) for name, c in found.terms if name != head[0]], -found.offset * sign)
    left = merged([(head[0], abs(head[1]))])
    if not rest.terms:
        left, rest = merged([*left.terms, (head[0], 1)]), merged([(head[0], 1)], rest.offset)
    return Factor(DELTA, (index_text(left), affine_text(rest)))
