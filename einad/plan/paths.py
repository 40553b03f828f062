"""Every einsum of many operands becomes a tree of einsums of at most two.

A path is chosen before differentiation too: the gradients of a tree of pairwise products share its branches, so all
gradients of an n-operand einsum cost about twice its value.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from einad.ir import build
from einad.ir.expr import DType, Einsum, Node, OneHot, Structured
from einad.ir.spec import Labels
from einad.ir.walk import rebuild, transform
from einad.plan.cost import node_flops, product
from einad.plan.exact import Path
from einad.plan.search import best_path, path_flops


def binarise(roots: Sequence[Node]) -> list[Node]:
    """The same values, with no einsum of more than two operands.

    Labels that stand on one operand only are summed there first, so ``sum(A @ B)`` needs no matrix product.

    >>> from einad.ir.expr import Input
    >>> A, B, x = Input("A", (5, 6)), Input("B", (6, 7)), Input("x", (7,))
    >>> (y,) = binarise([build.einsum(["ij", "jk", "k"], "i", [A, B, x])])
    >>> [child.shape for child in y.children]
    [(5, 6), (6,)]
    """
    return transform(roots, _binarise_node)


def _binarise_node(node: Node, children: tuple[Node, ...]) -> Node:
    if not isinstance(node, Einsum) or len(children) < 2 or (len(children) == 2 and not _has_lone_labels(node)):
        return rebuild(node, children)
    return _Network(node, children).contract()


def _has_lone_labels(node: Einsum) -> bool:
    """Whether one of two operands has a label twice, or one that neither the other nor the output needs."""
    a, b = node.spec.inputs
    in_a, in_b = set(a), set(b)
    return len(in_a) < len(a) or len(in_b) < len(b) or not (in_a ^ in_b).issubset(node.spec.output)


class _Network:
    """An einsum's operands, by number, while they are contracted pair by pair."""

    def __init__(self, node: Einsum, children: tuple[Node, ...]) -> None:
        self.node = node
        self.sizes = dict(enumerate(node.sizes))
        self.output = frozenset(node.spec.output)
        self.dtype: DType = np.result_type(node.dtype, *{child.dtype for child in children})
        self.labels: dict[int, Labels] = dict(enumerate(node.spec.inputs))
        self.operands: dict[int, Node] = dict(enumerate(children))
        self.uses = Counter(label for labels in self.labels.values() for label in set(labels))
        self.made = len(children)

    def contract(self) -> Node:
        """The root of the tree."""
        given = frozenset(self.operands.values())
        for k in list(self.operands):
            self._simplify(k)
        self._absorb(grows=False)
        if not self._absorbable(grows=True):
            return self._finished()
        windows = self._copied()
        windows._absorb(grows=True)
        return min(windows._finished(), self._finished(), key=lambda root: _work(root, given))

    def _copied(self) -> _Network:
        """The same network, to be contracted in another order."""
        found = object.__new__(_Network)
        found.__dict__.update(self.__dict__)
        found.labels, found.operands, found.uses = dict(self.labels), dict(self.operands), Counter(self.uses)
        return found

    def _absorb(self, grows: bool) -> None:
        while len(self.operands) > 2 and (pairs := self._absorbable(grows)):
            self._merge(*(min(pairs, key=self._growth) if grows else pairs[0]))

    def _growth(self, pair: tuple[int, int]) -> tuple[float, bool]:
        """How many times as many elements as its stored operand a pair has; windows of windows before others."""
        growth = self._size(self._kept(*pair)) / max(self._size(self.labels[pair[1]]), 1)
        return growth, not _is_window(self.operands[pair[1]])

    def _finished(self) -> Node:
        """The root of the tree, the pairs that are left chosen by their FLOPs."""
        for pair in self._path():
            self._merge(*pair)
        labels, operands = list(self.labels.values()), list(self.operands.values())
        node = self.node
        return build.einsum(labels, node.spec.output, operands, self.sizes, node.coefficient, node.dtype)

    def _simplify(self, k: int) -> None:
        """Sum what stands on operand ``k`` alone, and take its diagonals."""
        labels, operand = self.labels[k], self.operands[k]
        kept = tuple([label for label in dict.fromkeys(labels) if self.uses[label] > 1 or label in self.output])
        if len(kept) == len(labels) or (isinstance(operand, Structured) and not self._is_counted(operand)):
            return
        self.uses.subtract(set(labels) - set(kept))
        self.labels[k] = kept
        self.operands[k] = build.einsum([labels], kept, [operand], self.sizes, 1, self.dtype)

    def _is_counted(self, operand: Node) -> bool:
        """Whether to sum a OneHot by itself: beside other structured operands only, which are never stored either."""
        return isinstance(operand, OneHot) and len(self._structured()) == len(self.operands)

    def _structured(self) -> list[int]:
        return [k for k, operand in self.operands.items() if isinstance(operand, Structured)]

    def _absorbable(self, grows: bool) -> list[tuple[int, int]]:
        """Structured operands, and those whose labels shared with them nobody else needs: a view or one cheap pass.

        Windows that overlap are more than what they are taken from, and adding them up again (their adjoint) may come
        last: with ``grows`` they are among the pairs.
        """
        structured = self._structured()
        found: list[tuple[int, int]] = []
        for s in structured if len(self.operands) > 2 else ():
            for k in self.operands:
                shared = set(self.labels[s]) & set(self.labels[k])
                if k in structured or not shared or not shared.isdisjoint(kept := self._kept(s, k)):
                    continue
                if grows or self._size(kept) <= self._size(self.labels[k]):
                    found.append((s, k))
        return found

    def _size(self, labels: Iterable[int]) -> int:
        return product([self.sizes[label] for label in set(labels)])

    def _path(self) -> list[tuple[int, int]]:
        """Pairs of numbers; structured operands that are left come first or last, whichever takes fewer FLOPs."""
        early = self._search(self.operands, self.output)
        structured = self._structured()
        stored = [k for k in self.operands if k not in structured]
        if not structured or not stored:
            return early
        wanted = self.output.union(*[self.labels[k] for k in structured])
        late = self._search(stored, wanted)
        last = self.made + len(late) - 1 if late else stored[0]
        for s in structured:
            late.append((last, s))
            last = self.made + len(late) - 1
        return min(late, early, key=self._flops)

    def _search(self, numbers: Iterable[int], output: frozenset[int]) -> list[tuple[int, int]]:
        order = list(numbers)
        given = frozenset([n for n, k in enumerate(order) if not self.operands[k].children])
        found = best_path([self.labels[k] for k in order], output, self.sizes, given)
        names = [*order, *range(self.made, self.made + len(found))]
        return [(names[i], names[j]) for i, j in found]

    def _flops(self, pairs: Sequence[tuple[int, int]]) -> int:
        order = list(self.operands)
        places = {k: n for n, k in enumerate([*order, *range(self.made, self.made + len(pairs))])}
        path: Path = tuple([(places[i], places[j]) for i, j in pairs])
        return path_flops(path, [self.labels[k] for k in order], self.output, self.sizes)

    def _merge(self, i: int, j: int) -> None:
        """Contract operands ``i`` and ``j``; the last two are left for the einsum's own output."""
        if len(self.operands) == 2:
            return
        kept = self._kept(i, j)
        i, j = sorted((i, j))
        labels = [self.labels.pop(i), self.labels.pop(j)]
        operands = [self.operands.pop(i), self.operands.pop(j)]
        self.uses.subtract([*set(labels[0]), *set(labels[1])])
        self.uses.update(kept)
        self.labels[self.made] = kept
        self.operands[self.made] = build.einsum(labels, kept, operands, self.sizes, 1, self.dtype)
        self.made += 1

    def _kept(self, i: int, j: int) -> Labels:
        """The labels of a pair that others or the output need."""
        a, b = set(self.labels[i]), set(self.labels[j])
        order = dict.fromkeys((*self.labels[i], *self.labels[j]))
        return tuple(
            [label for label in order if label in self.output or self.uses[label] > (label in a) + (label in b)]
        )


def _work(root: Node, given: frozenset[Node]) -> float:
    """What a tree over given nodes costs, in elements moved, 16 FLOPs of a product as one.

    Results are written once. Windows are copied once, for the product they stand in, and windows of windows are views.
    What is added up again is written, cleared, read and added to.
    """
    total, stack = 0.0, [root]
    while stack:
        node = stack.pop()
        below = [child for child in node.children if child not in given]
        total += _work_of(node) - sum(child.size for child in below if _is_window(node) and _is_window(child))
        stack.extend(below)
    return total


def _work_of(node: Node) -> float:
    stored = [child.size for child in node.children if not isinstance(child, Structured)]
    moved = node.size if _is_window(node) or len(stored) == len(node.children) else 3 * max(node.size, *stored, 0)
    return node_flops(node) / 16 + moved


def _is_window(node: Node) -> bool:
    """Whether a node is windows: a stored and a structured operand that have fewer elements than it."""
    stored = [child.size for child in node.children if not isinstance(child, Structured)]
    return len(stored) == 1 < len(node.children) and stored[0] <= node.size
