"""The node types: an expression is a directed acyclic graph of frozen, interned nodes.

::

    node  = Input | Literal | Affine | Step | DFT                    (leaves)
          | OneHot node length
          | Einsum spec coefficient node* | Map row node+ | Add node+ | Call row node*

Interning makes "the same expression" mean ``is``. Shape and dtype are fixed at birth. A constructor checks
its arguments and never simplifies; what one does with nodes lives in the other rooms.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import lru_cache
from threading import RLock
from typing import TYPE_CHECKING, Any, ClassVar, cast
from weakref import ref

import numpy as np

from einad.errors import ShapeError
from einad.ir.spec import Spec

if TYPE_CHECKING:
    from einad.ir.linear import Linear

Shape = tuple[int, ...]
DType = np.dtype[Any]
Array = np.ndarray[Any, Any]
Scalar = int | float | complex

BOOL = np.dtype(bool)
_set = object.__setattr__
_lock = RLock()


class Node:
    """A tensor-valued expression: ``shape``, ``dtype`` and the nodes it is computed from."""

    __slots__ = ("__weakref__", "children", "dtype", "shape")

    shape: Shape
    dtype: DType
    children: tuple[Node, ...]
    fields: ClassVar[tuple[str, ...]] = ()

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """The number of elements."""
        count = 1
        for n in self.shape:
            count *= n
        return count

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"nodes are frozen; build a new {type(self).__name__} instead")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"nodes are frozen; build a new {type(self).__name__} instead")

    def __copy__(self) -> Node:
        return self

    def __deepcopy__(self, memo: object) -> Node:
        return self

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.dtype}{list(self.shape)}>"


class _Entry(ref["Node"]):
    """A weak reference in the table of nodes, which leaves it with its node."""

    __slots__ = ("key",)
    key: Hashable


_table: dict[Hashable, _Entry] = {}


def _forget(entry: _Entry, table: dict[Hashable, _Entry] = _table, lock: Any = _lock) -> None:
    with lock:
        if table.get(entry.key) is entry:
            del table[entry.key]


def _known(key: Hashable) -> Node | None:
    """The living node of a key."""
    entry = _table.get(key)
    return None if entry is None else entry()


def _interned(
    cls: type[Node], key: Hashable, shape: Shape, dtype: DType, children: tuple[Node, ...], *values: Any
) -> Any:
    with _lock:
        found = _known(key)
        if found is not None:
            return found
        node = object.__new__(cls)
        _set(node, "shape", shape)
        _set(node, "dtype", dtype)
        _set(node, "children", children)
        for name, value in zip(cls.fields, values, strict=True):
            _set(node, name, value)
        entry = _Entry(node, _forget)
        entry.key = key
        _table[key] = entry
        return node


class Input(Node):
    """A named tensor whose value comes with the call. ``key`` tells apart inputs of equal name.

    >>> Input("x", (2, 3), float) is Input("x", (2, 3), float)
    True
    """

    __slots__ = ("key", "name")
    fields = ("name", "key")
    name: str
    key: Hashable

    def __new__(cls, name: str, shape: Shape, dtype: Any = float, key: Hashable = None) -> Input:
        dtype, shape = _numeric(dtype), tuple(shape)
        return cast(Input, _interned(cls, (cls, name, shape, dtype, key), shape, dtype, (), name, key))


class Literal(Node):
    """A constant array, known by identity and never copied; scalars are known by value."""

    __slots__ = ("value",)
    fields = ("value",)
    value: Array

    def __new__(cls, value: Any) -> Literal:
        array = value if type(value) is np.ndarray else np.asarray(value)
        dtype = _numeric(array.dtype)
        key = (cls, dtype, array.tobytes()) if array.ndim == 0 else (cls, id(array))
        if array.ndim == 0:
            array = array.copy()
        return cast(Literal, _interned(cls, key, array.shape, dtype, (), array))


class Structured(Node):
    """A tensor known by a formula, the operand of an Einsum; it is contracted with, never stored."""

    __slots__ = ()


class Affine(Structured):
    """The structured operand ``[coefficients . index + offset == 0]``: 1 where it holds, else 0; never stored.

    Slices, flips, padding, windows and reshapes are einsums with it. ``y[j] = x[2*j + 1]`` is
    ``Y[j] = X[k] * Affine[k, j]`` with coefficients (-1, 2) and offset 1.
    """

    __slots__ = ("coefficients", "offset")
    fields = ("coefficients", "offset")
    coefficients: tuple[int, ...]
    offset: int

    def __new__(cls, shape: Shape, coefficients: tuple[int, ...], offset: int = 0) -> Affine:
        if len(shape) != len(coefficients):
            raise ShapeError(f"Affine of shape {shape} needs {len(shape)} coefficients, got {coefficients}")
        key = (cls, shape, coefficients, offset)
        return cast(Affine, _interned(cls, key, tuple(shape), BOOL, (), tuple(coefficients), offset))


class Step(Structured):
    """The structured operand ``[i >= j + offset]`` of shape (i, j); cumulative sums and triangles; never stored."""

    __slots__ = ("offset",)
    fields = ("offset",)
    offset: int

    def __new__(cls, shape: Shape, offset: int = 0) -> Step:
        if len(shape) != 2:
            raise ShapeError(f"Step has two axes, got shape {shape}")
        return cast(Step, _interned(cls, (cls, shape, offset), tuple(shape), BOOL, (), offset))


class DFT(Structured):
    """The structured operand ``exp(sign · 2πi · j·k / period)`` of shape (j, k); Fourier transforms; never stored.

    Fewer rows than the period are a transform of a signal padded with zeros, fewer columns the first frequencies of it.
    """

    __slots__ = ("period", "sign")
    fields = ("period", "sign")
    period: int
    sign: int

    def __new__(cls, shape: Shape, period: int, sign: int = -1, dtype: Any = complex) -> DFT:
        shape, dtype = tuple(shape), _numeric(dtype)
        if len(shape) != 2 or max(shape) > period or sign not in (1, -1) or dtype.kind != "c":
            raise ShapeError(
                f"DFT has two axes of at most {period} entries (its period), a sign of 1 or -1 and a complex dtype; "
                f"found shape {shape}, sign {sign}, dtype {dtype}"
            )
        return cast(DFT, _interned(cls, (cls, shape, period, sign, dtype), shape, dtype, (), period, sign))


class OneHot(Structured):
    """The structured operand ``[indices[n] == v]`` of shape (*n, v): gather, scatter and selection; never stored.

    ``indices`` are whole numbers from 0 to below ``length``, so each row has exactly one 1. ``y[n,c] = x[i[n],c]`` is
    ``Y[n,c] = X[v,c] * OneHot(i)[n,v]``.
    """

    __slots__ = ("length",)
    fields = ("length",)
    length: int

    def __new__(cls, indices: Node, length: int) -> OneHot:
        if indices.dtype.kind not in "iu":
            raise ShapeError(f"OneHot needs indices of an integer dtype, got {indices.dtype}")
        shape = (*indices.shape, length)
        return cast(OneHot, _interned(cls, (cls, indices, length), shape, BOOL, (indices,), length))


class Einsum(Node):
    """``coefficient * sum over labels of the product of operands``, in the closed notation.

    ``spec`` is canonical (labels numbered by first appearance) and ``sizes[label]`` is the extent of a label,
    because a label that stands only in the output takes its size from nowhere else. ``dtype`` may differ from
    the operands' promoted dtype (a cast); it never drops an imaginary part.
    """

    __slots__ = ("coefficient", "sizes", "spec")
    fields = ("spec", "sizes", "coefficient")
    spec: Spec
    sizes: tuple[int, ...]
    coefficient: Scalar

    def __new__(
        cls,
        spec: Spec,
        operands: tuple[Node, ...],
        sizes: tuple[int, ...],
        coefficient: Scalar = 1,
        dtype: Any = None,
    ) -> Einsum:
        dtype = promote(operands, coefficient) if dtype is None else _numeric(dtype)
        key = (cls, spec, operands, sizes, scalar_key(coefficient), dtype)
        found = _known(key)
        if found is not None:
            return cast(Einsum, found)
        _check_einsum(spec, operands, sizes, coefficient, dtype)
        shape = tuple(map(sizes.__getitem__, spec.output))
        return cast(Einsum, _interned(cls, key, shape, dtype, operands, spec, sizes, coefficient))


class Map(Node):
    """A pointwise function of arguments of one shape: one row of the table `einad.ops.pointwise`."""

    __slots__ = ("row",)
    fields = ("row",)
    row: Pointwise

    def __new__(cls, row: Pointwise, *args: Node) -> Map:
        key = (cls, row, args)
        found = _known(key)
        if found is not None:
            return cast(Map, found)
        if len(args) != row.arity:
            raise ShapeError(f"{row.name} takes {row.arity} arguments, got {len(args)}")
        _check_equal_shapes(row.name, args)
        dtype = row.result_dtype(tuple([arg.dtype for arg in args]))
        return cast(Map, _interned(cls, key, args[0].shape, dtype, args, row))


class Add(Node):
    """The sum of one or more terms of one shape."""

    __slots__ = ()

    def __new__(cls, *terms: Node) -> Add:
        key = (cls, terms)
        found = _known(key)
        if found is not None:
            return cast(Add, found)
        if not terms:
            raise ShapeError("Add needs at least one term")
        _check_equal_shapes("Add", terms)
        return cast(Add, _interned(cls, key, terms[0].shape, promote(terms), terms))


class Call(Node):
    """A named function that is neither pointwise nor linear (max, argmax, inv, ...): one row of `einad.ops`."""

    __slots__ = ("params", "row")
    fields = ("row", "params")
    row: Function
    params: tuple[Hashable, ...]

    def __new__(cls, row: Function, args: tuple[Node, ...], params: tuple[Hashable, ...] = ()) -> Call:
        shape, dtype = row.infer(args, *params)
        return cast(Call, _interned(cls, (cls, row, args, params), shape, dtype, args, row, params))


@dataclass(frozen=True, eq=False)
class Pointwise:
    """One row of the pointwise table.

    ``derivatives[k]`` maps ``(x1, .., xn, y)`` to the partial derivative of ``y`` by ``xk``, in the calculus
    notation of `einad.ops.calculus`; ``None`` says that it is zero wherever it exists (``floor``, comparisons).
    ``memory`` says of an ``evaluate`` that is no ufunc whether its result is "new" memory, a "view" or "unknown".
    """

    name: str
    evaluate: Callable[..., Any]
    derivatives: tuple[Callable[..., Any] | None, ...]
    domain: tuple[float, float] = (-np.inf, np.inf)
    antilinear: bool = False
    memory: str = "unknown"

    @property
    def arity(self) -> int:
        """The number of arguments."""
        return len(self.derivatives)

    def result_dtype(self, dtypes: tuple[DType, ...]) -> DType:
        """The dtype NumPy gives for arguments of these dtypes."""
        return result_dtype_of(self, dtypes)

    def __reduce__(self) -> Any:
        raise TypeError(f"the table row {self.name!r} cannot be pickled")


@dataclass(frozen=True, eq=False)
class Function:
    """One row of the table of named functions.

    ``infer(args, *params)`` gives shape and dtype, ``evaluate(arrays, *params)`` the value, and
    ``linearise(node, k)`` the derivative by argument ``k`` as einsums with one operand left open.
    ``batch(args, *params)`` is the same function with one more leading axis on all arguments. ``flops(args)`` is what a
    call costs; without it, one operation per element of the arguments. ``evaluate`` returns new memory; ``scratch(args,
    *params)`` is how many bytes more it takes while it runs.
    """

    name: str
    infer: Callable[..., tuple[Shape, DType]]
    evaluate: Callable[..., Array]
    linearise: Callable[[Call, int], tuple[Linear, ...]]
    batch: Callable[..., Node]
    flops: Callable[[tuple[Node, ...]], int] | None = None
    scratch: Callable[..., int] | None = None


def promote(nodes: tuple[Node, ...], coefficient: Scalar = 1) -> DType:
    """NumPy's promoted dtype of nodes and a Python scalar, which counts as weak."""
    dtype = nodes[0].dtype if nodes else None
    for node in nodes:
        if node.dtype is not dtype:
            dtype = np.result_type(*{node.dtype for node in nodes})
            break
    if dtype is None:
        return np.result_type(type(coefficient))
    if coefficient == 1 or dtype.kind == "c" or (dtype.kind == "f" and not isinstance(coefficient, complex)):
        return dtype
    return np.result_type(dtype, coefficient)


