"""What a user adds: functions without a gradient, pointwise functions of one's own, einsums in closed notation."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import numpy as np

from einad import pipeline
from einad.containers import flatten, map_leaves
from einad.errors import DerivativeError
from einad.front.tensor import Tensor, innermost_trace, record_einsum, to_node
from einad.front.trace import Trace
from einad.ir import build
from einad.ir.expr import Map, Pointwise
from einad.ops.calculus import Term
from einad.ops.pointwise import POINTWISE
from einad.transforms.tracing import finish


def stop_gradient(x: Any) -> Any:
    """``x`` itself, a container of arrays, as a constant of every derivative.

    Examples
    --------
    >>> import numpy as np, einad as ea
    >>> float(ea.grad(lambda x: x * ea.stop_gradient(x))(3.0))
    3.0
    """
    return map_leaves(_stopped, x)


def _stopped(leaf: Any) -> Any:
    return Tensor(Map(POINTWISE["stop_gradient"], leaf.node), leaf.origin) if isinstance(leaf, Tensor) else leaf


def elementwise(
    fn: Callable[..., Any], derivative: Callable[..., Any] | Sequence[Callable[..., Any] | None]
) -> Callable[..., Any]:
    """A pointwise function of one's own, with its derivative.

    Parameters
    ----------
    fn : callable
        Computes the function on NumPy arrays of one shape, and returns an array of that shape.
    derivative : callable, or a sequence with one callable or None per argument
        The partial derivative as a function of the same arguments, written with NumPy functions (so that it can be
        differentiated again); None where it is zero.

    Returns
    -------
    callable
        Works on arrays and, inside a derivative, on traced tensors; arguments broadcast.

    Examples
    --------
    >>> import numpy as np, einad as ea
    >>> softplus = ea.elementwise(lambda x: np.logaddexp(0, x), lambda x: 1 / (1 + np.exp(-x)))
    >>> float(ea.grad(softplus)(0.0)), float(ea.grad(ea.grad(softplus))(0.0))
    (0.5, 0.25)
    """
    rules = [derivative] if callable(derivative) else list(derivative)
    name = getattr(fn, "__name__", "elementwise")
    row = Pointwise(name, fn, tuple([_rule(rule) for rule in rules]))

    def apply(*args: Any) -> Any:
        if len(args) != row.arity:
            raise TypeError(f"{name} takes {row.arity} arguments, one per derivative, got {len(args)}")
        trace = innermost_trace(args)
        if trace is None:
            return fn(*np.broadcast_arrays(*args)) if len(args) > 1 else fn(np.asarray(args[0]))
        tensors = np.broadcast_arrays(*[Tensor(to_node(arg, trace), trace) for arg in args])
        return Tensor(Map(row, *[to_node(tensor, trace) for tensor in tensors]), trace)

    return apply


def _rule(derivative: Callable[..., Any] | None) -> Callable[..., Term] | None:
    if derivative is None:
        return None

    def rule(*terms: Term) -> Term:
        trace = Trace(pipeline.evaluate)
        args = [Tensor(term.node, trace) for term in terms[:-1]]
        node = to_node(derivative(*args), trace)
        shape = terms[-1].node.shape
        if node.shape not in ((), shape):
            raise DerivativeError(f"the derivative given to ea.elementwise has shape {node.shape}, expected {shape}")
        return Term(node if node.shape == shape else build.broadcast(node, shape, ()))

    return rule


def einsum(spec: Any, *operands: Any, sizes: Mapping[Hashable, int] | None = None) -> Any:
    """An einsum in the closed notation; NumPy's forms are among it.

    Beyond NumPy's, a label may stand only in the output (a broadcast; give its size in ``sizes``), may be repeated in
    the output (a Kronecker delta), and there may be no operand at all. Arrays are computed at once; traced tensors are
    recorded, so that derivatives flow.

    Raises
    ------
    NotationError
        If the spec cannot be read; shows it with a caret.
    ShapeError
        If operands do not fit their labels; lists their shapes.

    Examples
    --------
    >>> import numpy as np, einad as ea
    >>> ea.einsum("i->ii", np.array([1.0, 2.0])).tolist()
    [[1.0, 0.0], [0.0, 2.0]]
    >>> ea.einsum("->ij", sizes={"i": 1, "j": 2}).tolist()
    [[1.0, 1.0]]
    """
    trace = innermost_trace(flatten((spec, operands))[0])
    if trace is not None:
        return record_einsum(spec, operands, trace, sizes)
    tensor = record_einsum(spec, operands, Trace(pipeline.evaluate), sizes)
    return finish([tensor.node], {})[0]
