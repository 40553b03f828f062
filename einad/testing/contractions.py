"""Hypothesis strategies for einsums in the closed notation, with operands and values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from hypothesis import strategies as st

from einad.ir.expr import Array, Einsum, Input, Node, Shape
from einad.ir.spec import Labels, Spec, canonical
from einad.testing.arrays import DTYPES, arrays

SIZES = (1, 2, 3, 0)


class EinsumCase(NamedTuple):
    """An einsum node and the arrays that its inputs stand for."""

    node: Einsum
    values: dict[Node, Array]


def _labels(max_labels: int, max_dims: int) -> st.SearchStrategy[Labels]:
    return st.lists(st.integers(0, max_labels - 1), max_size=max_dims).map(tuple)


def specs(max_operands: int = 6, max_labels: int = 5, max_dims: int = 3) -> st.SearchStrategy[Spec]:
    """Closed specs: labels repeated in an operand, across operands or in the output, summed, or in the output only."""
    labels = _labels(max_labels, max_dims)
    operands = st.lists(labels, max_size=max_operands)
    return st.builds(lambda inputs, output: canonical(inputs, output)[0], operands, labels)


@st.composite
def einsum_cases(
    draw: st.DrawFn, dtypes: Sequence[str] = DTYPES, max_operands: int = 6, sizes: Sequence[int] = SIZES
) -> EinsumCase:
    """Einsums of small integers, at times with one operand standing twice; sums and products are exact.

    >>> from hypothesis import find
    >>> find(einsum_cases(), lambda case: len(case.node.children) == 2).node.spec
    Spec(inputs=((), ()), output=())
    """
    spec = draw(specs(max_operands))
    extents = tuple([draw(st.sampled_from(sizes)) for _ in range(spec.label_count)])
    operands: list[Node] = []
    values: dict[Node, Array] = {}
    for labels in spec.inputs:
        shape = tuple([extents[label] for label in labels])
        operands.append(draw(_operand(shape, dtypes, values)))
    coefficient = draw(st.sampled_from((1, 2, -1, 0)))
    return EinsumCase(Einsum(spec, tuple(operands), extents, coefficient), values)


@st.composite
def _operand(draw: st.DrawFn, shape: Shape, dtypes: Sequence[str], values: dict[Node, Array]) -> Node:
    """A new input, entered in ``values``, or one that is there already."""
    known = [node for node in values if node.shape == shape]
    again: bool = bool(known) and draw(st.booleans())
    if again:
        return draw(st.sampled_from(known))
    dtype = draw(st.sampled_from(dtypes))
    node = Input(f"x{len(values)}", shape, dtype)
    values[node] = draw(arrays(shape, dtype))
    return node
