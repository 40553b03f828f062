"""The terms of a factored tensor: products of stored arrays over labels, with deltas and broadcasts in the output."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from einad.ir import build
from einad.ir.expr import Add, Array, DType, Einsum, Input, Literal, Node, Scalar, Shape
from einad.pipeline import evaluate
from einad.rewrite.compose import tidy
from einad.rewrite.engine import normalise

Labels = tuple[int, ...]
MAX_DEPTH = 4


class Factor(NamedTuple):
    """An array with a label per axis, and the name it is printed under."""

    array: Array
    labels: Labels
    name: str


class Term(NamedTuple):
    """``coefficient * product of factors``; a label repeated in ``output`` is a delta, an unused one a broadcast.

    No label is summed over: every label of a factor stands in ``output``.
    """

    coefficient: Scalar
    factors: tuple[Factor, ...]
    output: Labels
    sizes: Mapping[int, int]

    def node(self, dtype: object) -> Einsum:
        """The term as an expression over literals."""
        inputs = [factor.labels for factor in self.factors]
        operands = [Literal(factor.array) for factor in self.factors]
        return build.einsum(inputs, self.output, operands, dict(self.sizes), self.coefficient, dtype)


def split(root: Node, depth: int = MAX_DEPTH) -> list[Einsum]:
    """A normal form as a list of products whose sum it is.

    A product with a sum inside is multiplied out where the parts store less than the whole: this brings deltas of the
    inner sum to the top, also out of a contraction, ``A[a,j] (δ[a,k] A[i,l] + ..) -> A[k,j] A[i,l] + ..``. The parts
    are added only in the result, so that no more cancels than in the sum itself. Sums are looked for ``depth`` levels
    down.
    """
    if isinstance(root, Add) and depth:
        return [part for child in root.children for part in split(child, depth - 1)]
    if not isinstance(root, Einsum):
        return [build.scale(root, 1)]
    for k, child in enumerate(root.children if depth else ()):
        parts = [p for summand in _summands(child, depth) for p in split(_with_operand(root, k, summand), depth - 1)]
        if parts and sum(map(_stored, parts)) < _stored(root):
            return parts
    return [build.scale(root, 1) if root.spec.contracted else root]


def _summands(child: Node, depth: int) -> Sequence[Node]:
    """What an operand is the sum of, if each summand stores less than the operand; else nothing."""
    if not isinstance(child, Add) and not (isinstance(child, Einsum) and child.spec.contracted):
        return ()
    parts = split(child, depth - 1)
    return parts if len(parts) > 1 and all(_stored(part) < child.size for part in parts) else ()


def _with_operand(root: Einsum, k: int, inner: Node) -> Node:
    """The product with another operand in place ``k``, in normal form."""
    operands = (*root.children[:k], inner, *root.children[k + 1 :])
    return normalise([Einsum(root.spec, operands, root.sizes, root.coefficient, root.dtype)])[0]


def _stored(node: Node) -> int:
    """The number of elements that stand in memory if the node is kept as a product."""
    if isinstance(node, Einsum) and not node.spec.contracted:
        return sum(child.size for child in set(node.children))
    return node.size


class Skeleton(NamedTuple):
    """A term whose factors are numbered, not stored."""

    coefficient: Scalar
    numbers: tuple[int, ...]
    inputs: tuple[Labels, ...]
    output: Labels
    sizes: tuple[int, ...]


class Recipe(NamedTuple):
    """How tensors are made of computed operands: their names, a list of skeletons per tensor, and the dtypes.

    It holds no array and no node, so it may be kept for as long as one likes.
    """

    names: list[str]
    rows: list[list[Skeleton]]
    dtypes: list[DType]

    def terms(self, row: Sequence[Skeleton], values: Sequence[Array]) -> list[Term]:
        """The terms of one tensor, over the operands' values."""
        found = []
        for part in row:
            pairs = zip(part.numbers, part.inputs, strict=True)
            factors = tuple([Factor(values[n], labels, self.names[n]) for n, labels in pairs])
            found.append(Term(part.coefficient, factors, part.output, dict(enumerate(part.sizes))))
        return [term for term in found if term.coefficient != 0]


def take_apart(roots: Sequence[Node]) -> tuple[list[Node], Recipe]:
    """The operands of the normal form's products, shared ones listed once, and what to make of them."""
    products = [_merged(split(root)) for root in normalise(roots)]
    operands = list(dict.fromkeys(op for row in products for product in row for op in product.children))
    numbers = {op: n for n, op in enumerate(operands)}
    computed = _number_names([op for op in operands if not isinstance(op, Input)])
    names = [op.name if isinstance(op, Input) else computed[op] for op in operands]
    rows = [sorted((_skeleton(p, numbers) for p in row), key=lambda part: len(part.numbers)) for row in products]
    return operands, Recipe(names, rows, [root.dtype for root in roots])


def _merged(products: Sequence[Einsum]) -> list[Einsum]:
    """The products with equal ones counted together."""
    totals: dict[Node, Scalar] = {}
    for product in products:
        base = Einsum(product.spec, product.children, product.sizes, 1, product.dtype)
        totals[base] = totals.get(base, 0) + product.coefficient
    return [Einsum(b.spec, b.children, b.sizes, tidy(c), b.dtype) for b, c in totals.items() if isinstance(b, Einsum)]


def _skeleton(product: Einsum, numbers: Mapping[Node, int]) -> Skeleton:
    places = tuple([numbers[op] for op in product.children])
    return Skeleton(product.coefficient, places, product.spec.inputs, product.spec.output, product.sizes)


def evaluate_terms(root: Node) -> list[Term]:
    """The terms of an expression over literals, with the operands of each computed."""
    operands, recipe = take_apart([root])
    return recipe.terms(recipe.rows[0], evaluate(operands, {}))


def _number_names(operands: Sequence[Node]) -> dict[Node, str]:
    """M1, M2, ... for operands."""
    return {op: f"M{i}" for i, op in enumerate(operands, 1)} if len(operands) > 1 else dict.fromkeys(operands, "M")


def total(nodes: Sequence[Node], shape: Shape, dtype: DType) -> Array:
    """The value of a sum of expressions over literals."""
    root = build.add(*nodes) if nodes else build.zeros(shape, dtype)
    return evaluate([root], {})[0]
