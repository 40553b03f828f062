"""Whole-number functions behind gathers and sorts: positions brought into range, and the order of entries.

None has a derivative: what is selected gets it, by the swap of a ``OneHot`` operand.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

import numpy as np

from einad.ir.expr import Array, Call, DType, Function, Node, Shape
from einad.ir.linear import Linear

INDEX = np.dtype(np.intp)


def positions(indices: Array, length: int, axis: int, mode: str) -> Array:
    """Indices of an axis as new whole numbers from 0 to below ``length``; ``mode`` is that of ``np.take``.

    >>> positions(np.array([-1, 0]), 5, 0, "raise").tolist(), positions(np.array([-9, 7]), 5, 0, "clip").tolist()
    ([4, 0], [0, 4])
    """
    if indices.size and not length:
        raise IndexError(f"nothing can be taken from axis {axis}, which has size 0")
    if mode == "clip":
        return np.asarray(np.clip(indices, 0, length - 1)).astype(INDEX)
    if mode == "wrap":
        return np.asarray(np.mod(indices, length)).astype(INDEX)
    if indices.size:
        low, high = int(indices.min()), int(indices.max())
        if low < -length or high >= length:
            wrong = low if low < -length else high
            raise IndexError(
                f"index {wrong} is out of bounds for axis {axis} with size {length}: indices run from {-length} to "
                f"{length - 1}; np.take with mode='clip' or mode='wrap' brings them into range"
            )
        if low >= 0:
            return indices.astype(INDEX)
    return np.where(indices < 0, indices.astype(INDEX) + length, indices).astype(INDEX)


def _same_shape(args: tuple[Node, ...], *params: Hashable) -> tuple[Shape, DType]:
    return args[0].shape, INDEX


def _flat(node: Call, k: int) -> tuple[Linear, ...]:
    return ()


def _batch_positions(args: tuple[Node, ...], length: int, axis: int, mode: str) -> Node:
    return Call(POSITIONS, args, (length, axis, mode))


def _batch_axis(row: Callable[[], Function]) -> Callable[..., Node]:
    def batch(args: tuple[Node, ...], axis: int, *rest: Hashable) -> Node:
        return Call(row(), args, (axis + 1, *rest))

    return batch


def _argsort(x: Array, axis: int, kind: Any) -> Array:
    return np.argsort(x, axis=axis, kind=kind)


def _argpartition(x: Array, axis: int, places: Any) -> Array:
    return np.argpartition(x, places, axis=axis)


def _scratch(args: tuple[Node, ...], *params: Hashable) -> int:
    return args[0].size * (args[0].dtype.itemsize + INDEX.itemsize)


POSITIONS: Function = Function("positions", _same_shape, positions, _flat, _batch_positions, scratch=_scratch)
ARGSORT: Function = Function("argsort", _same_shape, _argsort, _flat, _batch_axis(lambda: ARGSORT), scratch=_scratch)
ARGPARTITION: Function = Function(
    "argpartition", _same_shape, _argpartition, _flat, _batch_axis(lambda: ARGPARTITION), scratch=_scratch
)
