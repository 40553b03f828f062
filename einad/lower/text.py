"""Index notation for the steps of a plan."""

from __future__ import annotations

from collections.abc import Sequence

from einad.ir.expr import Scalar
from einad.ir.spec import symbol
from einad.lower.program import Program
from einad.lower.view import View


def indexed(name: str, labels: Sequence[int]) -> str:
    """``t1[a,b]``, or the bare name where there are no labels.

    >>> indexed("t1", (0, 1))
    't1[a,b]'
    """
    return f"{name}[{','.join(map(symbol, labels))}]" if labels else name


def reading(view: View, program: Program) -> str:
    """A view's register under the view's labels, or the number it stands for."""
    if view.register is None:
        return number(view.coefficient)
    return indexed(program.registers[view.register].name, view.stored)


def number(value: Scalar) -> str:
    """A number as short as it can be said: 2 rather than 2.0.

    >>> number(2.0), number(0.5)
    ('2', '0.5')
    """
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e16:
        return str(int(value))
    return str(value)


def product(coefficient: Scalar, factors: Sequence[str]) -> str:
    """``0.5 * a[i] * b[i]``.

    >>> product(-1, ["a[i]"])
    '-a[i]'
    """
    text = " * ".join(factors) if factors else number(coefficient)
    if not factors or coefficient == 1:
        return text
    return f"-{text}" if coefficient == -1 else f"{number(coefficient)} * {text}"


def say(program: Program, register: int, labels: Sequence[int], right: str) -> None:
    """Describe the call that made ``register``: ``t3[labels] = right``."""
    program.describe(f"{indexed(program.registers[register].name, labels)} = {right}")
