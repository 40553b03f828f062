"""Jacobians of n-D outputs by n-D inputs, seeded with Kronecker deltas; no identity is ever stored.

``J[out.., in..] = ∂out/∂in``. Reverse mode seeds the output's cotangent with ``->abab`` and carries the leading axes
through the sweep; forward mode is its mirror image.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from einad.diff.sweep import jvp, vjp
from einad.ir import build
from einad.ir.expr import Node

Mode = Literal["forward", "reverse"]


def jacobian(output: Node, wrt: Sequence[Node], mode: Mode) -> list[Node]:
    """``∂output/∂x`` of shape ``output.shape + x.shape`` for each ``x`` in ``wrt``.

    Between a real and a complex tensor the pairing fixes the direction, whatever the mode: the complex side is seeded.
    """
    return [_one(output, x, _possible(output, x, mode)) for x in wrt]


def modes(output: Node, wrt: Sequence[Node]) -> tuple[Mode, ...]:
    """The directions worth comparing: one where the output or all inputs are scalars."""
    if output.size == 1:
        return ("reverse",)
    return ("forward",) if all(x.size == 1 for x in wrt) else ("reverse", "forward")


def _possible(output: Node, x: Node, mode: Mode) -> Mode:
    if output.dtype.kind == x.dtype.kind:
        return mode
    return "reverse" if x.dtype.kind == "c" else "forward"


def _one(output: Node, x: Node, mode: Mode) -> Node:
    if mode == "reverse":
        (result,) = vjp([output], [build.delta(output.shape, output.dtype)], [x])
        return result
    (pushed,) = jvp([output], {x: build.delta(x.shape, x.dtype)}, x.shape)
    n = x.ndim
    return build.permute(pushed, (*range(n, pushed.ndim), *range(n)))
