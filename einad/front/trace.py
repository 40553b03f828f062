"""Traces: one run of a user's function on tensors whose values are not computed yet."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import count

import numpy as np

from einad.errors import ConcretizationError
from einad.ir.expr import Array, Input, Map, Node
from einad.ir.walk import topological

_births = count()

Evaluate = Callable[[list[Node], Mapping[Node, Array]], list[Array]]


SMALL = 2**20


class Binding:
    """What a traced input stands for; it is the ``key`` of the `Input`, so each binding is an input of its own.

    ``value`` is an array, a node of an enclosing trace, or None where there is no value (``jit``, ``vmap``);
    ``reason`` then says why, with what to try. ``differentiated`` marks the inputs a derivative is taken by.
    ``trace`` is the trace the input belongs to.
    """

    __slots__ = ("differentiated", "reason", "trace", "value")

    def __init__(
        self, trace: Trace, value: Array | Node | None, differentiated: bool = False, reason: str = ""
    ) -> None:
        self.trace, self.value, self.differentiated, self.reason = trace, value, differentiated, reason


class Trace:
    """The trace that tensors belong to. A later birth is a more deeply nested function.

    ``evaluate(nodes, values)`` computes values of nodes, given those of some others below them. ``notes`` says what
    was chosen while deriving, for the plan to print. ``copy_limit`` is the size in bytes up to which arrays that meet a
    tensor are copied (None: all), so that writing into them afterwards changes nothing.
    """

    def __init__(self, evaluate: Evaluate, copy_limit: int | None = SMALL) -> None:
        self.birth = next(_births)
        self.closed = False
        self.notes: list[str] = []
        self._evaluate = evaluate
        self._known: dict[Node, Array] = {}
        self._copy_limit = copy_limit
        self._kept: dict[int, tuple[Array, Array]] = {}

    def value(self, node: Node) -> Array:
        """The value of a node (read-only), computed now and kept for the rest of the trace."""
        if node not in self._known:
            known: dict[Node, Array] = {}
            for n in topological([node], self._known.keys()):
                if n in self._known:
                    known[n] = self._known[n]
                elif isinstance(n, Input):
                    bound = _bound_value(n)
                    known[n] = self.value(bound) if isinstance(bound, Node) else bound
            (found,) = self._evaluate([node], known)
            found.flags.writeable = False
            self._known[node] = found
        return self._known[node]

    def keep(self, array: Array) -> Array:
        """The array as it is now, for a literal: what the user's function writes into it later does not count.

        Arrays above the limit are not copied. An array met again unchanged is the same literal.
        """
        if self._copy_limit is not None and array.nbytes > self._copy_limit:
            return array
        found = self._kept.get(id(array))
        if found is None or not _same_bytes(found[1], array):
            self._kept[id(array)] = found = array, array.copy()
        return found[1]

    def close(self) -> None:
        """Forget the values; tensors of this trace are of no use any more."""
        self.closed = True
        self._known.clear()
        self._kept.clear()


def _same_bytes(a: Array, b: Array) -> bool:
    return a.shape == b.shape and a.dtype == b.dtype and bool(np.array_equal(a, b, equal_nan=a.dtype.kind in "fc"))


def _bound_value(node: Input) -> Array | Node:
    binding = node.key
    if not isinstance(binding, Binding):
        raise ConcretizationError(f"the input {node.name!r} has no value here")
    if binding.value is None:
        raise ConcretizationError(binding.reason)
    return binding.value


def carries_gradient(node: Node) -> bool:
    """Whether a derivative flows to the node from an input that is being differentiated by."""
    active: set[Node] = set()
    for n in topological([node]):
        if isinstance(n, Input) and isinstance(n.key, Binding):
            outer = n.key.value
            if n.key.differentiated or (isinstance(outer, Node) and carries_gradient(outer)):
                active.add(n)
        elif n.dtype.kind in "fc" and any(c in active and _passes(n, k) for k, c in enumerate(n.children)):
            active.add(n)
    return node in active


def _passes(node: Node, k: int) -> bool:
    return not (isinstance(node, Map) and node.row.derivatives[k] is None)


def new_input(name: str, like: Array | Node, binding: Binding) -> Input:
    """A fresh input with the shape and dtype of an array or node."""
    return Input(name, like.shape, np.dtype(like.dtype), binding)
