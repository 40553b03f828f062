"""Records back to text: the canonical form, which reads as the same records."""

from __future__ import annotations

import math

from einad.front.notation_records import (
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
    Statement,
    Sum,
)
from einad.ir.expr import Scalar

_SUM, _NEGATIVE, _PRODUCT, _POWER, _ATOM = range(5)


def unparse(statements: tuple[Statement, ...]) -> str:
    """The canonical text: one statement on each line."""
    return "\n".join(statement_text(statement) for statement in statements)


def statement_text(statement: Statement) -> str:
    """``target[indices] = expression``."""
    return f"{tensor_text(statement.target, statement.indices)} = {expression_text(statement.expression)}"


def tensor_text(name: str, indices: tuple[str, ...]) -> str:
    """``A[i,j]``, or the bare name of a scalar."""
    return f"{name}[{','.join(indices)}]" if indices else name


def expression_text(expr: Expr) -> str:
    """An expression with as few parentheses as Python's precedence allows.

    >>> expression_text(Product((Factor("x"), Inverse(Product((Factor("y"), Factor("z")))))))
    'x / (y * z)'
    """
    match expr:
        case Number(value):
            return number_text(value)
        case Factor(name, indices):
            return tensor_text(f"pad({name})" if expr.padded else name, indices)
        case Derivative(of, by):
            return f"d({', '.join(expression_text(part) for part in (of, *by))})"
        case Call(function, args):
            return f"{function}({', '.join(expression_text(arg) for arg in args)})"
        case Binder(indices, body):
            return f"sum[{','.join(indices)}]({expression_text(body)})"
        case Power(base, exponent):
            return f"{_at_least(_ATOM, base)}**{_exponent(exponent)}"
        case Inverse(body):
            return f"1 / {_at_least(_POWER, body)}"
        case Negative(body):
            return f"-{_at_least(_PRODUCT, body)}"
        case Product(factors):
            return _product_text(factors)
        case Sum(terms):
            return _sum_text(terms)


def number_text(value: Scalar) -> str:
    """A number as Python writes it; infinity as a literal too large for a float.

    >>> number_text(0.5), number_text(math.inf), number_text(2j)
    ('0.5', '1e999', '2j')
    """
    if isinstance(value, complex):
        return "1e999j" if math.isinf(value.imag) else repr(complex(0, value.imag))
    if isinstance(value, float) and math.isinf(value):
        return "1e999"
    return repr(value)


def _product_text(factors: tuple[Expr, ...]) -> str:
    first = factors[0]
    text = expression_text(first) if isinstance(first, Inverse) else _at_least(_PRODUCT, first)
    for factor in factors[1:]:
        if isinstance(factor, Inverse):
            text += f" / {_at_least(_POWER, factor.body)}"
        else:
            text += f" * {_at_least(_POWER, factor)}"
    return text


def _sum_text(terms: tuple[Expr, ...]) -> str:
    text = _at_least(_NEGATIVE, terms[0])
    for term in terms[1:]:
        if isinstance(term, Negative):
            text += f" - {_at_least(_PRODUCT, term.body)}"
        else:
            text += f" + {_at_least(_PRODUCT, term)}"
    return text


def _exponent(expr: Expr) -> str:
    if isinstance(expr, Negative) and _level(expr.body) >= _POWER:
        return f"-{_at_least(_POWER, expr.body)}"
    return _at_least(_POWER, expr)


def _at_least(level: int, expr: Expr) -> str:
    text = expression_text(expr)
    return text if _level(expr) >= level else f"({text})"


def _level(expr: Expr) -> int:
    match expr:
        case Sum():
            return _SUM
        case Negative():
            return _NEGATIVE
        case Product() | Inverse():
            return _PRODUCT
        case Power():
            return _POWER
        case _:
            return _ATOM
