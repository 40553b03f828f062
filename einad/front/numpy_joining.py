"""NumPy's functions that join tensors, or cut them into pieces."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from einad.errors import ShapeError
from einad.front.lifting import as_node, axis_index, list_shapes, new_axis, whole
from einad.front.numpy_elementwise import cast, multiply, refuse_out, row, subtract
from einad.front.numpy_shapes import atleast_1d, atleast_2d, atleast_3d, broadcast_to, cut_slice, ravel, reshape
from einad.ir import build
from einad.ir.expr import Node
from einad.ops import structured


def array(object: Any, dtype: Any = None, *, ndmin: int = 0, copy: bool | None = True) -> Node:  # noqa: A002
    """A nested list of tensors and numbers as one tensor: its entries stacked."""
    node = as_node(object)
    node = node if dtype is None else cast(node, dtype, "array")
    return reshape(node, (1,) * (ndmin - node.ndim) + node.shape)


def concatenate(arrays: Any, /, axis: int | None = 0, out: None = None, *, dtype: Any = None) -> Node:
    """Tensors one behind the other along an axis."""
    refuse_out("concatenate", out)
    entries = _entries("concatenate", arrays)
    nodes = [as_node(x) for x in entries]
    if axis is None:
        nodes, axis = [ravel(node) for node in nodes], 0
    if not nodes[0].ndim:
        raise ShapeError("np.concatenate needs at least one axis, found scalars; write np.stack to join scalars")
    axis = axis_index(axis, nodes[0].ndim)
    if len({(*n.shape[:axis], None, *n.shape[axis + 1 :]) for n in nodes}) > 1 or any(not n.ndim for n in nodes):
        raise ShapeError(
            f"np.concatenate along axis {axis} needs shapes that agree but for that axis, found {list_shapes(nodes)}"
        )
    return structured.concatenate(_one_dtype(nodes, dtype), axis)


def _entries(name: str, arrays: Any) -> Sequence[Any]:
    entries: Sequence[Any] = split_axis(arrays) if isinstance(arrays, Node) else list(arrays)
    if not entries:
        raise ValueError(f"np.{name} needs at least one array")
    return entries


def split_axis(x: Node) -> list[Node]:
    """The entries of a tensor along its first axis."""
    return [structured.pick(x, 0, k) for k in range(x.shape[0])]


def _one_dtype(nodes: Sequence[Node], dtype: Any) -> list[Node]:
    wanted = np.result_type(*[node.dtype for node in nodes]) if dtype is None else dtype
    return [cast(node, wanted, "np.concatenate") for node in nodes]


def stack(arrays: Any, axis: int = 0, out: None = None, *, dtype: Any = None) -> Node:
    """Tensors of one shape along a new axis."""
    refuse_out("stack", out)
    nodes = [as_node(x) for x in _entries("stack", arrays)]
    if len({node.shape for node in nodes}) > 1:
        raise ShapeError(f"np.stack needs arrays of one shape, found {list_shapes(nodes)}")
    axis = axis_index(axis, nodes[0].ndim + 1)
    if len(nodes) == 1:
        return new_axis(_one_dtype(nodes, dtype)[0], axis)
    return structured.stack(_one_dtype(nodes, dtype), axis)


def vstack(tup: Any, *, dtype: Any = None) -> Node:
    """Rows one below the other."""
    return concatenate([atleast_2d(x) for x in _entries("vstack", tup)], 0, dtype=dtype)


def hstack(tup: Any, *, dtype: Any = None) -> Node:
    """Vectors one behind the other, matrices side by side."""
    nodes = [atleast_1d(x) for x in _entries("hstack", tup)]
    return concatenate(nodes, 0 if nodes[0].ndim == 1 else 1, dtype=dtype)


def dstack(tup: Any) -> Node:
    """Tensors along the third axis."""
    return concatenate([atleast_3d(x) for x in _entries("dstack", tup)], 2)


def column_stack(tup: Any) -> Node:
    """Vectors as columns, matrices side by side."""
    nodes = [as_node(x) for x in _entries("column_stack", tup)]
    return concatenate([x if x.ndim > 1 else reshape(x, (x.size, 1)) for x in nodes], 1)


def block(arrays: Any) -> Node:
    """A nested list of blocks: the innermost lists join along the last axis."""
    depth = _depth(arrays)
    ndim = max(depth, *(as_node(leaf).ndim for leaf in _leaves(arrays)))
    return _join_blocks(arrays, depth, ndim)


def _depth(x: Any) -> int:
    return 1 + max((_depth(entry) for entry in x), default=0) if isinstance(x, list) else 0


def _leaves(x: Any) -> list[Any]:
    return [leaf for entry in x for leaf in _leaves(entry)] if isinstance(x, list) else [x]


def _join_blocks(x: Any, depth: int, ndim: int) -> Node:
    if not isinstance(x, list):
        node = as_node(x)
        return reshape(node, (1,) * (ndim - node.ndim) + node.shape)
    return concatenate([_join_blocks(entry, depth - 1, ndim) for entry in x], -depth)


def append(arr: Any, values: Any, axis: int | None = None) -> Node:
    """``values`` behind ``arr``."""
    return concatenate([arr, values], axis)


def array_split(ary: Any, indices_or_sections: Any, axis: int = 0) -> list[Node]:
    """Pieces of (nearly) equal size, or pieces cut at the positions given."""
    node = as_node(ary)
    axis = axis_index(axis, node.ndim)
    cuts = _cuts(node.shape[axis], indices_or_sections)
    pieces = []
    for first, last in pairwise(cuts):
        start, stop, _ = slice(first, last).indices(node.shape[axis])
        pieces.append(cut_slice(node, axis, start, 1, max(stop - start, 0)))
    return pieces


def _cuts(n: int, where: Any) -> list[Any]:
    if isinstance(where, tuple | list | np.ndarray):
        return [0, *[whole(k, "a position") for k in where], None]
    sections = whole(where, "the number of sections")
    if sections <= 0:
        raise ValueError("number sections must be larger than 0.")
    each, larger = divmod(n, sections)
    return [k * each + min(k, larger) for k in range(sections)] + [n]


def split(ary: Any, indices_or_sections: Any, axis: int = 0) -> list[Node]:
    """Pieces of equal size, or pieces cut at the positions given."""
    node = as_node(ary)
    n = node.shape[axis_index(axis, node.ndim)]
    if not isinstance(indices_or_sections, tuple | list | np.ndarray) and n % whole(indices_or_sections, "sections"):
        raise ValueError(
            f"np.split of axis {axis} of shape {node.shape} into {indices_or_sections} pieces of equal size is not "
            "possible; np.array_split makes pieces of nearly equal size"
        )
    return array_split(node, indices_or_sections, axis)


def hsplit(ary: Any, indices_or_sections: Any) -> list[Node]:
    """Pieces along axis 1, of vectors along axis 0."""
    node = as_node(ary)
    return split(node, indices_or_sections, 0 if node.ndim == 1 else 1)


def vsplit(ary: Any, indices_or_sections: Any) -> list[Node]:
    """Pieces along axis 0."""
    return split(ary, indices_or_sections, 0)


def dsplit(ary: Any, indices_or_sections: Any) -> list[Node]:
    """Pieces along axis 2."""
    return split(ary, indices_or_sections, 2)


def unstack(x: Any, /, *, axis: int = 0) -> tuple[Node, ...]:
    """The entries along an axis, which leaves."""
    node = as_node(x)
    axis = axis_index(axis, node.ndim)
    return tuple([structured.pick(node, axis, k) for k in range(node.shape[axis])])


def diff(a: Any, n: int = 1, axis: int = -1, prepend: Any = None, append: Any = None) -> Node:
    """Differences of neighbours, ``n`` times."""
    node = as_node(a)
    axis = axis_index(axis, node.ndim)
    if whole(n, "n") < 0:
        raise ValueError(f"order must be non-negative but got {n}")
    edges = [_edge(x, node, axis) for x in (prepend, append)]
    parts = [part for part in (edges[0], node, edges[1]) if part is not None]
    node = concatenate(parts, axis) if len(parts) > 1 else node
    for _ in range(n):
        count = max(node.shape[axis] - 1, 0)
        late, early = cut_slice(node, axis, 1, 1, count), cut_slice(node, axis, 0, 1, count)
        node = row("not_equal", late, early) if node.dtype.kind == "b" else subtract(late, early)
    return node


def _edge(x: Any, like: Node, axis: int) -> Node | None:
    if x is None:
        return None
    node = as_node(x)
    return node if node.ndim else broadcast_to(node, (*like.shape[:axis], 1, *like.shape[axis + 1 :]))


def trapezoid(y: Any, x: Any = None, dx: float = 1.0, axis: int = -1) -> Node:
    """The integral by the trapezoidal rule."""
    node = as_node(y)
    axis = axis_index(axis, node.ndim)
    count = max(node.shape[axis] - 1, 0)
    late, early = (cut_slice(node, axis, start, 1, count) for start in (1, 0))
    means = build.scale(build.add(late, early), 0.5)
    if x is None:
        return multiply(build.reduce_sum(means, (axis,)), dx)
    widths = diff(x, axis=-1 if as_node(x).ndim == 1 else axis)
    labels = list(range(node.ndim))
    inner = labels if widths.ndim == node.ndim else [axis]
    return build.einsum([labels, inner], [k for k in labels if k != axis], [means, widths])
