"""What contractions cost before they are lowered: FLOPs of a step and of a graph."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import log2

from einad.ir.expr import DFT, Add, Call, Einsum, Map, Node, Structured
from einad.ir.walk import topological


def product(sizes: Iterable[int]) -> int:
    """The product of extents."""
    total = 1
    for n in sizes:
        total *= n
    return total


def pair_flops(a: Sequence[int], b: Sequence[int], output: Sequence[int], sizes: Mapping[int, int]) -> int:
    """FLOPs of contracting two operands: 2 for each multiply-add, 1 for each product without a sum.

    >>> pair_flops((0, 1), (1, 2), (0, 2), {0: 2, 1: 3, 2: 4})
    48
    """
    labels = {*a, *b}
    return product([sizes[label] for label in labels]) * (1 if labels <= set(output) else 2)


def graph_flops(roots: Iterable[Node]) -> int:
    """FLOPs of a graph, each node once, its einsums evaluated as they stand (no path is searched)."""
    return sum(node_flops(node) for node in topological(roots))


def graph_bytes(roots: Sequence[Node]) -> int:
    """Bytes of everything a graph stores, each node once, and of its results; views of other nodes are not stored."""
    stored = [node for node in topological(roots) if node.children and not is_view(node)]
    return sum(node.size * node.dtype.itemsize for node in (*stored, *roots))


def is_view(node: Node) -> bool:
    """Whether a node only rearranges its operand: diagonals, transposes, broadcasts, multiples."""
    return isinstance(node, Einsum) and len(node.children) == 1 and not node.spec.contracted


def node_flops(node: Node) -> int:
    """FLOPs of one node. Structured operands cost one operation per element they act on; views cost nothing."""
    if isinstance(node, Map):
        return node.size
    if isinstance(node, Add):
        return node.size * (len(node.children) - 1)
    if isinstance(node, Call):
        if node.row.flops is not None:
            return node.row.flops(node.children)
        return sum(child.size for child in node.children)
    if isinstance(node, Einsum):
        return _einsum_flops(node)
    return 0


def _einsum_flops(node: Einsum) -> int:
    stored = [k for k, child in enumerate(node.children) if not isinstance(child, Structured)]
    labels = {label for k in stored for label in node.spec.inputs[k]}
    found = next((k for k, child in enumerate(node.children) if isinstance(child, DFT)), None)
    if found is not None and len(stored) == 1 and len(node.children) == 2:
        return _transform_flops(node, found)
    if len(stored) < 2:
        size = product([node.sizes[label] for label in labels])
        summed = not labels <= set(node.spec.output)
        return size if summed and len(stored) == len(node.children) else 0
    summed = not labels <= set(node.spec.output)
    return product([node.sizes[label] for label in labels]) * (len(stored) - 1 + summed)


def _transform_flops(node: Einsum, k: int) -> int:
    """FLOPs of a contraction with the DFT at place ``k``: fast transforms along one of its labels."""
    operand, labels = node.children[k], node.spec.inputs[1 - k]
    assert isinstance(operand, DFT)
    rest = product([node.sizes[label] for label in set(labels) - set(node.spec.inputs[k])])
    return rest * fft_flops(operand.period)


def fft_flops(n: int) -> int:
    """FLOPs of one fast Fourier transform of length n: ``5 n log2(n)``, the customary count.

    >>> fft_flops(1024)
    51200
    """
    return int(5 * n * log2(n))