def scalar_key(value: Scalar) -> Hashable:
    """A key that tells 1 from 1.0, 0.0 from -0.0, and knows nan as itself."""
    return (type(value), repr(value)) if value == 0 or value != value else (type(value), value)


@lru_cache(2048)
def result_dtype_of(row: Pointwise, dtypes: tuple[DType, ...]) -> DType:
    """The dtype of a pointwise function, found by calling it."""
    with np.errstate(all="ignore"):
        return np.asarray(row.evaluate(*[np.ones(1, dtype) for dtype in dtypes])).dtype


def _numeric(dtype: Any) -> DType:
    found: DType = dtype if isinstance(dtype, np.dtype) else np.dtype(dtype)
    if found.kind not in "biufc" or found.char in "gG":
        raise ShapeError(
            f"tensors hold bool, integers, float16/32/64 or complex64/128; found dtype {found}. "
            "Convert the array first, for example with .astype(float)"
        )
    return found


def _check_equal_shapes(name: str, args: tuple[Node, ...]) -> None:
    shape = args[0].shape
    for arg in args:
        if arg.shape != shape:
            shapes = ", ".join(str(a.shape) for a in args)
            raise ShapeError(f"{name} needs arguments of one shape, got {shapes}")


def _check_einsum(
    spec: Spec, operands: tuple[Node, ...], sizes: tuple[int, ...], coefficient: Scalar, dtype: DType
) -> None:
    if len(spec.inputs) != len(operands):
        raise ShapeError(f"'{spec}' names {len(spec.inputs)} operands, got {len(operands)}")
    if spec.label_count != len(sizes):
        raise ShapeError(f"'{spec}' has {spec.label_count} labels, got {len(sizes)} sizes")
    has_complex = isinstance(coefficient, complex)
    for labels, operand in zip(spec.inputs, operands, strict=True):
        has_complex = has_complex or operand.dtype.kind == "c"
        if tuple(map(sizes.__getitem__, labels)) != operand.shape:
            raise ShapeError(
                f"an operand of '{spec}' has shape {operand.shape}, "
                f"but its labels have sizes {tuple(sizes[label] for label in labels)}"
            )
    if has_complex and dtype.kind != "c" and promote(operands, coefficient).kind == "c":
        raise ShapeError(f"an Einsum of complex operands cannot have dtype {dtype}; take the real part first")
