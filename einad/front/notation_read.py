"""Text to records. Python's own ``ast`` reads each statement; nothing is ever evaluated."""

from __future__ import annotations

import ast
from dataclasses import replace
from difflib import get_close_matches

from einad.errors import NotationError
from einad.front import notation_records as records
from einad.front.notation_affine import MAX_COEFFICIENT, affine_text, is_plain, merged
from einad.front.notation_records import DELTA, Binder, Call, Derivative, Expr, Factor, Number, Power, Statement
from einad.front.notation_split import MAX_NESTING, Piece, split
from einad.ops.pointwise import POINTWISE

MAX_INDICES = 32
RESERVED = frozenset({"d", "sum", "pad", "delta", DELTA})
_refusals: dict[type[ast.AST], str] = {
    ast.Attribute: "attributes (a dot after a name) are no part of the notation",
    ast.Lambda: "lambda is no part of the notation",
    ast.Compare: "comparisons are written as functions: greater(x[i], y[i]), less, equal, greater_equal, ..",
    ast.BoolOp: "'and' and 'or' are written as functions: logical_and(.., ..), logical_or(.., ..)",
    ast.IfExp: "a choice is written as where(condition, x[i], y[i])",
    ast.Slice: "slices are no part of the notation; an index is a name",
    ast.Tuple: "a list of values is no part of the notation; an expression has one value",
    ast.Starred: "the star is no part of the notation",
    ast.NamedExpr: "':=' is no part of the notation; write a statement of its own",
}


def read(text: str) -> tuple[Statement, ...]:
    """The statements of a text.

    Raises
    ------
    NotationError
        With a caret under the place that cannot be read.

    Examples
    --------
    >>> read("y = 2 * x[i]")[0].indices
    ()
    """
    return tuple([_Reader(text, piece).statement() for piece in split(text)])


