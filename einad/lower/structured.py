"""Einsums of a stored and a structured operand."""

from __future__ import annotations

import numpy as np

from einad.ir.expr import DFT, Affine, Einsum, Step
from einad.ir.spec import Labels
from einad.lower.affine import contract_affine
from einad.lower.contract import working_dtype
from einad.lower.einsum import Frame, combine, compute_dtype, in_dtype
from einad.lower.emit import cast, diagonal
from einad.lower.fourier import contract_dft
from einad.lower.one_hot import contract_one_hot
from einad.lower.placed import Placed, Value, unspread
from einad.lower.program import Dense, Program
from einad.lower.scan import contract_step, stored
from einad.lower.view import View, relabel


def lower_structured(node: Einsum, k: int, x: View, program: Program, indices: View | None = None) -> Value:
    """The value of an Einsum of ``x`` and the structured operand at place ``k``, which may have ``indices``."""
    inputs = node.spec.inputs[1 - k] if len(node.children) > 1 else ()
    return _lowered(node, k, inputs, x, program, indices)


def lower_counts(node: Einsum, indices: View | None, program: Program) -> Value:
    """The value of an Einsum of a OneHot alone: how often each position stands among its indices."""
    one = View(None, (), (), {}, 1, compute_dtype(node))
    return _lowered(node, 0, (), one, program, indices)


def _lowered(node: Einsum, k: int, inputs: Labels, x: View, program: Program, indices: View | None) -> Value:
    frame = Frame(node, [inputs], [x])
    distinct = tuple(dict.fromkeys(frame.output))
    labels = tuple([frame.find(label) for label in node.spec.inputs[k]])
    dtype = working_dtype(compute_dtype(node))
    x = diagonal(frame.operand(inputs, x), program)
    if isinstance(node.children[k], DFT) and x.dtype.kind != "c":  # real tensors have faster transforms
        dtype = np.finfo(dtype).dtype
    x = cast(x, dtype, program)
    coefficient = x.coefficient * node.coefficient
    for label in {frame.find(label) for label in inputs} - {*x.stored, *distinct, *labels}:
        coefficient *= frame.sizes[label]
    x = x._replace(coefficient=coefficient, sizes=frame.sizes)
    if indices is not None:
        found: Value = contract_one_hot(x, indices, labels, distinct, frame.sizes, program)
    else:
        found = _contract(node, k, x, labels, distinct, frame, program)
    return (
        _relabel(in_dtype(found, node, program), frame)
        if isinstance(found, View)
        else _placed(found, node, frame, program)
    )


def _contract(node: Einsum, k: int, x: View, labels: Labels, output: Labels, frame: Frame, program: Program) -> Value:
    operand, dtype = node.children[k], x.dtype
    found: Value | None
    if isinstance(operand, Step):
        return contract_step(x, operand, labels, output, frame.sizes, dtype, program)
    if isinstance(operand, DFT):
        dtype = operand.dtype
        found = contract_dft(x, operand, labels, output, frame.sizes, program)
    else:
        assert isinstance(operand, Affine)
        found = contract_affine(x, operand, labels, output, frame.sizes, dtype, program)
    if found is not None:
        return found
    dense = stored(Dense(operand, dtype), tuple(range(operand.ndim)), dict(enumerate(operand.shape)), program)
    return combine(frame, node, [x, relabel(dense, dict(enumerate(labels)))], set(labels), 1, program)


def _relabel(view: View, frame: Frame) -> View:
    return view._replace(labels=frame.output, sizes=frame.sizes)


def _placed(value: Placed, node: Einsum, frame: Frame, program: Program) -> Value:
    """A sparse result in the node's dtype, spread on diagonals where the output repeats labels."""
    value = value._replace(source=in_dtype(value.source, node, program))
    distinct = tuple(dict.fromkeys(frame.output))
    if len(distinct) == len(frame.output):
        return value
    return _relabel(relabel(unspread(value, program), dict(enumerate(distinct))), frame)
