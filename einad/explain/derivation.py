"""The derivative of a product written out: the Kronecker-delta steps from a statement to its einsum."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from einad.errors import DerivativeError
from einad.explain.latex import expression_latex, statement_latex, tensor_latex
from einad.front.notation import Program, fresh
from einad.front.notation_print import expression_text, statement_text, tensor_text
from einad.front.notation_records import (
    DELTA,
    Binder,
    Expr,
    Factor,
    Inverse,
    Negative,
    Number,
    Power,
    Product,
    Statement,
    Sum,
    edit,
    factors_of,
    free,
    with_parts,
)
from einad.front.notation_sizes import Union

Names = tuple[str, ...]


@dataclass(frozen=True)
class Step:
    """One line of a derivation, as text and in LaTeX."""

    text: str
    latex: str


@dataclass(frozen=True)
class Derivation:
    """The steps from a statement to the einsum of its derivative.

    Examples
    --------
    >>> from einad.front.notation import parse
    >>> print(derivation(parse("z[i] = W[i,j] * x[j]"), 0, "W"))
    1. z[i] = W[i,j] * x[j]
    2. ∂z[i]/∂W[k,l] = δ[i,k] δ[j,l] x[j]
    3. W_bar[k,l] = z_bar[i] δ[i,k] δ[j,l] x[j] = z_bar[k] x[l]
    4. einsum "k,l->kl"
    """

    steps: tuple[Step, ...]

    def __str__(self) -> str:
        return "\n".join(f"{n}. {step.text}" for n, step in enumerate(self.steps, 1))

    def latex(self) -> str:
        """The steps as an ``aligned`` block."""
        body = " \\\\\n".join(f"&{step.latex}" for step in self.steps)
        return f"\\begin{{aligned}}\n{body}\n\\end{{aligned}}"

    def html(self) -> str:
        """The steps as a numbered list."""
        return "<ol>" + "".join(f"<li><code>{_escaped(step.text)}</code></li>" for step in self.steps) + "</ol>"

    def _repr_html_(self) -> str:
        return self.html()


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


@dataclass(frozen=True)
class _Term:
    """One occurrence of the tensor in one product: the indices it has there, the other factors, the number."""

    indices: Names
    others: tuple[Expr, ...]
    negative: bool


def derivation(program: Program, k: int, wrt: str) -> Derivation:
    """The derivation for statement ``k``, a sum of products, by a tensor that stands in it as a plain factor.

    Raises
    ------
    DerivativeError
        If the tensor stands inside a function or parenthesis, or not in this statement.
    """
    statement = program.explicit[k]
    _require_names(statement)
    terms = _terms(statement, wrt)
    names = _new_indices(program, len(terms[0].indices))
    cotangent = Factor(f"{statement.target}_bar", statement.indices)
    left = Factor(f"{wrt}_bar", names)
    slopes = [_deltas(term, names) for term in terms]
    pulled = [(cotangent, *slope) for slope in slopes]
    solved = [_solve(factors, names) for factors in pulled]
    signs = [term.negative for term in terms]
    return Derivation(
        (
            Step(statement_text(program.statements[k]), statement_latex(statement)),
            _partial_step(statement, Factor(wrt, names), slopes, signs),
            _chain([_text(left), _joined(pulled, signs, _text), _joined(solved, signs, _text)],
                   [_tex(left), _joined(pulled, signs, _tex), _joined(solved, signs, _tex)]),
            _einsum_step(solved, signs, names),
        )
    )  # fmt: skip


def _require_names(statement: Statement) -> None:
    """The steps are written for indices that are names."""
    for factor in factors_of(statement.expression):
        if not factor.is_plain:
            raise DerivativeError(
                f"the steps are written for plain indices, and {expression_text(factor)} stands in "
                f"'{statement_text(statement)}'; its vjp writes the same deltas out"
            )


def _partial_step(statement: Statement, by: Factor, slopes: list[tuple[Expr, ...]], signs: list[bool]) -> Step:
    of = Factor(statement.target, statement.indices)
    return _chain(
        [f"∂{_text(of)}/∂{_text(by)}", _joined(slopes, signs, _text)],
        [f"\\frac{{\\partial {_tex(of)}}}{{\\partial {_tex(by)}}}", _joined(slopes, signs, _tex)],
    )


def _terms(statement: Statement, wrt: str) -> list[_Term]:
    expr = statement.expression
    found: list[_Term] = []
    for term in expr.terms if isinstance(expr, Sum) else (expr,):
        negative, body = (True, term.body) if isinstance(term, Negative) else (False, term)
        body = body.body if isinstance(body, Binder) else body
        factors = _apart(body)
        for at, factor in enumerate(factors):
            if isinstance(factor, Factor) and factor.name == wrt:
                found.append(_Term(factor.indices, factors[:at] + factors[at + 1 :], negative))
            elif any(below.name == wrt for below in factors_of(factor)):
                _refuse(statement, wrt, factor)
    if not found:
        raise DerivativeError(
            f"{wrt} does not stand in '{statement_text(statement)}'; ask for the derivation of a statement it stands in"
        )
    return found


def _apart(body: Expr) -> tuple[Expr, ...]:
    """The factors of a product, small whole powers of a tensor written as products."""
    found: list[Expr] = []
    for factor in body.factors if isinstance(body, Product) else (body,):
        match factor:
            case Power(Factor() as base, Number(int(count))) if 2 <= count <= 4:
                found.extend([base] * count)
            case _:
                found.append(factor)
    return tuple(found)


def _refuse(statement: Statement, wrt: str, factor: Expr) -> None:
    raise DerivativeError(
        f"{wrt} stands inside {expression_text(factor)} in '{statement_text(statement)}'; the steps are written for "
        f"products of tensors. Give that part a statement of its own and ask for the derivation of each"
    )


def _new_indices(program: Program, count: int) -> Names:
    letters = "ijklmnopqrstuvwxyzabcdefgh"
    candidates = [*letters, *[f"{letter}{n}" for n in range(1, 9) for letter in letters]]
    free = [name for name in candidates if name not in program.indices]
    return tuple(free[:count])


def _deltas(term: _Term, names: Names) -> tuple[Expr, ...]:
    deltas = [Factor(DELTA, pair) for pair in zip(term.indices, names, strict=True)]
    numbers = [factor for factor in term.others if isinstance(factor, Number)]
    return (*numbers, *deltas, *[factor for factor in term.others if not isinstance(factor, Number)])


def _solve(factors: tuple[Expr, ...], names: Names) -> tuple[Expr, ...]:
    """Rename indices as the deltas say; a delta between two of ``names`` stays."""
    union = Union()
    for name in names:
        union.find(name)
    kept: list[Expr] = []
    for factor in factors:
        if isinstance(factor, Factor) and factor.name == DELTA:
            first, second = (str(union.find(index)) for index in factor.indices)
            if first in names and second in names and first != second:
                kept.append(Factor(DELTA, (first, second)))
            union.join(*((first, second) if first in names else (second, first)))
    rename = {key: str(union.find(key)) for key in union.parent if isinstance(key, str) and key not in names}
    others = [factor for factor in factors if not _is_delta(factor)]
    return (*[f for f in others if isinstance(f, Number)], *kept,
            *[_renamed(f, rename) for f in others if not isinstance(f, Number)])  # fmt: skip


def _renamed(expr: Expr, names: dict[str, str]) -> Expr:
    def rule(part: Expr) -> Expr | None:
        if isinstance(part, Factor):
            return Factor(part.name, tuple([names.get(index, index) for index in part.indices]))
        if isinstance(part, Binder):
            inner = {old: new for old, new in names.items() if old not in part.indices}
            return with_parts(part, (_renamed(part.body, inner),))
        return None

    return edit(expr, rule)


def _chain(texts: list[str], latexes: list[str]) -> Step:
    return Step(" = ".join(texts), " = ".join(latexes))


def _joined(terms: Sequence[tuple[Expr, ...]], signs: list[bool], write: Callable[[Expr], str]) -> str:
    """Terms beside one another with their signs, the factors of each beside one another."""
    text = ""
    for factors, negative in zip(terms, signs, strict=True):
        joint = (" - " if negative else " + ") if text else "-" * negative
        text += joint + (" ".join(write(factor) for factor in factors) or "1")
    return text


def _text(factor: Expr) -> str:
    text = expression_text(factor) if not isinstance(factor, Factor) else tensor_text(factor.name, factor.indices)
    return f"({text})" if isinstance(factor, Sum | Inverse | Binder | Negative) else text


def _tex(factor: Expr) -> str:
    text = expression_latex(factor) if not isinstance(factor, Factor) else tensor_latex(factor.name, factor.indices)
    return f"\\left({text}\\right)" if isinstance(factor, Sum | Binder | Negative) else text


def _einsum_step(solved: list[tuple[Expr, ...]], signs: list[bool], names: Names) -> Step:
    text = ""
    for factors, negative in zip(solved, signs, strict=True):
        joint = (" - " if negative else " + ") if text else "-" * negative
        text += joint + _einsum_text(factors, names)
    return Step(text, f"\\texttt{{{text}}}")


def _einsum_text(factors: tuple[Expr, ...], names: Names) -> str:
    """``einsum "k,l->kl"`` in the closed notation: a delta is a label repeated in the output."""
    numbers = [expression_text(factor) for factor in factors if isinstance(factor, Number)]
    union = Union()
    for factor in factors:
        if isinstance(factor, Factor) and factor.name == DELTA:
            union.join(*factor.indices)
    operands = [factor for factor in factors if not _is_delta(factor) and not isinstance(factor, Number)]
    inputs = [[union.find(i) for i in (f.indices if isinstance(f, Factor) else free(f))] for f in operands]
    output = [union.find(name) for name in names]
    letters = _letters([str(label) for labels in (*inputs, output) for label in labels])
    written = ["".join(letters[str(label)] for label in labels) for labels in (*inputs, output)]
    return " ".join([*numbers, f'einsum "{",".join(written[:-1])}->{written[-1]}"'])


def _letters(labels: list[str]) -> dict[str, str]:
    """The labels themselves where they are letters, other letters for longer names."""
    taken = {label for label in labels if len(label) == 1}
    found: dict[str, str] = {}
    for label in dict.fromkeys(labels):
        found[label] = label if len(label) == 1 else fresh(taken)
        taken.add(found[label])
    return found


def _is_delta(factor: Expr) -> bool:
    return isinstance(factor, Factor) and factor.name == DELTA
