"""jit and plan: trace a function once per shapes and dtypes, then run the plan."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace
from functools import wraps
from threading import Lock
from typing import Any, ClassVar
from weakref import WeakSet

import numpy as np

from einad import pipeline
from einad.containers import Structure, flatten, rebuilder, unflatten
from einad.front.tensor import Tensor
from einad.ir.expr import Input, Node
from einad.plan.memory import as_bytes
from einad.plan.plan import Plan
from einad.transforms.tracing import Run, as_value, parameter_names

REASON = (
    "inside ea.jit a tensor has no value yet, so it cannot steer Python code or become a number; "
    "write np.where instead of if, or call the function without ea.jit"
)


class Compiled:
    """A function's plan for one set of shapes and dtypes, and how its result is put together.

    ``direct(args)`` is the result for a tuple of arrays of the right shapes and dtypes, which it does not check.
    """

    def __init__(self, plan: Plan, structure: Structure, inputs: Sequence[Node], outputs: Sequence[Node]) -> None:
        self.plan = plan
        self.dtypes = [node.dtype for node in inputs]
        self.finish = rebuilder(structure, ["" if node.ndim else "[()]" for node in outputs])
        self.direct = _direct(plan, self.finish)

    def __call__(self, leaves: Sequence[Any]) -> Any:
        """The function's result for the leaves of its arguments."""
        given = [leaf for leaf in leaves if is_dynamic(leaf)]
        pairs = zip(given, self.dtypes, strict=True)
        arrays = [x if type(x) is np.ndarray else np.asarray(x, dtype) for x, dtype in pairs]
        return self.finish(self.plan(*arrays))


def _direct(plan: Plan, finish: Callable[[Sequence[Any]], Any]) -> Callable[[tuple[Any, ...]], Any]:
    run, constants = plan.run, plan.constants
    if constants:
        return lambda args: finish(run(*args, *constants))
    return lambda args: finish(run(*args))


def jit(
    f: Callable[..., Any],
    *,
    fast_math: bool = False,
    threads: int | None = None,
    memory_limit: int | str | None = None,
) -> Callable[..., Any]:
    """Trace ``f`` once per shapes and dtypes of its arguments, and run the plan from then on.

    Arrays, NumPy scalars and Python floats are arguments of the plan; a Python float takes the dtype of the
    floating-point arrays beside it. Python ints, bools, strings and other hashable objects are constants: another
    value is another plan. Arrays that ``f`` closes over are constants, copied when it is traced. The 256 plans of a
    function made last are kept (`einad.set_cache_size`). Inside another transform ``jit(f)`` is ``f``.

    ``fast_math`` lets the planner multiply out products over sums where that takes fewer FLOPs. It can lose all digits:
    the squared norm of ``A B' - T`` with a residual of 1e-8 becomes a difference of terms of size 1, good to 1e-16,
    while the value is 1e-16 itself. Off by default, and never worth it near an optimum.

    ``threads`` is into how many parts the whole program may be split along a label such as that of a batch, each on a
    thread of its own: None splits large programs where it pays, over the CPUs that the process may use (or as many as
    ``EINAD_NUM_THREADS`` says), 1 never splits. What is not split has the threads of BLAS, as ever.

    ``memory_limit``, a number of bytes or text such as ``"200 MB"``, is the most that a plan's temporaries and results
    take at once. Where the plan would take more, values are computed again or the function is run in slices, whichever
    costs less; what cannot fit raises `MemoryLimitError` before anything is allocated.

    Examples
    --------
    >>> import numpy as np
    >>> double_sum = jit(lambda x: 2 * np.sum(x))
    >>> float(double_sum(np.ones(3)))
    6.0
    """
    cache = JitCache()
    entries = cache.entries
    limit = None if memory_limit is None else as_bytes(memory_limit)

    @wraps(f)
    def compiled(*args: Any, **kwargs: Any) -> Any:
        key: Hashable = tuple([(x.shape, x.dtype) if type(x) is np.ndarray else None for x in args])
        known = entries.get(key)
        if known is not None and not kwargs:
            return known.direct(args)
        leaves, structure = flatten((args, kwargs))
        if kwargs or any(type(x) is not np.ndarray for x in args):
            key = (structure, *[_leaf_key(leaf) for leaf in leaves])
            if Tensor in key:
                return f(*args, **kwargs)
        found = entries.get(key)
        if found is None:
            found = compile_function(f, args, kwargs, "jit", fast_math, threads, limit)
            cache.put(key, found)
        return found(leaves)

    return compiled


class JitCache:
    """The plans of one function. Entries are looked up without a lock; those made first are forgotten first."""

    limit: ClassVar[int] = 256
    every: ClassVar[WeakSet[JitCache]] = WeakSet()

    def __init__(self) -> None:
        self.entries: dict[Hashable, Compiled] = {}
        self.made = 0
        self._lock = Lock()
        self.every.add(self)

    def put(self, key: Hashable, made: Compiled) -> None:
        """Enter a plan, and forget what is over the limit."""
        with self._lock:
            self.made += 1
            self.entries[key] = made
            self._trim()

    def clear(self) -> None:
        """Forget all plans."""
        with self._lock:
            self.entries.clear()
            self.made = 0

    @classmethod
    def resize(cls, limit: int) -> None:
        """Set how many plans each function may keep."""
        if limit < 1:
            raise ValueError(f"a jitted function keeps at least 1 plan, got {limit}")
        cls.limit = limit
        for each in list(cls.every):
            with each._lock:
                each._trim()

    def _trim(self) -> None:
        for key in list(self.entries)[: max(0, len(self.entries) - self.limit)]:
            self.entries.pop(key, None)


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


def compile_function(
    f: Callable[..., Any],
    args: Any,
    kwargs: Any,
    purpose: str,
    fast_math: bool = False,
    threads: int | None = None,
    memory_limit: int | None = None,
) -> Compiled:
    """Trace ``f`` on tensors without values and plan what it returns."""
    leaves, structure = flatten((args, kwargs))
    weak = _weak_dtype(leaves)
    with Run(f, purpose, copy_limit=None) as run:
        names = _leaf_names(f, args, kwargs)
        inputs: list[Input] = []
        traced = [_abstract(run, leaf, name, weak, inputs) for leaf, name in zip(leaves, names, strict=True)]
        traced_args, traced_kwargs = unflatten(structure, traced)
        nodes, result = run.nodes(run.call(traced_args, traced_kwargs))
        made = pipeline.compile_plan(nodes, inputs, fast_math, threads, memory_limit)
        return Compiled(replace(made, notes=(*run.trace.notes, *made.notes)), result, inputs, nodes)


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
