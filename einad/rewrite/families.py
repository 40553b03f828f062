"""Families of like nodes, and which members of a family do not depend on one another.

Nodes of one family do the same to operands that are made alike, one step back. The *level* of a member is the number
of members on the longest path that ends with it; members of one level are independent, so each level may become one
node, and all levels of a family at once: an edge between two of them leads to the higher level, and no cycle can form.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import NamedTuple

from einad.ir.expr import Add, Einsum, Map, Node, scalar_key
from einad.ir.spec import Spec, canonical


class Quotient:
    """A graph in which groups of independent nodes have become one: ``members[v]`` are the nodes of vertex ``v``.

    ``order`` lists the vertices, operands before those who use them; nodes without operands are left out.
    """

    def __init__(self, nodes: Sequence[Node]) -> None:
        self.nodes = list(nodes)
        self.numbers = {node: n for n, node in enumerate(self.nodes)}
        inner = [n for n, node in enumerate(self.nodes) if node.children]
        self.members: dict[int, list[int]] = {n: [n] for n in inner}
        self.order = inner
        numbers = self.numbers
        self.below = {
            n: list(dict.fromkeys([numbers[child] for child in self.nodes[n].children if child.children]))
            for n in inner
        }

    def levels(self, family: Sequence[int]) -> list[int]:
        """For each vertex the most members of a family on a path that ends there; the family holds single nodes."""
        inside, below = set(family), self.below
        level = [0] * len(self.nodes)
        started = False
        for v in self.order:
            member = v in inside
            started = started or member
            if started:
                found = 0
                for child in below[v]:
                    if level[child] > found:
                        found = level[child]
                level[v] = found + member
        return level

    def merge(self, groups: Sequence[Sequence[int]], level: Sequence[int]) -> None:
        """Make each group one vertex: groups of members of one family, each of one of its levels."""
        inside = {v for group in groups for v in group}
        self.order.sort(key=lambda v: (level[v], v not in inside))
        vertex: dict[int, int] = {}
        for group in groups:
            first = group[0]
            self.below[first] = list(dict.fromkeys([child for v in group for child in self.below[v]]))
            self.members[first] = list(group)
            for v in group[1:]:
                vertex[v] = first
                del self.members[v], self.below[v]
        self.order = [v for v in self.order if v in self.members]
        for v, below in self.below.items():
            if not vertex.keys().isdisjoint(below):
                self.below[v] = list(dict.fromkeys([vertex.get(child, child) for child in below]))


class Member(NamedTuple):
    """A node of a family with its operands in the family's order; ``turned`` says that this is not its own order."""

    node: Node
    operands: tuple[Node, ...]
    turned: bool = False


class Signatures:
    """What nodes do, as numbers and keys that are equal for like nodes."""

    def __init__(self) -> None:
        self._numbers: dict[Hashable, int] = {}
        self._known: dict[Node, int] = {}

    def __call__(self, node: Node) -> int:
        """The number of a node's own signature: its function, shape and dtype, whatever its operands are."""
        found = self._known.get(node)
        if found is None:
            key = (type(node), _own(node), node.shape, node.dtype)
            found = self._known[node] = self._numbers.setdefault(key, len(self._numbers))
        return found

    def member(self, node: Node, alike: bool = True) -> tuple[Hashable, Member]:
        """The key of a node's family, and the node with operands in an order in which those of its family correspond.

        Where the order of operands does not matter they are ordered by their own signatures. The members of a family
        have operands that are made ``alike``, or but of the same shapes and dtypes.
        """
        key, operands = _own(node), node.children
        if isinstance(node, Einsum) and len(operands) == 2:
            spec, sizes = _turned(node)
            if (spec, sizes) == (node.spec, node.sizes):
                operands = tuple(sorted(operands, key=self))
            elif (spec, sizes) < (node.spec, node.sizes):
                operands = (operands[1], operands[0])
                key = (spec, sizes, scalar_key(node.coefficient))
        elif isinstance(node, Add):
            operands = tuple(sorted(operands, key=self))
        below = tuple([self(operand) if alike else (operand.shape, operand.dtype) for operand in operands])
        return (type(node), key, below, node.dtype), Member(node, operands, operands != node.children)


def _turned(node: Einsum) -> tuple[Spec, tuple[int, ...]]:
    """The spec and the sizes with the two operands exchanged."""
    first, second = node.spec.inputs
    spec, labels = canonical((second, first), node.spec.output)
    return spec, tuple([node.sizes[label] for label in labels])


def _own(node: Node) -> Hashable:
    """What a node is beside its shape, dtype and operands."""
    if isinstance(node, Einsum):
        return node.spec, node.sizes, scalar_key(node.coefficient)
    if isinstance(node, Map):
        return node.row
    return len(node.children) if isinstance(node, Add) else None
