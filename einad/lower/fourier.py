"""Contractions with a DFT operand ``exp(±2πi · j·k / n)``: fast Fourier transforms."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from einad.ir.expr import DFT, Einsum, Map, Node
from einad.ir.spec import Labels
from einad.lower.contract import contract
from einad.lower.einsum import Frame
from einad.lower.emit import cast, diagonal, sum_out
from einad.lower.kernels import constant
from einad.lower.layout import Readers
from einad.lower.program import Dense, Program, count
from einad.lower.scan import stored
from einad.lower.text import product, reading, say
from einad.lower.view import View, arrange
from einad.ops.pointwise import POINTWISE
from einad.plan.cost import fft_flops, is_view

REAL = POINTWISE["real"]


def contract_dft(
    x: View, node: DFT, labels: Labels, output: Labels, sizes: Mapping[int, int], program: Program
) -> View | None:
    """``sum of x * node`` over all labels but those of ``output`` (all different); None where the DFT must be stored.

    That is so where the result or ``x`` is as large as the DFT: both its labels stand there.
    """
    if labels[0] == labels[1]:
        return None
    x = sum_out(x, {*output, *labels}, x.dtype, program)
    known = [label in x.stored or label in output for label in labels]
    if not any(known):
        total = complex(constant(Dense(node, node.dtype, 0)).sum())
        result = cast(x._replace(coefficient=x.coefficient * total), node.dtype, program)
    elif not all(known):
        result = _weighted(x, node, known.index(False), labels, output, sizes, program)
    else:
        old = next((label for label in labels if label in x.stored and label not in output), None)
        new = labels[labels[0] == old]
        if old is None or new in x.stored:
            return None
        result = _transform(x, node, old, new, sizes, program)
    return result._replace(labels=output, sizes=sizes)


def _weighted(
    x: View, node: DFT, summed: int, labels: Labels, output: Labels, sizes: Mapping[int, int], program: Program
) -> View:
    """One label stands on the DFT alone: the other is weighted by sums of roots of unity."""
    weights = stored(Dense(node, node.dtype, summed), (labels[1 - summed],), sizes, program)
    if x.register is None:
        return sum_out(weights._replace(coefficient=x.coefficient), output, node.dtype, program)
    return contract(cast(x, node.dtype, program), weights, output, node.dtype, program)


def _transform(x: View, node: DFT, old: int, new: int, sizes: Mapping[int, int], program: Program) -> View:
    """A transform along label ``old``, whose place the label ``new`` takes."""
    kept = tuple([new if label == old else label for label in x.stored])
    shape = tuple([sizes[label] for label in kept])
    norm, coefficient = _norm(x, node.period)
    rows = count(shape) // sizes[new]
    target = program.emit(
        "fourier",
        [arrange(x, [(label,) for label in x.stored], program)],
        shape,
        node.dtype,
        "transform",
        flops=rows * fft_flops(node.period),
        options=(x.stored.index(old), node.period, sizes[new], node.sign, norm),
        scratch=node.period * node.dtype.itemsize * (1 if sizes[new] == node.period else rows),
    )
    say(program, target, kept, f"{'fft' if node.sign < 0 else 'ifft'}({reading(x, program)})")
    groups = tuple([(label,) if sizes[label] != 1 else () for label in kept])
    return View(target, groups, kept, sizes, coefficient, node.dtype)


def _norm(x: View, period: int) -> tuple[str, complex | float]:
    """A factor of 1/n or 1/sqrt(n) costs nothing within a transform: what it is called, and the coefficient left."""
    for norm, factor in (("all", 1 / period), ("root", period**-0.5)):
        if period > 1 and abs(x.coefficient - factor) < 4 * np.finfo(float).eps * factor:
            return norm, 1
    return "none", x.coefficient


def real_transforms(readers: Readers) -> dict[Node, tuple[Einsum, ...]]:
    """Real parts of Fourier transforms that nobody else reads: views of the transform, outermost first, then itself.

    They take half the time: the real part of a spectrum is the spectrum of a Hermitian signal.
    """
    found: dict[Node, tuple[Einsum, ...]] = {}
    for child, reading_it in readers.readers.items():
        reader = reading_it[0][0]
        if isinstance(child, Einsum) and isinstance(reader, Map) and reader.row is REAL:
            chain = [child]
            while _is_plain_view(chain[-1]) and isinstance(chain[-1].children[0], Einsum):
                chain.append(chain[-1].children[0])
            if _is_transform(chain[-1]) and all(_is_read_once(node, readers) for node in chain):
                found[reader] = tuple(chain)
    return found


def scaled_transforms(readers: Readers) -> dict[Node, Einsum]:
    """Multiples of Fourier transforms that nobody else reads: a factor of 1/n or 1/sqrt(n) costs nothing."""
    return {
        node: child
        for child, ((node, _), *_) in readers.readers.items()
        if isinstance(node, Einsum) and _is_plain_view(node) and node.coefficient != 1 and node.dtype == child.dtype
        if isinstance(child, Einsum) and _is_transform(child) and _is_read_once(child, readers)
    }


def _is_plain_view(node: Einsum) -> bool:
    return is_view(node) and len(set(node.spec.output)) == node.ndim


def _is_read_once(node: Node, readers: Readers) -> bool:
    return len(readers.readers[node]) == 1 and node not in readers.roots


def _is_transform(node: Einsum) -> bool:
    return len(node.children) == 2 and any(isinstance(child, DFT) for child in node.children)


def lower_real_transform(chain: tuple[Einsum, ...], k: int, x: View, program: Program) -> View | None:
    """The real part of what `real_transforms` found; ``x`` is contracted with the DFT at place ``k``."""
    *views, node = chain
    operand, inputs = node.children[k], node.spec.inputs[1 - k]
    assert isinstance(operand, DFT)
    frame = Frame(node, [inputs], [x])
    x = diagonal(frame.operand(inputs, x), program)
    labels = [frame.find(label) for label in node.spec.inputs[k]]
    old = next((label for label in labels if label in x.stored and label not in frame.output), None)
    new = labels[labels[0] == old]
    summed = {frame.find(label) for label in inputs} - {*frame.output, old}
    if old is None or summed or new in x.stored or new not in frame.output or x.dtype.kind != "c":
        return None
    coefficient = x.coefficient
    for each in chain:
        coefficient *= each.coefficient
    if not coefficient.imag:
        coefficient = coefficient.real
    result = _real_part(x._replace(coefficient=coefficient, sizes=frame.sizes), operand, old, new, program)
    result = result._replace(labels=frame.output)
    for view in reversed(views):
        result = seen_through(view, result)
    return result


def seen_through(view: Einsum, x: View) -> View:
    """A value under the labels of an Einsum that is a view of it; its coefficient has been applied."""
    (inputs,) = view.spec.inputs
    frame = Frame(view, [inputs], [x])
    return frame.operand(inputs, x)._replace(labels=frame.output, sizes=frame.sizes)


def _real_part(x: View, node: DFT, old: int, new: int, program: Program) -> View:
    kept = tuple([new if label == old else label for label in x.stored])
    shape = tuple([x.sizes[label] for label in kept])
    dtype = np.finfo(node.dtype).dtype
    rows = count(shape) // x.sizes[new]
    target = program.emit(
        "real_fourier",
        [arrange(x, [(label,) for label in x.stored], program)],
        shape,
        dtype,
        "transform",
        flops=rows * fft_flops(node.period) // 2,
        options=(x.stored.index(old), node.period, x.sizes[new], node.sign, x.coefficient),
        scratch=(rows * (node.period // 2 + 1) + node.period) * node.dtype.itemsize,
    )
    name = "fft" if node.sign < 0 else "ifft"
    say(program, target, kept, f"real({name}({product(x.coefficient, [reading(x, program)])}))")
    groups = tuple([(label,) if x.sizes[label] != 1 else () for label in kept])
    return View(target, groups, kept, x.sizes, 1, dtype)
