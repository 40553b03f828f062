"""What a call of an expression gives: arrays for the inputs, sizes for indices."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from operator import index as as_index
from typing import Any, NamedTuple

import numpy as np

from einad.errors import ShapeError, point_at
from einad.front.notation import Program
from einad.front.notation_print import tensor_text
from einad.front.notation_sizes import Classes, Sizes
from einad.ir.expr import Array, DType, Shape

Form = tuple[Shape, DType]
Extra = tuple[str, int | Shape]


def bind_arrays(program: Program, values: Mapping[str, Any]) -> dict[str, Array]:
    """The inputs as arrays. Numbers of Python are weak: they take the dtype of the arrays beside them.

    Raises
    ------
    TypeError
        If inputs are missing.
    ShapeError
        If a value is no array of numbers.
    """
    require(program, values)
    arrays = {name: _array(name, values[name]) for name in program.inputs}
    weak = [name for name in arrays if type(values[name]) in (int, float, complex)]
    if weak and len(weak) < len(arrays):
        dtype = np.result_type(*{array.dtype for name, array in arrays.items() if name not in weak})
        for name in weak:
            arrays[name] = arrays[name].astype(np.result_type(dtype, values[name]))
    return arrays


def bind_extras(program: Program, values: Mapping[str, Any]) -> tuple[Extra, ...]:
    """What keywords that are no inputs say of sizes: ints for indices, shapes of tensors met in derivatives only."""
    extras: list[Extra] = []
    for name in values.keys() - program.inputs.keys():
        size = _as_size(values[name]) if name in program.indices and name not in program.outputs else None
        if size is not None:
            extras.append((name, size))
        elif name in _primals(program):
            extras.append((name, np.shape(values[name])))
    return tuple(sorted(extras))


def call_sizes(program: Program, found: Classes, shapes: Mapping[str, Shape], extras: tuple[Extra, ...]) -> Sizes:
    """The sizes of indices.

    Raises
    ------
    ShapeError
        If a value has the wrong number of axes or sizes disagree.
    """
    sizes = Sizes(program, found)
    for name, shape in shapes.items():
        sizes.set_shape(name, shape)
    others = {name: extra for name, extra in extras if isinstance(extra, tuple)}
    for name, extra in extras:
        if isinstance(extra, int):
            sizes.set_index(name, extra)
    ranks = {name: len(indices) for name, indices in program.tensors.items()}
    ranks.update((name, len(shape)) for name, shape in others.items())
    relations = [relation for tensor in program.tensors for relation in _relations(tensor, ranks)]
    for relation in relations:
        if relation.primal in others:
            _apply(program, sizes, relation, others[relation.primal])
    shared = [relation for relation in relations if relation.primal in program.tensors]
    _share(sizes, shared)
    sizes.resolve()
    _share(sizes, shared)
    return sizes


def require(program: Program, values: Mapping[str, Any]) -> None:
    """Check that no input is missing."""
    missing = [name for name in program.inputs if name not in values]
    if not missing:
        return
    unused = {name.lower(): name for name in values if name not in program.inputs}
    found = [
        f"{name} (did you mean it by {unused[near[0]]}?)" if near else name
        for name in missing
        for near in [get_close_matches(name.lower(), unused, n=1)]
    ]
    listed = ", ".join(tensor_text(name, indices) for name, indices in program.inputs.items())
    first = program.first_uses[missing[0]]
    raise TypeError(f"missing {', '.join(found)}; the inputs are {listed}\n{point_at(program.text, first.at)}")


def _array(name: str, value: Any) -> Array:
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise ShapeError(f"the value of {name!r} is no array: {error}") from None
    if array.dtype.kind not in "biufc":
        raise ShapeError(f"the value of {name!r} holds no numbers but {array.dtype}; convert it with .astype(float)")
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


def _as_size(value: Any) -> int | None:
    if isinstance(value, bool | np.ndarray):
        return None
    try:
        size = as_index(value)
    except TypeError:
        return None
    if size < 0:
        raise ShapeError(f"the size of an index is not negative, got {size}")
    return size


class _Relation(NamedTuple):
    """The axes of ``tensor`` from ``start`` on, ``rank`` of them, are those of ``primal``."""

    tensor: str
    primal: str
    start: int
    rank: int


def _primals(program: Program) -> frozenset[str]:
    """The tensors whose cotangents, tangents or derivatives the text may speak of, by their names."""
    return frozenset(name for tensor in program.tensors for name in _primal_names(tensor))


def _primal_names(tensor: str) -> list[str]:
    """``x`` for ``x_bar`` and ``x_dot``; ``Y, W`` for ``dY_dW``; ``loss, W, X`` for ``d2loss_dW_dX``."""
    if tensor.endswith(("_bar", "_dot")):
        return [tensor[:-4]]
    parts = tensor[1:].split("_d") if tensor.startswith("d") else []
    return [parts[0].lstrip("0123456789"), *parts[1:]] if len(parts) > 1 else []


def _relations(tensor: str, ranks: Mapping[str, int]) -> Iterator[_Relation]:
    """What the name of a cotangent, tangent or derivative says of its axes, as far as ranks are known.

    Axes are counted from the end; what is left belongs to the first name.
    """
    names = _primal_names(tensor)
    if len(names) == 1:
        yield _Relation(tensor, names[0], 0, ranks[tensor])
        return
    end = ranks[tensor]
    for name in reversed(names[1:]):
        if name not in ranks or end < ranks[name]:
            return
        end -= ranks[name]
        yield _Relation(tensor, name, end, ranks[name])
    if names and ranks.get(names[0]) == end:
        yield _Relation(tensor, names[0], 0, end)


def _apply(program: Program, sizes: Sizes, relation: _Relation, shape: Shape) -> None:
    """Let the shape of a tensor that the text does not hold say the sizes of its derivative."""
    tensor, name, start, rank = relation
    if rank != len(shape):
        raise ShapeError(
            f"{name} has shape {shape}, of {len(shape)} axes, but {tensor_text(tensor, program.tensors[tensor])} "
            f"belongs to a tensor of {rank}\n{point_at(program.text, program.first_uses[tensor].at)}"
        )
    sizes.set_axes(tensor, range(start, start + rank), shape, name)


def _share(sizes: Sizes, relations: list[_Relation]) -> None:
    """Where nothing else says a size, a derivative has that of the tensor in the text it is named after."""
    of_axis, values = sizes.classes.of_axis, sizes.values
    pairs = [
        (of_axis[relation.tensor, relation.start + axis], of_axis[relation.primal, axis])
        for relation in relations
        for axis in range(relation.rank)
        if (relation.primal, axis) in of_axis
    ]
    changed = True
    while changed:
        changed = False
        for one, other in (*pairs, *[(b, a) for a, b in pairs]):
            if one not in values and other in values:
                values[one] = values[other]
                changed = True
