"""Calls of NumPy functions and ufuncs on nodes: keywords are checked, then the table's function is applied."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from einad.front.lifting import as_node, is_number, new_axis, number_like
from einad.front.numpy_contractions import multiply_outer
from einad.front.numpy_elementwise import cast
from einad.front.numpy_reductions import cumsum
from einad.front.numpy_table import REDUCTIONS, Function, function_meaning, ufunc_meaning
from einad.ir.expr import Node

_ignored = frozenset(("casting", "order", "subok", "optimize", "copy", "device", "signature", "sig", "extobj"))
_advice = {
    "out": "use the value that is returned instead (x = x + y in place of x += y where x is an array)",
    "where": "write np.where(mask, x, neutral) around the argument instead",
    "initial": "combine the result with the initial value instead",
    "like": "leave it out",
}


def function_call(function: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """The result of a NumPy function on nodes."""
    meaning = function_meaning(function)
    return meaning(*args, **checked_keywords(function.__name__, meaning, kwargs))


def ufunc_call(ufunc: np.ufunc, method: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """The result of a ufunc, or of one of its methods, on nodes."""
    name = ufunc.__name__
    if method == "reduce" and name in REDUCTIONS:
        return _reduce(name, *args, **kwargs)
    if method == "accumulate" and name == "add":
        return cumsum(*args, **checked_keywords("add.accumulate", cumsum, {"axis": 0, **kwargs}))
    if method == "outer":
        return _outer(ufunc, *args, **kwargs)
    if method != "__call__":
        raise TypeError(
            f"np.{name}.{method} is not known to einad, so it cannot take a traced tensor; write it with np.sum, "
            "np.cumsum, np.einsum or np.where"
        )
    return _apply(ufunc, args, kwargs)


def _apply(ufunc: np.ufunc, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    meaning, keywords = ufunc_meaning(ufunc), dict(kwargs)
    dtype = keywords.pop("dtype", None)
    if dtype is not None:
        args = [
            number_like(x, np.dtype(dtype)) if is_number(x) else cast(x, dtype, f"np.{ufunc.__name__}") for x in args
        ]
    return meaning(*args, **checked_keywords(ufunc.__name__, meaning, keywords))


def _reduce(name: str, array: Any, axis: Any = 0, dtype: Any = None, out: Any = None, **kwargs: Any) -> Node:
    meaning = REDUCTIONS[name]
    given = {"axis": axis, "dtype": dtype, "out": out, **kwargs}
    keywords = {key: value for key, value in given.items() if value is not None or key == "axis"}
    result: Node = meaning(array, **checked_keywords(f"{name}.reduce", meaning, keywords))
    return result


def _outer(ufunc: np.ufunc, a: Any, b: Any, **kwargs: Any) -> Any:
    left, right = as_node(a), as_node(b)
    if ufunc is np.multiply:
        return multiply_outer(left, right)
    widened = new_axis(left, *range(left.ndim, left.ndim + right.ndim))
    return _apply(ufunc, [widened, right], kwargs)


def checked_keywords(name: str, function: Function, kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Keywords that the table's function takes; others are dropped where they change nothing, else refused."""
    if not kwargs:
        return {}
    known = _parameters(function)
    kept: dict[str, Any] = {}
    for key, value in kwargs.items():
        if key in known:
            kept[key] = value
        elif not (key in _ignored or value is None or value is np._NoValue or (key == "where" and value is True)):
            advice = _advice.get(key, "leave it out")
            raise TypeError(f"np.{name} with {key}= cannot be traced; {advice}")
    return {key: value for key, value in kept.items() if value is not np._NoValue}


@lru_cache(maxsize=512)
def _parameters(function: Function) -> frozenset[str]:
    parameters = inspect.signature(function).parameters.values()
    return frozenset(p.name for p in parameters if p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD))
