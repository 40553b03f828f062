"""merge: contractions with the same value are one node, however they are written.

``X (X' Y) + Y (X' X)``, where ``Y = c X X' X``, adds equal tensors: their paths differ, their values do not. Canonical
forms do not see that; exact evaluation modulo a prime does (`einad.rewrite.fingerprint`).
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from itertools import permutations
from math import prod

from einad.ir import build
from einad.ir.expr import Add, Einsum, Node
from einad.ir.walk import rebuild, topological, transform
from einad.rewrite.fingerprint import Residues, fingerprints
from einad.rewrite.sums import merge_terms

MIN_MULTIPLICATIONS = 1_000_000
MAX_PERMUTED = 4

Axes = tuple[int, ...]


def merge_equal(roots: Sequence[Node]) -> list[Node]:
    """``f(A) + g(A) -> 2 f(A)`` where the contractions f and g are the same function; it pays above a million products.

    The one that needs the fewest large contractions before it stays. Ends: each node is replaced at most once. Value:
    exact in exact arithmetic, but for a chance of about one in 2^31 for each pair.
    """
    large = [node for node in topological(roots) if _is_large(node)]
    if len({(*sorted(node.shape), node.dtype) for node in large}) == len(large):
        return list(roots)
    residues = fingerprints(roots)
    if residues is None:
        return list(roots)
    effort = _large_below(roots, large)
    classes: dict[Hashable, list[tuple[Node, Axes]]] = {}
    for node in sorted(large, key=lambda node: effort[node]):
        key, axes = _canonical(node, residues[node])
        classes.setdefault(key, []).append((node, axes))
    known: dict[Node, Node] = {}
    for (first, order), *others in classes.values():
        if others:
            (kept,) = transform([first], _rebuild, known)
            known[first] = kept
            for node, axes in others:
                known[node] = build.permute(kept, [order[axes.index(axis)] for axis in range(node.ndim)])
    return transform(roots, _rebuild, known) if known else list(roots)


def _rebuild(node: Node, children: tuple[Node, ...]) -> Node:
    return merge_terms(node, children, lambda _: False) if isinstance(node, Add) else rebuild(node, children)


def _large_below(roots: Sequence[Node], large: Sequence[Node]) -> dict[Node, int]:
    """How many large contractions a node needs, itself included; fewer than every node that depends on it."""
    bits = {node: 1 << n for n, node in enumerate(large)}
    masks: dict[Node, int] = {}
    for node in topological(roots):
        mask = bits.get(node, 0)
        for child in node.children:
            mask |= masks[child]
        masks[node] = mask
    return {node: masks[node].bit_count() for node in large}


def _is_large(node: Node) -> bool:
    if not isinstance(node, Einsum) or not node.spec.contracted or node.dtype.kind != "f":
        return False
    return prod(node.sizes) >= MIN_MULTIPLICATIONS


def _canonical(node: Node, residues: Residues) -> tuple[Hashable, Axes]:
    """A key that a node shares with its transposes, and the order of axes that gives it."""
    orders = permutations(range(node.ndim)) if node.ndim <= MAX_PERMUTED else [tuple(range(node.ndim))]
    keys = (
        (tuple([node.shape[axis] for axis in order]), residues.transpose(order).tobytes(), order) for order in orders
    )
    shape, content, order = min(keys)
    return (shape, node.dtype, content), order
