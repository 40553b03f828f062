"""A canonical order of nodes that does not depend on the order in which operands and terms were written.

Nodes are ordered by the first input they depend on (by name, ``x2`` before ``x10``), then by height in the graph, then
by a signature of their structure; nodes of one signature (the same function of inputs that look alike) by arrival.
Signatures are the same in every process.
"""

from __future__ import annotations

from typing import NamedTuple
from zlib import crc32

from einad.ir.expr import Add, Call, Einsum, Input, Map, Node, Structured
from einad.ir.walk import topological


class Rank(NamedTuple):
    """A sort key. ``first`` is the name of the first input below, with its length in front."""

    first: tuple[int, str]
    height: int
    signature: int
    arrival: int


NO_INPUT = (1_000_000, "")


class Ranks:
    """``ranks(node)`` is the node's sort key; a node keeps it."""

    def __init__(self) -> None:
        self._keys: dict[Node, Rank] = {}

    def __call__(self, node: Node) -> Rank:
        """The node's sort key."""
        keys = self._keys
        found = keys.get(node)
        if found is not None:
            return found
        try:
            found = keys[node] = self._rank(node, [keys[child] for child in node.children])
        except KeyError:
            for n in topological([node], keys):
                if n not in keys:
                    keys[n] = self._rank(n, [keys[child] for child in n.children])
            found = keys[node]
        return found

    def _rank(self, node: Node, below: list[Rank]) -> Rank:
        if not below:
            first = (len(node.name), node.name) if isinstance(node, Input) else NO_INPUT
            return Rank(first, 0, hash((*_own(node), *node.shape)), len(self._keys))
        signatures = [rank.signature for rank in below]
        if isinstance(node, Add):
            signatures.sort()
        signature = hash((*_own(node), *node.shape, *signatures))
        if len(below) == 1:
            (only,) = below
            return Rank(only.first, only.height + 1, signature, len(self._keys))
        height = 1 + max([rank.height for rank in below])
        return Rank(min([rank.first for rank in below]), height, signature, len(self._keys))


def _own(node: Node) -> tuple[object, ...]:
    """What a node is beside its shape and children, as numbers and tuples of numbers."""
    if isinstance(node, Einsum):
        known = node.coefficient == node.coefficient  # the hash of nan is an address
        return 1, node.spec, node.sizes, node.coefficient if known else 0, node.dtype.num
    if isinstance(node, Map):
        return 2, crc32(node.row.name.encode())
    if isinstance(node, Call):
        return 3, crc32(f"{node.row.name} {node.params}".encode())
    if isinstance(node, Add):
        return (4,)
    if isinstance(node, Structured):
        fields = [getattr(node, field) for field in node.fields]
        return 5, crc32(f"{type(node).__name__} {fields}".encode()), node.dtype.num
    return 6, crc32(node.name.encode()) if isinstance(node, Input) else 0, node.dtype.num
