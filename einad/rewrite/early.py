"""early: what is known before a loop begins is added up before it begins.

``h_t = f(W h_(t-1) + U x_t + b)``: of the three terms two do not depend on the steps before. Added first, for all t at
once (`einad.rewrite.batch`), they save a call in every step.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from einad.ir import build
from einad.ir.expr import Add, Node
from einad.rewrite.families import Member, Quotient, Signatures
from einad.rewrite.groups import LEAST_MEMBERS, is_plain

LEAST_TERMS, MOST_TERMS = 3, 8
MOST_ELEMENTS = 4096


def early_terms(order: Sequence[Node], signatures: Signatures, most_visits: int) -> dict[Node, list[bool]]:
    """Which terms are early, of sums in families whose members depend on one another: those that depend on none."""
    families: dict[Hashable, list[Member]] = {}
    for node in order:
        if isinstance(node, Add) and LEAST_TERMS <= len(node.children) <= MOST_TERMS and _is_small(node):
            key, member = signatures.member(node)
            families.setdefault(key, []).append(member)
    large = [family for family in families.values() if len(family) >= LEAST_MEMBERS]
    found: dict[Node, list[bool]] = {}
    if not large or len(large) * len(order) > most_visits:
        return found
    quotient = Quotient(order)
    for family in large:
        level = quotient.levels([quotient.numbers[member.node] for member in family])
        for member in family:
            is_early = [level[quotient.numbers[term]] == 0 for term in member.node.children]
            if 2 <= sum(is_early) < len(is_early):
                found[member.node] = is_early
    return found


def add_early(terms: Sequence[Node], is_early: Sequence[bool]) -> Node:
    """``late + early_1 + early_2 -> late + (early_1 + early_2)``. Value: the same terms, added in another order."""
    early = [term for term, first in zip(terms, is_early, strict=True) if first]
    late = [term for term, first in zip(terms, is_early, strict=True) if not first]
    return build.add(*late, Add(*early))


def _is_small(node: Node) -> bool:
    return is_plain(node) and 0 < node.size <= MOST_ELEMENTS
