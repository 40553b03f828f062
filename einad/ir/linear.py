"""Linear maps: an Einsum with one operand left open.

Every derivative in einad is a sum of these. Put the tangent in the open slot and it is the JVP; swap the labels
of slot and output, put the cotangent in, and it is the VJP. There are no other linear rules.
"""

from __future__ import annotations

from typing import NamedTuple

from einad.ir import build, spec
from einad.ir.expr import Einsum, Node, Scalar
from einad.ir.spec import Spec


class Linear(NamedTuple):
    """The linear map ``x -> coefficient * einsum(spec, ..factors.., x at slot, ..factors..)``.

    ``factors`` are the other operands in order; ``sizes[label]`` is the extent of a label.
    ``antilinear`` says that the caller conjugates ``x`` first (only ``conj`` itself is so).
    """

    spec: Spec
    factors: tuple[Node, ...]
    slot: int
    sizes: tuple[int, ...]
    coefficient: Scalar = 1
    antilinear: bool = False


def linear(
    inputs: list[tuple[object, ...]],
    output: tuple[object, ...],
    factors: list[Node],
    slot: int,
    sizes: dict[object, int],
    coefficient: Scalar = 1,
) -> Linear:
    """A `Linear` over any hashable labels."""
    canonical, names = spec.canonical(inputs, output)
    extents = tuple([sizes[name] for name in names])
    return Linear(canonical, tuple(factors), slot, extents, coefficient)


def open_slot(node: Einsum, k: int) -> Linear:
    """An Einsum as a linear map of its operand ``k``."""
    factors = node.children[:k] + node.children[k + 1 :]
    return Linear(node.spec, factors, k, node.sizes, node.coefficient)


def pointwise(factor: Node, antilinear: bool = False) -> Linear:
    """``x -> factor * x``, whose Jacobian is ``factor[i] δ[i,j]``."""
    labels = tuple(range(factor.ndim))
    return Linear(Spec((labels, labels), labels), (factor,), 1, factor.shape, 1, antilinear)


def swap(linear: Linear) -> Linear:
    """The transpose of a linear map: exchange the labels of its slot and its output."""
    return linear._replace(spec=spec.swap(linear.spec, linear.slot))


def apply(linear: Linear, x: Node) -> Node:
    """Put ``x`` in the slot. Leading axes of ``x`` beyond the slot's are carried through, in front."""
    extra = x.ndim - len(linear.spec.inputs[linear.slot])
    lifted = spec.lift(linear.spec, linear.slot, extra)
    operands = (*linear.factors[: linear.slot], x, *linear.factors[linear.slot :])
    sizes = dict(enumerate(linear.sizes + x.shape[:extra]))
    return build.einsum(lifted.inputs, lifted.output, operands, sizes, linear.coefficient)
