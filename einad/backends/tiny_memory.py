"""Where the registers of a small program lie: views of memory that is only pretended, then places in a real block.

While a program is translated every register gets memory of its own, as an array that nobody reads or writes: NumPy
itself says where reshaped, transposed and strided views begin and how they walk. Afterwards registers that are not
alive together share places.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from itertools import accumulate
from typing import NamedTuple

import numpy as np

from einad.backends.tiny_code import UnsupportedError
from einad.ir.expr import Array, DType, Shape
from einad.lower.arena import ALIGNMENT, Span, place

FOREVER = 1 << 62
LEAST_SHARED = 1 << 16  # bytes


class Seen(NamedTuple):
    """An array of the pretended memory, and whose memory it is."""

    owner: Hashable
    array: Array


class Memory:
    """Memory of registers, constants and copies, each from the call that writes it to the last one that reads it."""

    def __init__(self, dtype: DType) -> None:
        self.dtype = dtype
        self.bases: dict[Hashable, Array] = {}
        self.addresses: dict[Hashable, int] = {}
        self.spans: dict[Hashable, Span] = {}
        self.values: dict[Hashable, Array] = {}

    def new(self, owner: Hashable, shape: Shape, now: int, last: int = 0) -> Seen:
        """Memory for an array that is written at the call ``now``."""
        array = np.empty(shape, self.dtype)
        self.bases[owner] = array
        self.addresses[owner] = _address(array)
        self.spans[owner] = Span(owner, now, max(now, last), array.nbytes)
        return Seen(owner, array)

    def constant(self, key: Hashable, value: Array) -> Seen:
        """Memory that holds ``value`` from before the first call on, and for good."""
        if key not in self.values:
            if value.dtype.kind == "c":
                raise UnsupportedError("complex numbers")
            self.values[key] = np.asarray(value, self.dtype)
            return self.new(key, self.values[key].shape, -1, FOREVER)
        return Seen(key, self.bases[key])

    def use(self, seen: Seen, now: int) -> Seen:
        """Note that the call ``now`` needs this memory."""
        key, first, last, nbytes = self.spans[seen.owner]
        if now > last:
            self.spans[seen.owner] = Span(key, first, now, nbytes)
        return seen

    def start(self, seen: Seen) -> int:
        """Where an array begins in its owner's memory, in elements."""
        return (_address(seen.array) - self.addresses[seen.owner]) // self.dtype.itemsize

    def strides(self, seen: Seen, shape: Shape) -> list[int]:
        """How an array walks, in elements, when it is broadcast to ``shape``."""
        size, array = self.dtype.itemsize, seen.array
        strides = [0 if n == 1 else stride // size for n, stride in zip(array.shape, array.strides, strict=True)]
        return [0] * (len(shape) - array.ndim) + strides

    def places(self) -> tuple[dict[Hashable, int], int]:
        """The place of all memory in one block, and the length of the block, in elements.

        Only where there is much of it are places used again: looking for them takes a third of the translation.
        """
        size = self.dtype.itemsize
        rounded = [-(-max(span.nbytes, 1) // ALIGNMENT) * ALIGNMENT for span in self.spans.values()]
        ends = [0, *accumulate(rounded)]
        if ends[-1] <= LEAST_SHARED:
            return {owner: offset // size for owner, offset in zip(self.spans, ends, strict=False)}, ends[-1] // size
        places, nbytes = place(sorted(self.spans.values(), key=lambda span: span.first))
        return {owner: offset // size for owner, offset in places.items()}, nbytes // size


def _address(array: Array) -> int:
    address: int = array.__array_interface__["data"][0]
    return address


def merged(shape: Sequence[int], walks: Sequence[Sequence[int]]) -> tuple[list[int], list[tuple[int, ...]]]:
    """Axes of one step left out, and neighbours along which all walk evenly made one.

    >>> merged((2, 1, 3), [(3, 3, 1), (0, 5, 0)])
    ([6], [(1,), (0,)])
    """
    sizes: list[int] = []
    strides: list[list[int]] = []
    for size, *here in zip(shape, *walks, strict=True):
        if size == 1:
            continue
        if sizes and all(before == size * stride for before, stride in zip(strides[-1], here, strict=True)):
            sizes[-1] *= size
            strides[-1] = here
        else:
            sizes.append(size)
            strides.append(here)
    return sizes, [tuple([each[n] for each in strides]) for n in range(len(walks))]
