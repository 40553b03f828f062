"""Sums of many like terms: ``A_1 B_1 + A_2 B_2 + ..`` as one product of stacks, ``x_1 + x_2 + ..`` as one reduction.

In the derivative of a loop the gradients of weights are such sums, one term an iteration.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence

from einad.ir import build
from einad.ir.expr import Add, Einsum, Node
from einad.ir.walk import rebuild, use_counts
from einad.rewrite.families import Member, Signatures
from einad.rewrite.groups import LEAST_MEMBERS, Group, batched, group_of, is_plain, pays
from einad.rewrite.stacks import parts_of, row_of, stack

MOST_ELEMENTS = 16384
LEAST_TERMS = 8


def stack_sums(
    roots: Sequence[Node], order: Sequence[Node], signatures: Signatures, products_only: bool = False
) -> list[Node]:
    """``sum of A_t[i] B_t[j] over t -> A[t,i] B[t,j]`` where it pays; ``order`` are the nodes, operands first.

    With ``products_only`` products that nobody else needs are left alone unless they become one product.
    Ends: each sum is visited once. Value: the same sum, in another order.
    """
    groups = _Sums(roots, order, signatures, products_only).groups
    memo: dict[Node, Node] = {}
    for node in order:
        if groups.get(node):
            taken = {member.node for group in groups[node] for member in group.members}
            sums = [_sum(group.over(memo)) for group in groups[node]]
            memo[node] = build.add(*sums, *[memo[term] for term in node.children if term not in taken])
        else:
            memo[node] = rebuild(node, tuple([memo[child] for child in node.children]))
    return [memo[root] for root in roots]


def has_long_sums(order: Sequence[Node]) -> bool:
    """Whether some sum has enough terms."""
    return any(_is_long(node) for node in order)


def _is_long(node: Node) -> bool:
    if not isinstance(node, Add) or len(node.children) < LEAST_MEMBERS or not is_plain(node):
        return False
    return not parts_of(node)


class _Sums:
    """The groups of terms of each long sum: products first, since the order of their operands suits the others too."""

    def __init__(
        self, roots: Sequence[Node], order: Sequence[Node], signatures: Signatures, products_only: bool
    ) -> None:
        self.position = {node: n for n, node in enumerate(order)}
        self.groups: dict[Node, list[Group]] = {}
        self.places: dict[Node, tuple[int, int]] = {}
        counts = use_counts(roots)
        long = [node for node in order if _is_long(node)]
        for node in long:
            families: dict[Hashable, list[Member]] = {}
            for term in node.children:
                if counts[term] == 1 and term.dtype == node.dtype and _is_product(term):
                    key, member = signatures.member(term, alike=False)
                    families.setdefault(key, []).append(member)
            self._choose(node, list(families.values()), LEAST_MEMBERS)
        for node in long:
            taken = {member.node for group in self.groups[node] for member in group.members}
            times = Counter(node.children)
            terms = [term for term, n in times.items() if n == 1 and term not in taken]
            if products_only:
                terms = [term for term in terms if counts[term] > 1 or not _is_product(term)]
            alike: dict[Node | None, list[Member]] = {}
            for term in terms:
                if term.dtype == node.dtype and _is_small(term):
                    found = row_of(term)
                    alike.setdefault(found and found.base, []).append(Member(term, (term,)))
            self._choose(node, [alike.pop(None, [])], LEAST_TERMS)
            self._choose(node, list(alike.values()), LEAST_MEMBERS)

    def _choose(self, node: Node, families: Sequence[list[Member]], least: int) -> None:
        chosen = self.groups.setdefault(node, [])
        for members in families:
            if len(members) < least:
                continue
            group = group_of(members, self.position, self.places)
            if pays(group, {}):
                chosen.append(group)
                for column in group.stacked:
                    number = len(self.places)
                    for n, operand in enumerate(column):
                        self.places.setdefault(operand, (number, n))


def _is_small(node: Node) -> bool:
    return 0 < node.size <= MOST_ELEMENTS and is_plain(node)


def _is_product(node: Node) -> bool:
    if not isinstance(node, Einsum) or len(node.children) != 2 or not all(map(_is_small, node.children)):
        return False
    return len(set(node.spec.output)) == len(node.spec.output)


def _sum(group: Group) -> Node:
    if isinstance(group.members[0].node, Einsum) and len(group.shared) == 2:
        return batched(group, summed=True)
    return build.reduce_sum(stack(group.column(0)), (0,))
