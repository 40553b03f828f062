"""Records to nodes: the meaning of a statement whose sums are explicit.

A product is one Einsum over its factors; numbers go to its coefficient; δ renames an index; a division is a product
with a reciprocal. Functions are Maps over the indices of their arguments, in order of first appearance. Truth values
count as 0 and 1 in products and sums; numbers are weak, as in NumPy.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

from einad.errors import NotationError
from einad.front.notation import Program
from einad.front.notation_affine import equation, is_plain, linear, window
from einad.front.notation_derivatives import Contract, Contraction, Operand, Partial, Variables, unmark
from einad.front.notation_records import (
    DELTA,
    Binder,
    Call,
    Derivative,
    Expr,
    Factor,
    Inverse,
    Negative,
    Number,
    Power,
    Product,
    Sum,
    factors_of,
    free,
    parts,
)
from einad.front.notation_sizes import Sizes, Union
from einad.ir import build
from einad.ir.expr import Affine, DType, Map, Node, Pointwise, Scalar, promote
from einad.ops.calculus import Term
from einad.ops.pointwise import POINTWISE, power

Labels = tuple[str, ...]


def elaborate(
    program: Program, sizes: Sizes, inputs: Mapping[str, Node], contract: Contract | None = None
) -> dict[str, Node]:
    """The node of every target, given those of the inputs; later statements share the nodes of earlier ones.

    ``contract`` makes the nodes of products with derivatives among their factors.
    """
    variables = Variables(program)
    known = {name: variables.mark(name, node) for name, node in inputs.items()}
    for k, statement in enumerate(program.statements):
        node = statement_node(program, k, sizes, known, contract)
        known[statement.target] = variables.mark(statement.target, node)
    targets = [statement.target for statement in program.statements]
    return dict(zip(targets, unmark([known[target] for target in targets]), strict=True))


def statement_node(
    program: Program, k: int, sizes: Sizes, tensors: Mapping[str, Node], contract: Contract | None = None
) -> Node:
    """The node of one statement's target; a node of its own, even for ``y[i] = x[i]``."""
    statement = program.explicit[k]
    builder = _Builder(tensors, lambda index: sizes.of(k, index), contract)
    try:
        return builder.root(statement.expression, statement.indices)
    except (OverflowError, ZeroDivisionError) as error:
        raise NotationError(f"the numbers cannot be computed: {error}", program.text, statement.at) from None


