"""Derivatives of texts: each statement is differentiated as nodes and written down again.

The sweeps run over statements: the cotangent ``h_bar`` of an earlier target is a statement of its own, in the order of
the reverse sweep, and so is its tangent ``h_dot`` in the forward sweep. Within a statement `einad.diff` does the work.
A tensor that is differentiated by is a variable of its own: what stands upstream of it is held constant.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from einad.diff import sweep
from einad.errors import DerivativeError
from einad.front.notation import Program, distinct, fresh, parse
from einad.front.notation_affine import is_plain, names_in, window
from einad.front.notation_decompile import Decompiler
from einad.front.notation_flatten import Flat
from einad.front.notation_nodes import constant, statement_node
from einad.front.notation_print import unparse
from einad.front.notation_ranges import affine_uses
from einad.front.notation_records import DELTA, Call, Factor, Number, Statement, every, factors_of, free
from einad.front.notation_sizes import Sizes, classes
from einad.ir import build
from einad.ir.expr import Add, Affine, Input, Node

Kind = Literal["vjp", "grad", "jacobian"]
Names = tuple[str, ...]


def reverse(program: Program, wrt: Sequence[str], of: str, kind: Kind) -> str:
    """The text of cotangents (``vjp``), gradients (``grad``) or Jacobians of ``of`` by ``wrt``: the reverse sweep."""
    return _Reverse(program, wrt, of, kind).text()


def hessian(program: Program, row: str, column: str, of: str) -> str:
    """The text of the Jacobian by ``column`` of the gradient of ``of`` by ``row``."""
    gradient = parse(reverse(program, [row], of, "grad"))
    target = list(gradient.outputs)[-1]
    name = f"d2{of}_d{row}_d{column}"
    return _Reverse(gradient, [column], target, "jacobian", name, {column: program.axis_names(column)}).text()


def jacobian_statements(program: Program, wrt: Factor, of: str, name: str) -> list[Statement]:
    """The statements, to stand behind those of the text, of the derivative of ``of`` by a tensor; the last holds it."""
    kind: Kind = "jacobian" if program.outputs[of] else "grad"
    found = _Reverse(program, [wrt.name], of, kind, name, {wrt.name: distinct(wrt.indices)})
    found.run()
    return found.written


def forward(program: Program, wrt: Sequence[str], of: str) -> str:
    """The text of the tangent of ``of`` for tangents of ``wrt``: the forward sweep."""
    return _Forward(program, wrt, of).text()


@dataclass
class _Sweep:
    """What both sweeps share: symbols for tensors, nodes of statements, names in use, statements written so far."""

    program: Program
    wrt: Sequence[str]
    of: str
    absent: Mapping[str, Names] = field(default_factory=dict)
    written: list[Statement] = field(default_factory=list)

    def __post_init__(self) -> None:
        program = self.program
        self.sizes = Sizes(program, classes(program))
        self.sizes.fill_generic()
        self.last = list(program.outputs).index(self.of)
        dtype = complex if _is_complex(program) else float
        self.symbols: dict[str, Node] = {name: Input(name, self.sizes.shape(name), dtype) for name in program.tensors}
        self.size_names: dict[int, dict[str, None]] = {}
        for (_, index), number in self.sizes.classes.of_index.items():
            self.size_names.setdefault(self.sizes.values[number], {})[index] = None
        self.windows = self._windows()
        self.roots: dict[int, Node] = {}
        self.axes: dict[str, Names] = {name: program.axis_names(name) for name in program.tensors}
        for name, axes in self.absent.items():
            self.symbols.setdefault(name, Input(name, (1,) * len(axes), dtype))
            self.axes.setdefault(name, axes)
        self.used_names = set(program.names)
        self.anchors: set[str] = set()
        self.active = self._active()
        self.named = {symbol: name for name, symbol in self.symbols.items()}

    def _windows(self) -> dict[Affine, bool]:
        """The windows of affine indices in the text, and whether ``pad(..)`` stands around them."""
        found: dict[Affine, bool] = {}
        for use in affine_uses(self.program):
            sizes = {name: self.sizes.of(use.k, name) for name in use.reads.names}
            tied = window(use.reads, sizes, self.symbols[use.factor.name].shape[use.axis])
            found[tied] = found.get(tied, True) and use.factor.padded
        return found

    def _active(self) -> set[str]:
        """The tensors that depend on ``wrt``, which they include."""
        active = set(self.wrt)
        for k, statement in enumerate(self.program.statements[: self.last + 1]):
            if active.intersection(self.program.uses(k)):
                active.add(statement.target)
        return active

    def root(self, k: int) -> Node:
        """The node of statement ``k``, with earlier targets as symbols."""
        if k not in self.roots:
            found = statement_node(self.program, k, self.sizes, self.symbols)
            self.roots[k] = found
            self.named.setdefault(found, self.program.statements[k].target)
        return self.roots[k]

    def active_uses(self, k: int) -> list[str]:
        """The active tensors in the expression of statement ``k``."""
        return [name for name in self.program.uses(k) if name in self.active]

    def new_name(self, name: str) -> str:
        """The name, with underscores appended where it is taken."""
        while name in self.used_names:
            name += "_"
        self.used_names.add(name)
        return name

    def symbol(self, name: str, like: str) -> Node:
        """A new input shaped like a tensor, its axes called the same."""
        found = Input(name, self.symbols[like].shape, self.symbols[like].dtype)
        self.named[found] = name
        self.axes[name] = self.axes[like]
        return found

    def write(self, name: str, node: Node, axes: Names, *like: tuple[str, int, int | None]) -> None:
        """Write ``name[axes] = node``.

        ``like`` says which axes are those of which tensor, as (tensor, start, stop). Where the right side does not
        carry an index, the statement of its tensor stays in the text and says the size; inputs come with the call.
        """
        decompiler = Decompiler(self.named, lambda tensor: self.axes[tensor], self.size_names, self.windows)
        statement = decompiler.statement(name, node, axes)
        self.written.append(statement)
        loose = set(statement.indices) - _plain_names(statement)
        own = {tensor: statement.indices[start:stop] for tensor, start, stop in like}
        for tensor, indices in own.items():
            if tensor not in self.program.outputs:
                loose.difference_update(indices)
            else:
                loose.difference_update(self._alike(tensor, indices, statement))
        self.anchors.update(tensor for tensor, indices in own.items() if not loose.isdisjoint(indices))

    def _alike(self, target: str, indices: Names, written: Statement) -> set[str]:
        """The indices whose range the same affine indices say in a written statement and in that of a target."""
        statement = self.program.statements[list(self.program.outputs).index(target)]
        plain = _plain_names(statement)
        return {
            name
            for name in indices
            if name not in plain and (found := _standing(name, statement)) and found == _standing(name, written)
        }

    def text(self) -> str:
        """The statements of the text that are still needed, then what was written."""
        self.run()
        needed = set(self.anchors)
        for statement in self.written:
            needed.update(factor.name for factor in factors_of(statement.expression))
        kept: list[Statement] = []
        for k in reversed(range(len(self.program.statements))):
            statement = self.program.statements[k]
            if statement.target in needed:
                kept.append(statement)
                needed.update(self.program.uses(k))
        return unparse((*reversed(kept), *self.written))

    def run(self) -> None:
        """Write the statements of the derivative."""
        raise NotImplementedError


class _Forward(_Sweep):
    """Tangents, statement by statement."""

    def run(self) -> None:
        tangents = {name: self.symbol(self.new_name(f"{name}_dot"), name) for name in self.wrt}
        for k, statement in enumerate(self.program.statements[: self.last + 1]):
            target = statement.target
            pushed = {self.symbols[name]: tangents[name] for name in self.active_uses(k) if name in tangents}
            if target in self.wrt or not (pushed or target == self.of):
                continue
            (tangent,) = sweep.jvp([self.root(k)], pushed)
            if build.is_zero(tangent) and target != self.of:
                continue
            name = self.new_name(f"{target}_dot")
            self.write(name, tangent, self.axes[target], (target, 0, None))
            tangents[target] = self.symbol(name, target)


class _Reverse(_Sweep):
    """Cotangents, statement by statement, from the last to the first."""

    def __init__(
        self,
        program: Program,
        wrt: Sequence[str],
        of: str,
        kind: Kind,
        name: str | None = None,
        absent: Mapping[str, Names] | None = None,
    ) -> None:
        super().__init__(program, wrt, of, absent or {})
        self.kind, self.name = kind, name
        self.done: set[str] = set()
        self.parts: dict[str, list[Node]] = {of: [self._seed()]}
        self.seeds = set(self.parts[of])

    def _seed(self) -> Node:
        symbol = self.symbols[self.of]
        if self.kind == "vjp":
            return self.symbol(self.new_name(f"{self.of}_bar"), self.of)
        return build.delta(symbol.shape, symbol.dtype) if self.kind == "jacobian" else build.full((), 1, symbol.dtype)

    def run(self) -> None:
        for k in range(self.last, -1, -1):
            target = self.program.statements[k].target
            uses = self.active_uses(k)
            if target in self.parts and (uses or target in self.wrt):
                cotangent = self._cotangent(target)
                self._pull(k, uses, cotangent)
        for name in self.wrt:
            if name not in self.done:
                self._cotangent(name)

    def _pull(self, k: int, uses: list[str], cotangent: Node) -> None:
        if uses:
            pulled = sweep.vjp([self.root(k)], [cotangent], [self.symbols[name] for name in uses])
            for name, part in zip(uses, pulled, strict=True):
                if not build.is_zero(part):
                    self.parts.setdefault(name, []).append(part)

    def _cotangent(self, tensor: str) -> Node:
        """The cotangent of a tensor, written down under its name unless it need not be."""
        parts = self.parts.get(tensor) or [build.zeros(self._extra() + self.symbols[tensor].shape)]
        node = build.add(*parts)
        if tensor not in self.wrt and (node in self.seeds or (self.kind == "jacobian" and self._is_product(node))):
            return node
        self.done.add(tensor)
        name = self.new_name(self._name(tensor))
        axes = self._result_axes(tensor)
        split = len(self._extra())
        self.write(name, node, axes, (self.of, 0, split), (tensor, split, None))
        found = Input(name, node.shape, node.dtype)
        self.named[found], self.axes[name] = name, axes
        return found

    def _is_product(self, node: Node) -> bool:
        return not isinstance(node, Add) and len(Flat(node, tuple(range(node.ndim)), self.named).factors) <= 2

    def _extra(self) -> tuple[int, ...]:
        return self.symbols[self.of].shape if self.kind == "jacobian" else ()

    def _name(self, tensor: str) -> str:
        if self.kind == "vjp" or (self.kind == "grad" and tensor not in self.wrt):
            return f"{tensor}_bar"
        return self.name if self.name and tensor in self.wrt else f"d{self.of}_d{tensor}"

    def _result_axes(self, tensor: str) -> Names:
        """The names of the axes of a cotangent; a Jacobian has those of the output and fresh ones of the tensor."""
        if self.kind != "jacobian":
            return self.axes[tensor]
        own = distinct(self.axes[self.of])
        taken = set(own) | set(self.program.indices)
        for _ in self.axes[tensor]:
            own = (*own, fresh(taken))
            taken.add(own[-1])
        return own


def check_wrt(program: Program, wrt: Iterable[str], of: str) -> None:
    """Names that can be differentiated by."""
    names = list(wrt)
    for name in names:
        if not isinstance(name, str):
            raise TypeError(f"name the tensor to differentiate by, such as 'W', got {name!r}")
        if name not in program.tensors:
            raise DerivativeError(f"there is no tensor {name!r} in the text; it has {', '.join(program.tensors)}")
    if not names:
        raise TypeError("name at least one tensor to differentiate by, such as 'W'")
    if len(set(names)) != len(names):
        raise DerivativeError(f"a tensor is named twice: {', '.join(names)}")
    if of not in program.outputs:
        raise DerivativeError(f"there is no target {of!r} in the text; it has {', '.join(program.outputs)}")


def _plain_names(statement: Statement) -> set[str]:
    """The indices that stand plainly on a factor, which says how long they are; affine ones say only what fits."""
    factors = [part for part in every(statement.expression) if isinstance(part, Factor)]
    plain = {
        name for part in factors for name in part.indices if is_plain(name) and (part.name != DELTA or part.is_plain)
    }
    return plain & set(free(statement.expression))


def _standing(name: str, statement: Statement) -> set[tuple[bool, str]]:
    """The affine indices of tensors that hold a name, and whether ``pad(..)`` stands around these."""
    return {
        (part.padded, index)
        for part in factors_of(statement.expression)
        for index in part.indices
        if name in names_in(index)
    }


def _is_complex(program: Program) -> bool:
    """Whether the text speaks of complex numbers; inputs then count as complex."""
    for statement in program.statements:
        for part in every(statement.expression):
            if isinstance(part, Call) and part.function in ("conj", "real", "imag"):
                return True
            if isinstance(part, Number) and isinstance(constant(part), complex):
                return True
    return False
