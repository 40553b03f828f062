"""How long the names of affine indices are, and whether the indices stay inside their tensors.

A name that no plain axis sizes takes the largest range that stays inside the tensors. In ``pad(X)[p+r-1]`` the frame of
zeros is as wide behind a tensor as its indices reach in front of it; the range is the largest that stays inside that.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from einad.errors import ShapeError, point_at
from einad.front.notation import Program
from einad.front.notation_affine import Linear, is_plain, linear
from einad.front.notation_print import expression_text
from einad.front.notation_records import DELTA, Factor, every

Key = tuple[int, str]


class Use(NamedTuple):
    """An affine index on an axis of a factor in statement ``k``."""

    k: int
    factor: Factor
    axis: int
    reads: Linear

    @property
    def of_axis(self) -> tuple[str, int]:
        """The axis of the tensor it stands on."""
        return self.factor.name, self.axis


def affine_uses(program: Program) -> Iterator[Use]:
    """The affine indices of a text, those of δ left out."""
    for k, statement in enumerate(program.statements):
        for part in every(statement.expression):
            if isinstance(part, Factor) and part.name != DELTA:
                for axis, index in enumerate(part.indices):
                    if not is_plain(index):
                        yield Use(k, part, axis, linear(index))


class Ranges:
    """Finds the sizes of classes of indices from affine indices; ``values`` are the sizes known so far."""

    def __init__(
        self,
        program: Program,
        of_index: Mapping[Key, int],
        of_axis: Mapping[tuple[str, int], int],
        values: dict[int, int],
    ) -> None:
        self.program, self.of_index, self.of_axis, self.values = program, of_index, of_axis, values
        self.uses = list(affine_uses(program))

    def resolve(self) -> Iterator[tuple[int, int, str]]:
        """The classes found with their sizes and the reasons; the caller enters them before it goes on."""
        while (found := self._next()) is not None:
            yield found

    def _next(self) -> tuple[int, int, str] | None:
        """The first class that all its uses say the size of; else the first that some use does."""
        limits: dict[int, list[tuple[int, Use] | None]] = {}
        for use in self.uses:
            missing = self._missing(use)
            for number in missing:
                alone = len(missing) == 1 and self.of_axis[use.of_axis] in self.values
                limit = self._limit(use, number) if alone else None
                if limit is not None or not use.factor.padded:
                    limits.setdefault(number, []).append(None if limit is None else (limit, use))
        for whole in (True, False):
            for number, found in limits.items():
                known = [entry for entry in found if entry is not None]
                if known and (len(known) == len(found) or not whole):
                    size, use = min(known, key=lambda entry: entry[0])
                    return number, size, self._reason(use, number, size)
        return None

    def _missing(self, use: Use) -> list[int]:
        """The classes of the names of an index that have no size yet."""
        classes = dict.fromkeys(self.of_index[use.k, name] for name in use.reads.names)
        return [number for number in classes if number not in self.values]

    def _limit(self, use: Use, number: int) -> int | None:
        """The largest range of a class with which an index stays inside."""
        step = sum(c for name, c in use.reads.terms if self.of_index[use.k, name] == number)
        low, high = use.reads.bounds(self._sizes(use, 1))
        last = self.values[self.of_axis[use.of_axis]] - 1
        if use.factor.padded:
            if step <= 0:
                return None
            last += max(-low, 0)
        room = last - high if step > 0 else low
        return max(room // abs(step) + 1, 0) if step else None

    def _sizes(self, use: Use, default: int) -> dict[str, int]:
        return {name: self.values.get(self.of_index[use.k, name], default) for name in use.reads.names}

    def _reason(self, use: Use, number: int, size: int) -> str:
        name = next(name for name in use.reads.names if self.of_index[use.k, name] == number)
        return f"{name!r} has size {size}, the most that fits {expression_text(use.factor)}\n{self._caret(use)}"

    def _caret(self, use: Use) -> str:
        return point_at(self.program.text, use.factor.at)

    def check(self) -> None:
        """Check that no index leaves its tensor, but for ``pad(..)``.

        Raises
        ------
        ShapeError
            With the range of the index, that of the axis, and a caret.
        """
        for use in self.uses:
            number = self.of_axis[use.of_axis]
            if use.factor.padded or number not in self.values or self._missing(use):
                continue
            sizes = self._sizes(use, 0)
            low, high = use.reads.bounds(sizes)
            size = self.values[number]
            if 0 in sizes.values() or (low >= 0 and high < size):
                continue
            listed = ", ".join(f"{name}={n}" for name, n in sizes.items())
            text = use.factor.indices[use.axis]
            raise ShapeError(
                f"the index {text} runs from {low} to {high} ({listed}), but axis {use.axis} of {use.factor.name} has "
                f"size {size}, places 0 to {size - 1}\n{self._caret(use)}\nWrite pad({use.factor.name})[..] for zeros "
                f"outside, or another size; a name that stands plainly on no axis ({use.reads.names[0]}+0 instead of "
                f"{use.reads.names[0]}) takes the largest range that fits"
            )
