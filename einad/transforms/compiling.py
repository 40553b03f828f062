"""jit and plan: trace a function once per shapes and dtypes, then run the plan."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import replace
from functools import wraps
from threading import Lock
from typing import Any

import numpy as np

from einad import pipeline
from einad.containers import LEAF, Structure, flatten, unflatten
from einad.front.tensor import Tensor
from einad.ir.expr import Input
from einad.plan.plan import Plan
from einad.transforms.tracing import Run, as_value, parameter_names, to_user

CACHE_SIZE = 256
REASON = (
    "inside ea.jit a tensor has no value yet, so it cannot steer Python code or become a number; "
    "write np.where instead of if, or call the function without ea.jit"
)


class Compiled:
    """A function's plan for one set of shapes and dtypes, with the container of its result."""

    def __init__(self, plan: Plan, structure: Structure, inputs: list[Input]) -> None:
        self.plan, self.structure = plan, structure
        self.dtypes = [node.dtype for node in inputs]

    def __call__(self, leaves: list[Any]) -> Any:
        """The function's result for the leaves of its arguments."""
        given = [leaf for leaf in leaves if is_dynamic(leaf)]
        pairs = zip(given, self.dtypes, strict=True)
        values = self.plan(*[x if type(x) is np.ndarray else np.asarray(x, dtype) for x, dtype in pairs])
        if self.structure is LEAF:
            return to_user(values[0])
        return unflatten(self.structure, [to_user(value) for value in values])


def jit(f: Callable[..., Any], *, fast_math: bool = False) -> Callable[..., Any]:
    """Trace ``f`` once per shapes and dtypes of its arguments, and run the plan from then on.

    Arrays, NumPy scalars and Python floats are arguments of the plan; a Python float takes the dtype of the
    floating-point arrays beside it. Python ints, bools, strings and other hashable objects are constants: another
    value is another plan. Arrays that ``f`` closes over are constants, copied when it is traced. The last 256 plans of
    a function are kept. Inside another transform ``jit(f)`` is ``f``.

    ``fast_math`` lets the planner multiply out products over sums where that takes fewer FLOPs. It can lose all digits:
    the squared norm of ``A B' - T`` with a residual of 1e-8 becomes a difference of terms of size 1, good to 1e-16,
    while the value is 1e-16 itself. Off by default, and never worth it near an optimum.

    Examples
    --------
    >>> import numpy as np
    >>> double_sum = jit(lambda x: 2 * np.sum(x))
    >>> float(double_sum(np.ones(3)))
    6.0
    """
    cache: OrderedDict[Hashable, Compiled] = OrderedDict()
    lock = Lock()

    @wraps(f)
    def compiled(*args: Any, **kwargs: Any) -> Any:
        leaves, structure = flatten((args, kwargs))
        key = (structure, *[_leaf_key(leaf) for leaf in leaves])
        if Tensor in key:
            return f(*args, **kwargs)
        found = cache.get(key)
        if found is None:
            found = compile_function(f, args, kwargs, "jit", fast_math)
            with lock:
                cache[key] = found
                while len(cache) > CACHE_SIZE:
                    cache.popitem(last=False)
        return found(leaves)

    return compiled


def plan(f: Callable[..., Any], *args: Any, **kwargs: Any) -> Plan:
    """The plan of ``f`` for arguments of these shapes and dtypes: a printable record of its steps.

    Examples
    --------
    >>> import numpy as np
    >>> p = plan(lambda A, B: np.mean(A @ B), np.ones((3, 4)), np.ones((4, 5)))
    >>> p.flops < 2 * 3 * 4 * 5
    True
    """
    return compile_function(f, args, kwargs, "plan").plan


def compile_function(f: Callable[..., Any], args: Any, kwargs: Any, purpose: str, fast_math: bool = False) -> Compiled:
    """Trace ``f`` on tensors without values and plan what it returns."""
    leaves, structure = flatten((args, kwargs))
    weak = _weak_dtype(leaves)
    with Run(f, purpose, copy_limit=None) as run:
        names = _leaf_names(f, args, kwargs)
        inputs: list[Input] = []
        traced = [_abstract(run, leaf, name, weak, inputs) for leaf, name in zip(leaves, names, strict=True)]
        traced_args, traced_kwargs = unflatten(structure, traced)
        nodes, result = run.nodes(run.call(traced_args, traced_kwargs))
        made = pipeline.compile_plan(nodes, inputs, fast_math)
        return Compiled(replace(made, notes=tuple(run.trace.notes)), result, inputs)


def _weak_dtype(leaves: list[Any]) -> Any:
    """The dtype of Python floats: that of the floating-point arrays among the arguments."""
    strong = {x.dtype for x in leaves if isinstance(x, np.ndarray | np.generic) and x.dtype.kind in "fc"}
    return np.result_type(*strong) if strong else np.dtype(float)


def _leaf_names(f: Callable[..., Any], args: Any, kwargs: Any) -> list[str]:
    counted = zip(parameter_names(f, len(args)), args, strict=True)
    return [name for name, arg in (*counted, *kwargs.items()) for _ in flatten(arg)[0]]


def is_dynamic(leaf: Any) -> bool:
    """Whether a leaf is an argument of the plan; anything else is a constant."""
    return isinstance(leaf, np.ndarray | np.generic | float | complex)


def _leaf_key(leaf: Any) -> Any:
    if isinstance(leaf, np.ndarray):
        return leaf.shape, leaf.dtype
    if isinstance(leaf, Tensor):
        return Tensor
    if is_dynamic(leaf):
        return type(leaf)
    try:
        hash(leaf)
    except TypeError:
        raise TypeError(f"ea.jit takes arrays, numbers and hashable constants, found {type(leaf).__name__}") from None
    return type(leaf), leaf


def _abstract(run: Run, leaf: Any, name: str, weak: Any, inputs: list[Input]) -> Any:
    if not is_dynamic(leaf):
        return leaf
    value = as_value(leaf, f"argument {name!r} of ea.{run.purpose}")
    is_weak = not isinstance(leaf, np.ndarray | np.generic)
    dtype = np.result_type(weak, type(leaf)(0)) if is_weak else value.dtype
    node = run.open_abstract(name, value.shape, dtype, REASON)
    inputs.append(node)
    return run.tensor(node)
