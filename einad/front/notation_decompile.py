"""Nodes to records: what a graph of nodes says in index notation.

Einsums of Einsums become one product, except at nodes that have a name. Indices are called as the axes they stand on
where that name is not taken, otherwise by fresh letters.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

import numpy as np

from einad.errors import DerivativeError
from einad.front import notation_records as records
from einad.front.notation import fresh
from einad.front.notation_flatten import Flat, Labels
from einad.front.notation_nodes import constant
from einad.front.notation_print import expression_text
from einad.front.notation_records import (
    DELTA,
    Binder,
    Call,
    Expr,
    Factor,
    Inverse,
    Negative,
    Number,
    Power,
    Product,
    Statement,
    Sum,
    factors_of,
    free,
    index_names,
)
from einad.front.notation_sums import implicit
from einad.front.notation_windows import Windows
from einad.ir.expr import Add, Affine, Einsum, Input, Literal, Map, Node, Scalar
from einad.ops.pointwise import POINTWISE

Names = tuple[str, ...]
Hints = Mapping[int, Iterable[str]]


class Decompiler:
    """Writes nodes in index notation.

    Parameters
    ----------
    named : mapping
        Nodes that stand under a name; inputs that are not in it stand under their own.
    axis_names : callable
        The names of the axes of a tensor, which indices are called after.
    size_names : mapping, optional
        Names for indices that stand on no tensor, by their size.
    windows : mapping, optional
        Windows whose first axis is that of a tensor, and whether ``pad(..)`` stands around it.
    """

    def __init__(
        self,
        named: Mapping[Node, str],
        axis_names: Callable[[str], Names],
        size_names: Hints | None = None,
        windows: Mapping[Affine, bool] | None = None,
    ) -> None:
        self.named, self.axis_names, self.size_names = named, axis_names, size_names or {}
        self.windows = windows or {}
        self._hints: dict[Node, tuple[str | None, ...]] = {}
        self._written: dict[tuple[Node, Names], Expr] = {}
        self._sizes: dict[str, int] = {}

    def statement(self, target: str, node: Node, names: Names) -> Statement:
        """``target[names] = node``; axes that are equal in all terms get one name (a repeated index on the left)."""
        names = self._joined(node, names)
        self._written, self._sizes = {}, dict(zip(names, node.shape, strict=True))
        expr = self.expression(node, names, frozenset(names))
        return implicit(Statement(target, names, _inexact(expr) if node.dtype.kind in "fc" else expr))

    def _joined(self, node: Node, names: Names) -> Names:
        """The names with those of equal axes made one."""
        axes = tuple(range(len(names)))
        common: set[tuple[int, int]] | None = None
        for term in self._terms(node):
            flat = self._flat(term, axes)
            if flat.coefficient == 0:
                continue
            equal = {(p, q) for q in axes for p in axes[:q] if flat.axes[p] == flat.axes[q]}
            common = equal if common is None else common & equal
        joined = list(names)
        for p, q in sorted(common or ()):
            joined[q] = joined[p]
        return tuple(joined)

    def _terms(self, node: Node) -> list[Node]:
        stack, found = [node], []
        while stack:
            term = stack.pop()
            if isinstance(term, Add) and term not in self.named:
                stack.extend(reversed(term.children))
            else:
                found.append(term)
        return found

    def _flat(self, node: Node, axes: Labels) -> Flat:
        return Flat(node, axes, self.named)

    def expression(self, node: Node, names: Names, taken: frozenset[str]) -> Expr:
        """The node with its axes named; ``taken`` are the names in use around it. Every sum is explicit."""
        found = self._expression(node, names, taken)
        self._written[node, names] = found
        return found

    def _again(self, node: Node, names: Names, scope: frozenset[str], used: frozenset[str]) -> Expr:
        """The node as it was written before, if no name in it is taken in ``scope``; else without ``used`` names."""
        found = self._written.get((node, names))
        if found is not None and scope.isdisjoint(index_names(found).difference(names)):
            return found
        return self.expression(node, names, used)

    def _expression(self, node: Node, names: Names, taken: frozenset[str]) -> Expr:
        if (name := self._name(node)) is not None:
            return Factor(name, names)
        match node:
            case Add():
                return self._sum(node, names, taken)
            case Map():
                return self._function(node, names, taken)
            case Einsum():
                return self._product(node, names, taken)
            case Literal() if node.ndim == 0:
                return _number(node.value.item())
        raise DerivativeError(f"{node!r} cannot be written in index notation")

    def _name(self, node: Node) -> str | None:
        return self.named.get(node, node.name if isinstance(node, Input) else None)

    def _sum(self, node: Add, names: Names, taken: frozenset[str]) -> Expr:
        merged: dict[str, tuple[Scalar, Expr]] = {}
        for term in self._terms(node):
            coefficient, bare = _split(self.expression(term, names, taken))
            key = _sorted_text(bare)
            before, first = merged.get(key, (0, bare))
            merged[key] = (before + coefficient, first)
        terms = [_scaled(coefficient, bare) for coefficient, bare in merged.values() if coefficient != 0]
        return records.total(terms) if terms else Number(0)

    def _function(self, node: Map, names: Names, taken: frozenset[str]) -> Expr:
        args: list[Expr] = []
        used = taken | set(names)
        for child in node.children:
            args.append(self.expression(child, names, used))
            used |= index_names(args[-1])
        match node.row.name:
            case "reciprocal":
                return records.inverse(args[0])
            case "square":
                return Power(args[0], Number(2))
            case "power":
                return Power(args[0], args[1])
        return Call(node.row.name, tuple(args))

    def _product(self, node: Einsum, names: Names, taken: frozenset[str]) -> Expr:
        numbers = {name: n for n, name in enumerate(dict.fromkeys(names))}
        flat = self._flat(node, tuple([numbers[name] for name in names]))
        if flat.coefficient == 0:
            return Number(0)
        called: dict[int, str] = {}
        factors: list[Expr] = []
        for name, label in zip(names, flat.axes, strict=True):
            if called.setdefault(label, name) != name and Factor(DELTA, (called[label], name)) not in factors:
                factors.append(Factor(DELTA, (called[label], name)))
        used = taken | set(names)
        summed = []
        windows = Windows(flat, lambda found: self._name(found) is not None, self.windows)
        for label, n in flat.contracted.items():
            if label in windows.places:
                continue
            called[label] = self._choose(label, n, flat, used)
            used |= {called[label]}
            summed.append(called[label])
        scope = used
        if windows.is_zero:
            return Number(0)
        factors += windows.deltas(called)
        for factor, labels in windows.factors:
            expr: Expr
            if windows.places.isdisjoint(labels):
                expr = self._again(factor, tuple([called[label] for label in labels]), scope, used)
            else:
                expr = windows.tensor(str(self._name(factor)), labels, called)
            used |= index_names(expr)
            factors.append(expr)
        return _written(flat.coefficient, factors, summed)

    def _choose(self, label: int, size: int, flat: Flat, used: frozenset[str]) -> str:
        """A name for a summed label: that of an axis it stands on. A name has one size within a statement."""
        hints = [
            self._axis_hints(factor)[axis]
            for factor, labels in flat.factors
            for axis, at in enumerate(labels)
            if at == label
        ]
        for name in (*hints, *self.size_names.get(size, ())):
            if name is not None and name not in used and self._sizes.setdefault(name, size) == size:
                return name
        name = fresh({*used, *[name for name, n in self._sizes.items() if n != size]})
        self._sizes[name] = size
        return name

    def _axis_hints(self, node: Node) -> tuple[str | None, ...]:
        found = self._hints.get(node)
        if found is None:
            found = self._hints[node] = self._find_hints(node)
        return found

    def _find_hints(self, node: Node) -> tuple[str | None, ...]:
        if (name := self._name(node)) is not None:
            return self.axis_names(name)
        if isinstance(node, Einsum):
            flat = self._flat(node, tuple(range(node.ndim)))
            by_label = {
                label: hint
                for factor, labels in reversed(flat.factors)
                for label, hint in zip(labels, self._axis_hints(factor), strict=True)
                if hint is not None
            }
            return tuple([by_label.get(label) for label in flat.axes])
        below = [self._axis_hints(child) for child in node.children]
        return tuple([next((hints[axis] for hints in below if hints[axis]), None) for axis in range(node.ndim)])


def _written(coefficient: Scalar, factors: list[Expr], summed: list[str]) -> Expr:
    """A product in the order number, δ, tensors, functions, divisors; the sign in front of its sum."""
    coefficient, factors = _numbers_out(coefficient, factors)
    ordered = sorted(_squared(factors, summed), key=_rank)
    sign, number = _sign(coefficient)
    if number is not None or not ordered:
        ordered.insert(0, number or Number(1))
    body = records.product(ordered)
    if isinstance(body, Negative):
        sign, body = not sign, body.body
    found = records.binder(summed, body)
    return Negative(found) if sign else found


def _numbers_out(coefficient: Scalar, factors: list[Expr]) -> tuple[Scalar, list[Expr]]:
    """Factors that are numbers go to the coefficient."""
    kept: list[Expr] = []
    for factor in factors:
        value = constant(factor)
        if value is None:
            kept.append(factor)
        else:
            coefficient = coefficient * value
    return coefficient, kept


def _squared(factors: list[Expr], summed: list[str]) -> list[Expr]:
    """Equal factors, over no summed index, as powers."""
    counts = Counter(factors)
    return [
        factor if n == 1 or not set(summed).isdisjoint(free(factor)) else _raised(factor, n)
        for factor, n in counts.items()
        for _ in range(1 if set(summed).isdisjoint(free(factor)) else n)
    ]


def _raised(factor: Expr, n: int) -> Expr:
    if isinstance(factor, Factor) and factor.name == DELTA:
        return factor
    return Inverse(_raised(factor.body, n)) if isinstance(factor, Inverse) else Power(factor, Number(n))


def _rank(factor: Expr) -> int:
    if isinstance(factor, Factor):
        return 0 if factor.name == DELTA else 1
    return 3 if isinstance(factor, Inverse) else 2


def _sign(coefficient: Scalar) -> tuple[bool, Expr | None]:
    """Whether a coefficient is negative, and its absolute value as a factor; None for one."""
    coefficient = _tidy(coefficient)
    if not isinstance(coefficient, complex):
        return coefficient < 0, None if abs(coefficient) == 1 else Number(abs(coefficient))
    if coefficient.real == 0:
        return coefficient.imag < 0, Number(complex(0, abs(coefficient.imag)))
    return False, _number(coefficient)


def _number(value: Scalar) -> Expr:
    """A number, signed or complex, as records."""
    value = _tidy(value)
    if isinstance(value, complex):
        imaginary = Number(complex(0, abs(value.imag)))
        signed = Negative(imaginary) if value.imag < 0 else imaginary
        return signed if value.real == 0 else Sum((_number(value.real), signed))
    return Negative(Number(-value)) if value < 0 else Number(value)


def _tidy(value: Scalar) -> Scalar:
    """Whole numbers as such; numbers without an imaginary part as real ones."""
    if isinstance(value, complex) and value.imag == 0:
        value = value.real
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e6:
        return int(value)
    return value


def _split(expr: Expr) -> tuple[Scalar, Expr]:
    """A term as coefficient and the rest."""
    sign = 1
    if isinstance(expr, Negative):
        sign, expr = -1, expr.body
    value = constant(expr)
    if value is not None:
        return sign * value, Number(1)
    if isinstance(expr, Binder):
        coefficient, body = _split(expr.body)
        return sign * coefficient, replace(expr, body=body)
    if isinstance(expr, Product) and isinstance(expr.factors[0], Number):
        return sign * expr.factors[0].value, records.product(expr.factors[1:])
    return sign, expr


def _scaled(coefficient: Scalar, bare: Expr) -> Expr:
    if isinstance(bare, Number):
        return _number(coefficient)
    if isinstance(bare, Binder):
        return _written(coefficient, list(_factors(bare.body)), list(bare.indices))
    return _written(coefficient, list(_factors(bare)), [])


def _factors(expr: Expr) -> tuple[Expr, ...]:
    return expr.factors if isinstance(expr, Product) else (expr,)


def _sorted_text(expr: Expr) -> str:
    """A key that is equal for products of the same factors in any order."""
    if isinstance(expr, Binder):
        return f"{sorted(expr.indices)}{_sorted_text(expr.body)}"
    return " * ".join(sorted(expression_text(factor) for factor in _factors(expr)))


def _inexact(expr: Expr) -> Expr:
    """An expression whose value is a float, even if it consists of whole numbers, δ or a truth value."""
    value = constant(expr)
    if value is not None:
        return Number(float(value)) if isinstance(value, int) and value >= 0 else expr
    if next(factors_of(expr), None) is None or (isinstance(expr, Call) and _is_truth(expr)):
        return records.product([Number(1.0), expr])
    return expr


def _is_truth(call: Call) -> bool:
    row = POINTWISE[call.function]
    return row.result_dtype((np.dtype(float),) * row.arity).kind == "b"
