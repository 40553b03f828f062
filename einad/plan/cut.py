"""The key of an input that is a slice of a whole array."""

from __future__ import annotations

from typing import NamedTuple


class Cut(NamedTuple):
    """The key of a part's input: its number, and the strides in elements that it has as a slice of a whole array."""

    number: int
    strides: tuple[int, ...]
