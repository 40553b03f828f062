"""Einsums of at most two stored operands: labels are unified first, then what is left is at most one call."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from einad.ir.expr import DType, Einsum, Scalar
from einad.ir.spec import Labels
from einad.lower.contract import contract, divide, working_dtype
from einad.lower.emit import cast, diagonal, settle, sum_out
from einad.lower.layout import ANY_LAYOUT, Layout, Wish, layout_for
from einad.lower.program import Program
from einad.lower.view import View, relabel


class Frame:
    """An einsum's labels after its operands' deltas have unified some of them."""

    def __init__(self, node: Einsum, inputs: Sequence[Labels], views: Sequence[View]) -> None:
        self.parent = list(range(len(node.sizes)))
        for labels, view in zip(inputs, views, strict=True):
            first: dict[int, int] = {}
            for label, inner in zip(labels, view.labels, strict=True):
                self.parent[self.find(label)] = self.find(first.setdefault(inner, label))
        self.sizes = dict(enumerate(node.sizes))
        self.output = tuple([self.find(label) for label in node.spec.output])

    def find(self, label: int) -> int:
        """The label that stands for ``label`` and all that are unified with it."""
        while self.parent[label] != label:
            self.parent[label] = self.parent[self.parent[label]]
            label = self.parent[label]
        return label

    def operand(self, labels: Labels, view: View) -> View:
        """A view under the einsum's labels."""
        names = {inner: self.find(label) for label, inner in zip(labels, view.labels, strict=True)}
        return relabel(view, names)


def lower_einsum(
    node: Einsum,
    views: Sequence[View],
    program: Program,
    inputs: Sequence[Labels] | None = None,
    divided: bool = False,
    wishes: Sequence[Wish] = (),
) -> View:
    """The value of an Einsum of at most two operands; with ``divided`` the first is divided by the second.

    ``inputs`` are the labels of the operands where they do not come in the node's order, ``wishes`` what readers wish
    for the layout of a contraction.
    """
    inputs = node.spec.inputs if inputs is None else inputs
    frame = Frame(node, inputs, views)
    operands = [frame.operand(labels, view) for labels, view in zip(inputs, views, strict=True)]
    labels = {frame.find(label) for label in node.spec.input_labels}
    return combine(frame, node, operands, labels, node.coefficient, program, divided, layout_for(wishes, frame.output))


def combine(
    frame: Frame,
    node: Einsum,
    operands: Sequence[View],
    labels: set[int],
    coefficient: Scalar,
    program: Program,
    divided: bool = False,
    layout: Layout = ANY_LAYOUT,
) -> View:
    """The product of operands under one frame; ``labels`` are those that stand on some operand."""
    compute = compute_dtype(node)
    factors = [diagonal(view, program) for view in operands if view.register is not None]
    stored = {label for view in factors for label in view.stored}
    for view in operands:
        if view.register is None:
            coefficient *= view.coefficient
    for label in labels - stored - set(frame.output):
        coefficient *= frame.sizes[label]
    view = _multiply(factors, frame, compute, divided, layout, program)
    view = view._replace(labels=frame.output, sizes=frame.sizes, coefficient=view.coefficient * coefficient)
    return in_dtype(view, node, program)


def _multiply(
    factors: Sequence[View], frame: Frame, compute: DType, divided: bool, layout: Layout, program: Program
) -> View:
    """The product of up to two stored factors, summed over what is not in the output."""
    working = working_dtype(compute)
    if not factors:
        return View(None, (), (), frame.sizes, 1, compute)
    if len(factors) == 1:
        (one,) = factors
        if set(one.stored) <= set(frame.output):
            return cast(one, compute, program)  # before a fractional coefficient meets whole numbers
        return sum_out(cast(one, working, program), frame.output, working, program)
    a, b = [cast(view, working, program) for view in factors]
    if divided:
        return divide(a, b, frame.output, working, program)
    return contract(a, b, frame.output, working, program, layout)


def compute_dtype(node: Einsum) -> DType:
    """The dtype in which the products are formed: that of the operands and the result together."""
    return np.result_type(node.dtype, *{child.dtype for child in node.children})


def in_dtype(view: View, node: Einsum, program: Program) -> View:
    """A view in the node's dtype. Booleans are true where the number is not zero."""
    if node.dtype.kind == "b":
        view = view._replace(coefficient=bool(view.coefficient))
    view = cast(view, np.result_type(view.dtype, node.dtype), program)
    if view.dtype == node.dtype:
        return view
    if view.register is None:
        return view._replace(coefficient=np.asarray(view.coefficient).astype(node.dtype).item(), dtype=node.dtype)
    return cast(settle(view, program), node.dtype, program)
