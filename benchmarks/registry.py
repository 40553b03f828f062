"""What a workload is: one function written once against an array namespace, and a derivative to take of it.

``make()`` gives the function and its arguments. The function's first argument is the namespace ``xp``: NumPy, or
another engine's with the same names (einsum, tanh, exp, sum, ..).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

KINDS = {
    "gradient": "value and gradient",
    "jacobian": "the full n-D Jacobian",
    "hessian": "the full n-D Hessian",
    "hvp": "a Hessian times a direction",
    "gauss-newton": "JᵀJ times a direction, as the pullback of the pushforward",
}


@dataclass(frozen=True)
class Workload:
    """A function with arguments, and the derivative to measure: its kind and the arguments it is taken by."""

    make: Callable[[], tuple[Callable[..., Any], tuple[np.ndarray, ...]]]
    kind: str
    argnums: int | tuple[int, ...] = 0

    def prepare(self, dtype: str | None = None) -> tuple[Callable[..., Any], tuple[np.ndarray, ...]]:
        """The function and its arguments, in another floating-point dtype where one is named."""
        f, args = self.make()
        return f, args if dtype is None else tuple(a.astype(dtype) if a.dtype.kind == "f" else a for a in args)


Table = dict[str, Workload]


def entry_in(table: Table) -> Callable[..., Any]:
    """A decorator that enters a maker into a table."""

    def named(name: str, kind: str, argnums: int | tuple[int, ...] = 0) -> Callable[..., Any]:
        def add(make: Any) -> Any:
            assert kind in KINDS
            assert name not in table
            table[name] = Workload(make, kind, argnums)
            return make

        return add

    return named


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def directions(w: Workload, args: tuple[Any, ...]) -> tuple[np.ndarray, ...]:
    """A fixed direction shaped like each differentiated argument."""
    chosen = w.argnums if isinstance(w.argnums, tuple) else (w.argnums,)
    return tuple(rng(1 + n).standard_normal(args[n].shape).astype(args[n].dtype) for n in chosen)
