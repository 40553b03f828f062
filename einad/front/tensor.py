"""Traced tensors: what a user's function sees in place of arrays, so that plain NumPy code records an expression."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from typing import Any, NoReturn

import numpy as np

from einad.errors import ConcretizationError
from einad.front.calls import function_call, ufunc_call
from einad.front.indexing import index
from einad.front.lifting import as_node
from einad.front.methods import Methods
from einad.front.numpy_contractions import einsum
from einad.front.operators import Meaning
from einad.front.trace import Trace, carries_gradient
from einad.ir.expr import Array, DType, Node, Shape


class Tensor(Methods):
    """A tensor that is being traced: ``node``, and ``origin``, the trace it belongs to.

    It behaves as a read-only NumPy array. Its shape and dtype are known; its value is computed when Python asks for
    one (``if x > 0``, ``print(x)``), unless that would cut a derivative or there is no value.
    """

    __slots__ = ("node", "origin")
    __array_priority__ = 1000.0

    node: Node
    origin: Trace

    def __init__(self, node: Node, trace: Trace) -> None:
        self.node, self.origin = node, trace

    # shape and dtype

    @property
    def shape(self) -> Shape:
        """The sizes of the axes."""
        return self.node.shape

    @property
    def dtype(self) -> DType:
        """The dtype of the entries."""
        return self.node.dtype

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return self.node.ndim

    @property
    def size(self) -> int:
        """The number of entries."""
        return self.node.size

    @property
    def itemsize(self) -> int:
        """The bytes of one entry."""
        return self.dtype.itemsize

    @property
    def nbytes(self) -> int:
        """The bytes of all entries."""
        return self.size * self.dtype.itemsize

    # recording

    def _record(self, meaning: Meaning, *operands: Any, **keywords: Any) -> Any:
        return record(meaning, operands, keywords)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        return record(lambda *args, **given: ufunc_call(ufunc, method, args, given), inputs, kwargs)

    def __array_function__(self, func: Callable[..., Any], types: Any, args: Any, kwargs: Any) -> Any:
        if not all(issubclass(kind, Tensor | np.ndarray) for kind in types):
            return NotImplemented
        return record(lambda *nodes, **given: function_call(func, nodes, given), args, kwargs)

    def __getitem__(self, key: Any) -> Tensor:
        found: Tensor = record(index, (self, _known_masks(key)), {})
        return found

    def __setitem__(self, key: Any, value: Any) -> NoReturn:
        raise TypeError(
            "a traced tensor cannot be changed in place; in place of x[i] = v write np.where(mask, v, x), or join "
            "pieces with np.concatenate or np.stack"
        )

    def __len__(self) -> int:
        if not self.ndim:
            raise TypeError("len() of a tensor without axes")
        return self.shape[0]

    def __iter__(self) -> Iterator[Tensor]:
        if not self.ndim:
            raise TypeError("iteration over a tensor without axes")
        return (self[k] for k in range(self.shape[0]))

    def __contains__(self, item: Any) -> bool:
        return bool((self == item).any())

    def __copy__(self) -> Tensor:
        return self

    def __deepcopy__(self, memo: object) -> Tensor:
        return self

    # values

    def _value(self) -> Array:
        """The value, which must not be written to."""
        check_open(self)
        return self.origin.value(self.node)

    def _plain(self, what: str, instead: str) -> Array:
        """The value for Python's own use, where no derivative is lost by it."""
        check_open(self)
        if carries_gradient(self.node):
            raise ConcretizationError(
                f"{what.format('x')} of a traced tensor (shape {self.shape}, dtype {self.dtype}) would cut the "
                f"derivative that flows through it; {instead}, or {what.format('ea.stop_gradient(x)')} where cutting "
                "is meant"
            )
        return self._value()

    def _number(self, name: str) -> Any:
        if self.ndim:
            raise TypeError(f"only tensors without axes can be converted by {name}(), found shape {self.shape}")
        instead = "keep the tensor and use np.exp, np.sqrt, ... in place of the math module, np.stack to join numbers"
        return self._plain(name + "({})", instead)[()]

    def __bool__(self) -> bool:
        if self.size != 1:
            raise ValueError(
                f"the truth value of a tensor of shape {self.shape} is ambiguous; use .any(), .all() or np.where"
            )
        return bool(self._value())

    def __float__(self) -> float:
        return float(self._number("float"))

    def __complex__(self) -> complex:
        return complex(self._number("complex"))

    def __int__(self) -> int:
        return int(self._number("int"))

    def __index__(self) -> int:
        if self.ndim or self.dtype.kind not in "iu":
            raise TypeError(f"only integer tensors without axes can be an index, found {self.dtype}{list(self.shape)}")
        return int(self._value())

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        instead = "use np.stack or einad.numpy.array to join tensors, and NumPy functions einad knows"
        return np.array(self._plain("np.asarray({})", instead), dtype)

    def item(self, *args: Any) -> Any:
        """The only entry as a Python number, or the entry at the position given."""
        return self._plain("{}.item()", "keep the tensor, or index it").item(*args)

    def tolist(self) -> Any:
        """The entries as nested lists of Python numbers."""
        return self._plain("{}.tolist()", "iterate over the tensor").tolist()

    def __repr__(self) -> str:
        value = self._shown()
        return f"Tensor({self.dtype}{list(self.shape)}, traced)" if value is None else f"Tensor({value!r})"

    def __str__(self) -> str:
        value = self._shown()
        return repr(self) if value is None else str(value)

    def __format__(self, spec: str) -> str:
        value = self._shown()
        return repr(self) if value is None else format(value, spec)

    def _shown(self) -> Any:
        try:
            return self._value()[()]
        except Exception:  # noqa: BLE001  # a debugger's repr must never raise
            return None

    def __getattr__(self, name: str) -> NoReturn:
        if not name.startswith("_") and hasattr(np.ndarray, name):
            raise AttributeError(f"traced tensors have no '{name}'; write it with NumPy functions that einad knows")
        raise AttributeError(f"'Tensor' object has no attribute {name!r}")


