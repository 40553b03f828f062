"""The records of the index notation: what a statement such as ``Y[i,k] = W[i,j] * X[j,k]`` consists of.

::

    statement  = target[indices] = expression
    expression = Number | Factor | Derivative | Call | Power | Inverse | Negative | Product | Sum | Binder

A text is read into a normal form: products hold no products and no signs, sums hold no sums, a sign holds no sign.
``at`` is the offset in the text; it takes no part in comparisons.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace

from einad.front.notation_affine import is_plain, names_of
from einad.ir.expr import Scalar

DELTA = "δ"


@dataclass(frozen=True)
class Number:
    """A number, not negative."""

    value: Scalar
    at: int = field(default=0, compare=False)


@dataclass(frozen=True)
class Factor:
    """``A[i,j]``; a bare name for a scalar; ``δ[i,j]``; ``pad(A)[i+1,j]``, zero where an index leaves the tensor.

    An index is a name or the canonical text of an affine index (`einad.front.notation_affine`).
    """

    name: str
    indices: tuple[str, ...] = ()
    at: int = field(default=0, compare=False)
    padded: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """The names in the indices, in order of first appearance."""
        return names_of(self.indices)

    @property
    def is_plain(self) -> bool:
        """Whether every index is a name."""
        return all(map(is_plain, self.indices))


@dataclass(frozen=True)
class Derivative:
    """``d(Y[i,k], X[a,b], ..)``: the derivative of a tensor by others, one after the other."""

    of: Factor
    by: tuple[Factor, ...]
    at: int = field(default=0, compare=False)


@dataclass(frozen=True)
class Call:
    """A pointwise function, ``tanh(..)``."""

    function: str
    args: tuple[Expr, ...]
    at: int = field(default=0, compare=False)


@dataclass(frozen=True)
class Power:
    """``base**exponent``."""

    base: Expr
    exponent: Expr
    at: int = field(default=0, compare=False)


@dataclass(frozen=True)
class Inverse:
    """``1 / body``, a factor of a product."""

    body: Expr
    at: int = field(default=0, compare=False)


@dataclass(frozen=True)
class Negative:
    """``-body``."""

    body: Expr
    at: int = field(default=0, compare=False)


@dataclass(frozen=True)
class Product:
    """Two or more factors."""

    factors: tuple[Expr, ...]
    at: int = field(default=0, compare=False)


@dataclass(frozen=True)
class Sum:
    """Two or more terms."""

    terms: tuple[Expr, ...]
    at: int = field(default=0, compare=False)


@dataclass(frozen=True)
class Binder:
    """``sum[i,j](body)``."""

    indices: tuple[str, ...]
    body: Expr
    at: int = field(default=0, compare=False)


Expr = Number | Factor | Derivative | Call | Power | Inverse | Negative | Product | Sum | Binder


@dataclass(frozen=True)
class Statement:
    """``target[indices] = expression``."""

    target: str
    indices: tuple[str, ...]
    expression: Expr
    at: int = field(default=0, compare=False)


def parts(expr: Expr) -> tuple[Expr, ...]:
    """The expressions directly below one."""
    match expr:
        case Call(args=below) | Product(factors=below) | Sum(terms=below):
            return below
        case Power(base, exponent):
            return base, exponent
        case Derivative(of, by):
            return of, *by
        case Inverse(body) | Negative(body) | Binder(_, body):
            return (body,)
        case _:
            return ()


def with_parts(expr: Expr, below: tuple[Expr, ...]) -> Expr:
    """The same record over other parts."""
    match expr:
        case Call():
            return replace(expr, args=below)
        case Product():
            return replace(expr, factors=below)
        case Sum():
            return replace(expr, terms=below)
        case Power():
            return replace(expr, base=below[0], exponent=below[1])
        case Derivative():
            of, *by = (part for part in below if isinstance(part, Factor))
            return replace(expr, of=of, by=tuple(by))
        case Inverse() | Negative() | Binder():
            return replace(expr, body=below[0])
        case _:
            return expr


def every(expr: Expr) -> Iterator[Expr]:
    """All expressions at and below one, in the order of the text."""
    stack = [expr]
    while stack:
        found = stack.pop()
        yield found
        stack.extend(reversed(parts(found)))


def factors_of(expr: Expr) -> Iterator[Factor]:
    """The factors ``A[i,j]`` in an expression, δ left out, in the order of the text."""
    return (found for found in every(expr) if isinstance(found, Factor) and found.name != DELTA)


def derivatives_of(expr: Expr) -> Iterator[Derivative]:
    """The derivatives ``d(Y[i], X[a])`` in an expression, in the order of the text."""
    return (found for found in every(expr) if isinstance(found, Derivative))


def free(expr: Expr) -> tuple[str, ...]:
    """The indices of an expression that no ``sum[..]`` inside it binds, in order of first appearance.

    >>> free(Product((Factor("A", ("i", "j")), Binder(("k",), Factor("B", ("j", "k", "l"))))))
    ('i', 'j', 'l')
    """
    if isinstance(expr, Factor):
        return expr.names
    inside = tuple(dict.fromkeys(index for part in parts(expr) for index in free(part)))
    if isinstance(expr, Binder):
        return tuple(index for index in inside if index not in expr.indices)
    return inside


def index_names(expr: Expr) -> set[str]:
    """Every index in an expression, bound or free."""
    names: set[str] = set()
    for found in every(expr):
        if isinstance(found, Factor | Binder):
            names.update(names_of(found.indices))
    return names


def replace_part(expr: Expr, old: Expr, new: Expr) -> Expr:
    """``expr`` with the one part that *is* ``old`` replaced."""
    return edit(expr, lambda part: new if part is old else None)


def edit(expr: Expr, rule: Callable[[Expr], Expr | None]) -> Expr:
    """Rebuild an expression from the top: where ``rule`` gives an expression, it stands there; else go on below."""
    found = rule(expr)
    if found is not None:
        return found
    below = parts(expr)
    edited = tuple([edit(part, rule) for part in below])
    same = all(new is old for new, old in zip(edited, below, strict=True))
    return expr if same else with_parts(expr, edited)


def negative(expr: Expr, at: int = 0) -> Expr:
    """``-expr`` in normal form."""
    return expr.body if isinstance(expr, Negative) else Negative(expr, at)


def product(factors: Iterable[Expr], at: int = 0) -> Expr:
    """A product in normal form: flat, its sign in front, ``1 / x`` without the one."""
    flat: list[Expr] = []
    sign = False
    for factor in factors:
        while isinstance(factor, Negative):
            sign, factor = not sign, factor.body
        flat.extend(factor.factors if isinstance(factor, Product) else [factor])
    if len(flat) > 1 and _is_one(flat[0]) and isinstance(flat[1], Inverse):
        del flat[0]
    found = flat[0] if len(flat) == 1 else Product(tuple(flat), at)
    return Negative(found, at) if sign else found


def _is_one(expr: Expr) -> bool:
    return isinstance(expr, Number) and type(expr.value) is int and expr.value == 1


def total(terms: Iterable[Expr], at: int = 0) -> Expr:
    """A sum in normal form: flat."""
    flat = [part for term in terms for part in (term.terms if isinstance(term, Sum) else (term,))]
    return flat[0] if len(flat) == 1 else Sum(tuple(flat), at)


def inverse(expr: Expr, at: int = 0) -> Expr:
    """``1 / expr`` in normal form: the sign in front."""
    if isinstance(expr, Negative):
        return Negative(Inverse(expr.body, at), at)
    return Inverse(expr, at)


def binder(indices: Iterable[str], body: Expr, at: int = 0) -> Expr:
    """``sum[indices](body)``; the body itself where there are no indices; nested sums become one."""
    names = tuple(indices)
    if not names:
        return body
    if isinstance(body, Binder) and not set(names) & set(body.indices):
        return Binder(names + body.indices, body.body, at)
    return Binder(names, body, at)
