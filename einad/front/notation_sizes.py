"""How long each index is: sizes flow between the indices of a statement and the axes of tensors.

An index has one size within a statement, and an axis of a tensor has one size wherever the tensor stands; so indices
and axes fall into classes, found once for a text by union-find.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from itertools import count

from einad.errors import ShapeError, point_at
from einad.front.notation import Program
from einad.front.notation_affine import is_plain
from einad.front.notation_print import tensor_text
from einad.front.notation_ranges import Ranges
from einad.front.notation_records import DELTA, Binder, Factor, Statement, every
from einad.ir.expr import Shape


@dataclass(frozen=True)
class Classes:
    """``of_index[statement, index]`` and ``of_axis[tensor, axis]`` number the classes."""

    of_index: dict[tuple[int, str], int]
    of_axis: dict[tuple[str, int], int]
    count: int


def classes(program: Program) -> Classes:
    """The classes of indices and axes that have one size each."""
    union = Union()
    for k, statement in enumerate(program.statements):
        for use in _uses(statement):
            for name in use.names:
                union.find((k, name))
            for axis, index in enumerate(use.indices):
                if use.name != DELTA:
                    union.find((use.name, axis))
                if is_plain(index) and (use.name != DELTA or use.is_plain):
                    other: Hashable = (k, use.indices[0]) if use.name == DELTA else (use.name, axis)
                    union.join((k, index), other)
        for part in every(statement.expression):
            if isinstance(part, Binder):
                for index in part.indices:
                    union.find((k, index))
    numbers: dict[Hashable, int] = {}
    found = {key: numbers.setdefault(union.find(key), len(numbers)) for key in union.parent}
    of_index = {key: n for key, n in found.items() if isinstance(key, tuple) and isinstance(key[0], int)}
    of_axis = {key: n for key, n in found.items() if isinstance(key, tuple) and isinstance(key[0], str)}
    return Classes(of_index, of_axis, len(numbers))


class Union:
    """Union-find over any hashable keys."""

    def __init__(self) -> None:
        self.parent: dict[Hashable, Hashable] = {}

    def find(self, key: Hashable) -> Hashable:
        """The representative of a key's class."""
        root = key
        while self.parent.setdefault(root, root) != root:
            root = self.parent[root]
        while key != root:
            self.parent[key], key = root, self.parent[key]
        return root

    def join(self, key: Hashable, other: Hashable) -> None:
        """Make two classes one; the representative of the first stays."""
        first, second = self.find(key), self.find(other)
        self.parent[second] = first


def _uses(statement: Statement) -> Iterator[Factor]:
    yield Factor(statement.target, statement.indices, statement.at)
    for part in every(statement.expression):
        if isinstance(part, Factor):
            yield part


class Sizes:
    """The sizes found for the classes, each with the reason it was found."""

    def __init__(self, program: Program, found: Classes) -> None:
        self.program, self.classes = program, found
        self.values: dict[int, int] = {}
        self.reasons: dict[int, str] = {}

    def set_shape(self, tensor: str, shape: Shape, name: str | None = None) -> None:
        """The shape of a tensor, given as the value of ``name``."""
        use = self.program.first_uses[tensor]
        if len(shape) != len(use.indices):
            raise ShapeError(
                f"{name or tensor} has shape {shape}, of {len(shape)} axes, but {tensor_text(tensor, use.indices)} has "
                f"{len(use.indices)} indices\n{point_at(self.program.text, use.at)}"
            )
        self.set_axes(tensor, range(len(shape)), shape, name or tensor)

    def set_axes(self, tensor: str, axes: range, shape: Shape, name: str) -> None:
        """The sizes of some axes of a tensor, from the shape of ``name``."""
        use = self.program.first_uses[tensor]
        for axis, n in zip(axes, shape, strict=True):
            index = use.indices[axis]
            reason = f"{index!r} has size {n} in {tensor_text(tensor, use.indices)}, as {name} has shape {shape}"
            self._set(self.classes.of_axis[tensor, axis], n, f"{reason}\n{point_at(self.program.text, use.at)}")

    def set_index(self, index: str, n: int) -> None:
        """The size of an index, wherever it stands."""
        for (_, name), found in self.classes.of_index.items():
            if name == index:
                self._set(found, n, f"{index!r} has size {n}, as the call says {index}={n}")

    def _set(self, number: int, n: int, reason: str) -> None:
        if self.values.setdefault(number, n) != n:
            raise ShapeError(
                f"sizes disagree:\n{self.reasons[number]}\nbut\n{reason}\n"
                "An index has one size; check the shapes, or give one of the two axes another index"
            )
        self.reasons.setdefault(number, reason)

    def resolve(self) -> None:
        """Find the sizes that affine indices say, and check that these stay inside their tensors.

        Raises
        ------
        ShapeError
            If an index leaves its tensor without ``pad(..)``.
        """
        ranges = Ranges(self.program, self.classes.of_index, self.classes.of_axis, self.values)
        for number, size, reason in ranges.resolve():
            self._set(number, size, reason)
        ranges.check()

    def fill_generic(self) -> None:
        """Give every class without a size a prime of its own: equal sizes then mean equal classes."""
        primes = _primes()
        for number in range(self.classes.count):
            if number not in self.values:
                self.values[number] = next(primes)

    def of(self, k: int, index: str) -> int:
        """The size of an index in statement ``k``."""
        found = self.values.get(self.classes.of_index[k, index])
        if found is None:
            statement = self.program.statements[k]
            raise ShapeError(
                f"no tensor of the call says how long the index {index!r} is; add its size, {index}=3 for example, "
                f"or the tensor it belongs to\n{point_at(self.program.text, statement.at)}"
            )
        return found

    def shape(self, tensor: str) -> Shape:
        """The shape of a tensor whose axes all have sizes."""
        rank = len(self.program.tensors[tensor])
        return tuple(self.values[self.classes.of_axis[tensor, axis]] for axis in range(rank))


def _primes() -> Iterator[int]:
    found: list[int] = []
    for n in count(2):
        if all(n % p for p in found if p * p <= n):
            found.append(n)
            if n > 10:
                yield n