def to_node(x: Any, trace: Trace) -> Node:
    """A tensor's node; arrays and numbers as constants.

    Raises
    ------
    ConcretizationError
        If the tensor's own function has returned.
    TypeError
        If ``x`` is nothing numeric.
    """
    if isinstance(x, Tensor):
        check_open(x)
        return x.node
    return as_node(_nodes(x, trace))


def check_open(x: Tensor) -> None:
    """Refuse a tensor whose function has returned."""
    if x.origin.closed:
        raise ConcretizationError(
            f"a traced tensor (shape {x.shape}, dtype {x.dtype}) leaked out of its function, for example through a "
            "global or a list; it is of no use afterwards: return it from the function instead (with has_aux=True "
            "beside a loss)"
        )


def innermost_trace(args: Any) -> Trace | None:
    """The latest born trace of the tensors in nested containers, None where there is no tensor."""
    found: Trace | None = None
    stack = [args]
    while stack:
        x = stack.pop()
        if isinstance(x, Tensor):
            if found is None or x.origin.birth > found.birth:
                found = x.origin
        elif isinstance(x, tuple | list):
            stack.extend(x)
        elif isinstance(x, dict):
            stack.extend(x.values())
    return found


def record(meaning: Meaning, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """Apply a function of nodes to tensors; its nodes come back as tensors of the innermost trace."""
    trace = innermost_trace((args, kwargs))
    assert trace is not None
    given = {key: _nodes(value, trace) for key, value in kwargs.items()}
    return _tensors(meaning(*[_nodes(x, trace) for x in args], **given), trace)


def record_einsum(
    spec: Any, operands: Sequence[Any], trace: Trace, sizes: Mapping[Hashable, int] | None = None
) -> Tensor:
    """An einsum in the closed notation; in the interleaved form ``spec`` is the first operand."""
    nodes = [_nodes(x, trace) for x in (spec, *operands)]
    return Tensor(einsum(*nodes, sizes=sizes), trace)


def _nodes(x: Any, trace: Trace) -> Any:
    if isinstance(x, Tensor):
        return to_node(x, trace)
    if isinstance(x, list):
        return [_nodes(entry, trace) for entry in x]
    if isinstance(x, tuple):
        return tuple([_nodes(entry, trace) for entry in x])
    return trace.keep(x) if type(x) is np.ndarray else x


def _tensors(result: Any, trace: Trace) -> Any:
    if isinstance(result, Node):
        return Tensor(result, trace)
    if isinstance(result, list):
        return [_tensors(entry, trace) for entry in result]
    if type(result) is tuple and any(isinstance(entry, Node) for entry in result):
        return tuple([_tensors(entry, trace) for entry in result])
    return result


def _known_masks(key: Any) -> Any:
    """Traced boolean indices as arrays: the shape of what they pick depends on their values."""
    if isinstance(key, tuple):
        return tuple([_known_masks(entry) for entry in key])
    return np.asarray(key) if isinstance(key, Tensor) and key.dtype.kind == "b" else key
