"""The summation rule: which indices are summed, and where.

Within one product an index that is not free (on the left side, bound by an enclosing ``sum[..]``, or standing
elsewhere in an enclosing product) is summed over that product if it stands in two or more of its factors, or,
outside functions, in a plain factor ``A[i,j]``. An index that stands inside one function or parenthesis only is
treated inside. There it may stand alone in a function; then two readings are possible, and it is refused.

`explicit` writes every sum as a binder; `implicit` takes back those binders that the rule puts there again.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from einad.errors import NotationError
from einad.front.notation_print import expression_text
from einad.front.notation_records import (
    Binder,
    Call,
    Derivative,
    Expr,
    Factor,
    Inverse,
    Negative,
    Power,
    Product,
    Statement,
    Sum,
    edit,
    every,
    free,
    parts,
    replace_part,
    with_parts,
)

MAX_TRIALS = 100


class _Place(NamedTuple):
    """Where an expression stands: the indices that are free there, and the outermost function around it."""

    free: frozenset[str]
    function: Expr | None
    text: str | None


def explicit(statement: Statement, text: str | None = None) -> Statement:
    """The statement with every sum written as ``sum[..](..)``; indices of a sum in alphabetical order.

    Raises
    ------
    NotationError
        For an index alone inside a function, with both readings.

    Examples
    --------
    >>> from einad.front.notation_print import statement_text
    >>> from einad.front.notation_read import read
    >>> (statement,) = read("z[i] = tanh(W[i,j] * x[j]) + b[k]")
    >>> print(statement_text(explicit(statement)))
    z[i] = tanh(sum[j](W[i,j] * x[j])) + sum[k](b[k])
    """
    place = _Place(frozenset(statement.indices), None, text)
    return replace(statement, expression=_expression(statement.expression, place))


def _expression(expr: Expr, place: _Place) -> Expr:
    match expr:
        case Sum() | Negative():
            return with_parts(expr, tuple([_expression(part, place) for part in parts(expr)]))
        case Binder(indices, body):
            inside = _expression(body, place._replace(free=place.free | set(indices)))
            return _binder(indices, inside, expr.at)
        case _:
            return _term(expr, place)


def _term(term: Expr, place: _Place) -> Expr:
    """A product, or a single factor, with the sums over it."""
    factors = term.factors if isinstance(term, Product) else (term,)
    summed = [index for index in free(term) if index not in place.free and _summed_here(index, factors, term, place)]
    inside = place._replace(free=place.free | set(summed))
    if isinstance(term, Product):
        term = replace(term, factors=tuple([_factor(factor, inside) for factor in factors]))
    else:
        term = _factor(term, inside)
    return _binder(tuple(summed), term, term.at)


def _summed_here(index: str, factors: tuple[Expr, ...], term: Expr, place: _Place) -> bool:
    standing = [factor for factor in factors if index in free(factor)]
    if len(standing) > 1:
        return True
    if not isinstance(standing[0], Factor | Derivative):
        return False
    if place.function is not None:
        _refuse(index, term, standing[0], place.function, place.text)
    return True


def _factor(factor: Expr, place: _Place) -> Expr:
    """What is inside a factor; indices of other factors are free in it."""
    if isinstance(factor, Sum | Binder | Negative):
        return _expression(factor, place)
    if not isinstance(factor, Call | Power | Inverse):
        return factor
    inside = place._replace(function=factor) if place.function is None else place
    return with_parts(factor, tuple([_expression(part, inside) for part in parts(factor)]))


def _binder(indices: tuple[str, ...], body: Expr, at: int) -> Expr:
    """A sum in the form in which sums are compared: nested ones joined, indices in order."""
    if not indices:
        return body
    if isinstance(body, Binder) and not set(indices) & set(body.indices):
        indices, body = indices + body.indices, body.body
    return Binder(tuple(sorted(indices)), body, at)


def _refuse(index: str, term: Expr, factor: Factor | Derivative, function: Expr, text: str | None) -> None:
    outside = expression_text(Binder((index,), function))
    inside = expression_text(replace_part(function, term, Binder((index,), term)))
    raise NotationError(
        f"the index {index!r} stands alone inside a function; its sum could be outside or inside. Write\n"
        f"  {outside}\nor\n  {inside}\nor put {index!r} on the left side",
        text,
        factor.at,
    )


def implicit(statement: Statement) -> Statement:
    """The statement without the sums that the rule implies; `explicit` gives the same for both."""
    wanted = explicit(statement)
    bare = replace(statement, expression=_strip_all(statement.expression))
    if _implies(bare, wanted):
        return bare
    binders = [part for part in every(statement.expression) if isinstance(part, Binder)]
    for binder in binders[:MAX_TRIALS]:
        statement = _strip_one(statement, binder, wanted)
    return statement


def _implies(statement: Statement, wanted: Statement) -> bool:
    try:
        return explicit(statement) == wanted
    except NotationError:
        return False


def _strip_all(expr: Expr) -> Expr:
    return edit(expr, lambda part: _strip_all(part.body) if isinstance(part, Binder) else None)


def _strip_one(statement: Statement, binder: Binder, wanted: Statement) -> Statement:
    kept = binder.indices
    for index in binder.indices:
        fewer = tuple(name for name in kept if name != index)
        slim = Binder(fewer, binder.body) if fewer else binder.body
        tried = replace(statement, expression=replace_part(statement.expression, binder, slim))
        if _implies(tried, wanted):
            statement, kept = tried, fewer
            if not isinstance(slim, Binder):
                break
            binder = slim
    return statement