class _Builder:
    """Builds the nodes of one statement."""

    def __init__(self, tensors: Mapping[str, Node], size: Callable[[str], int], contract: Contract | None) -> None:
        self.tensors, self.size, self.contract = tensors, size, contract

    def root(self, expr: Expr, labels: Labels) -> Node:
        value = constant(expr)
        if value is not None:
            return build.einsum([], labels, [], self._sizes(labels), value)
        node = self.node(expr, labels)
        if any(node is self.tensors[factor.name] for factor in factors_of(expr)):
            return build.einsum([labels], labels, [node])
        return node

    def node(self, expr: Expr, labels: Labels) -> Node:
        """The node of an expression that is no constant, its axes named ``labels``, which hold its free indices."""
        match expr:
            case Sum(terms):
                inner = labels if len(set(labels)) == len(labels) else free(expr)
                return self._place(build.add(*_countable(self._alike(terms, inner))), inner, labels)
            case Call(function, args):
                inner = free(expr)
                return self._place(_apply(POINTWISE[function], self._alike(args, inner)), inner, labels)
            case Power(base, exponent):
                inner = free(expr)
                return self._place(self._power(base, exponent, inner), inner, labels)
            case Inverse(body):
                inner = free(expr)
                inverse = Map(POINTWISE["reciprocal"], _inexact(self.node(body, inner)))
                return self._place(inverse, inner, labels)
            case Factor(name, indices) if indices == labels and len(set(labels)) == len(labels) and name != DELTA:
                return self.tensors[name]
            case _:
                return self._product(expr, labels)

    def _place(self, node: Node, labels: Labels, wanted: Labels) -> Node:
        """The same values with other axes: permuted, broadcast, or on a diagonal."""
        return node if labels == wanted else build.einsum([labels], wanted, [node], self._sizes(wanted))

    def _sizes(self, labels: Iterable[str]) -> dict[str, int]:
        return {label: self.size(label) for label in labels}

    def _alike(self, exprs: tuple[Expr, ...], labels: Labels) -> list[Node]:
        """The nodes of several expressions over the same labels; constants take the dtype of the others."""
        values = [constant(expr) for expr in exprs]
        strong = [expr for expr, value in zip(exprs, values, strict=True) if value is None]
        nodes = _weakened(strong, [self.node(expr, labels) for expr in strong])
        if not nodes:
            return [build.full((), value) for value in values if value is not None]
        dtype, shape, rest = promote(tuple(nodes)), nodes[0].shape, iter(nodes)
        return [next(rest) if value is None else build.constant_like(value, dtype, shape) for value in values]

    def _power(self, base: Expr, exponent: Expr, labels: Labels) -> Node:
        value = constant(exponent)
        if value is None:
            return Map(POINTWISE["power"], *self._alike((base, exponent), labels))
        (node,) = _countable([self.node(base, labels)])
        if not (isinstance(value, int) and value >= 0):
            node = _inexact(node)
        return power(Term(node), value).node

    def _product(self, expr: Expr, labels: Labels) -> Node:
        whole, gathered = expr, _Parts()
        summed: Labels = ()
        if isinstance(expr, Negative):
            gathered.coefficient, expr = -1, expr.body
        if isinstance(expr, Binder):
            summed, expr = expr.indices, expr.body
        if not set(labels).isdisjoint(summed):
            inner = free(whole)
            return self._place(self._product(whole, inner), inner, labels)
        for factor in factors(expr):
            self._gather(factor, gathered)
        return self._einsum(gathered, (*summed, *gathered.places), labels)

    def _gather(self, factor: Expr, gathered: _Parts) -> None:
        value = constant(factor)
        if value is not None:
            gathered.multiply(value, divisor=constant(factor.body) if isinstance(factor, Inverse) else None)
        elif isinstance(factor, Factor) and factor.name == DELTA:
            self._delta(factor, gathered)
        elif isinstance(factor, Derivative):
            gathered.derivatives.append(factor)
        elif isinstance(factor, Factor):
            self._tensor(factor, gathered)
        else:
            indices = free(factor)
            gathered.add(factor, self.node(factor, indices), indices)

    def _delta(self, factor: Factor, gathered: _Parts) -> None:
        """``δ[i,j]`` makes two names one; ``δ[h,2*p+r]`` is a structured operand."""
        if factor.is_plain:
            gathered.union.join(*factor.indices)
            return
        found = equation(*factor.indices)
        gathered.numbers.append(1)
        if found.terms:
            shape, steps = tuple([self.size(name) for name in found.names]), tuple([c for _, c in found.terms])
            gathered.windows.append(Operand(Affine(shape, steps, found.offset), found.names))
        elif found.offset:
            gathered.coefficient = 0

    def _tensor(self, factor: Factor, gathered: _Parts) -> None:
        """A tensor; each affine index is a new name, which a structured operand ties to the names in the index."""
        node, indices = self.tensors[factor.name], list(factor.indices)
        for axis, index in enumerate(indices):
            if not is_plain(index):
                indices[axis] = place = f"place {len(gathered.places)}"
                gathered.places[place] = node.shape[axis]
                found = linear(index)
                tied = window(found, self._sizes(found.names), node.shape[axis])
                gathered.windows.append(Operand(tied, (place, *found.names)))
        gathered.add(factor, node, tuple(indices))

    def _einsum(self, gathered: _Parts, summed: Labels, labels: Labels) -> Node:
        """Sum the product; a summed index that stands on no factor still counts its range."""

        def find(label: str) -> str:
            return str(gathered.union.find(label))

        sizes = {find(label): gathered.places.get(label) or self.size(label) for label in (*labels, *summed)}
        inputs = [tuple([find(i) for i in indices]) for indices in gathered.indices]
        output = tuple([find(label) for label in labels])
        operands = _weakened(gathered.factors, gathered.operands)
        dtype_of = list(operands)
        operands += [tied.node for tied in gathered.windows]
        inputs += [tuple([find(name) for name in tied.labels]) for tied in gathered.windows]
        partials = [self._partial(derivative, find) for derivative in gathered.derivatives]
        dtype = gathered.dtype([*dtype_of, *[node for partial in partials for node in partial.nodes]])
        for label in dict.fromkeys(find(index) for index in summed):
            if not any(label in named for named in (output, *inputs, *[partial.labels for partial in partials])):
                operands.append(build.full((sizes[label],), 1, bool))
                inputs.append((label,))

        def multiply(found: Sequence[Operand]) -> Node:
            nodes, named = [operand.node for operand in found], [operand.labels for operand in found]
            return build.einsum(named, output, nodes, sizes, _native(gathered.coefficient), dtype)

        pairs = [Operand(node, named) for node, named in zip(operands, inputs, strict=True)]
        if not partials:
            return multiply(pairs)
        assert self.contract is not None
        return self.contract(Contraction(partials, pairs, output, sizes, multiply))

    def _partial(self, derivative: Derivative, find: Callable[[str], str]) -> Partial:
        of, *by = [
            Operand(self.tensors[factor.name], tuple([find(index) for index in factor.indices]))
            for factor in (derivative.of, *derivative.by)
        ]
        return Partial(of, tuple(by))


