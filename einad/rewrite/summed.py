"""sum: a product that only sums read is never stored.

``P[a,b,c] = D[a,b,c] * w[a,b]`` with ``x[a,c] = P[a,b,c]`` and ``y[b,c] = P[a,b,c]`` are two contractions: each is a
batch of matrix-vector products, which is faster than one elementwise product and two sums. Looks at pairwise products,
after paths are chosen.
"""

from __future__ import annotations

from collections.abc import Sequence

from einad.ir.expr import Einsum, Node, Structured
from einad.ir.walk import rebuild, topological, transform
from einad.rewrite.compose import compose, keeps_value

LEAST_SIZE, MOST_READERS = 4096, 4


def sum_products(roots: Sequence[Node]) -> list[Node]:
    """``sum of (a * b)`` as a contraction of a and b, for products that nothing but such sums read."""
    chosen = _products_to_sum(roots)
    if not chosen:
        return list(roots)

    def rule(node: Node, children: tuple[Node, ...]) -> Node:
        if isinstance(node, Einsum) and len(children) == 1 and node.children[0] in chosen:
            return compose(node, children, lambda child: True).build()
        return rebuild(node, children)

    return transform(roots, rule)


def _products_to_sum(roots: Sequence[Node]) -> set[Node]:
    readers: dict[Node, list[Node]] = {root: [root] for root in roots}
    order = topological(roots)
    for node in order:
        for child in node.children:
            readers.setdefault(child, []).append(node)
    return {
        node
        for node in order
        if _is_large_product(node)
        and len(readers[node]) <= MOST_READERS
        and all(_contracts(reader, node) for reader in readers[node])
    }


def _is_large_product(node: Node) -> bool:
    return (
        isinstance(node, Einsum)
        and len(node.children) == 2
        and not node.spec.contracted
        and node.size >= LEAST_SIZE
        and keeps_value(node)
        and not any(isinstance(child, Structured) for child in node.children)
    )


def _contracts(reader: Node, product: Node) -> bool:
    """Whether a reader sums the product over a label of both factors, and keeps one that only one factor has."""
    if not isinstance(reader, Einsum) or reader.children != (product,) or not isinstance(product, Einsum):
        return False
    (labels,) = reader.spec.inputs
    if len(set(labels)) < len(labels) or len(set(product.spec.output)) < len(product.spec.output):
        return False
    factors = [set(inputs) for inputs in product.spec.inputs]
    axes = dict(zip(labels, product.spec.output, strict=True))
    summed = [axes[label] for label in labels if label not in reader.spec.output]
    kept = [axes[label] for label in labels if label in reader.spec.output]
    return any(all(x in factor for factor in factors) for x in summed) and any(
        sum(x in factor for factor in factors) == 1 for x in kept
    )
