"""batch: repeated small steps become few larger ones, as far as a loop's iterations allow.

::

    sum of A_t[i] B_t[j] over t   ->  A[t,i] B[t,j], summed over t by one product
    f(x_1), .., f(x_n)            ->  the rows of f(X), where no f(x_i) depends on another

An unrolled loop consists of calls that take less than a microsecond, most of it overhead. Weight gradients become one
matrix product, and so do the projections of all inputs; what depends on the step before stays as it is. The pass works
on the graph, behind the choice of paths and before lowering, because it adds nodes of the language only: slices, and
sums of padded rows, which the lowering computes in place (`einad.lower.stacks`).

It pays where the operands to be stacked are shared, rows of one tensor, or made by calls that can write into a row.
Ends: each node is merged at most once. Value: the same products, summed in another order.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from math import prod

import numpy as np

from einad.ir.expr import Add, Einsum, Map, Node
from einad.ir.walk import rebuild, topological, transform
from einad.rewrite.early import add_early, early_terms
from einad.rewrite.families import Member, Quotient, Signatures
from einad.rewrite.groups import LEAST_MEMBERS, Group, batched, group_of, is_plain, pays
from einad.rewrite.stacked_sums import has_long_sums, stack_sums
from einad.rewrite.stacks import is_view, row, row_of
from einad.rewrite.windows import has_wide_windows, narrow_windows

MOST_ELEMENTS, MOST_OPERAND, MOST_MULTIPLICATIONS = 4096, 1 << 14, 1 << 18  # of a small step
MOST_VISITS = 2_000_000


def batch(roots: Sequence[Node]) -> list[Node]:
    """The same values with repeated small steps batched; the roots themselves where nothing repeats."""
    signatures = Signatures()
    order = topological(roots)
    found = _prepared(roots, order, signatures)
    order = topological(found)
    if has_long_sums(order):
        found = stack_sums(found, order, signatures, products_only=True)
        order = topological(found)
    families = _families(order, signatures)
    if families:
        found = _batch_families(found, order, families)
        order = topological(found)
        if has_long_sums(order):
            found = stack_sums(found, order, signatures)
    return found


def _prepared(roots: Sequence[Node], order: Sequence[Node], signatures: Signatures) -> list[Node]:
    """The laws that come before: rows and stacks are made plain, and early terms of sums are added early."""
    early = early_terms(order, signatures, MOST_VISITS)
    wide = has_wide_windows(order)
    if not early and not wide:
        return list(roots)

    def rule(node: Node, children: tuple[Node, ...]) -> Node:
        if node in early:
            return add_early(children, early[node])
        return narrow_windows(node, children) if wide else rebuild(node, children)

    return transform(roots, rule)


def _families(order: Sequence[Node], signatures: Signatures) -> list[list[Member]]:
    """Like small nodes, where there are enough of them; the largest families first."""
    found: dict[Hashable, list[Member]] = {}
    for node in order:
        if _is_small(node):
            key, member = signatures.member(node)
            found.setdefault(key, []).append(member)
    large = [family for family in found.values() if len(family) >= LEAST_MEMBERS]
    return sorted(large, key=lambda family: -len(family))


def _is_small(node: Node) -> bool:
    if not 0 < node.size <= MOST_ELEMENTS or not node.children or not is_plain(node):
        return False
    if isinstance(node, Map):
        if not isinstance(node.row.evaluate, np.ufunc):
            return False
    elif isinstance(node, Einsum):
        if is_view(node) and node.coefficient in (1, -1):  # any other number takes a call to apply
            return False
        if len(set(node.spec.output)) < len(node.spec.output) or row_of(node) is not None:
            return False
        if prod(node.sizes) > MOST_MULTIPLICATIONS:
            return False
    elif not isinstance(node, Add):
        return False
    return all(is_plain(child) and child.size <= MOST_OPERAND for child in node.children)


def _batch_families(roots: Sequence[Node], order: Sequence[Node], families: Sequence[list[Member]]) -> list[Node]:
    """One family at a time: what is merged lengthens the paths between the members of the next."""
    quotient = Quotient(order)
    position = quotient.numbers
    groups: dict[int, Group] = {}
    rows: dict[Node, tuple[int, int]] = {}
    visits = 0
    for family in families:
        visits += len(quotient.order)
        if visits > MOST_VISITS:
            break
        level = quotient.levels([position[member.node] for member in family])
        levels: dict[int, list[Member]] = {}
        for member in family:
            levels.setdefault(level[position[member.node]], []).append(member)
        chosen = [
            group
            for members in levels.values()
            for part in _by_operand(members)
            if pays(group := group_of(part, position, rows), rows)
        ]
        if chosen:
            numbers = [[position[member.node] for member in group.members] for group in chosen]
            quotient.merge(numbers, level)
            for each, group in zip(numbers, chosen, strict=True):
                groups[each[0]] = group
                rows.update({member.node: (each[0], n) for n, member in enumerate(group.members)})
    return _rebuilt(roots, quotient, groups) if groups else list(roots)


def _by_operand(members: Sequence[Member]) -> list[Sequence[Member]]:
    """Members by their largest operand where some share it, else all together; enough of them in each part."""
    if len(members) < LEAST_MEMBERS:
        return []
    sizes = [operand.size for operand in members[0].operands]
    parts: dict[Node, list[Member]] = {}
    for member in members:
        parts.setdefault(member.operands[sizes.index(max(sizes))], []).append(member)
    if len(parts) == len(members):
        return [members]
    return [part for part in parts.values() if len(part) >= LEAST_MEMBERS]


def _rebuilt(roots: Sequence[Node], quotient: Quotient, groups: dict[int, Group]) -> list[Node]:
    memo: dict[Node, Node] = {node: node for node in quotient.nodes if not node.children}
    for v in quotient.order:
        if v in groups:
            whole = batched(groups[v].over(memo))
            memo.update({member.node: row(whole, n) for n, member in enumerate(groups[v].members)})
        else:
            node = quotient.nodes[v]
            memo[node] = rebuild(node, tuple([memo[child] for child in node.children]))
    return [memo[root] for root in roots]
