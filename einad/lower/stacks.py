"""Stacks and concatenations without copies: their parts are computed in their places.

A sum of padded parts that meet nowhere and leave no gap is a buffer. The call that computes a part writes it into its
place of the buffer; what is no call of its own (an input, a view) is copied there. Stacks of rows that overlap, such
as ``h[0..8]`` and ``h[1..9]``, share one buffer, of which each is a slice.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from einad.ir.expr import Add, Node, Shape
from einad.ir.walk import topological
from einad.rewrite.stacks import Part, parts_of


class Place(NamedTuple):
    """Where a part is computed: the number of a buffer, and which places along its axis."""

    buffer: int
    start: int
    extent: int = 1


class Buffer:
    """Memory like that of ``node``. With ``rows`` others may add theirs, at the end or before ``first``."""

    def __init__(self, node: Node, axis: int, rows: Sequence[Node] | None) -> None:
        self.node, self.axis, self.rows, self.first = node, axis, rows, 0

    @property
    def shape(self) -> Shape:
        """The shape of the whole buffer."""
        return self.node.shape if self.rows is None else (len(self.rows), *self.node.shape[1:])


class Stack(NamedTuple):
    """A sum of parts that is a slice of a buffer: where it begins, and its terms with the parts they are, in order."""

    buffer: int
    start: int
    parts: tuple[tuple[Node, Part], ...]


class Stacks:
    """The buffers of a graph, the sums that are stacks, and the place of every part that is computed."""

    def __init__(self, roots: Sequence[Node]) -> None:
        self.buffers: list[Buffer] = []
        self.stacks: dict[Node, Stack] = {}
        self.places: dict[Node, Place] = {}
        found = [(node, parts) for node in topological(roots) if isinstance(node, Add) and (parts := parts_of(node))]
        for node, parts in sorted(found, key=lambda pair: -len(pair[1])):
            self._plan(node, parts)

    def _plan(self, node: Add, parts: tuple[tuple[Node, Part], ...]) -> None:
        axis = parts[0][1].axis
        rows = None if axis or not all(part.is_row for _, part in parts) else [part.child for _, part in parts]
        shared = self._shared(node, rows) if rows else None
        if shared is None:
            self.buffers.append(Buffer(node, axis, rows))
            shared = len(self.buffers) - 1, 0
        self.stacks[node] = Stack(*shared, parts)
        for _, part in parts:
            if part.child.children and part.child.size > 1:
                self.places.setdefault(part.child, Place(shared[0], shared[1] + part.start, part.extent))

    def _shared(self, node: Node, rows: Sequence[Node]) -> tuple[int, int] | None:
        """A buffer that holds some of the rows already, in the same order, and where the first one lies."""
        at = next((n for n, row in enumerate(rows) if row in self.places), None)
        if at is None or len(set(rows)) < len(rows):
            return None
        number, place, _ = self.places[rows[at]]
        buffer = self.buffers[number]
        held = buffer.rows
        if held is None or buffer.node.shape[1:] != node.shape[1:]:
            return None
        start = place - buffer.first - at
        for n, row in enumerate(rows, start):
            if held[n] is not row if 0 <= n < len(held) else row in self.places:
                return None
        buffer.rows = [*rows[: max(-start, 0)], *held, *rows[len(held) - start :]]
        buffer.first += min(start, 0)
        return number, place - at
