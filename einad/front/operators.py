"""Python's operators on traced tensors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from einad.front import numpy_elementwise as pointwise
from einad.front.numpy_choices import round_
from einad.front.numpy_contractions import matmul
from einad.front.numpy_elementwise import row

_numeric = (np.ndarray, np.generic, int, float, complex, list, tuple)
Meaning = Callable[..., Any]


def _row(name: str) -> Meaning:
    return lambda *operands: row(name, *operands)


def _flipped(meaning: Meaning) -> Meaning:
    return lambda x, y: meaning(y, x)


class Operators:  # noqa: PLW1641  # no hash, as for arrays: == is elementwise
    """Arithmetic, comparisons and logic; a class that has it says how a meaning is recorded, in ``_record``."""

    __slots__ = ()

    def _record(self, meaning: Meaning, *operands: Any, **keywords: Any) -> Any:
        raise NotImplementedError

    def _binary(self, meaning: Meaning, other: Any) -> Any:
        return self._record(meaning, self, other) if isinstance(other, (Operators, *_numeric)) else NotImplemented

    def __add__(self, other: Any) -> Any:
        return self._binary(pointwise.add, other)

    def __sub__(self, other: Any) -> Any:
        return self._binary(pointwise.subtract, other)

    def __mul__(self, other: Any) -> Any:
        return self._binary(pointwise.multiply, other)

    def __truediv__(self, other: Any) -> Any:
        return self._binary(pointwise.divide, other)

    def __floordiv__(self, other: Any) -> Any:
        return self._binary(_row("floor_divide"), other)

    def __mod__(self, other: Any) -> Any:
        return self._binary(_row("remainder"), other)

    def __divmod__(self, other: Any) -> Any:
        return self._binary(pointwise.divmod_, other)

    def __pow__(self, other: Any) -> Any:
        return self._binary(pointwise.power, other)

    def __matmul__(self, other: Any) -> Any:
        return self._binary(matmul, other)

    def __and__(self, other: Any) -> Any:
        return self._binary(_row("bitwise_and"), other)

    def __or__(self, other: Any) -> Any:
        return self._binary(_row("bitwise_or"), other)

    def __xor__(self, other: Any) -> Any:
        return self._binary(_row("bitwise_xor"), other)

    def __lshift__(self, other: Any) -> Any:
        return self._binary(_row("left_shift"), other)

    def __rshift__(self, other: Any) -> Any:
        return self._binary(_row("right_shift"), other)

    def __radd__(self, other: Any) -> Any:
        return self._binary(_flipped(pointwise.add), other)

    def __rsub__(self, other: Any) -> Any:
        return self._binary(_flipped(pointwise.subtract), other)

    def __rmul__(self, other: Any) -> Any:
        return self._binary(_flipped(pointwise.multiply), other)

    def __rtruediv__(self, other: Any) -> Any:
        return self._binary(_flipped(pointwise.divide), other)

    def __rfloordiv__(self, other: Any) -> Any:
        return self._binary(_flipped(_row("floor_divide")), other)

    def __rmod__(self, other: Any) -> Any:
        return self._binary(_flipped(_row("remainder")), other)

    def __rdivmod__(self, other: Any) -> Any:
        return self._binary(_flipped(pointwise.divmod_), other)

    def __rpow__(self, other: Any) -> Any:
        return self._binary(_flipped(pointwise.power), other)

    def __rmatmul__(self, other: Any) -> Any:
        return self._binary(_flipped(matmul), other)

    def __rand__(self, other: Any) -> Any:
        return self._binary(_flipped(_row("bitwise_and")), other)

    def __ror__(self, other: Any) -> Any:
        return self._binary(_flipped(_row("bitwise_or")), other)

    def __rxor__(self, other: Any) -> Any:
        return self._binary(_flipped(_row("bitwise_xor")), other)

    def __rlshift__(self, other: Any) -> Any:
        return self._binary(_flipped(_row("left_shift")), other)

    def __rrshift__(self, other: Any) -> Any:
        return self._binary(_flipped(_row("right_shift")), other)

    def __eq__(self, other: object) -> Any:
        return self._binary(_row("equal"), other)

    def __ne__(self, other: object) -> Any:
        return self._binary(_row("not_equal"), other)

    def __lt__(self, other: Any) -> Any:
        return self._binary(_row("less"), other)

    def __le__(self, other: Any) -> Any:
        return self._binary(_row("less_equal"), other)

    def __gt__(self, other: Any) -> Any:
        return self._binary(_row("greater"), other)

    def __ge__(self, other: Any) -> Any:
        return self._binary(_row("greater_equal"), other)

    def __neg__(self) -> Any:
        return self._record(pointwise.negative, self)

    def __pos__(self) -> Any:
        return self._record(pointwise.positive, self)

    def __abs__(self) -> Any:
        return self._record(_row("abs"), self)

    def __invert__(self) -> Any:
        return self._record(_row("invert"), self)

    def __round__(self, ndigits: int | None = None) -> Any:
        return self._record(round_, self, ndigits or 0)
