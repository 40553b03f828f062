"""Statements in index notation as LaTeX."""

from __future__ import annotations

import re
from collections.abc import Sequence

from einad.front.notation import Program
from einad.front.notation_affine import is_plain
from einad.front.notation_print import number_text
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
    Statement,
    Sum,
)

# fmt: off
_GREEK = [
    "alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa", "lambda", "mu", "nu", "xi",
    "pi", "rho", "sigma", "tau", "upsilon", "phi", "chi", "psi", "omega", "Gamma", "Delta", "Theta", "Lambda", "Xi",
    "Pi", "Sigma", "Upsilon", "Phi", "Psi", "Omega",
]
# fmt: on
_FUNCTIONS = {
    name: f"\\{name}"
    for name in ("sin", "cos", "tan", "sinh", "cosh", "tanh", "exp", "log", "arcsin", "arccos", "arctan")
}
_ACCENTS = {"_bar": "bar", "_dot": "dot"}


def latex(program: Program) -> str:
    r"""The statements of a text, one on each line of an ``aligned`` block, every sum written out.

    Examples
    --------
    >>> from einad.front.notation import parse
    >>> print(latex(parse("Y[i,k] = W[i,j] * X[j,k]")))
    Y_{ik} = \sum_{j} W_{ij} X_{jk}
    """
    lines = [statement_latex(statement) for statement in program.explicit]
    if len(lines) == 1:
        return lines[0]
    body = " \\\\\n".join(line.replace(" = ", " &= ", 1) for line in lines)
    return f"\\begin{{aligned}}\n{body}\n\\end{{aligned}}"


def statement_latex(statement: Statement) -> str:
    """One statement, its sums explicit."""
    return f"{tensor_latex(statement.target, statement.indices)} = {expression_latex(statement.expression)}"


def tensor_latex(name: str, indices: tuple[str, ...]) -> str:
    r"""``W_{ij}``; cotangents ``W_bar`` as ``\bar{W}``, tangents ``W_dot`` as ``\dot{W}``."""
    symbol = "\\delta" if name == DELTA else _symbol(name)
    return f"{symbol}_{{{_indices(indices)}}}" if indices else symbol


def expression_latex(expr: Expr) -> str:
    """An expression whose sums are explicit."""
    match expr:
        case Number(value):
            return _number(number_text(value))
        case Factor(name, indices) if expr.padded:
            return f"\\operatorname{{pad}}({tensor_latex(name, ())})_{{{_indices(indices)}}}"
        case Factor(name, indices):
            return tensor_latex(name, indices)
        case Derivative(of, by):
            return _derivative(of, by)
        case Call(function, args):
            return _call(function, [expression_latex(arg) for arg in args])
        case Binder(indices, body):
            return f"\\sum_{{{_indices(indices)}}} {_unless(Sum, body)}"
        case Power(base, exponent):
            return f"{_base(base)}^{{{expression_latex(exponent)}}}"
        case Negative(body):
            return f"-{_unless(Sum, body)}"
        case Sum(terms):
            return _sum(terms)
        case Product(factors):
            return _product(factors)
        case Inverse():
            return _product((expr,))


def _derivative(of: Factor, by: tuple[Factor, ...]) -> str:
    order = f"^{{{len(by)}}}" if len(by) > 1 else ""
    below = " ".join(f"\\partial {expression_latex(factor)}" for factor in by)
    return f"\\frac{{\\partial{order} {expression_latex(of)}}}{{{below}}}"


def _sum(terms: tuple[Expr, ...]) -> str:
    text = expression_latex(terms[0])
    for term in terms[1:]:
        if isinstance(term, Negative):
            text += f" - {_unless(Sum, term.body)}"
        else:
            text += f" + {expression_latex(term)}"
    return text


def _product(factors: tuple[Expr, ...]) -> str:
    above = [factor for factor in factors if not isinstance(factor, Inverse)]
    below = [factor.body for factor in factors if isinstance(factor, Inverse)]
    if not below:
        return _beside(above)
    return f"\\frac{{{_beside(above) or '1'}}}{{{_beside(below)}}}"


def _beside(factors: Sequence[Expr]) -> str:
    """Factors beside one another; sums in parentheses, numbers kept apart by a cross."""
    if len(factors) == 1:
        return expression_latex(factors[0])
    text = ""
    for factor in factors:
        part = _unless((Sum, Binder, Negative), factor)
        joint = " \\cdot " if text and part[0].isdigit() else " "
        text += (joint if text else "") + part
    return text


def _unless(kinds: type | tuple[type, ...], expr: Expr) -> str:
    """The expression, in parentheses where it is one of ``kinds``."""
    text = expression_latex(expr)
    return f"\\left({text}\\right)" if isinstance(expr, kinds) else text


def _base(expr: Expr) -> str:
    text = expression_latex(expr)
    plain = isinstance(expr, Factor | Number) or (isinstance(expr, Call) and expr.function in ("abs", "fabs"))
    return f"{{{text}}}" if plain else f"\\left({text}\\right)"


def _call(function: str, args: list[str]) -> str:
    if function in ("sqrt", "sqrt_or_zero"):
        return f"\\sqrt{{{args[0]}}}"
    if function in ("abs", "fabs"):
        return f"\\left|{args[0]}\\right|"
    if function == "conj":
        return f"\\overline{{{args[0]}}}"
    name = _FUNCTIONS.get(function) or f"\\operatorname{{{_escaped(function)}}}"
    return f"{name}\\left({', '.join(args)}\\right)"


def _indices(indices: tuple[str, ...]) -> str:
    short = all(len(index) == 1 for index in indices)
    return ("" if short else ",").join(map(_index, indices))


def _index(index: str) -> str:
    """A name, or an affine index without its stars: ``2p+r-1``."""
    return "".join(_symbol(part) if is_plain(part) else part for part in re.findall(r"[^\W\d]\w*|\d+|[+-]", index))


def _symbol(name: str) -> str:
    for suffix, accent in _ACCENTS.items():
        if name.endswith(suffix) and len(name) > len(suffix):
            return f"\\{accent}{{{_symbol(name.removesuffix(suffix))}}}"
    if name in _GREEK:
        return f"\\{name}"
    numbered = re.fullmatch(r"([^\W\d_]+)(\d+)", name)
    if numbered:
        return f"{{{_symbol(numbered[1])}^{{({numbered[2]})}}}}"
    return name if len(name) == 1 else f"\\mathrm{{{_escaped(name)}}}"


def _escaped(name: str) -> str:
    return name.replace("_", "\\_")


def _number(text: str) -> str:
    if text == "1e999":
        return "\\infty"
    mantissa, _, exponent = text.partition("e")
    if not exponent:
        return text.replace("j", "i")
    return f"{mantissa} \\cdot 10^{{{int(exponent.rstrip('j'))}}}{'i' * text.endswith('j')}"
