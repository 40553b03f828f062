"""The second door: strings in index notation. ``parse`` reads and checks a text; what it means is in its neighbours.

``notation_read`` makes records of the text, ``notation_sums`` finds the sums, ``notation_sizes`` the extents of
indices, ``notation_nodes`` builds expression nodes, ``notation_decompile`` makes records of nodes again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from typing import NoReturn

from einad.errors import NotationError, point_at
from einad.front.notation_affine import is_plain, names_of
from einad.front.notation_print import statement_text, tensor_text, unparse
from einad.front.notation_read import read
from einad.front.notation_records import Derivative, Expr, Factor, Statement, every, factors_of, index_names, parts
from einad.front.notation_sums import explicit

MAX_STATEMENTS = 10_000


@dataclass(frozen=True)
class Program:
    """A checked text: its statements, as written and with every sum explicit.

    ``text`` is canonical and places in the records are offsets in it.

    >>> program = parse("loss = tanh(W[i,j] * x[j]) * v[i]")
    >>> program.inputs
    {'W': ('i', 'j'), 'x': ('j',), 'v': ('i',)}
    >>> program.outputs
    {'loss': ()}
    """

    text: str
    statements: tuple[Statement, ...]
    explicit: tuple[Statement, ...]

    @cached_property
    def outputs(self) -> dict[str, tuple[str, ...]]:
        """The targets with their indices, in order."""
        return {statement.target: statement.indices for statement in self.statements}

    @cached_property
    def first_uses(self) -> dict[str, Factor]:
        """Where each tensor first stands, targets included."""
        uses: dict[str, Factor] = {}
        for statement in self.statements:
            for factor in factors_of(statement.expression):
                uses.setdefault(factor.name, factor)
            uses.setdefault(statement.target, Factor(statement.target, statement.indices, statement.at))
        return uses

    @cached_property
    def inputs(self) -> dict[str, tuple[str, ...]]:
        """The tensors that come with the call, with the indices of their first use."""
        return {name: use.indices for name, use in self.first_uses.items() if name not in self.outputs}

    @cached_property
    def tensors(self) -> dict[str, tuple[str, ...]]:
        """Inputs and targets with their indices."""
        return {**self.inputs, **self.outputs}

    @cached_property
    def indices(self) -> tuple[str, ...]:
        """Every index name, in order of first appearance."""
        names: dict[str, None] = {}
        for statement in self.statements:
            names.update(dict.fromkeys(statement.indices))
            for part in every(statement.expression):
                names.update(dict.fromkeys(names_of(getattr(part, "indices", ()))))
        return tuple(names)

    @cached_property
    def names(self) -> frozenset[str]:
        """Every name of a tensor."""
        return frozenset(self.tensors)

    def uses(self, k: int) -> tuple[str, ...]:
        """The tensors in the expression of statement ``k``, in order of first appearance."""
        return tuple(dict.fromkeys(factor.name for factor in factors_of(self.statements[k].expression)))

    def axis_names(self, tensor: str) -> tuple[str, ...]:
        """A distinct name for each axis of a tensor: those of its indices, others where they repeat or are affine.

        >>> parse("t = A[i,i]").axis_names("A")
        ('i', 'a')
        >>> parse("y[p] = x[2*p+r] * w[r]").axis_names("x")
        ('a',)
        """
        return distinct(self.tensors[tensor])


def parse(text: str) -> Program:
    """Read and check a text.

    Raises
    ------
    NotationError
        With a caret under the faulty place of the user's own text.
    TypeError
        If ``text`` is no string.
    """
    check(read(text), text)
    canonical = unparse(read(text))
    statements = read(canonical)
    return Program(canonical, statements, tuple([explicit(statement, canonical) for statement in statements]))


def check(statements: tuple[Statement, ...], text: str) -> None:
    """Targets are new names, defined before use; a tensor has one number of indices; no sum is ambiguous."""
    if len(statements) > MAX_STATEMENTS:
        raise NotationError(f"too many statements: {len(statements)}, at most {MAX_STATEMENTS}")
    targets = {statement.target: statement for statement in reversed(statements)}
    known: dict[str, Factor] = {}
    defined: set[str] = set()
    for statement in statements:
        if statement.target in defined:
            first = targets[statement.target]
            _two_places(f"the target {statement.target!r} is defined twice", text, first.at, statement.at)
        for factor in factors_of(statement.expression):
            if factor.name in targets and factor.name not in defined:
                _used_too_early(factor, statement, targets[factor.name], text)
            _check_rank(factor, known, text)
        _check_rank(Factor(statement.target, statement.indices, statement.at), known, text)
        defined.add(statement.target)
        explicit(statement, text)
    _check_derivatives(statements, text)


def _check_derivatives(statements: tuple[Statement, ...], text: str) -> None:
    """A tensor in ``d(..)`` is a target or stands somewhere outside of derivatives."""
    known = {statement.target for statement in statements}
    for statement in statements:
        known.update(factor.name for factor in _outside(statement.expression))
    for statement in statements:
        for factor in factors_of(statement.expression):
            if factor.name not in known:
                near = get_close_matches(factor.name, known, n=1)
                hint = f"did you mean {near[0]!r}?" if near else f"the text has {', '.join(sorted(known))}"
                raise NotationError(f"{factor.name!r} is unknown: it stands in d(..) only; {hint}", text, factor.at)


def _outside(expr: Expr) -> Iterator[Factor]:
    """The factors of an expression that stand outside of derivatives."""
    stack = [expr]
    while stack:
        found = stack.pop()
        if isinstance(found, Factor):
            yield found
        elif not isinstance(found, Derivative):
            stack.extend(parts(found))


def _used_too_early(factor: Factor, statement: Statement, target: Statement, text: str) -> NoReturn:
    if factor.name == statement.target:
        raise NotationError(
            f"{factor.name!r} stands in its own definition (a cycle); give the new value another name", text, factor.at
        )
    _two_places(
        f"{factor.name!r} is used before it is defined; put its statement first (definitions cannot form a cycle)",
        text, factor.at, target.at,
    )  # fmt: skip


def _check_rank(factor: Factor, known: dict[str, Factor], text: str) -> None:
    first = known.setdefault(factor.name, factor)
    if len(first.indices) != len(factor.indices):
        message = (
            f"{factor.name!r} has {_count(len(first.indices))} in one place and {_count(len(factor.indices))} in "
            f"another: {tensor_text(first.name, first.indices)} and {tensor_text(factor.name, factor.indices)}"
        )
        _two_places(message, text, first.at, factor.at)


def _count(n: int) -> str:
    return f"{n or 'no'} ind{'ex' if n == 1 else 'ices'}"


def _two_places(message: str, text: str, first: int, second: int) -> NoReturn:
    raise NotationError(f"{message}\n{point_at(text, first)}\nand", text, second)


def distinct(indices: tuple[str, ...], taken: frozenset[str] = frozenset()) -> tuple[str, ...]:
    """The names with repeated and taken ones replaced by fresh letters."""
    used = set(taken)
    avoid = used | set(names_of(indices))
    found: list[str] = []
    for index in indices:
        name = index if is_plain(index) and index not in used else fresh(avoid)
        found.append(name)
        used.add(name)
        avoid.add(name)
    return tuple(found)


def fresh(taken: set[str]) -> str:
    """A letter, or a letter and a number, that is not taken.

    >>> fresh({"a", "b"})
    'c'
    """
    letters = "abcdefghijklmnopqrstuvwxyz"
    number = 0
    while True:
        for letter in letters:
            name = f"{letter}{number or ''}"
            if name not in taken:
                return name
        number += 1


def statement_indices(statement: Statement) -> set[str]:
    """Every index in a statement."""
    return set(statement.indices) | index_names(statement.expression)


def line_of(statement: Statement) -> str:
    """A statement's text, for messages."""
    return statement_text(statement)
