"""A term of a factored tensor in index notation."""

from __future__ import annotations

from collections.abc import Sequence

from einad.factored.terms import Term
from einad.ir.expr import Scalar


def sum_text(terms: Sequence[Term], letters: Sequence[str]) -> str:
    """The sum of terms; ``0`` if there is none."""
    text = " + ".join(term_text(term, letters) for term in terms) or "0"
    return text.replace("+ -", "- ")


def term_text(term: Term, letters: Sequence[str]) -> str:
    """For example ``2 δ[i,k] M[j,l]``; ``letters`` name the axes of the whole tensor."""
    first = {label: letters[axis] for axis, label in reversed(list(enumerate(term.output)))}
    tied = sorted((term.output.index(label), axis) for axis, label in enumerate(term.output))
    deltas = [f"δ[{letters[axis]},{letters[other]}]" for axis, other in tied if axis != other]
    factors = [
        f"{f.name}[{','.join(first[label] for label in f.labels)}]" if f.labels else f.name for f in term.factors
    ]
    return _scaled(term.coefficient, " ".join([*deltas, *factors]))


def _scaled(value: Scalar, product: str) -> str:
    number = f"{value:.6g}" if isinstance(value, float) else str(value)
    if not product:
        return number
    return {"1": product, "-1": f"-{product}"}.get(number, f"{number} {product}")
