"""Groups of like nodes that become one node over stacks of their operands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from einad.ir import build
from einad.ir.expr import Einsum, Map, Node, Structured
from einad.rewrite.families import Member
from einad.rewrite.stacks import row_of, stack, stack_copies

LEAST_MEMBERS = 4

Rows = Mapping[Node, tuple[int, int]]


class Group(NamedTuple):
    """Members of one family that become one node; ``shared[k]`` says that all have the same operand ``k``."""

    members: list[Member]
    shared: tuple[bool, ...]

    def column(self, k: int) -> list[Node]:
        """Operand ``k`` of every member."""
        return [member.operands[k] for member in self.members]

    @property
    def stacked(self) -> list[list[Node]]:
        """The columns of operands that differ."""
        return [self.column(k) for k, same in enumerate(self.shared) if not same]

    def over(self, memo: Mapping[Node, Node]) -> Group:
        """The same group over other operands."""
        return self._replace(
            members=[
                member._replace(operands=tuple([memo[operand] for operand in member.operands]))
                for member in self.members
            ]
        )


def group_of(members: Sequence[Member], position: Mapping[Node, int], rows: Rows) -> Group:
    """A group whose members come in the order of their earliest operands that differ.

    ``position`` is a node's place in the graph, ``rows`` the batch and the place in it of those batched already; rows
    of one tensor come in their order.
    """

    def place(node: Node) -> tuple[int, int]:
        if node in rows:
            return rows[node]
        found = row_of(node)
        return (position[node], 0) if found is None else (position[found.base], found.place)

    columns = range(len(members[0].operands))
    shared = tuple([len({member.operands[k] for member in members}) == 1 for k in columns])
    keys = [[place(member.operands[k]) for member in members] for k in columns if not shared[k]]
    earliest = min(keys, key=max, default=[(0, n) for n in range(len(members))])
    order = sorted(range(len(members)), key=earliest.__getitem__)
    return Group([members[n] for n in order], shared)


def pays(group: Group, rows: Rows) -> bool:
    """Whether the calls that are saved outweigh the copies that stacking needs."""
    if all(group.shared):
        return False
    return 2 * sum([_copies(column, rows) for column in group.stacked]) < len(group.members)


def _copies(column: Sequence[Node], rows: Rows) -> int:
    places = [rows[node] for node in column if node in rows]
    if not places:
        return stack_copies(column)
    (batch, first), second = places[0], places[min(1, len(places) - 1)][1]
    even = [(batch, first + n * (second - first)) for n in range(len(column))]
    return 0 if places == even and second != first else len(column)


def batched(group: Group, summed: bool = False) -> Node:
    """One node for a group: its members are the rows of the result; with ``summed`` the sum of them."""
    first = group.members[0].node
    if isinstance(first, Einsum):
        return _batched_einsum(group, first, summed)
    operands: list[Node] = []
    for k, same in enumerate(group.shared):
        column = group.column(k)
        shape = (len(column), *column[0].shape)
        operands.append(build.broadcast(column[0], shape, range(1, len(shape))) if same else stack(column))
    return Map(first.row, *operands) if isinstance(first, Map) else build.add(*operands)


def _batched_einsum(group: Group, first: Einsum, summed: bool) -> Node:
    inputs, output = list(first.spec.inputs), first.spec.output
    if group.members[0].turned:
        inputs.reverse()
    new, sizes = first.spec.label_count, dict(enumerate(first.sizes))
    sizes[new] = len(group.members)
    operands: list[Node] = []
    for k, same in enumerate(group.shared):
        column = group.column(k)
        operands.append(column[0] if same else stack(column))
        inputs[k] = inputs[k] if same else (new, *inputs[k])
    return build.einsum(inputs, output if summed else (new, *output), operands, sizes, first.coefficient, first.dtype)


def is_plain(node: Node) -> bool:
    """Whether a node holds floating-point numbers and is no structured operand."""
    return node.dtype.kind in "fc" and not isinstance(node, Structured)
