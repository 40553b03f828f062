"""vmap: run a function written for one example on a batch, as one expression with one more label."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

from einad.containers import flatten, unflatten
from einad.diff.batch import batch
from einad.errors import ShapeError
from einad.ir import build
from einad.ir.expr import Node
from einad.transforms.tracing import Run, as_value, parameter_names

REASON = (
    "inside ea.vmap a tensor stands for a whole batch and has no single value; "
    "write np.where instead of if, and keep loops independent of the data"
)


def vmap(f: Callable[..., Any], in_axes: Any = 0, out_axes: Any = 0) -> Callable[..., Any]:
    """Batch a function: one more label on its operands and its output.

    Parameters
    ----------
    f : callable
        A function of single examples.
    in_axes : int, None or a sequence with one such (or a container of such) per argument
        The axis of each argument to map over; None passes it whole.
    out_axes : int or a container of ints
        Where the new axis stands in the result.

    Examples
    --------
    >>> import numpy as np
    >>> vmap(lambda x, y: x @ y)(np.ones((5, 3)), np.ones((5, 3))).shape
    (5,)
    """

    @wraps(f)
    def batched(*args: Any) -> Any:
        axes = _per_argument(in_axes, args)
        with Run(f, "vmap") as run:
            names = parameter_names(f, len(args))
            mapped: dict[Node, Node] = {}
            inner = [_open(run, arg, axis, name, mapped) for arg, axis, name in zip(args, axes, names, strict=True)]
            size = _common_size(mapped)
            nodes, structure = run.nodes(run.call(inner, {}))
            roots = batch(nodes, mapped, size)
            targets = _broadcast_axes(out_axes, structure.leaf_count)
            values = run.finish([_move(root, 0, axis) for root, axis in zip(roots, targets, strict=True)])
        return unflatten(structure, values)

    return batched


def _per_argument(in_axes: Any, args: Sequence[Any]) -> list[Any]:
    if isinstance(in_axes, tuple | list):
        if len(in_axes) != len(args):
            raise ValueError(f"in_axes has {len(in_axes)} entries for {len(args)} arguments")
        return list(in_axes)
    return [in_axes] * len(args)


def _open(run: Run, arg: Any, axis: Any, name: str, mapped: dict[Node, Node]) -> Any:
    leaves, structure = flatten(arg)
    chosen = [axis] * len(leaves) if axis is None or isinstance(axis, int) else _leaf_axes(axis, len(leaves), name)
    return unflatten(structure, [_open_leaf(run, x, a, name, mapped) for x, a in zip(leaves, chosen, strict=True)])


def _leaf_axes(axis: Any, count: int, name: str) -> list[int | None]:
    entries = list(axis.values()) if isinstance(axis, dict) else list(axis)
    if len(entries) != count or any(not (e is None or isinstance(e, int)) for e in entries):
        raise ValueError(f"in_axes of argument {name!r} must be an int, None or one of them per leaf, got {axis!r}")
    return entries


def _open_leaf(run: Run, leaf: Any, axis: int | None, name: str, mapped: dict[Node, Node]) -> Any:
    if axis is None:
        return leaf
    value = as_value(leaf, f"argument {name!r} of ea.vmap")
    if not -value.ndim <= axis < value.ndim:
        raise ShapeError(f"ea.vmap over axis {axis} of argument {name!r}, which has shape {value.shape}")
    whole = value if isinstance(value, Node) else run.hold(name, value)
    moved = _move(whole, axis % value.ndim, 0)
    single = run.open_abstract(name, moved.shape[1:], moved.dtype, REASON)
    mapped[single] = moved
    return run.tensor(single)


def _common_size(mapped: dict[Node, Node]) -> int:
    sizes = {node.shape[0] for node in mapped.values()}
    if len(sizes) != 1:
        found = ", ".join(map(str, sorted(sizes))) or "no mapped argument"
        raise ShapeError(f"ea.vmap needs mapped axes of one size, found {found}; check in_axes")
    return sizes.pop()


def _broadcast_axes(out_axes: Any, count: int) -> list[int]:
    entries = flatten(out_axes)[0]
    if len(entries) == 1:
        entries = entries * count
    if len(entries) != count or any(not isinstance(e, int) for e in entries):
        raise ValueError(f"out_axes must be an int or one int per result, got {out_axes!r}")
    return entries


def _move(node: Node, source: int, target: int) -> Node:
    if not -node.ndim <= target < node.ndim:
        raise ShapeError(f"out_axes {target} is out of range for a result of {node.ndim} axes")
    order = [axis for axis in range(node.ndim) if axis != source]
    order.insert(target % node.ndim, source)
    return build.permute(node, order)
