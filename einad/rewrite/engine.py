"""Apply the laws to a graph, bottom-up, each node once per pass."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from einad.ir.expr import Add, Einsum, Node, Structured
from einad.ir.walk import rebuild, topological, transform, use_counts
from einad.rewrite.components import RankOf, split_components
from einad.rewrite.compose import Product, compose, keeps_value
from einad.rewrite.deltas import distribute
from einad.rewrite.diagonal import take_diagonals
from einad.rewrite.factor import factor_common
from einad.rewrite.rank import Ranks
from einad.rewrite.selection import simplify_selections
from einad.rewrite.substitute import substitute
from einad.rewrite.sums import merge_terms

MAX_PRODUCT = 16
MAX_FLATTENED = 9


def normalise(roots: Sequence[Node]) -> list[Node]:
    """The normal form of a graph, nearly: the same values from fewer, better nodes, in two passes."""
    found = normal_form(roots, 2)
    reduced = take_diagonals(found)
    return flatten_contractions(found if reduced == found else normal_form(reduced, 2))


def normal_form(roots: Sequence[Node], passes: int = 20) -> list[Node]:
    """Compose, split into components, merge and factor sums; canonical order makes equal contractions one node.

    Passes are repeated until nothing changes, at most ``passes`` times: a pass may leave a node with one use that had
    two before. Two passes do nearly all there is to do.
    """
    found, rank, settled = list(roots), Ranks(), set[Node]()
    for _ in range(passes):
        before, found = found, _pass(found, rank, settled)
        if found == before:
            break
    return found


def _pass(roots: Sequence[Node], rank: Ranks, settled: set[Node]) -> list[Node]:
    """One pass. ``settled`` collects einsums that are split and sums that are merged: nothing is to be done about them
    until their operands change.
    """
    order = topological(roots)
    counts = use_counts(roots, order)
    uses: dict[Node, int] = {}

    def use_count(node: Node) -> int:
        return uses.get(node, 2)

    def single_use(node: Node) -> bool:
        return use_count(node) == 1

    def is_opened(child: Node) -> bool:
        return isinstance(child, Add) and single_use(child)

    def rule(node: Node, children: tuple[Node, ...]) -> Node:
        same = node in settled and children == node.children
        new = node
        if isinstance(node, Einsum):
            inlined = _chooser(children, use_count)
            if not same or any(inlined(child) for child in children):
                new = _product(compose(node, children, inlined), rank, single_use, settled)
        elif not isinstance(node, Add):
            new = rebuild(node, children)
        elif not same or any(is_opened(child) for child in children):
            new = _sum(node, children, rank, single_use)
            settled.update([new] if isinstance(new, Add) else [])  # a sum that is factored is a product
        uses[new] = uses.get(new, 0) + counts[node]
        rank(new)
        return new

    return transform(roots, rule, None, order)


def _product(product: Product, rank: RankOf, single_use: Callable[[Node], bool], settled: set[Node]) -> Node:
    product = substitute(product)
    product = simplify_selections(product)
    parts = distribute(product)
    if parts is None:
        found = split_components(product, rank)
        if found not in product.operands and not any(isinstance(child, Add) for child in found.children):
            settled.add(found)  # sums may be distributed later on
        return found
    terms = tuple([split_components(part, rank) for part in parts])
    return _sum(Add(*terms), terms, rank, single_use)


def _sum(node: Add, children: tuple[Node, ...], rank: RankOf, single_use: Callable[[Node], bool]) -> Node:
    def merge(total: Add, terms: tuple[Node, ...]) -> Node:
        merged = merge_terms(total, terms, single_use)
        return Add(*sorted(merged.children, key=rank)) if isinstance(merged, Add) else merged

    merged = merge(node, children)
    return factor_common(merged, lambda inner: merge(inner, inner.children)) if isinstance(merged, Add) else merged


def _chooser(children: tuple[Node, ...], use_count: Callable[[Node], int]) -> Callable[[Node], bool]:
    total = len(children)

    def inlined(child: Node) -> bool:
        if not isinstance(child, Einsum) or child.spec.contracted or not keeps_value(child):
            return False
        if len(child.children) <= 1:
            return True
        times = children.count(child)
        if total + times * (len(child.children) - 1) > MAX_PRODUCT:
            return False
        if times > 1:
            return use_count(child) == times and is_scaling(child)
        return use_count(child) == 1 or is_expansive(child)

    return inlined


def is_scaling(node: Einsum) -> bool:
    """Whether a product is one tensor times smaller ones, which are better multiplied with one another first."""
    whole = len(set(node.spec.output))
    return sum(len(set(labels)) == whole for labels in node.spec.inputs) == 1


def is_expansive(node: Einsum) -> bool:
    """Whether a product is larger than each of its operands, or holds a delta: cheaper as a formula than stored."""
    largest = max((len(set(labels)) for labels in node.spec.inputs), default=0)
    return len(node.spec.output) > largest


def flatten_contractions(roots: Sequence[Node]) -> list[Node]:
    """``einsum(.., inner, ..) -> einsum(.., operands of inner, ..)`` for an einsum used once, by a contraction.

    The order of contraction is chosen afterwards over all operands together, so that ``sum(A @ B)`` needs no matrix
    product. At most nine operands meet, where the search for the best order is exhaustive.
    """
    order = topological(roots)
    counts = use_counts(roots, order)

    def rule(node: Node, children: tuple[Node, ...]) -> Node:
        if not isinstance(node, Einsum) or not node.spec.contracted or _structured(children):
            return rebuild(node, children)
        total = len(children)
        chosen: set[Node] = set()
        for old, new in zip(node.children, children, strict=True):
            if counts[old] == 1 and _is_product(new) and total + len(new.children) - 1 <= MAX_FLATTENED:
                chosen.add(new)
                total += len(new.children) - 1
        if not chosen:
            return rebuild(node, children)
        return compose(node, children, lambda child: child in chosen).build()

    return transform(roots, rule, None, order)


def _is_product(node: Node) -> bool:
    return isinstance(node, Einsum) and node.dtype.kind in "fc" and keeps_value(node) and not _structured(node.children)


def _structured(operands: tuple[Node, ...]) -> bool:
    return any(isinstance(operand, Structured) for operand in operands)
