"""The arrays that a plan prepares once per block of memory: intermediate results at their places, and views of them.

A view of a prepared array is prepared too, so at each call there is nothing left to reshape or to transpose.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, NamedTuple

import numpy as np

from einad.ir.expr import Array, DType, Shape
from einad.lower import kernels
from einad.lower.arena import Arena
from einad.lower.program import Op, Operand, Program

Make = Callable[[dict[str, Array]], Array]
VIEWS = frozenset({"broadcast", "diagonal", "gather", "view"})


class Recipe(NamedTuple):
    """How an array is made from those that are there, and in words."""

    text: str
    make: Make


class Copy(NamedTuple):
    """A copy of an operand: the array that takes it, what is copied, and the name under which it is read."""

    target: str
    source: Operand
    result: str


class Prepared:
    """Which registers, views and copies have arrays prepared, and how these are made in a block of memory."""

    def __init__(self, program: Program, arena: Arena, names: list[str]) -> None:
        self.program, self.arena, self.names = program, arena, names
        self._registers = set(arena.registers)
        self._recipes: dict[str, Recipe] = {}
        self._views: dict[tuple[str, Any], str] = {}
        first: dict[tuple[int, Shape, DType], str] = {}
        for register, offset in arena.registers.items():
            found, name = program.registers[register], names[register]
            same = first.setdefault((offset, found.shape, found.dtype), name)
            self._recipes[name] = _at(offset, found.shape, found.dtype) if same == name else _same(same)

    def __contains__(self, register: int) -> bool:
        return register in self._registers

    def view(self, op: Op) -> bool:
        """Whether a call is but a view of a prepared array, which then is prepared as well."""
        if op.function not in VIEWS or op.target is None:
            return False
        (arg,) = op.args
        if not isinstance(arg, Operand) or arg.copied or arg.register not in self:
            return False
        self._recipes[self.names[op.target]] = _seen(self.operand(arg), op, self.program.registers[op.target].shape)
        self._registers.add(op.target)
        return True

    def part(self, op: Op) -> bool:
        """Whether a call writes into a part of a prepared array; its result is that part."""
        if op.into is None or op.target is None or op.into not in self:
            return False
        source, shape = self.names[op.into], self.program.registers[op.target].shape
        self._recipes[self.names[op.target]] = _step(source, "reshape", shape)
        self._registers.add(op.target)
        return True

    def operand(self, arg: Operand) -> str:
        """The name of an operand that is a view of a prepared array."""
        return self._viewed(self.names[arg.register], arg.views)

    def copy(self, arg: Operand, place: tuple[int, int]) -> Copy | None:
        """The prepared copy of an operand of a call; None where it has none."""
        offset = self.arena.copies.get(place)
        if offset is None:
            return None
        found = self.program.registers[arg.register]
        cut = next(n for n in reversed(range(len(arg.views))) if arg.views[n][0] != "transpose")
        source = arg._replace(views=arg.views[:cut], copied=0)
        target = self._name(_at(offset, _shape(found.shape, source), found.dtype))
        last = tuple([view for view in arg.views[cut:] if view[0] != "copy"])
        return Copy(target, source, self._viewed(target, last))

    def layout(self, used: Collection[str]) -> Callable[[Array], tuple[Array, ...]]:
        """The function that makes the arrays of the names ``used`` in a block's memory."""
        recipes = self._recipes

        def lay_out(memory: Array) -> tuple[Array, ...]:
            made = {"": memory}
            for name, recipe in recipes.items():
                made[name] = recipe.make(made)
            return tuple([made[name] for name in used])

        return lay_out

    def comments(self) -> list[str]:
        """What is prepared, one array a line."""
        return [f"# {name}: {recipe.text}, prepared" for name, recipe in self._recipes.items()]

    def _viewed(self, name: str, views: tuple[tuple[str, Any], ...]) -> str:
        for view in views:
            if (name, view) not in self._views:
                self._views[name, view] = self._name(_step(name, *view))
            name = self._views[name, view]
        return name

    def _name(self, recipe: Recipe) -> str:
        name = f"v{len(self._recipes)}"
        self._recipes[name] = recipe
        return name


def _at(offset: int, shape: Shape, dtype: DType) -> Recipe:
    return Recipe(f"{dtype}{list(shape)} at byte {offset}", lambda made: np.ndarray(shape, dtype, made[""], offset))


def _same(source: str) -> Recipe:
    """The very array: NumPy takes 0.2 µs to see that another array of the same memory may take a result in place."""
    return Recipe(source, lambda made: made[source])


def _step(source: str, kind: str, value: Any) -> Recipe:
    if kind == "transpose":
        return Recipe(f"{source}.transpose{value}", lambda made: made[source].transpose(value))
    assert kind == "reshape"
    return Recipe(f"{source}.reshape{value}", lambda made: _reshaped(made[source], value))


def _reshaped(array: Array, shape: Shape) -> Array:
    view = array.reshape(shape)
    if view.size and not np.may_share_memory(view, array):
        raise AssertionError(f"an array of shape {array.shape}, strides {array.strides} has no view of shape {shape}")
    return view


def _seen(source: str, op: Op, shape: Shape) -> Recipe:
    """The result of a call that makes a view."""
    makers: dict[str, Make] = {
        "broadcast": lambda made: np.broadcast_to(made[source], shape),
        "diagonal": lambda made: made[source].diagonal(0, *op.options),
        "gather": lambda made: kernels.box(made[source], op.options),
        "view": lambda made: made[source],
    }
    return Recipe(f"{op.function} of {source}", makers[op.function])


def _shape(shape: Shape, operand: Operand) -> Shape:
    for kind, value in operand.views:
        shape = tuple([shape[axis] for axis in value]) if kind == "transpose" else value
    return shape
