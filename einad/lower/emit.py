"""From views to arrays: apply a coefficient, change the dtype, sum, take diagonals."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from einad.ir.expr import DType
from einad.ir.spec import Labels
from einad.lower.program import Argument, Constant, Operand, Program, contiguous, count
from einad.lower.text import product, reading, say
from einad.lower.view import View, arrange, group_shape


def settle(view: View, program: Program) -> View:
    """The same tensor with coefficient 1 (a bare number keeps it)."""
    if view.register is None or view.coefficient == 1:
        return view
    operand = Operand(view.register)
    found = program.registers[view.register]
    negate = view.coefficient == -1 and view.dtype.kind in "fc"
    args: tuple[Argument, ...] = (operand,) if negate else (operand, Constant(view.coefficient, view.dtype))
    function = "negative" if negate else "multiply"
    target = program.emit(
        function, args, found.shape, view.dtype, "elementwise", flops=found.size, reuse=[view.register]
    )
    say(program, target, view.stored, product(view.coefficient, [reading(view, program)]))
    return view._replace(register=target, coefficient=1)


def cast(view: View, dtype: DType, program: Program) -> View:
    """The stored array in another dtype; the coefficient stays pending, except for integers, which wrap around."""
    if view.dtype == dtype:
        return view
    if view.dtype.kind in "iu":
        view = settle(view, program)
    if view.register is None:
        return view._replace(dtype=dtype)
    found = program.registers[view.register]
    if found.dtype == dtype:
        return view._replace(dtype=dtype)
    target = program.emit("astype", [Operand(view.register)], found.shape, dtype, "cast")
    say(program, target, view.stored, f"{dtype}({reading(view, program)})")
    return view._replace(register=target, dtype=dtype)


def diagonal(view: View, program: Program) -> View:
    """Read a register whose axes carry a label twice along that diagonal; afterwards every label stands once."""
    while True:
        stored = view.stored
        twice = next((label for label in stored if stored.count(label) > 1), None)
        if twice is None:
            return view
        view = _one_diagonal(view, twice, program)


def _one_diagonal(view: View, label: int, program: Program) -> View:
    assert view.register is not None
    flat = view.stored
    first = flat.index(label)
    second = flat.index(label, first + 1)
    found = program.registers[view.register]
    shape = tuple([view.sizes[each] for each in flat])
    strides: list[int] = []
    for group, stride in zip(view.groups, found.strides, strict=True):
        inner = contiguous([view.sizes[each] for each in group])
        strides.extend([stride * s for s in inner])
    views = () if found.shape == shape else (("reshape", shape),)
    rest = [axis for axis in range(len(flat)) if axis not in (first, second)]
    target = program.emit(
        "diagonal",
        [Operand(view.register, views)],
        (*[shape[axis] for axis in rest], shape[first]),
        found.dtype,
        "view",
        options=(first, second),
        strides=(*[strides[axis] for axis in rest], strides[first] + strides[second]),
        sources=[view.register],
    )
    kept = (*[flat[axis] for axis in rest], label)
    say(program, target, kept, reading(view, program))
    return view._replace(register=target, groups=tuple([(each,) for each in kept]))


def sum_out(view: View, kept: Collection[int], dtype: DType, program: Program) -> View:
    """Sum the stored labels that are not in ``kept``; the coefficient stays pending."""
    summed = [label for label in view.stored if label not in kept]
    if not summed:
        return view
    groups: list[Labels] = []
    for group in view.groups:
        for n, label in enumerate(group):
            if n and (label in kept) == (group[n - 1] in kept):
                groups[-1] = (*groups[-1], label)
            else:
                groups.append((label,))
    axes = tuple([axis for axis, group in enumerate(groups) if group[0] not in kept])
    left = tuple([group for group in groups if group[0] in kept])
    target = program.emit(
        "sum",
        [arrange(view, groups, program)],
        group_shape(left, view.sizes),
        dtype,
        "reduce",
        flops=count([view.sizes[label] for label in view.stored]),
        options=axes if left else None,
    )
    result = view._replace(register=target, groups=left, dtype=dtype)
    say(program, target, result.stored, reading(view, program))
    return result


def reusable(args: Sequence[Argument]) -> list[int]:
    """The registers whose memory an elementwise call may write into: those read as they are or reshaped.

    Only a register of the result's size, dtype and layout qualifies in the end (`Program.emit`).
    """
    return [
        arg.register
        for arg in args
        if isinstance(arg, Operand) and not arg.copied and all(step == "reshape" for step, _ in arg.views)
    ]


def argument(view: View, groups: Sequence[Sequence[int]], program: Program) -> Argument:
    """A view with coefficient 1, or a bare number, as the argument of an elementwise call."""
    if view.register is None:
        return Constant(view.coefficient, view.dtype)
    return arrange(view, groups, program)
