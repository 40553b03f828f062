"""A text without ``d(..)``: its derivatives written out as statements, so that the text can be differentiated again."""

from __future__ import annotations

from functools import lru_cache

from einad.expression.derive import jacobian_statements
from einad.front import notation_records as records
from einad.front.notation import Program, parse
from einad.front.notation_print import unparse
from einad.front.notation_records import DELTA, Derivative, Expr, Factor, Number, Statement, derivatives_of, edit


@lru_cache(256)
def expand(program: Program) -> Program:
    """The text with a statement ``dY_dX[..] = ..`` before each that uses ``d(Y[..], X[..])``.

    >>> print(expand(parse("f = x[i] * x[i]; g[i] = d(f, x[i])")).text)
    f = x[i] * x[i]
    df_dx[i] = 2 * x[i]
    g[i] = df_dx[i]
    """
    if not any(True for statement in program.statements for _ in derivatives_of(statement.expression)):
        return program
    expansion = _Expansion()
    for statement in program.statements:
        expansion.add(statement)
    return parse(unparse(tuple(expansion.statements)))


class _Expansion:
    """The statements so far, and the names of the derivatives among them."""

    def __init__(self) -> None:
        self.statements: list[Statement] = []
        self.names: dict[tuple[str, ...], str] = {}

    def add(self, statement: Statement) -> None:
        """Write out the derivatives in a statement, then the statement."""

        def rule(part: Expr) -> Expr | None:
            return self._factor(part) if isinstance(part, Derivative) else None

        expression = edit(statement.expression, rule)
        self.statements.append(Statement(statement.target, statement.indices, expression, statement.at))

    def _factor(self, part: Derivative) -> Expr:
        targets = {statement.target for statement in self.statements}
        if part.of.name not in targets:
            return _of_input(part)
        indices = part.of.indices + tuple([index for factor in part.by for index in factor.indices])
        return Factor(self._name(part), indices, part.at)

    def _name(self, part: Derivative) -> str:
        """The target that holds a derivative, written now if it is not there yet."""
        found = part.of.name
        path: tuple[str, ...] = (found,)
        for n, factor in enumerate(part.by, 1):
            path = (*path, factor.name)
            if path not in self.names:
                program = parse(unparse(tuple(self.statements)))
                name = f"d{n if n > 1 else ''}{'_d'.join(path)}"
                written = jacobian_statements(program, factor, found, name)
                self.statements.extend(written)
                self.names[path] = written[-1].target
            found = self.names[path]
        return found


def _of_input(part: Derivative) -> Expr:
    """The derivative of an input: a Kronecker delta for each axis, or zero."""
    pairs = zip(part.of.indices, part.by[0].indices, strict=True)
    if len(part.by) == 1 and part.by[0].name == part.of.name:
        return records.product([Number(1.0), *[Factor(DELTA, pair) for pair in pairs]])
    return records.product([Number(0.0), part.of, *part.by])
