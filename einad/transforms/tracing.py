"""Run a user's function on traced tensors, and turn the nodes it returns into arrays or tensors again."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Hashable, Mapping, Sequence
from copy import copy
from typing import Any

import numpy as np

from einad import pipeline
from einad.containers import Structure, flatten, unflatten
from einad.errors import DerivativeError
from einad.front.tensor import Tensor, to_node
from einad.front.trace import SMALL, Binding, Trace, new_input
from einad.ir.expr import Array, Input, Literal, Node
from einad.ir.walk import substitute, topological
from einad.pipeline import Derived


class Run:
    """One traced call of a user's function ``f``, on behalf of the transform called ``purpose``."""

    def __init__(self, f: Callable[..., Any], purpose: str, copy_limit: int | None = SMALL) -> None:
        if not callable(f):
            raise TypeError(f"ea.{purpose} takes a function, got {type(f).__name__}")
        self.f, self.purpose = f, purpose
        self.trace = Trace(pipeline.evaluate, copy_limit)
        self.arrays: dict[Node, Array] = {}
        self.outer: dict[Node, Node] = {}

    def open(self, tree: Any, name: str, differentiated: bool = False) -> tuple[Any, list[Input], Structure]:
        """A container of fresh tensors in place of arrays, their inputs, and the container's structure."""
        leaves, structure = flatten(tree)
        inputs = [self._open_leaf(leaf, name, differentiated) for leaf in leaves]
        tensors = [Tensor(node, self.trace) for node in inputs]
        return unflatten(structure, tensors), inputs, structure

    def _open_leaf(self, leaf: Any, name: str, differentiated: bool) -> Input:
        value = as_value(leaf, f"argument {name!r} of ea.{self.purpose}")
        if differentiated:
            check_differentiable(value, name, self.purpose)
        return self.hold(name, value, differentiated)

    def hold(self, name: str, value: Array | Node, differentiated: bool = False) -> Input:
        """A fresh input that stands for an array, or for a node of an enclosing trace."""
        node = new_input(name, value, Binding(self.trace, value, differentiated))
        if isinstance(value, Node):
            self.outer[node] = value
        else:
            self.arrays[node] = value
        return node

    def open_abstract(self, name: str, shape: tuple[int, ...], dtype: Any, reason: str) -> Input:
        """A fresh input that has no value while the function runs."""
        return Input(name, shape, dtype, Binding(self.trace, None, False, reason))

    def tensor(self, node: Node) -> Tensor:
        """A node as a tensor of this run."""
        return Tensor(node, self.trace)

    def call(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """The function's own result. Its exceptions pass through unchanged."""
        return self.f(*args, **kwargs)

    def nodes(self, tree: Any) -> tuple[list[Node], Structure]:
        """A returned container as nodes, and its structure."""
        if tree is None:
            raise TypeError(f"the function given to ea.{self.purpose} returned None; is a return statement missing?")
        leaves, structure = flatten(tree)
        return [to_node(as_result(leaf, self.purpose), self.trace) for leaf in leaves], structure

    def finish(self, roots: Sequence[Node]) -> list[Any]:
        """The values of nodes: arrays, or tensors of an enclosing trace where they depend on one."""
        roots = substitute(roots, self.outer) if self.outer else list(roots)
        return finish(roots, self.arrays, self.trace.notes)

    def again(self, bound: Mapping[Node, Array | Node]) -> Run:
        """The same run with more inputs bound, to arrays or to nodes of an enclosing trace."""
        run = copy(self)
        run.arrays = {**self.arrays, **{x: value for x, value in bound.items() if not isinstance(value, Node)}}
        run.outer = {**self.outer, **{x: value for x, value in bound.items() if isinstance(value, Node)}}
        return run

    def derive(
        self, tag: Hashable, roots: Sequence[Node], variables: Sequence[Node], rule: Callable[[], Sequence[Node]]
    ) -> list[Any]:
        """The values of ``rule()``, which derives nodes from ``roots`` by ``variables``; planned once per structure."""
        if self.is_nested(roots):
            return self.finish(rule())
        key = (self.purpose, tag)
        values, _ = pipeline.evaluate_derived(key, roots, variables, lambda: Derived(rule()), self.arrays)
        return [to_user(value) for value in values]

    def is_nested(self, roots: Sequence[Node]) -> bool:
        """Whether the nodes depend on an enclosing trace."""
        return bool(self.outer) or not all(node in self.arrays for node in _inputs(roots))

    def __enter__(self) -> Run:
        return self

    def __exit__(self, *_: object) -> None:
        self.trace.close()


def finish(roots: Sequence[Node], arrays: Mapping[Node, Array], notes: Sequence[str] = ()) -> list[Any]:
    """Values of nodes given those of their inputs, or tensors of the innermost trace they still depend on."""
    inputs = [node for node in _inputs(roots) if node not in arrays]
    traces = {node.key.trace for node in inputs if isinstance(node.key, Binding)}
    if not traces:
        return [to_user(value) for value in pipeline.evaluate(roots, arrays)]
    outer = max(traces, key=lambda trace: trace.birth)
    outer.notes += notes
    constants = {node: Literal(value) for node, value in arrays.items()}
    return [Tensor(node, outer) for node in substitute(roots, constants)]


def _inputs(roots: Sequence[Node]) -> list[Input]:
    return [node for node in topological(roots) if isinstance(node, Input)]


def to_user(value: Array) -> Any:
    """A 0-d array as a NumPy scalar, others as they are."""
    return value[()] if value.ndim == 0 else value


def as_value(leaf: Any, place: str) -> Array | Node:
    """An argument as an array, or as the node of a traced tensor; anything else is refused."""
    if isinstance(leaf, Tensor):
        return to_node(leaf, leaf.origin)
    if type(leaf) is np.ndarray and leaf.dtype.kind in "biufc":
        return leaf
    if isinstance(leaf, np.ma.MaskedArray):
        raise TypeError(f"{place}: masked arrays are not supported; fill them first, for example with .filled(0)")
    if isinstance(leaf, np.ndarray | np.generic | int | float | complex):
        array = np.asarray(leaf)
        if array.dtype.kind in "biufc":
            return array
        raise TypeError(f"{place}: expected numbers, found an array of dtype {array.dtype}")
    raise TypeError(
        f"{place}: expected arrays or numbers, or tuples, lists, dicts or dataclasses of them; "
        f"found {type(leaf).__name__}"
    )


def as_result(leaf: Any, purpose: str) -> Any:
    """A returned leaf, if it is a tensor or an array of numbers."""
    return leaf if isinstance(leaf, Tensor) else as_value(leaf, f"the result of the function given to ea.{purpose}")


def check_differentiable(value: Array | Node, name: str, purpose: str) -> None:
    """Refuse integers and booleans as variables of a derivative."""
    if value.dtype.kind not in "fc":
        raise DerivativeError(
            f"ea.{purpose} by argument {name!r} of dtype {value.dtype}: derivatives need floating-point "
            "or complex arguments; convert it first, for example with .astype(float)"
        )


def parameter_names(f: Callable[..., Any], count: int) -> list[str]:
    """The names of the first ``count`` positional parameters, as far as they can be known."""
    try:
        parameters = list(inspect.signature(f).parameters.values())
    except (TypeError, ValueError):
        parameters = []
    positional = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    return [positional[i] if i < len(positional) else f"x{i}" for i in range(count)]