class _Reader:
    """Reads one statement; ``text`` is the whole text, for carets."""

    def __init__(self, text: str, piece: Piece) -> None:
        self.text, self.piece = text, piece
        self.lines = piece.text.split("\n")
        self.depth = 0

    def statement(self) -> Statement:
        node = self._parse()
        if not isinstance(node, ast.Assign):
            raise self.fault(node, "a statement is 'target[indices] = expression'")
        if len(node.targets) > 1:
            raise self.fault(node.targets[1], "one statement has one '='")
        target = node.targets[0]
        if not isinstance(target, ast.Name | ast.Subscript):
            raise self.fault(
                target, "the left side is a name with indices, such as Y[i,k], or a bare name for a scalar"
            )
        left = self._tensor(target)
        if left.name in RESERVED or left.name in POINTWISE:
            raise self.fault(target, f"the name {left.name!r} is reserved; choose another for the target")
        self._require_names(left, "the left side has names as indices", target)
        return Statement(left.name, left.indices, self.expression(node.value), left.at)

    def _parse(self) -> ast.stmt:
        try:
            body = ast.parse(self.piece.text).body
        except SyntaxError as error:
            at = self._offset(error.lineno or 1, (error.offset or 1) - 1)
            raise NotationError(f"cannot be read: {error.msg}", self.text, at) from None
        except (RecursionError, MemoryError, ValueError):
            raise NotationError("too deep: the statement has too many operations for one expression", self.text,
                                self.piece.at) from None  # fmt: skip
        if len(body) != 1:
            raise NotationError("cannot be read as one statement", self.text, self.piece.at)
        return body[0]

    def expression(self, node: ast.expr) -> Expr:
        self.depth += 1
        if self.depth > MAX_NESTING:
            raise self.fault(node, f"too deep: the expression is nested more than {MAX_NESTING} deep")
        found = self._read(node)
        self.depth -= 1
        return found

    def _read(self, node: ast.expr) -> Expr:
        match node:
            case ast.BinOp(op=ast.Add() | ast.Sub()):
                return self._sum(node)
            case ast.BinOp(op=ast.Mult() | ast.Div()):
                return self._product(node)
            case ast.BinOp(op=ast.Pow()):
                return Power(self.expression(node.left), self.expression(node.right), self.at(node))
            case ast.BinOp(op=ast.MatMult()):
                raise self.fault(node, "a matrix product is written with indices: A[i,j] * B[j,k]")
            case ast.UnaryOp(op=ast.USub()):
                return records.negative(self.expression(node.operand), self.at(node))
            case ast.UnaryOp(op=ast.UAdd()):
                return self.expression(node.operand)
            case ast.Constant():
                return self._number(node)
            case ast.Call():
                return self._call(node)
            case ast.Name() | ast.Subscript():
                return self._padded(node) or self._factor(node)
            case _:
                raise self.fault(node, _refusals.get(type(node), "this is no part of the notation"))

    def _sum(self, node: ast.expr) -> Expr:
        terms: list[Expr] = []
        at = self.at(node)
        while isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Sub):
            term = self.expression(node.right)
            terms.append(records.negative(term, term.at) if isinstance(node.op, ast.Sub) else term)
            node = node.left
        terms.append(self.expression(node))
        return records.total(reversed(terms), at)

    def _product(self, node: ast.expr) -> Expr:
        factors: list[Expr] = []
        at = self.at(node)
        while isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult | ast.Div):
            factor = self.expression(node.right)
            factors.append(records.inverse(factor, factor.at) if isinstance(node.op, ast.Div) else factor)
            node = node.left
        factors.append(self.expression(node))
        return records.product(reversed(factors), at)

    def _number(self, node: ast.Constant) -> Number:
        value = node.value
        if isinstance(value, bool) or not isinstance(value, int | float | complex):
            raise self.fault(node, f"{value!r} is no number; the notation has numbers, tensors and functions")
        if isinstance(value, int) and value.bit_length() > 63:
            raise self.fault(node, "the whole number is too large; write it as a float, such as 1e30")
        return Number(value, self.at(node))

    def _factor(self, node: ast.Name | ast.Subscript) -> Factor:
        factor = self._tensor(node)
        if factor.name in (DELTA, "delta"):
            if len(factor.indices) != 2:
                raise self.fault(node, "the Kronecker delta has two indices: δ[i,j]")
            return replace(factor, name=DELTA)
        if factor.name in RESERVED or factor.name in POINTWISE:
            how = "sum[i,j](..)" if factor.name == "sum" else f"{factor.name}(..)"
            raise self.fault(node, f"the name {factor.name!r} is reserved; it is used as {how}")
        return factor

    def _tensor(self, node: ast.Name | ast.Subscript) -> Factor:
        if isinstance(node, ast.Name):
            return Factor(node.id, (), self.at(node))
        if not isinstance(node.value, ast.Name):
            raise self.fault(node.value, "indices stand behind a name; name this part in a statement of its own")
        return Factor(node.value.id, self._indices(node), self.at(node))

    def _indices(self, node: ast.Subscript) -> tuple[str, ...]:
        listed = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        if not listed:
            raise self.fault(node.slice, "a scalar is a bare name, without brackets")
        if len(listed) > MAX_INDICES:
            raise self.fault(node, f"too many indices: {len(listed)}, at most {MAX_INDICES}")
        return tuple([self._index(index) for index in listed])

    def _index(self, node: ast.expr) -> str:
        match node:
            case ast.Name(id=name):
                return name
            case ast.BinOp() | ast.UnaryOp():
                return self._affine(node)
            case ast.Slice():
                raise self.fault(node, _refusals[ast.Slice])
            case _:
                raise self.fault(node, "an index is a name such as i, not a number or an expression")

    def _affine(self, node: ast.expr) -> str:
        terms: list[tuple[str, int]] = []
        offset, stack = 0, [(node, 1)]
        while stack:
            part, c = stack.pop()
            match part:
                case ast.BinOp(left, ast.Add() | ast.Sub(), right):
                    stack += [(right, -c if isinstance(part.op, ast.Sub) else c), (left, c)]
                case ast.BinOp(left, ast.Mult(), right) if (factor := _whole(left)) is not None:
                    stack.append((right, c * factor))
                case ast.BinOp(left, ast.Mult(), right) if (factor := _whole(right)) is not None:
                    stack.append((left, c * factor))
                case ast.UnaryOp(ast.USub() | ast.UAdd(), operand):
                    stack.append((operand, -c if isinstance(part.op, ast.USub) else c))
                case ast.Name(id=name):
                    terms.append((name, c))
                case ast.Constant() if (value := _whole(part)) is not None:
                    offset += c * value
                case _:
                    raise self.fault(part, "an affine index consists of names and whole numbers, such as 2*p + r - 1")
        found = merged(terms, offset)
        if not found.terms:
            raise self.fault(node, "this index holds no name any more: its terms cancel")
        if max(abs(offset), *[abs(c) for _, c in found.terms]) > MAX_COEFFICIENT:
            raise self.fault(node, f"the numbers of an affine index are at most {MAX_COEFFICIENT}")
        return affine_text(found)

    def _padded(self, node: ast.expr) -> Factor | None:
        """``pad(X)[n, p + r - 1]``."""
        match node:
            case ast.Subscript(ast.Call(ast.Name("pad"), [ast.Name(name) as tensor], [])):
                if name in RESERVED or name in POINTWISE:
                    raise self.fault(tensor, f"the name {name!r} is reserved; pad(..) takes a tensor")
                indices = self._indices(node)
                return Factor(name, indices, self.at(node), padded=not all(map(is_plain, indices)))
        return None

    def _require_names(self, factor: Factor, rule: str, node: ast.expr) -> None:
        if not factor.is_plain:
            raise self.fault(node, f"{rule}, such as Y[i]; affine indices like {factor.indices} stand on the right")

    def _call(self, node: ast.Call) -> Expr:
        if node.keywords:
            raise self.fault(node.keywords[0].value, "functions of the notation take no keyword arguments")
        if isinstance(node.func, ast.Subscript) and isinstance(node.func.value, ast.Name):
            return self._binder(node, node.func)
        if not isinstance(node.func, ast.Name):
            raise self.fault(node.func, _refusals.get(type(node.func), "only a function's name can be called"))
        return self._function(node, node.func.id)

    def _binder(self, node: ast.Call, func: ast.Subscript) -> Expr:
        assert isinstance(func.value, ast.Name)
        if func.value.id != "sum":
            raise self.fault(func, f"only sum[..](..) takes indices and an argument, found {func.value.id!r}")
        indices = self._indices(func)
        if not all(map(is_plain, indices)):
            raise self.fault(func, "sum[..](..) takes names of indices, such as sum[i,j](..)")
        if len(set(indices)) != len(indices):
            raise self.fault(func, "sum names an index twice")
        if len(node.args) != 1:
            raise self.fault(node, f"sum[..](..) takes one expression, got {len(node.args)}")
        return Binder(indices, self.expression(node.args[0]), self.at(node))

    def _derivative(self, node: ast.Call) -> Derivative:
        if len(node.args) < 2:
            got = f"{len(node.args)} argument{'s' * (len(node.args) != 1)}"
            raise self.fault(node, f"d takes a tensor and what it is differentiated by, d(y[i], x[j]), got {got}")
        of, *by = [self._derivative_part(arg, n) for n, arg in enumerate(node.args)]
        return Derivative(of, tuple(by), self.at(node))

    def _derivative_part(self, node: ast.expr, position: int) -> Factor:
        if not isinstance(node, ast.Name | ast.Subscript):
            found = ast.unparse(node)
            if position:
                raise self.fault(node, f"d differentiates by a tensor such as x[i], not by {found}")
            raise self.fault(node, f"d differentiates a tensor such as y[i], not {found}; name it in a statement")
        factor = self._factor(node)
        if factor.name == DELTA:
            raise self.fault(node, "δ is a constant; d differentiates a tensor by tensors")
        self._require_names(factor, "d(..) takes names as indices", node)
        return factor

    def _function(self, node: ast.Call, name: str) -> Expr:
        if name == "sum":
            raise self.fault(node, "sum needs its indices: sum[i](..) or sum[i,j](..)")
        if name == "d":
            return self._derivative(node)
        if name == "pad":
            raise self.fault(node, "pad takes the name of a tensor, with the indices behind it: pad(X)[n,p+r-1]")
        row = POINTWISE.get(name)
        if row is None:
            near = get_close_matches(name, POINTWISE, n=3)
            hint = f"did you mean {' or '.join(near)}?" if near else f"the functions are {', '.join(sorted(POINTWISE))}"
            raise self.fault(node, f"unknown function {name!r}; {hint}")
        if len(node.args) != row.arity:
            raise self.fault(node, f"{name} takes {row.arity} argument{'s' * (row.arity > 1)}, got {len(node.args)}")
        return Call(name, tuple([self.expression(arg) for arg in node.args]), self.at(node))

    def at(self, node: ast.expr) -> int:
        line = self.lines[node.lineno - 1].encode()
        return self._offset(node.lineno, len(line[: node.col_offset].decode(errors="ignore")))

    def _offset(self, line: int, column: int) -> int:
        """The offset in the whole text of a place in the piece."""
        before = sum(len(text) + 1 for text in self.lines[: line - 1])
        return min(self.piece.at + before + column, len(self.text))

    def fault(self, node: ast.AST, message: str) -> NotationError:
        """The error that points at a node."""
        at = self.at(node) if isinstance(node, ast.expr) else self.piece.at
        return NotationError(message, self.text, at)


def _whole(node: ast.expr) -> int | None:
    """The whole number that a node is, signed or not."""
    match node:
        case ast.Constant(value=value) if type(value) is int:
            return value
        case ast.UnaryOp(ast.USub(), operand) if (value := _whole(operand)) is not None:
            return -value
    return None