class _Parts:
    """What a product consists of: operands with their indices, numbers, and indices that δ makes equal."""

    def __init__(self) -> None:
        self.factors: list[Expr] = []
        self.operands: list[Node] = []
        self.indices: list[Labels] = []
        self.derivatives: list[Derivative] = []
        self.windows: list[Operand] = []
        self.places: dict[str, int] = {}
        self.coefficient: Scalar = 1
        self.numbers: list[Scalar] = []
        self.union = Union()

    def add(self, factor: Expr, node: Node, indices: Labels) -> None:
        self.factors.append(factor)
        self.operands.append(node)
        self.indices.append(indices)

    def multiply(self, value: Scalar, divisor: Scalar | None) -> None:
        self.coefficient = self.coefficient * value if divisor is None else self.coefficient / divisor
        self.numbers.append(value)

    def dtype(self, operands: list[Node]) -> DType:
        """The dtype of the product; of truth values alone, that of what was compared."""
        found = promote(tuple(_countable(operands)), self.coefficient) if operands else np.dtype(int)
        return np.result_type(found, *self.numbers)


def factors(expr: Expr) -> tuple[Expr, ...]:
    """The factors of a product, or the one factor that an expression is."""
    return expr.factors if isinstance(expr, Product) else (expr,)


def constant(expr: Expr) -> Scalar | None:
    """The number that an expression of numbers only is; None where it holds a tensor, a function or a sum."""
    if isinstance(expr, Number):
        return expr.value
    if isinstance(expr, Factor | Derivative | Call | Binder):
        return None
    values = [constant(part) for part in parts(expr)]
    known = [value for value in values if value is not None]
    return _computed(expr, known) if len(known) == len(values) else None


def _computed(expr: Expr, values: list[Scalar]) -> Scalar:
    match expr:
        case Negative():
            return -values[0]
        case Inverse():
            return 1 / values[0]
        case Power():
            return _raised(*values)
        case Product(factors):
            return _native(_multiplied(factors, values))
        case _:
            return _native(sum(values))


def _multiplied(parts: tuple[Expr, ...], values: list[Scalar]) -> Scalar:
    result: Scalar = 1
    for part, value in zip(parts, values, strict=True):
        divisor = constant(part.body) if isinstance(part, Inverse) else None
        result = result * value if divisor is None else result / divisor
    return result


def _raised(base: Scalar, exponent: Scalar) -> Scalar:
    """``base**exponent``: exact for whole numbers up to 62 bits, else in floating point."""
    if isinstance(base, complex) or isinstance(exponent, complex):
        return complex(complex(base) ** exponent)
    if isinstance(base, int) and isinstance(exponent, int) and 0 <= exponent * base.bit_length() <= 62:
        return int(base**exponent)
    try:
        return math.pow(base, exponent)
    except ValueError:
        raise ZeroDivisionError(f"{base}**{exponent} is no real number") from None


def _native(value: Scalar) -> Scalar:
    """Whole numbers beyond 64 bits as floats."""
    return float(value) if isinstance(value, int) and value.bit_length() > 63 else value


def _apply(row: Pointwise, args: list[Node]) -> Node:
    """A function of nodes. Smooth ones take truth values as numbers; the condition of ``where`` is a truth value."""
    if row.name == "where":
        if args[0].dtype.kind != "b":
            zero = build.constant_like(0, args[0].dtype, args[0].shape)
            args = [Map(POINTWISE["not_equal"], args[0], zero), *args[1:]]
    elif any(row.derivatives):
        args = _countable(args)
    return Map(row, *args)


def _inexact(node: Node) -> Node:
    return node if node.dtype.kind in "fc" else build.cast(node, float)


def _weakened(exprs: Sequence[Expr], nodes: Sequence[Node]) -> list[Node]:
    """Where tensors stand beside expressions of numbers and δ, the latter do not decide the dtype."""
    weak = [next(factors_of(expr), None) is None for expr in exprs]
    strong = tuple([node for node, is_weak in zip(nodes, weak, strict=True) if not is_weak])
    if not strong or not any(weak):
        return list(nodes)
    dtype = promote(strong)
    return [
        build.cast(node, np.result_type(dtype, _scalar_of_kind[node.dtype.kind])) if is_weak else node
        for node, is_weak in zip(nodes, weak, strict=True)
    ]


_scalar_of_kind: dict[str, Scalar] = {"b": False, "i": 0, "u": 0, "f": 0.0, "c": 0j}


def _countable(nodes: Sequence[Node]) -> list[Node]:
    """Truth values alone become 0 and 1 in the dtype of what was compared (whole numbers where that is boolean)."""
    if any(node.dtype.kind != "b" for node in nodes):
        return list(nodes)
    return [build.cast(node, _compared_dtype(node)) for node in nodes]


def _compared_dtype(node: Node) -> DType:
    stack, found = [node], []
    while stack:
        below = stack.pop()
        if below.dtype.kind != "b":
            found.append(below.dtype)
        elif isinstance(below, Map):
            stack.extend(below.children)
    return np.result_type(*found) if found else np.dtype(int)
